// Durations against the collector's own past, and where they are heading.
function(config, lib) {
  local c = config.latency,
  // Spread of a median of n runs as a share of the spread of one run (normal approximation).
  local shrink = { '3': 0.67, '10': 0.38 },
  groups: [
    lib.group('latency-usual', config.baselineInterval, [
      // Usual duration: over the last 100 runs where these span a week, else over the week, so that
      // a slow afternoon does not become its own baseline. Nothing before enough runs are known.
      lib.record('collector:duration:base_seconds', |||
        (
          (%(week)s unless collector:interval:assumed_seconds >= 6048)
          or %(usual)s
        )
        and sum without (window) (collector:runs:count{window="100"}) >= %(minRuns)d
      ||| % {
        usual: lib.fact('collection_window_duration_seconds', 'window="100"', ['window']),
        week: lib.held('collector:duration:week_seconds'),
        minRuns: c.minRuns,
      }),
      // Spread of one run's duration on a log scale: the larger of that of the last 100 runs
      // (1.4826 MAD is sigma) and that of the week, wider while few runs are known.
      lib.record('collector:duration:recent_spread_ratio', |||
        1.4826 * %s * (1.1 + 5 / sum without (window) (collector:runs:count{window="100"} > 0))
      ||| % lib.fact('collection_window_duration_deviation_ratio', 'window="100"', ['window'])),
      lib.record('collector:duration:spread_ratio', |||
        clamp(
          (
            collector:duration:recent_spread_ratio > %(week)s
            or %(week)s
            or collector:duration:recent_spread_ratio
          ),
          %(min)g, 1
        )
      ||| % {
        week: lib.held('collector:duration:week_spread_ratio'),
        min: c.minSpread,
      }),
    ] + [
      lib.record('collector:duration:limit_seconds', |||
        collector:duration:base_seconds
        * clamp_min(
          exp(%(shrink)g * collector:duration:spread_ratio * %(sigmas)s + %(drift)g),
          %(factor)g
        )
      ||| % { shrink: shrink[window], sigmas: lib.sigmas('latency', std.parseInt(window)), factor: c.minFactor[window], drift: c.drift }, { window: window })
      for window in ['3', '10']
    ] + [
      // What a run may take at most: its timeout, else its latency target.
      lib.record('collector:duration:ceiling_seconds', |||
        %(timeout)s
        or
        %(target)s
      ||| % {
        timeout: lib.fact('collection_run_timeout_seconds'),
        target: lib.fact('collection_latency_target_seconds'),
      }),
      // Beyond this a run that is under way hangs: nothing is lost before half an interval is.
      lib.record('collector:running:limit_seconds', |||
        (%(long)s) > clamp_max(0.5 * collector:interval:assumed_seconds, %(most)d)
        or
        clamp_max(0.5 * collector:interval:assumed_seconds, %(most)d) and collector:duration:base_seconds
        or
        %(timeout)s
        or
        2 * collector:interval:seconds
      ||| % {
        long: 'collector:duration:base_seconds * clamp_min(exp(collector:duration:spread_ratio * %s + %g), %g) + 60' % [lib.sigmas('latency'), c.drift, config.freshness.hangingFactor],
        most: lib.seconds(config.freshness.hangingAfter),
        timeout: lib.fact('collection_run_timeout_seconds'),
      }),
    ]),
    lib.group('latency', config.slowInterval, [
      lib.record('collector:duration:level_seconds', lib.fact('collection_window_duration_seconds', 'window=~"3|10"')),
      // Levels that are news: longer than usual by more than there is to do. The limit knows busy days.
      lib.record('collector:duration:unusual_seconds', |||
        collector:duration:level_seconds > collector:duration:limit_seconds
        unless
        collector:duration:level_seconds <= collector:duration:limit_seconds * exp(collector:records:deviation - %g)
      ||| % c.drift),
      // 1 and above is news.
      lib.record('collector:duration:deviation_ratio', |||
        max without (window) (
          ln(collector:duration:level_seconds / ignoring (window) group_left () (collector:duration:base_seconds > 0))
          / ln(collector:duration:limit_seconds / ignoring (window) group_left () (collector:duration:base_seconds > 0))
        )
      |||),
      lib.record('collector:duration:forecast_seconds', |||
        sum without (window) (collector:duration:level_seconds{window="10"})
        + clamp_min(%(slope)s, 0) * %(horizon)d
      ||| % {
        slope: lib.held('collector:duration:slope'),
        horizon: lib.seconds(c.predictionHorizon),
      }),
    ]),
    lib.group('latency-long', config.longInterval, [
      lib.record('collector:duration:hourly_seconds', 'sum without (window) (collector:duration:level_seconds{window="3"})'),
      lib.record('collector:duration:week_seconds', |||
        quantile_over_time(0.5, collector:duration:hourly_seconds[7d])
        and count_over_time(collector:duration:hourly_seconds[7d]) >= %d
      ||| % (86400 / lib.seconds(config.longInterval))),
      // Three quarters of the week's levels lie below; 0.6745 is that quantile of a normal
      // distribution, 0.67 undoes the smoothing by the median of three runs.
      lib.record('collector:duration:week_spread_ratio', |||
        ln(quantile_over_time(0.75, collector:duration:hourly_seconds[7d]) / (%s > 0)) / 0.6745 / 0.67
      ||| % lib.held('collector:duration:week_seconds')),
      // The smaller of the slopes of half a day and of a whole one: growth that goes on.
      lib.record('collector:duration:slope', |||
        min without (over) (
          label_replace(deriv(collector:duration:hourly_seconds[12h]), "over", "12h", "", "")
          or label_replace(deriv(collector:duration:hourly_seconds[1d]), "over", "1d", "", "")
        )
      |||),
    ]),
  ],
}
