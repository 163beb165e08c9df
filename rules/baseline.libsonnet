// What is usual for this collector: how often it fails without anything being wrong, how long such
// flakes last, and from that how many failed runs in a row, or among the last ones, are news.
function(config, lib) {
  local week = 604800,
  local f = config.failing,
  // Half a count would be Jeffreys' prior; a fifth lets two clean weeks answer "two runs".
  local prior = { starts: 0.19, persisted: 0.25, streaks: 2.5 },
  local dial = config.falseAlertsPerCollectorWeek * config.falseAlertShares.failing,

  // P(streak reaches n) = persist^(n-1): the smallest n with starts per week * persist^(n-1) <= dial.
  // Where streaks of three are known, what begins with them: many single flakes say nothing of them.
  local threshold(dial, persist) = |||
    clamp(
      (
        3 + ceil(
          ln(%(dial)g / (collector:flake:long_start_ratio * %(week)d / collector:interval:assumed_seconds))
          /
          ln(collector:flake:tail_ratio)
        )
        or
        1 + ceil(
          ln(%(dial)g / (collector:flake:start_ratio * %(week)d / collector:interval:assumed_seconds))
          /
          ln(%(persist)s)
        )
      ),
      %(min)d, %(max)d
    )
  ||| % { dial: dial, week: week, min: f.minRuns, max: f.maxRuns, persist: persist },

  // Slow jobs do not wait days for certainty.
  local atMost(runs, sure) = |||
    (
      %(runs)s
    )
    < %(most)d + %(seconds)d / collector:interval:assumed_seconds
    or
    floor(%(most)d + %(seconds)d / collector:interval:assumed_seconds)
  ||| % { runs: std.strReplace(std.rstripChars(runs, '\n'), '\n', '\n  '), most: sure.runs, seconds: lib.seconds(sure.after) },

  local known = prior {
    reached: history('collector:flake:streaks'),
    went_on: history('collector:flake:persisted'),
    mean: history('collector:flake:mean_persist_ratio'),
    fleet: history('fleet:flake:persist_ratio'),
  },

  local counted(runs) = |||
    sum without (half) (
      clamp_min(
        sum without (runs) (%s)
        - 2 * sum without (runs) (%s),
        0
      )
      and %s
    )
  ||| % [history('collector:failure_streaks:half', '{runs=~"%s"}' % runs), history('collector:failure_streaks:half', '{runs="8"}'), history('collector:flakes:calm_half')],

  // Streaks that reached three runs and were no outages.
  local long = |||
    clamp_min(
      %s
      - %s,
      0
    )
  ||| % [calmStreaks('3'), calmStreaks('8')],
  local calmStreaks(runs) =
    'sum without (half) (sum without (runs) (%s) and %s)' % [history('collector:failure_streaks:half', '{runs="%s"}' % runs), history('collector:flakes:calm_half')],

  // The increase of a counter over the recent or the older half of the history.
  local days = '%ds' % (lib.seconds(config.historyWindow) / 2),
  local half(metric, number, extra='', drop=[]) =
    if number == '1' then lib.increase(metric, days, extra, drop)
    else |||
      (%(now)s - %(past)s) >= 0
      or
      %(now)s
    ||| % {
      now: lib.fact(metric, extra, drop, offset=days),
      past: lib.fact(metric, extra, drop, offset=config.historyWindow),
    },

  // Instant selectors look back five minutes, less than passes between two evaluations of such a series.
  local history(name, extra='') = lib.held(name, config.historyInterval, extra),
  local dayOld(name) = '%s or %s' % [lib.held(name, config.historyInterval, offset='1d'), lib.held(name, config.historyInterval)],
  local unclean(offset='') = lib.held('collector:unclean:recent_ratio', config.historyInterval, offset=offset),
  // Runs that ended, but not well at once: they got part of their data, or needed another attempt.
  local hows = ['partial', 'retried'],
  local judgedReasons = 'reason=~"%s"' % std.join('|', f.nonHealingReasons + ['missed', 'timeout']),
  local indented(expr) = std.strReplace(std.rstripChars(expr, '\n'), '\n', '\n  '),
  // One rate for the window and for what is usual, where the window is the worse of the two.
  local pooled(ratio, count, usual) = |||
    (
      %(ratio)s * %(count)s + ignoring (window) group_left () (%(usual)s * collector:flake:basis_count)
    )
    /
    (
      %(count)s + ignoring (window) group_left () collector:flake:basis_count
    )
    and
    %(ratio)s > ignoring (window) group_left () %(usual)s
  ||| % { ratio: ratio, count: count, usual: usual },
  local kl(ratio, pool) = '%(r)s * ln(%(r)s / %(p)s) + (1 - %(r)s) * ln((1 - %(r)s) / (1 - %(p)s))' % { r: 'clamp(%s, 0.0001, 0.9999)' % ratio, p: pool },
  // Likelihood ratio of two rates to one, in nats (half of Wilks' G): m KL(window || pooled) +
  // n KL(usual || pooled).
  local surprise(ratio, count, usual, pool) = |||
    %(count)s * (%(window)s)
    +
    (
      (%(past)s)
      * ignoring (window) group_left () collector:flake:basis_count
    )
  ||| % {
    count: count,
    window: kl(ratio, pool),
    past: std.strReplace(kl('USUAL', pool), 'clamp(USUAL, 0.0001, 0.9999)', '(0 * %s + ignoring (window) group_left () %s)' % [pool, usual]),
  },

  groups: [
    lib.group('failure-history', config.historyInterval, [
      lib.record('collector:runs:history', lib.increase('collection_runs_total', config.historyWindow)),
    ] + [
      lib.record('collector:runs:half', half('collection_runs_total', number), { half: number })
      for number in ['1', '2']
    ] + [
      // Streaks by the length they reached, without the open one: it is not known yet what it is.
      lib.record('collector:failure_streaks:half', |||
        clamp_min(
          (
            %(streaks)s
          )
          %(open)s,
          0
        )
      ||| % {
        streaks: std.strReplace(std.rstripChars(half('collection_failure_streaks_total', number, 'runs="%d"' % runs, ['runs']), '\n'), '\n', '\n    '),
        open: if number == '1' then '- (collector:consecutive_failures:count >= bool %d)' % runs else '',
      }, { runs: '%d' % runs, half: number })
      for runs in [1, 2, 3, 8]
      for number in ['1', '2']
    ]),
    lib.group('flake-history', config.historyInterval, [
      // Streaks of eight are outages, not flakes: they are left out of both ratios. So is a half of
      // the history with far more flakes than the other: an incident must not become its own usual.
      lib.record('collector:flakes:half', |||
        clamp_min(
          sum without (runs) (%s)
          - sum without (runs) (%s),
          0
        )
      ||| % [history('collector:failure_streaks:half', '{runs="%d"}' % runs) for runs in [1, 8]]),
      lib.record('collector:flakes:calm_half', |||
        %(flakes)s
        unless (
          %(flakes)s > ignoring (half) group_left () (%(factor)g * min without (half) (%(flakes)s) + %(more)g)
          and ignoring (half) min without (half) (%(runs)s) > 0.5 * max without (half) (%(runs)s)
        )
      ||| % f.unusualHalf { flakes: history('collector:flakes:half'), runs: history('collector:runs:half') }),
      // Known once there were runs enough.
      lib.record('collector:flakes:history', |||
        sum without (half) (%s)
        and %s >= %d
      ||| % [history('collector:flakes:half'), history('collector:runs:history'), f.minRunsForSingle]),
      // Chance that a run begins a streak of failures that heals by itself.
      lib.record('collector:flake:recent_start_ratio', |||
        clamp_max(
          (
            avg without (half) (%(calm)s) * count without (half) (%(flakes)s)
            + %(starts)g
          )
          /
          (sum without (half) (%(runs)s) + 1),
          0.5
        )
      ||| % prior {
        calm: history('collector:flakes:calm_half'),
        flakes: history('collector:flakes:half'),
        runs: history('collector:runs:half'),
      }),
      // Of so many streaks that reached one or two runs, so many went on for another.
      lib.record('collector:flake:streaks', counted('1|2')),
      lib.record('collector:flake:persisted', counted('2|3')),
      lib.record('fleet:flake:persist_ratio', |||
        (sum without (collector) (%(went_on)s) + %(persisted)g)
        /
        (sum without (collector) (%(reached)s) + %(streaks)g)
      ||| % known),
      // Chance that such a streak goes on for another run. With little evidence of its own a collector
      // that flakes is taken for one of its fleet; one that never did, for one whose flakes are single.
      lib.record('collector:flake:mean_persist_ratio', |||
        clamp(
          (
            %(went_on)s
            + %(persisted)g * (1 - clamp_max(%(reached)s, 1))
            + %(streaks)g * clamp_max(%(reached)s, 1) * ignoring (collector) group_left () %(fleet)s
          )
          /
          (%(reached)s + %(streaks)g),
          0.01, 0.9
        )
      ||| % known),
      // Flakes need not go on at one rate: where many reached three runs and none of them eight (those
      // that did were outages), they end in between, however surely they go on at first. Per run, of five.
      lib.record('collector:flake:long_streaks', long),
      lib.record('collector:flake:recent_tail_ratio', '(0.5 / (%s + 1)) ^ 0.2' % history('collector:flake:long_streaks')),
      lib.record('collector:flake:recent_long_start_ratio', |||
        (%(long)s >= 3)
        / sum without (half) (%(runs)s and %(calm)s)
      ||| % { long: history('collector:flake:long_streaks'), runs: history('collector:runs:half'), calm: history('collector:flakes:calm_half') }),
      // Of the fleet those that reached eight count as well: a page must be sure.
      lib.record('fleet:flake:tail_ratio', |||
        (
          (sum without (collector) (%s) + 0.5)
          /
          (sum without (collector) (%s) + 1)
        ) ^ 0.2
      ||| % [calmStreaks('8'), calmStreaks('3')]),
      lib.record('fleet:flake:long_persist_ratio', |||
        clamp(
          %(tail)s < %(persist)s or %(persist)s,
          0.01, 0.9
        )
      ||| % { tail: history('fleet:flake:tail_ratio'), persist: history('fleet:flake:persist_ratio') }),
      // The chance that a streak reaches n is the mean of q^n over what q may be, more than the mean q
      // to the n: half a standard deviation makes up for it where q is learnt from few streaks.
      lib.record('collector:flake:recent_persist_ratio', |||
        clamp_max(
          %(mean)s
          + 0.5 * clamp_max(%(reached)s, 1) * sqrt(
            %(mean)s * (1 - %(mean)s)
            / (%(reached)s + %(streaks)g + 1)
          ),
          0.9
        )
      ||| % known),
    ]),
    lib.group('outcome-history', config.historyInterval, [
      // Only those that there were: most collectors never met one.
      lib.record('collector:reason_failures:count', lib.fact('collection_run_failures_total', judgedReasons, only='> 0')),
      lib.record('collector:reason_failures:history', |||
        (
          %s
        )
        > 0
      ||| % indented(indented(lib.increase('collection_run_failures_total', config.historyWindow, judgedReasons, only='> 0', now=history('collector:reason_failures:count'))))),
    ] + [
      lib.record('collector:unclean:history', |||
        (
          %s
        )
        > 0
      ||| % indented(indented(lib.increase('collection_runs_%s_total' % how, config.historyWindow, only='> 0'))), { how: how })
      for how in hows
    ] + [
      // Share of the runs.
      lib.record('collector:unclean:recent_ratio', |||
        clamp(
          ((sum without (how) (%(unclean)s) or 0 * %(runs)s) + 0.5)
          / ((%(runs)s >= 10) + 10),
          0.01, 0.9
        )
      ||| % { unclean: history('collector:unclean:history', '{how="%s"}' % how), runs: history('collector:runs:history') }, { how: how })
      for how in hows
    ] + [
      // While nothing is wrong: the lesser of what was known a day and a week ago, because an incident of
      // a daily job lasts for days.
      lib.record('collector:unclean:usual_ratio', |||
        %(week)s < %(day)s
        or %(day)s
        or %(now)s
      ||| % { week: unclean('7d'), day: unclean('1d'), now: unclean() }),
    ]),
    lib.group('flakes', config.baselineInterval, [
      // The runs that the usual rate rests on: its own, and as many as what is known of collectors in
      // general is worth.
      lib.record('collector:flake:basis_count', 'sum without (half) (%s) + %d' % [lib.held('collector:runs:half', config.historyInterval), f.priorRuns]),
      // As known a day ago: an incident must not become the usual that it is judged by.
      lib.record('collector:flake:start_ratio', dayOld('collector:flake:recent_start_ratio')),
      lib.record('collector:flake:persist_ratio', dayOld('collector:flake:recent_persist_ratio')),
      // The same of those that reached three runs.
      lib.record('collector:flake:long_start_ratio', dayOld('collector:flake:recent_long_start_ratio')),
      lib.record('collector:flake:tail_ratio', dayOld('collector:flake:recent_tail_ratio')),
      lib.record('collector:flake:long_persist_ratio', |||
        collector:flake:tail_ratio < collector:flake:persist_ratio
        or
        collector:flake:persist_ratio
      |||),
      lib.record('collector:flake:likely_persist_ratio', |||
        collector:flake:long_persist_ratio > ignoring (collector) group_left () %(fleet)s
        or
        0 * collector:flake:long_persist_ratio + ignoring (collector) group_left () %(fleet)s
      ||| % { fleet: lib.held('fleet:flake:long_persist_ratio', config.historyInterval) }),
      // Share of failed runs while nothing is wrong: starts times mean length 1/(1-persist).
      lib.record('collector:flake:ratio', 'clamp(collector:flake:start_ratio / (1 - collector:flake:persist_ratio), 0.0001, 0.5)'),
      // Bursts carry less evidence than their runs: the effective number of independent runs is
      // n (1-rho)/(1+rho) with rho = persist - ratio.
      lib.record('collector:flake:independent_ratio', |||
        (1 - clamp_min(%(rho)s, 0)) / (1 + clamp_min(%(rho)s, 0))
      ||| % { rho: 'collector:flake:persist_ratio - collector:flake:ratio' }),
      lib.record('collector:failing:threshold', atMost(threshold(dial, 'collector:flake:long_persist_ratio'), f.surelyFailing), { severity: 'warning' }),
      // A page must be sure even of a collector that never flaked: where the fleet's flakes come in
      // bursts, so may its first.
      lib.record('collector:failing:threshold', atMost(threshold(dial / config.criticalFactor, 'collector:flake:likely_persist_ratio'), f.surelyCritical), { severity: 'critical' }),
      // Evidence that a verdict needs when it is tested at every run; lib.surprising adds its share.
      lib.record('collector:evidence:limit_nats', 'clamp_min(ln(%g / collector:interval:assumed_seconds), 1)' % (week / config.falseAlertsPerCollectorWeek)),
    ]),
    lib.group('recent-runs', config.slowInterval, [
      lib.record('collector:unclean:count', lib.fact('collection_window_%s' % { partial: 'partials', retried: 'retried' }[how], 'window="10"', ['window'], only='> 0'), { how: how })
      for how in hows
    ] + [
      // What is usual where 3 and more of the last 10 are so.
      lib.record('collector:unclean:exceeded_ratio', '%s < (collector:unclean:count >= 3) / 10' % lib.held('collector:unclean:usual_ratio', config.historyInterval)),
      // How surprising that is, in nats: n KL(share || usual).
      lib.record('collector:unclean:surprise_nats', |||
        collector:unclean:count * ln(collector:unclean:count / (10 * collector:unclean:exceeded_ratio))
        + (10 - collector:unclean:count) * ln(clamp_min(10 - collector:unclean:count, 0.001) / (10 * (1 - collector:unclean:exceeded_ratio)))
      |||),
      // Only what may be news is weighed: three failures that come and go among the last 10 runs, or two
      // where many streaks began before. No verdict asks for less, and the rest of the fleet costs
      // nothing here.
      lib.record('collector:failures:notable_count', |||
        collector:failures:count
        and ignoring (window) (
          collector:failures:count{window="10"} >= 3
          and ignoring (window) collector:transitions:count{window="10"} >= 3
          or
          collector:failures:count{window="10"} >= 2
          and ignoring (window) (
            collector:transitions:count{window="30"} >= 5
            or collector:transitions:count{window="100"} >= 6
          )
        )
      |||),
      lib.record('collector:runs:notable_count', 'collector:runs:count and collector:failures:notable_count'),
      lib.record('collector:transitions:notable_count', 'collector:transitions:count and collector:failures:notable_count'),
      lib.record('collector:failures:notable_ratio', 'collector:failures:notable_count / (collector:runs:notable_count > 0)'),
      // How surprising that many failures among the last runs are, in nats: what is usual is known
      // no better than the runs behind it allow, so the two rates are held against one for both.
      lib.record('collector:failures:pooled_ratio', pooled('collector:failures:notable_ratio', 'collector:runs:notable_count', 'collector:flake:ratio')),
      lib.record('collector:failures:surprise_nats', |||
        (
          %s
        )
        * ignoring (window) group_left () collector:flake:independent_ratio
      ||| % indented(surprise('collector:failures:notable_ratio', 'collector:runs:notable_count', 'collector:flake:ratio', 'collector:failures:pooled_ratio')), { model: 'runs' }),
      // The same of streaks: how surprising that many begin among the good runs before them. One
      // outage is one streak, so bursts need no discount.
      lib.record('collector:good_runs:count', 'collector:runs:notable_count - collector:failures:notable_count + 0.5'),
      lib.record('collector:streaks:ratio', |||
        clamp(
          0.5 * (collector:transitions:notable_count + ignoring (window) group_left () (collector:consecutive_failures:count >= bool 1))
          / collector:good_runs:count,
          0.0001, 0.9999
        )
      |||),
      lib.record('collector:streaks:pooled_ratio', pooled('collector:streaks:ratio', 'collector:good_runs:count', 'collector:flake:start_ratio')),
      lib.record('collector:failures:surprise_nats', surprise('collector:streaks:ratio', 'collector:good_runs:count', 'collector:flake:start_ratio', 'collector:streaks:pooled_ratio'), { model: 'streaks' }),
    ]),
  ],
}
