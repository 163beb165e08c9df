// Verdicts: every problem a collector has right now, as sparse series whose value is the number that
// matters. Alerts, health state, escalation and risk all read these, so nothing is judged twice.
function(config, lib) {
  local f = config.failing,
  // Half an interval, some minutes at least and at most: longer than the retries of one run, and than
  // what is over before anyone could act.
  local established = 'time() - collector:failing_since:timestamp_seconds >= clamp(0.5 * collector:interval:assumed_seconds, %d, %d)' % [lib.seconds(f.minSpan), lib.seconds(f.minStreak)],
  local problem = lib.problem,
  // A reason that does not heal by itself and that this collector never recovered from on its own.
  local novel(reasons) = |||
    max without (reason, stage) (
      collector:last_failure:info{reason=~"%s"}
      unless ignoring (stage) (
        collector:reason_failures:history > ignoring (reason) group_left () collector:consecutive_failures:count
      )
    )
  ||| % std.join('|', reasons),

  groups: [
    lib.group('problems', config.fastInterval, [
      problem('failing', 'warning', |||
        collector:consecutive_failures:count >= (
          sum without (severity) (collector:failing:threshold{severity="warning"})
          or 0 * collector:consecutive_failures:count + %(cold)d
        )
        and %(established)s
        or (
          collector:consecutive_failures:count >= 1
          and %(novel)s
          and collector:runs:history >= %(minRuns)d
        )%(impatient)s
      ||| % {
        cold: f.coldStartRuns,
        established: established,
        novel: std.strReplace(std.rstripChars(novel(f.nonHealingReasons), '\n'), '\n', '\n  '),
        minRuns: f.minRunsForSingle,
        impatient: if f.impatientTiers == [] then '' else '\nor (collector:consecutive_failures:count >= 1 and ignoring (team, tier) max without (team, tier) (collector:owner:info{tier=~"%s"}))' % std.join('|', f.impatientTiers),
      }),
      problem('failing', 'critical', |||
        collector:consecutive_failures:count >= sum without (severity) (collector:failing:threshold{severity="critical"})
        and %s
      ||| % established),
      // Worse than its own past among the last 10 runs without failing in a row for long; or among
      // the last 100, in many short streaks and not in one that is over.
      problem('intermittent', 'warning', |||
        max without (window) (
          collector:failures:ratio{window="10"}
          and max without (model) (collector:failures:surprise_nats{window="10"}) > ignoring (window) group_left () %(limit)s
          and collector:failures:count{window="10"} >= 3
          and collector:transitions:count{window="10"} >= 3
          or
          collector:failures:ratio{window="100"}
          and max without (model) (collector:failures:surprise_nats{window="100"}) > ignoring (window) group_left () %(limit)s
          and collector:transitions:count{window="100"} > 0.4 * collector:failures:count{window="100"}
          and collector:transitions:count{window="100"} >= 6
          and ignoring (window) max without (model) (collector:failures:surprise_nats{window="10"}) > 2.5
        )
      ||| % { limit: lib.limit('intermittent') }),
      // A dead scheduler, worker or host. A run under way is late, not missing; one that hangs is
      // told apart.
      problem('not_running', 'critical', |||
        time() - collector:run_deadline:timestamp_seconds > 0
        unless collector:running:seconds
        unless ignoring (collector) fleet:exporter:settling
      |||),
      problem('hanging', 'warning', |||
        collector:running:seconds > collector:running:limit_seconds
      |||),
      problem('hanging', 'critical', |||
        collector:running:seconds > collector:running:limit_seconds
        and time() > collector:run_deadline:timestamp_seconds
      |||),
      problem('stale', 'critical', |||
        collector:data_age:ratio > 1
        unless ignoring (problem, severity) collector:problem:value{problem=~"failing|not_running|hanging"}
        unless ignoring (collector) fleet:exporter:settling
      |||),
      problem('schema', 'warning', |||
        collector:consecutive_failures:count >= 1
        and %s
        or 0 * (max without (probe, %s) (max_over_time(collection_probe_success%s[%s])) == 0)
      ||| % [std.strReplace(std.rstripChars(novel(['schema']), '\n'), '\n', '\n  '), lib.dropped, lib.matchers('probe=~"schema.*"'), config.probes.minFailing]),
      problem('probe', 'warning', |||
        count without (probe) (
          max without (%s) (max_over_time(collection_probe_success%s[%s])) == 0
        )
      ||| % [lib.dropped, lib.matchers(), config.probes.minFailing]),
      // The streak began with the first runs of the present version.
      problem('version', 'warning', |||
        collector:failing_since:timestamp_seconds - %(changed)s
        and collector:failing_since:timestamp_seconds >= %(changed)s
        and collector:failing_since:timestamp_seconds <= %(changed)s + %(runs)d * collector:interval:assumed_seconds
        and ignoring (problem, severity) sum without (problem, severity) (collector:problem:value{problem=~"failing|intermittent"})
      ||| % { changed: lib.fact('collection_version_changed_timestamp_seconds'), runs: f.versionRuns }),
      lib.record('collector:failing:bool', |||
        (count without (problem, severity) (collector:problem:value{problem=~"failing|not_running|hanging|stale"}) > bool 0)
        or
        0 * collector:consecutive_failures:count
      |||),
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
    ]),
    lib.group('degradations', config.slowInterval, [
      problem('slow', 'warning', |||
        max without (window) (
          collector:duration:level_seconds / ignoring (window) group_left () collector:duration:base_seconds
        )
        and collector:duration:deviation_ratio >= 1
      |||),
      problem('volume_zero', 'warning', |||
        sum without (window) (collector:records:level{window="3"} == 0)
        and sum without (window) (%(low)s) > 0
        and collector:records:usual >= %(min)d
        and sum without (window) (collector:runs:count{window="100"}) >= 10
      ||| % { low: lib.held('collector:records:week_low'), min: config.volume.minRecords }),
      problem('volume_low', 'warning', |||
        (
          min without (window) (
            collector:records:level / (collector:records:expected_best >= %(min)d)
            and collector:records:deviation < -collector:records:limit
          )
          or sum without (window) (collector:records:level{window="3"}) / %(target)s < 1
        )
        unless ignoring (problem, severity) collector:problem:value{problem="volume_zero"}
      ||| % { min: config.volume.minRecords, target: lib.fact('collection_min_records') }),
      problem('volume_high', 'warning', |||
        max without (window) (
          collector:records:level / (collector:records:expected_best >= %(min)d)
          and collector:records:deviation > collector:records:limit
        )
      ||| % { min: config.volume.minRecords }),
      problem('quality', 'warning', |||
        min without (window) (
          collector:quality:level_ratio < ignoring (window) group_left () collector:quality:limit_ratio
        )
      |||),
      // Outcomes alternate more than its flakes explain; or the verdict itself comes and goes, in
      // which case it replaces the stream of critical messages.
      problem('flapping', 'warning', |||
        sum without (window) (
          collector:transitions:count{window="10"} >= %(flips)d
          and max without (model) (collector:failures:surprise_nats{window="10"}) > ignoring (window) group_left () %(limit)s
        )
      ||| % { flips: config.flapping.runFlips, limit: lib.limit('intermittent') }),
      problem('flapping', 'critical', |||
        collector:flips:count >= %d
        and changes(collector:own_failing:bool[%s]) > 0
      ||| % [config.flapping.stateFlips, config.flapping.steadyAfter]),
    ] + [
      problem(speed.name, 'warning', |||
        max without (sli, window) (
          collector:burn_rate:ratio
          and (collector:burn_rate:ratio{window="%(short)s"} > %(shortBurn)g or collector:burn_rate:ratio{window="%(long)s"} > %(longBurn)g)
          and collector:sli_errors:surprise_nats > ignoring (sli, window) group_left () %(limit)s
          and ignoring (window) collector:sli_errors:surprise_nats{window="%(recent)s"} > ignoring (sli, window) group_left () %(limit)s
        )
      ||| % speed { limit: lib.limit('slo') })
      for speed in [
        { name: 'budget_fast', short: '1h', shortBurn: config.slo.burn['1h'], long: '6h', longBurn: config.slo.burn['6h'], recent: '1h' },
        { name: 'budget_slow', short: '1d', shortBurn: config.slo.burn['1d'], long: '3d', longBurn: config.slo.burn['3d'], recent: '6h' },
      ]
    ]),
    lib.group('health', config.slowInterval, [
      // Long form: a missing component cannot make the score vanish.
      lib.record('collector:health:component', |||
        clamp(
          2 - max without (age) (
            label_replace(collector:data_age:ratio, "age", "data", "", "")
            or label_replace(collector:run_age:ratio, "age", "run", "", "")
          ),
          0, 1
        )
      |||, { component: 'freshness' }),
      lib.record('collector:health:component', '1 - sum without (window) (collector:failures:ratio{window="10"})', { component: 'success' }),
      lib.record('collector:health:component', 'clamp(1.5 - collector:duration:deviation_ratio, 0, 1)', { component: 'latency' }),
      lib.record('collector:health:component', 'min without (window) (clamp(1.5 - abs(collector:records:deviation) / collector:records:limit, 0, 1))', { component: 'volume' }),
      lib.record('collector:health:component', 'sum without (window) (collector:quality:level_ratio{window="3"})', { component: 'quality' }),
      lib.record('collector:health:component', 'avg without (probe) (%s)' % lib.fact('collection_probe_success'), { component: 'probes' }),
      lib.record('collector:health:score', |||
        0.5 * min without (component) (collector:health:component)
        + 0.5 * avg without (component) (collector:health:component)
      |||),
      // 0 healthy, 1 degraded, 2 failing, 3 unknown (it never ran).
      lib.record('collector:health:state', |||
        2 * (collector:failing:bool == 1)
        or (0 * count without (problem, severity) (collector:problem:value{problem!~"volume_high"}) + 1)
        or (0 * collector:last_run:timestamp_seconds)
        or (0 * collector:consecutive_failures:count + 3)
      |||),
    ]),
  ],
}
