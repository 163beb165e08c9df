// What is usual for this collector: how often it fails without anything being wrong, how long such
// flakes last, and from that how many failed runs in a row are news.
function(config, lib) {
  local week = 604800,
  // Half a count would be Jeffreys' prior; a quarter lets two clean weeks answer "two runs".
  local prior = { starts: 0.25, persisted: 0.25, streaks: 2.5 },
  local dial = config.falseAlertsPerCollectorWeek * config.falseAlertShares.failing,
  // Counters start at 0 with the collector, so without older history the counter is the increase.
  local history(metric, extra='') = |||
    (%(now)s - %(past)s) >= 0
    or
    %(now)s
  ||| % { now: lib.fact(metric, extra), past: lib.fact(metric, extra, offset=config.historyWindow) },

  // P(streak reaches n) = persist^(n-1): the smallest n with starts per week * persist^(n-1) <= dial.
  local threshold(dial) = |||
    clamp(
      1 + ceil(
        ln(%(dial)g / (collector:flake:start_ratio * %(week)d / collector:interval:assumed_seconds))
        /
        ln(collector:flake:persist_ratio)
      ),
      %(min)d, %(max)d
    )
  ||| % { dial: dial, week: week, min: config.failing.minRuns, max: config.failing.maxRuns },

  groups: [
    lib.group('baseline-flakes', config.baselineInterval, [
      lib.record('collector:runs:history', history('collection_runs_total')),
      lib.record('collector:failure_streaks:history', history('collection_failure_streaks_total')),
      lib.record('collector:reason_failures:history', history('collection_run_failures_total', 'reason=~"%s"' % std.join('|', config.failing.nonHealingReasons))),
      // Irregular collectors without a known interval are treated as hourly ones.
      lib.record('collector:interval:assumed_seconds', |||
        collector:interval:seconds
        or
        0 * collector:consecutive_failures:count + 3600
      |||),
      // Chance that a run begins a streak of failures that heals by itself. Streaks of eight and the
      // open one are outages or undecided, not flakes.
      lib.record('collector:flake:start_ratio', |||
        (
          clamp_min(
            collector:failure_streaks:history{runs="1"}
            - ignoring (runs) collector:failure_streaks:history{runs="8"}
            - ignoring (runs) ((collector:consecutive_failures:count >= bool 1) - (collector:consecutive_failures:count >= bool 8)),
            0
          ) + %(starts)g
        )
        /
        (collector:runs:history + 1)
      ||| % prior),
      // Chance that such a streak goes on for another run, shrunk to 0.1 while there is little evidence.
      lib.record('collector:flake:persist_ratio', |||
        clamp(
          (
            clamp_min(
              sum without (runs) (collector:failure_streaks:history{runs=~"2|3"})
              - 2 * sum without (runs) (collector:failure_streaks:history{runs="8"})
              - ((collector:consecutive_failures:count >= bool 2) + (collector:consecutive_failures:count >= bool 3) - 2 * (collector:consecutive_failures:count >= bool 8)),
              0
            ) + %(persisted)g
          )
          /
          (
            clamp_min(
              sum without (runs) (collector:failure_streaks:history{runs=~"1|2"})
              - 2 * sum without (runs) (collector:failure_streaks:history{runs="8"})
              - ((collector:consecutive_failures:count >= bool 1) + (collector:consecutive_failures:count >= bool 2) - 2 * (collector:consecutive_failures:count >= bool 8)),
              0
            ) + %(streaks)g
          ),
          0.01, 0.9
        )
      ||| % prior),
      lib.record('collector:failing:threshold', threshold(dial), { severity: 'warning' }),
      lib.record('collector:failing:threshold', threshold(dial / config.criticalFactor), { severity: 'critical' }),
    ]),
  ],
}
