// Records against what they should be: a flat, a daily and a weekly model predict, and for each
// collector the one that predicted its last week best speaks.
function(config, lib) {
  local c = config.volume,
  // What the level was some days before, at the same time of day.
  local before(days) = 'last_over_time(collector:records:level[%ds] offset %dd)' % [lib.seconds(config.slowInterval) * 2 + 300, days],
  local median(days) = std.join('\n  or ', [
    'label_replace(%s, "days", "%d", "", "")' % [before(day), day]
    for day in days
  ]),
  local least(days) = std.join('\n  or ', [
    'label_replace(min_over_time(collector:records:quarter_low[135m] offset %dm), "days", "%d", "", "")' % [1440 * day - 75, day]
    for day in days
  ]),
  // As known a day ago, and a week before that.
  local erred(name, days) = lib.held('collector:records:error_' + name, offset='%dd' % days),
  local larger(name) = '%s > 1.5 * %s + %g' % [erred(name, 1), erred(name, 8), 0.5 * c.minSpread],
  local calm(name) = |||
    %(new)s unless %(disturbed)s
    or
    %(old)s and %(disturbed)s
  ||| % { new: erred(name, 1), old: erred(name, 8), disturbed: lib.held('collector:records:disturbed_ratio') },
  groups: [
    lib.group('volume', config.slowInterval, [
      lib.record('collector:records:level', lib.fact('collection_window_records', 'window=~"3|10"')),
    ]),
    // The least of each quarter of an hour, so that nobody reads every level of an hour.
    lib.group('volume-lows', '15m', [
      lib.record('collector:records:quarter_low', 'min_over_time(collector:records:level[15m])'),
      // The least at this time of day, give or take an hour, on any day of a week that ended some days
      // ago: what is lacking since then is no quiet day.
      lib.record('collector:records:week_least', |||
        min without (days) (
          %s
        )
        and ignoring (window) collector:interval:assumed_seconds <= 21600
      ||| % least(std.range(4, 10))),
      // What it was at least within an hour of that time: a rhythm that moves by an hour (a change to
      // summer time, a late run) is no lack of records.
      lib.record('collector:records:expected_low', |||
        quantile without (days) (0.5,
          %(levels)s
        )
        and ignoring (window) collector:interval:assumed_seconds <= 21600
      ||| % { levels: least([1, 2, 3]) }, { model: 'daily' }),
      // Of two weeks the lesser: their mean would expect half of a holiday's rush a week later.
      lib.record('collector:records:expected_low', |||
        min without (days) (
          %(levels)s
        )
      ||| % { levels: least([7, 14]) }, { model: 'weekly' }),
    ]),
    lib.group('volume-models', config.baselineInterval, [
      lib.record('collector:records:usual', lib.fact('collection_window_records', 'window="100"', ['window'])),
      // Keeps logarithms finite and small counts from looking dramatic.
      lib.record('collector:records:floor', '0.1 * collector:records:usual + 1'),
      lib.record('collector:records:expected', |||
        (
          0 * collector:records:level + ignoring (window) group_left () (collector:records:usual and collector:interval:assumed_seconds >= 6048)
        )
        or %(week)s
        or 0 * collector:records:level + ignoring (window) group_left () collector:records:usual
      ||| % { week: lib.held('collector:records:week') }, { model: 'flat' }),
      // A daily model says nothing about a job that runs once a day.
      lib.record('collector:records:expected', |||
        quantile without (days) (0.5,
          %(levels)s
        )
        and ignoring (window) collector:interval:assumed_seconds <= 21600
      ||| % { levels: median([1, 2, 3]) }, { model: 'daily' }),
      lib.record('collector:records:expected', |||
        quantile without (days) (0.5,
          %(levels)s
        )
      ||| % { levels: median([7, 14]) }, { model: 'weekly' }),
      lib.record('collector:records:residual', |||
        ln(
          (collector:records:level + ignoring (window) group_left () collector:records:floor)
          / ignoring (model) group_right ()
          (collector:records:expected + ignoring (model, window) group_left () collector:records:floor)
        )
      |||),
      // The newest: for two hours after it changes both are held.
      lib.record('collector:records:season', 'topk without (model) (1, %s)' % lib.held('collector:records:season_timestamp_seconds')),
      lib.record('collector:records:expected_best', 'max without (model) (collector:records:expected and collector:records:season)'),
      // After a disturbed week any model may expect what the disturbance was: none may excuse it.
      lib.record('collector:records:judging_model', |||
        collector:records:season
        or
        collector:records:residual and ignoring (model) %s
      ||| % lib.held('collector:records:disturbed_ratio')),
      lib.record('collector:records:deviation', |||
        max without (model) (
          (collector:records:residual and collector:records:judging_model) >= 0
          or
          clamp_max(
            ln(
              (collector:records:level + ignoring (window) group_left () collector:records:floor)
              / ignoring (model) group_right ()
              (
                ((%(low)s or collector:records:expected{model="flat"}) and collector:records:judging_model)
                + ignoring (model, window) group_left () collector:records:floor
              )
            ),
            0
          )
        )
        and ignoring (window) %(aged)s
      ||| % { low: lib.held('collector:records:expected_low', config.historyInterval), aged: 'last_over_time(collector:runs:hourly[%ds] offset %s)' % [2 * lib.seconds(config.longInterval) + 600, c.minHistory] }),
      // Unprecedented against its own last week: sigma of the chosen model's errors (three quarters
      // lie below 1.15 sigma) times z, and never less than 1.6 times what one in ten errors exceeded.
      lib.record('collector:records:limit', |||
        clamp_min(
          clamp_min(%(quartile)s / 1.15, %(min)g) * ignoring (window) group_left () %(sigmas)s
          > 1.6 * %(rare)s
          or 1.6 * %(rare)s,
          %(factor)g
        )
        > ignoring (window) group_left () (%(slow)g * (collector:interval:assumed_seconds >= bool 21600))
        or
        0 * collector:records:expected_best + %(slow)g and %(quartile)s
      ||| % {
        quartile: lib.held('collector:records:calm_error_quartile'),
        rare: lib.held('collector:records:calm_error_rare'),
        min: c.minSpread * 0.67,
        sigmas: lib.sigmas('volume', 3),
        factor: std.log(c.minFactor),
        slow: std.log(c.minFactorSlow),
      }),
      // Deviations that may be news, in units of the limit: beyond 1 they are.
      lib.record('collector:records:unusual_ratio', |||
        collector:records:deviation / collector:records:limit > 0.75
        or
        collector:records:deviation / collector:records:limit < -0.75
      |||),
      // Few for this day of the week, not for its quietest: as on a holiday. Of one collector that is
      // news; of many at once it says what day it is.
      lib.record('collector:records:day_off_ratio', |||
        collector:records:unusual_ratio < 0
        and collector:records:level + ignoring (window) group_left () collector:records:floor
        > (%s + ignoring (window) group_left () collector:records:floor) * exp(-collector:records:limit)
      ||| % lib.held('collector:records:week_least', config.historyInterval)),
      lib.record('fleet:records:day_off_ratio', |||
        (count without (collector) (count without (window) (collector:records:day_off_ratio)) >= %d)
        /
        count without (collector) (collector:records:usual)
      ||| % c.dayOff.atLeast),
      lib.record('collector:records:low_ratio', |||
        collector:records:unusual_ratio < -1
        unless (
          collector:records:day_off_ratio
          and ignoring (collector, window) max_over_time(fleet:records:day_off_ratio[2h]) >= %g
        )
      ||| % c.dayOff.share),
      lib.record('collector:records:lower', |||
        clamp_min(
          (collector:records:expected_best + ignoring (window) group_left () collector:records:floor) * exp(-collector:records:limit)
          - ignoring (window) group_left () collector:records:floor,
          0
        )
      |||),
      lib.record('collector:records:upper', |||
        (collector:records:expected_best + ignoring (window) group_left () collector:records:floor) * exp(collector:records:limit)
        - ignoring (window) group_left () collector:records:floor
      |||),
    ]),
    lib.group('volume-long', config.longInterval, [
      lib.record('collector:runs:hourly', lib.held('collector:runs:history', config.historyInterval)),
      lib.record('collector:records:hourly', 'collector:records:level'),
      lib.record('collector:records:week', |||
        quantile_over_time(0.5, collector:records:hourly[7d])
        and count_over_time(collector:records:hourly[7d]) >= %d
      ||| % (86400 / lib.seconds(config.longInterval))),
      // How rarely it brings nothing: the 5 % quantile of a week.
      lib.record('collector:records:week_low', 'quantile_over_time(0.05, collector:records:hourly{window="3"}[7d])'),
      lib.record('collector:records:error_hourly', 'abs(collector:records:residual)'),
      lib.record('collector:records:error', |||
        avg_over_time(collector:records:error_hourly[7d])
        and count_over_time(collector:records:error_hourly[7d]) >= %d
      ||| % (86400 / lib.seconds(config.longInterval))),
      // Recognised seasonality: the model with the least mean error over the last week; one of them,
      // should two be exactly as good.
      lib.record('collector:records:season_timestamp_seconds', |||
        time() + 0 * topk without (model) (1,
          %(mae)s
          == ignoring (model) group_left ()
          min without (model) (%(mae)s)
        )
      ||| % { mae: lib.held('collector:records:error') }),
      lib.record('collector:records:error_quartile', 'max without (model) (quantile_over_time(0.75, collector:records:error_hourly[7d]) and collector:records:season)'),
      lib.record('collector:records:error_rare', 'max without (model) (quantile_over_time(0.9, collector:records:error_hourly[7d]) and collector:records:season)'),
      // An incident, or the first of the month, must not widen the limit that it or the next one is
      // judged by: of two weeks the calmer if the last one held far larger errors.
      lib.record('collector:records:disturbed_ratio', '%s\nor\n%s' % [larger('rare'), larger('quartile')]),
      lib.record('collector:records:calm_error_quartile', calm('quartile')),
      lib.record('collector:records:calm_error_rare', calm('rare')),
      // Growth per second, of the smaller of half a day and of two days: a trend that goes on.
      lib.record('collector:records:slope', |||
        max without (over, window) (
          label_replace(deriv(collector:records:hourly{window="10"}[12h]), "over", "12h", "", "")
          or label_replace(deriv(collector:records:hourly{window="10"}[2d]), "over", "2d", "", "")
        )
      |||),
    ]),
    lib.group('quality', config.slowInterval, [
      lib.record('collector:quality:level_ratio', lib.fact('collection_window_quality_ratio')),
    ]),
    lib.group('quality-usual', config.baselineInterval, [
      lib.record('collector:quality:base_ratio', |||
        %(week)s
        and sum without (window) (collector:runs:count{window="100"}) >= %(minRuns)d
      ||| % { week: lib.held('collector:quality:week_ratio'), minRuns: config.quality.minRuns }),
      // A quarter of a week's levels lie below 0.6745 sigma under the usual one; medians of three
      // runs vary by 0.67 of one run's sigma. Below its owner's target is news if it usually is not.
      lib.record('collector:quality:limit_ratio', |||
        (
          collector:quality:base_ratio - clamp_min(%(spread)s * %(sigmas)s, %(minDrop)g)
          > (%(target)s and collector:quality:base_ratio > %(target)s)
          or (%(target)s and collector:quality:base_ratio > %(target)s)
          or collector:quality:base_ratio - clamp_min(%(spread)s * %(sigmas)s, %(minDrop)g)
        )
      ||| % {
        spread: lib.held('collector:quality:week_spread_ratio'),
        sigmas: lib.sigmas('quality', 3),
        minDrop: config.quality.minDrop,
        target: lib.fact('collection_quality_target_ratio'),
      }),
    ]),
    lib.group('quality-long', config.longInterval, [
      lib.record('collector:quality:hourly_ratio', 'sum without (window) (collector:quality:level_ratio{window="3"})'),
      lib.record('collector:quality:week_ratio', |||
        quantile_over_time(0.5, collector:quality:hourly_ratio[7d])
        and count_over_time(collector:quality:hourly_ratio[7d]) >= %d
      ||| % (86400 / lib.seconds(config.longInterval))),
      lib.record('collector:quality:week_spread_ratio', |||
        clamp_min(%s - quantile_over_time(0.25, collector:quality:hourly_ratio[7d]), 0) / 0.6745
      ||| % lib.held('collector:quality:week_ratio')),
    ]),
  ],
}
