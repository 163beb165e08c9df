// Whether it runs and succeeds: failing, flapping, missing, hanging, stale. Sparse series whose value is
// the number that matters. Alerts, health state, escalation and risk all read these, so nothing is judged twice.
function(config, lib) {
  local f = config.failing,
  // The retries of one run are one piece of evidence. Of slow jobs they are a second, once no other
  // follows.
  local retriesFailed = |||
    time() - ((collector:last_run:timestamp_seconds and collector:streak:count) > collector:failing_since:timestamp_seconds)
    >= (0.05 * collector:streak:interval_seconds > %d)
  ||| % (0.05 * lib.seconds(f.retriesCount)),
  local inset(expr, width) = std.strReplace(std.rstripChars(expr, '\n'), '\n', '\n' + std.repeat(' ', width)),
  local problem = lib.problem,
  // Held, so that no missed evaluation ends or lowers a verdict.
  local threshold(severity) = lib.held('collector:failing:threshold', config.baselineInterval, '{severity="%s"}' % severity),
  // Of these reasons alone: most of what fails fails for others, and need not be read.
  local history(reasons, offset) =
    lib.held('collector:reason_failures:history', config.historyInterval, '{reason=~"%s"}' % std.join('|', reasons), offset),
  // A reason that does not heal by itself and that this collector never recovered from on its own.
  local novel(reasons) = |||
    max without (reason, stage) (
      collector:last_failure:info{reason=~"%(reasons)s"}
      unless ignoring (stage) (
        %(known)s > ignoring (reason) group_left () collector:streak:count
        or %(yesterday)s
        or %(before)s and ignoring (reason) time() - collector:failing_since:timestamp_seconds < 1800
      )
    )
  ||| % {
    reasons: std.join('|', reasons),
    // It includes the present failures only from its next evaluation on.
    known: history(reasons, ''),
    before: history(reasons, '30m'),
    yesterday: history(reasons, '1d'),
  },

  // Its first run may come before its configuration; the second will tell, unless that is far away.
  local firstOfVersion = |||
    (
      collector:streak:count == 1
      and collector:streak:interval_seconds <= %d
      and collector:failing_since:timestamp_seconds - collector:version_changed:timestamp_seconds < 0.5 * collector:streak:interval_seconds
    )
  ||| % lib.seconds(f.retriesCount),

  // So many runs see the same evidence in windows of 10, 30 and 100.
  local inARow = { '10': 3, '30': 10, '100': 30 },
  local notRunning = 'collector:problem:value{problem="not_running", severity="warning"}',

  local confirmedAt = 'collector:failing:confirmed_timestamp_seconds{severity="%s"}',
  local seenConfirmed(which, severity) = 'sum without (severity) (%s_over_time(%s[1d]))' % [which, confirmedAt % severity],
  local confirmedFailing(severity, condition) =
    lib.record('collector:failing:confirmed_timestamp_seconds', |||
      time() + 0 * (
        %s
      )
      unless collector:quiet:active
    ||| % inset(condition, 2), { severity: severity }),

  local seen(which, problem) =
    'sum without (problem, severity) (%s_over_time(collector:problem:seen_timestamp_seconds{problem="%s"}[1d]))' % [which, problem],

  groups: [
    lib.group('failing', config.fastInterval, [
      lib.record('collector:streak:interval_seconds', 'collector:interval:assumed_seconds and collector:streak:count'),
      // How often it flaked before, of what runs for long enough.
      lib.record('collector:streak:flakes_count', '%s and collector:streak:count' % lib.held('collector:flakes:history', config.historyInterval)),
      // For half an interval, some minutes at least and at most: longer than what is over before anyone
      // could act.
      lib.record('collector:failing:lasting_seconds', |||
        time() - collector:failing_since:timestamp_seconds >= clamp(0.5 * collector:streak:interval_seconds, %d, %d)
      ||| % [lib.seconds(f.minSpan), lib.seconds(f.minStreak)]),
      // Failed runs in a row beyond those that are news.
      lib.record('collector:failing:excess_count', |||
        collector:streak:count - ignoring (severity) %s
        or
        collector:streak:count - %d
      ||| % [threshold('warning'), f.coldStartRuns]),
      // Worse than its own past among the last 10 runs without failing in a row for long; or among
      // the last 30 or 100, in many short streaks and not in one that is over.
      lib.record('collector:flapping:evident_timestamp_seconds', |||
        time() + 0 * max without (window) (
          collector:failures:notable_ratio{window="10"}
          and %(w10)s
          and collector:failures:notable_count{window="10"} >= 3
          and collector:transitions:notable_count{window="10"} >= 3
          or
          collector:failures:notable_ratio{window="30"}
          and %(w30)s
          and collector:transitions:notable_count{window="30"} > 0.4 * collector:failures:notable_count{window="30"}
          and collector:transitions:notable_count{window="30"} >= 5
          and ignoring (window) max without (model) (collector:failures:surprise_nats{window="10"}) > 2.5
          and ignoring (window) collector:failures:notable_count{window="10"} >= 2
          or
          collector:failures:notable_ratio{window="100"}
          and %(w100)s
          and collector:transitions:notable_count{window="100"} > 0.4 * collector:failures:notable_count{window="100"}
          and collector:transitions:notable_count{window="100"} >= 6
          and ignoring (window) max without (model) (collector:failures:surprise_nats{window="10"}) > 2.5
          and ignoring (window) collector:failures:notable_count{window="10"} >= 2
        )
      ||| % {
        ['w' + window]: lib.surprising('max without (model) (collector:failures:surprise_nats{window="%s"})' % window, 'flapping', inARow[window])
        for window in std.objectFields(inARow)
      }),
      lib.record('collector:flapping:struck_timestamp_seconds', 'collector:flapping:evident_timestamp_seconds and collector:streak:count'),
      // A run under way is late, not missing; one that hangs is told apart. The latest run so far was
      // not the latest there will be. Where runs of many collectors were missing and came by
      // themselves, the second one is waited for.
      lib.record('collector:run_missing:unusual_seconds', |||
        (
          collector:run_missing:seconds > 1.5 * %(usual)s
          or
          collector:run_missing:seconds unless %(usual)s
        )
        unless collector:weekly_pause:active
        unless ignoring (collector) fleet:exporter:settling
        unless (
          collector:run_missing:seconds <= clamp_max(collector:interval:assumed_seconds, %(most)d)
          and ignoring (collector) %(brief)s > %(share)g
        )
      ||| % {
        usual: lib.held('collector:run_missing:usual_seconds', config.historyInterval),
        brief: lib.held('fleet:run_missing:brief_ratio', config.historyInterval),
        most: lib.seconds(config.freshness.surelyMissing.atMost),
        share: config.freshness.briefShare,
      }),
    ]),
    lib.group('problems', config.fastInterval, [
      confirmedFailing('warning', |||
        collector:failing:excess_count >= 0
        and collector:failing:lasting_seconds
        or (
          collector:failing:excess_count >= -1
          and collector:streak:count == 1
          and %(retriesFailed)s
        )
        or (
          %(novel)s
          and (
            collector:streak:flakes_count <= %(few)d
            and (collector:failing:lasting_seconds or collector:streak:interval_seconds < 1800)
            or collector:streak:flakes_count and max without (reason, stage) (collector:last_failure:info{reason!~"%(doubtful)s"})
          )
          unless %(firstOfVersion)s
        )%(impatient)s
      ||| % {
        retriesFailed: inset(retriesFailed, 2),
        novel: inset(novel(f.nonHealingReasons), 2),
        few: f.maxFlakesForSingle,
        firstOfVersion: inset(firstOfVersion, 2),
        doubtful: std.join('|', f.doubtfulReasons),
        impatient: if f.impatientTiers == [] then '' else '\nor (collector:streak:count and ignoring (team, tier) max without (team, tier) (collector:owner:info{tier=~"%s"}))' % std.join('|', f.impatientTiers),
      }),
      confirmedFailing('critical', |||
        collector:failing:lasting_seconds
        and collector:streak:count >= ignoring (severity) %s
      ||| % threshold('critical')),
    ] + [
      // Confirmed once, and for a while, it stays so until its next good run, whatever thresholds do.
      problem('failing', severity, |||
        collector:streak:count and (
          sum without (severity) (%(now)s)
          or %(last)s - collector:failing_since:timestamp_seconds > %(span)d
        )
      ||| % {
        now: confirmedAt % severity,
        last: seenConfirmed('max', severity),
        span: lib.seconds(f.minSpan),
      })
      for severity in ['warning', 'critical']
    ] + [
      // Confirmed again within a day: it was not good for long enough to call it over.
      lib.record('collector:failing:relapse_timestamp_seconds', |||
        time() + 0 * sum without (problem, severity) (collector:problem:value{problem="failing", severity="warning"})
        and %s < collector:failing_since:timestamp_seconds
        unless max without (dependency) (max_over_time(collector:explained_by:info[1d]))
      ||| % seenConfirmed('min', 'warning')),
      // News when it fails again, not with the good run that ends a streak; or runs that need another
      // attempt, more than they used to; or a relapse. Neither while it keeps to its habits.
      lib.record('collector:flapping:confirmed_timestamp_seconds', |||
        collector:flapping:evident_timestamp_seconds and max_over_time(collector:flapping:struck_timestamp_seconds[%(atMost)s])
        %(beyondFlapping)s
        or
        time() + 0 * max without (how) (%(retried)s)
        %(beyondRetried)s
        or
        collector:failing:relapse_timestamp_seconds
      ||| % {
        atMost: config.flapping.steady.atMost,
        beyondFlapping: lib.beyondHabit('flapping'),
        retried: lib.surprising('collector:unclean:surprise_nats{how="retried"}', 'flapping', 3, ['how']),
        beyondRetried: lib.beyondHabit('retried'),
      }),
      problem('flapping', 'warning', |||
        sum without (window, how) (
          collector:failures:ratio{window="10"} > 0
          or
          collector:unclean:count{how="retried"} / 10
        )
        and %s
      ||| % lib.steadyUntil('collector:flapping:confirmed_timestamp_seconds')),
      // Critical while it comes and goes, or failing again soon after it was.
      lib.record('collector:failing:grave_timestamp_seconds', |||
        sum without (severity) (%(critical)s)
        and sum without (problem, severity) (collector:problem:value{problem="flapping", severity="warning"})
        or
        collector:failing:relapse_timestamp_seconds
        and sum without (severity) (max_over_time(%(critical)s[%(soon)s]))
      ||| % { critical: confirmedAt % 'critical', soon: config.slo.quietAfter }),
      // The first good run may be one among failed ones; slow jobs cannot be waited for.
      lib.record('collector:failing:settling_ratio', |||
        sum without (window) (collector:failures:ratio{window="10"} > 0)
        and time() - sum without (severity) (max_over_time(%(confirmed)s[%(atMost)s]))
        < (
          clamp_min(
            %(runs)d * (collector:interval:assumed_seconds and ignoring (severity) max_over_time(%(confirmed)s[%(atMost)s])),
            %(atLeast)d
          )
          <= %(limit)d
        )
        unless collector:quiet:active
      ||| % f.steady { confirmed: confirmedAt % 'warning', atLeast: lib.seconds(f.steady.atLeast), limit: lib.seconds(f.steady.atMost) }),
      // Which came first within a day: how much later flapping was seen than failing, in seconds. What
      // began as failing and alternates before that is over goes on under its first name, and what
      // began as flapping likewise: a second name would be a second message.
      lib.record('collector:problem:seen_timestamp_seconds', '0 * collector:problem:value{problem=~"failing|flapping", severity="warning"} + time()'),
      lib.record('collector:flapping:after_failing_seconds', |||
        %(flapped)s - %(failed)s
        and %(flapped)s <= %(failed_last)s
      ||| % {
        flapped: seen('min', 'flapping'),
        failed: seen('min', 'failing'),
        failed_last: seen('max', 'failing'),
      }),
      // A dead scheduler, worker or host.
      problem('not_running', 'warning', 'collector:run_missing:unusual_seconds\n' + lib.beyondHabit('not_running')),
      // Where single runs are often missing, a page waits for the second one.
      problem('not_running', 'critical', |||
        %(missing)s > clamp(%(share)g * %(interval)s, 0, %(most)d)
        unless (
          %(missing)s <= clamp(%(share)g * %(interval)s, 0, %(most)d) + %(interval)s
          and sum without (reason) (%(missed)s >= %(often)d)
        )
      ||| % {
        missing: 'sum without (problem, severity) (%s)' % notRunning,
        interval: '(collector:interval:assumed_seconds and ignoring (problem, severity) %s)' % notRunning,
        share: config.freshness.surelyMissing.share,
        most: lib.seconds(config.freshness.surelyMissing.atMost),
        missed: lib.held('collector:reason_failures:history', config.historyInterval, '{reason="missed"}'),
        often: config.freshness.oftenMissing,
      }),
      // Of one that is known to be slow, or for runs that time out, a long run is no news before the
      // next one is missing.
      problem('hanging', 'warning', |||
        collector:running:seconds > collector:running:limit_seconds
        unless (
          (
            sum without (problem, severity) (collector:problem:value{problem="slow"})
            or sum without (reason) (%s >= %d)
          )
          unless time() > (collector:run_deadline:timestamp_seconds and collector:running:seconds)
        )
      ||| % [lib.held('collector:reason_failures:history', config.historyInterval, '{reason="timeout"}'), config.freshness.oftenTimedOut]),
      problem('hanging', 'critical', |||
        collector:running:seconds > collector:running:limit_seconds
        and time() > (collector:run_deadline:timestamp_seconds and collector:running:seconds)
      |||),
      problem('stale', 'critical', |||
        collector:data_age:old_ratio
        unless max without (problem, severity) (max_over_time(collector:problem:value{problem=~"failing|not_running|hanging"}[1h]))
        unless collector:weekly_pause:active
        unless collector:weekly_stale:active
        unless ignoring (collector) fleet:exporter:settling
      |||),
      problem('schema', 'warning', |||
        collector:streak:count
        and %s
        or 0 * (max without (probe, %s) (max_over_time(collection_probe_success%s[%s])) == 0)
      ||| % [inset(novel(['schema']), 2), lib.dropped, lib.matchers('probe=~"schema.*"'), config.probes.minFailing]),
      problem('probe', 'warning', |||
        count without (probe) (
          max without (%s) (max_over_time(collection_probe_success%s[%s])) == 0
        )
      ||| % [lib.dropped, lib.matchers(), config.probes.minFailing]),
      // The streak began with the first runs of the present version.
      problem('version', 'warning', |||
        collector:failing_since:timestamp_seconds - collector:version_changed:timestamp_seconds
        >= 0
        <= %d * collector:streak:interval_seconds
        and ignoring (problem, severity) sum without (problem, severity) (collector:problem:value{problem=~"failing|flapping"})
      ||| % f.versionRuns),
      lib.record('collector:failing:bool', |||
        (count without (problem, severity) (%s) > bool 0)
        or
        0 * collector:consecutive_failures:count
      ||| % lib.outages),
    ]),
    lib.group('habits-evidence', config.slowInterval, [
      lib.evident('flapping', 'collector:flapping:evident_timestamp_seconds'),
      lib.evident('not_running', 'collector:run_missing:unusual_seconds'),
    ]),
    lib.group('flips', config.baselineInterval, [
      // Flips of the false-positive-controlled state, not of raw outcomes, and not of what a
      // dependency explains: that is the dependency's news.
      lib.record('collector:own_failing:bool', |||
        collector:failing:bool == 1 unless max without (dependency) (collector:root_dependency:info)
        or
        0 * collector:failing:bool
      |||),
      lib.record('collector:flips:count', 'changes(collector:own_failing:bool[1d])'),
      lib.record('collector:own_failing:timestamp_seconds', 'time() * (collector:own_failing:bool == 1)'),
    ]),
    lib.group('told', config.longInterval, [
      // When people were last told that it fails, of it or of what explains it.
      lib.record('collector:told:timestamp_seconds', |||
        time() * (max_over_time(collector:failing:bool[%(span)s]) == 1)
        or
        time() * max without (dependency) (max_over_time(collector:explained_by:info[%(span)s]))
      ||| % { span: '%ds' % (lib.seconds(config.longInterval) + 600) }),
    ]),
  ],
}
