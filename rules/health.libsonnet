// Verdicts: every problem a collector has right now, as sparse series whose value is the number that
// matters. Alerts, health state, escalation and risk all read these, so nothing is judged twice.
function(config, lib) {
  local f = config.freshness,
  local problem(name, severity, expr) =
    lib.record('collector:problem:value', '(\n  %s\n)\nunless collector:quiet:active' % std.strReplace(std.rstripChars(expr, '\n'), '\n', '\n  '), { problem: name, severity: severity }),

  // A streak long enough not to be the retries of one run.
  local established = 'time() - collector:failing_since:timestamp_seconds >= clamp_max(0.5 * collector:interval:assumed_seconds, %d)' % lib.seconds(config.failing.minStreak),

  groups: [
    lib.group('health', config.fastInterval, [
      problem('failing', 'warning', |||
        collector:consecutive_failures:count >= ignoring (severity) collector:failing:threshold{severity="warning"}
        and %(established)s
        or
        (
          collector:consecutive_failures:count >= 1
          and max without (reason, stage) (
            collector:last_failure:info{reason=~"%(nonHealing)s"}
            unless ignoring (stage) (collector:reason_failures:history > ignoring (reason) group_left () collector:consecutive_failures:count)
          )
          and collector:runs:history >= %(minRunsForSingle)d
        )
      ||| % config.failing { established: established, nonHealing: std.join('|', config.failing.nonHealingReasons) }),
      problem('failing', 'critical', |||
        collector:consecutive_failures:count >= ignoring (severity) collector:failing:threshold{severity="critical"}
        and %(established)s
      ||| % { established: established }),
      problem('not_running', 'critical', |||
        time() - collector:run_deadline:timestamp_seconds > 0
        unless (%(running)s > 0)
        unless ignoring (collector) fleet:exporter:settling
      ||| % { running: lib.fact('collection_running_runs') }),
      problem('stale', 'critical', |||
        collector:data_age:ratio > 1
        unless ignoring (problem, severity) collector:problem:value{problem="failing"}
      |||),
    ]),
  ],
}
