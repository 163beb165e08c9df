// What several collectors stand on: when it fails it explains them, and one message is enough.
function(config, lib) {
  local c = config.dependency,
  groups: [
    lib.group('dependency-evidence', config.fastInterval, [
      // How surprising it is to find this collector so long in a streak, in nats: that it fails at
      // all, and that it went on.
      // Capped, so that one long outage and one flake elsewhere are not taken for a common cause; a
      // reason that is usually the collector's own says less.
      lib.record('collector:streak:nats', |||
        -(collector:streak:count - 1) * ln(collector:flake:persist_ratio and collector:streak:count)
        - ln(collector:flake:ratio and collector:streak:count)
      |||),
      lib.record('collector:failure:evidence_nats', |||
        clamp_max(collector:streak:nats < %(single)g * collector:streak:count or %(single)g * collector:streak:count and collector:streak:nats, %(cap)g)
        unless ignoring (reason, stage) collector:last_failure:info{reason=~"%(own)s"}
        or
        clamp_max(collector:streak:nats, %(ownCap)g)
      ||| % {
        own: std.join('|', config.failing.nonHealingReasons),
        single: c.singleEvidenceCap,
        cap: c.evidenceCap,
        ownCap: c.ownEvidenceCap,
      }),
      // What the failing collectors stand on, with the time since when they fail.
      lib.record('collector:failing_dependency:timestamp_seconds', |||
        (collector:dependency:info and ignoring (dependency) collector:failure:evidence_nats)
        * ignoring (dependency) group_left ()
        collector:failing_since:timestamp_seconds
      |||),
      // A common cause strikes within hours, or a run of the slowest. One that has failed for longer
      // than the next one by more than that has a cause of its own, and says nothing here. (Not bottomk:
      // over a range of time VictoriaMetrics takes what does not exist for the least.)
      lib.record('dependency:together:seconds', |||
        clamp_min(
          max without (collector) (
            0 * collector:failing_dependency:timestamp_seconds + ignoring (dependency) group_left () collector:interval:assumed_seconds
          ),
          %d
        )
      ||| % lib.seconds(c.together)),
      lib.record('dependency:struck:timestamp_seconds', |||
        -min without (collector) (topk without (collector) (2, -collector:failing_dependency:timestamp_seconds))
        - dependency:together:seconds
      |||),
      // Everything below reads these few. One that ran well for so long since and fails now and then is
      // a flake beside them, and a witness against the dependency.
      lib.record('collector:failing_dependency:info', |||
        collector:failing_dependency:timestamp_seconds
        >= bool ignoring (collector) group_left () dependency:struck:timestamp_seconds
        > 0
        unless (
          collector:failing_dependency:timestamp_seconds
          > ignoring (collector) group_left () (dependency:struck:timestamp_seconds + 2 * dependency:together:seconds)
          and ignoring (dependency) collector:streak:count < sum without (severity) (%s)
        )
      ||| % lib.held('collector:failing:threshold', config.baselineInterval, '{severity="warning"}')),
      lib.record('dependency:failing:count', 'count without (collector) (collector:failing_dependency:info)'),
      lib.record('dependency:evidence:nats', |||
        sum without (collector) (
          collector:failing_dependency:info * ignoring (dependency) group_left () collector:failure:evidence_nats
        )
      |||),
      lib.record('dependency:failing_since:timestamp_seconds', |||
        min without (collector) (collector:failing_dependency:timestamp_seconds and collector:failing_dependency:info)
      |||),
      // Collectors that ran well since the failures began speak against the dependency; those that
      // have not run since have no say.
      lib.record('dependency:good:count', |||
        count without (collector) (
          (collector:dependency:info and ignoring (collector) dependency:failing_since:timestamp_seconds)
          * ignoring (dependency) group_left ()
          collector:last_success:timestamp_seconds
          > ignoring (collector) group_left () dependency:failing_since:timestamp_seconds
          unless collector:failing_dependency:info
        )
      |||),
      lib.record('dependency:failing:ratio', |||
        dependency:failing:count
        /
        (
          dependency:failing:count + dependency:good:count
          or dependency:failing:count
        )
      |||),
      // A short blip is over before anyone could act: failures must span some minutes. The first to
      // fail and, of three and more, the last to have failed do not count: either may have troubles of
      // its own beside a blip of the others.
      lib.record('collector:failing_dependency:last_run_timestamp_seconds', |||
        collector:failing_dependency:info * ignoring (dependency) group_left () collector:last_run:timestamp_seconds
      |||),
      lib.record('dependency:failing:span_seconds', |||
        (
          min without (collector) (topk without (collector) (2, collector:failing_dependency:last_run_timestamp_seconds))
          and dependency:failing:count >= 3
          or max without (collector) (collector:failing_dependency:last_run_timestamp_seconds)
        )
        + min without (collector) (
          topk without (collector) (2, -(collector:failing_dependency:timestamp_seconds and collector:failing_dependency:info))
        )
      |||),
      lib.record('dependency:probe_failing:count', |||
        count without (probe) (
          max without (%(dropped)s) (max_over_time(collection_dependency_probe_success%(matchers)s[%(for)s])) == 0
        )
      ||| % { dropped: lib.dropped, matchers: lib.matchers(), 'for': config.probes.minFailing }),
    ]),
    lib.group('dependencies', config.fastInterval, [
      // What may still be a blip. Two alone have one cause if both began with it: good runs of the later
      // one while the other failed already speak against that.
      lib.record('dependency:striking:nats', |||
        dependency:evidence:nats > dependency:evidence:limit_nats
        and dependency:failing:count >= %(min)d
        and dependency:failing:ratio > %(share)g
        unless (
          dependency:failing:count < 3
          and max without (collector) (
            (collector:failing_dependency:timestamp_seconds and collector:failing_dependency:info)
            - ignoring (dependency) group_left () clamp_min(2 * collector:interval:assumed_seconds, %(pair)d)
          ) > dependency:failing_since:timestamp_seconds
        )
      ||| % { min: c.minCollectors, share: c.minShare, pair: lib.seconds(c.pairTogether) }),
      // Suspects, with their evidence; a failing probe is proof.
      lib.record('dependency:suspect:nats', |||
        (dependency:striking:nats and dependency:failing:span_seconds >= %d)
        or 1000 * dependency:probe_failing:count
      ||| % lib.seconds(c.minSpan)),
      // Known within minutes: what it would explain is told by then.
      lib.record('dependency:pending:nats', |||
        dependency:striking:nats unless dependency:suspect:nats
        and time() - dependency:failing_since:timestamp_seconds < %d
      ||| % (2 * lib.seconds(c.minSpan))),
      // Explaining away: each failing collector is ascribed to its most suspect dependency, the more
      // specific of two equal ones, so that a second dependency of the same collectors stays innocent.
      lib.record('collector:suspect:info', |||
        topk without (dependency) (1,
          collector:failing_dependency:info
          * ignoring (collector) group_left ()
          (dependency:suspect:nats + 1 / dependency:collectors:count)
        ) > bool 0
      |||),
      lib.record('dependency:failing:bool', |||
        (
          count without (collector) (collector:suspect:info) >= bool %(min)d
          and dependency:suspect:nats
        )
        or clamp_max(dependency:probe_failing:count, 1)
        or 0 * dependency:collectors:count
      ||| % { min: c.minCollectors }),
      lib.record('dependency:last_failing:timestamp_seconds', 'time() * (dependency:failing:bool == 1)'),
      // When it struck and since when it failed, as known while it failed: a later flake of another
      // collector does not move them.
      lib.record('dependency:last_struck:timestamp_seconds', 'dependency:struck:timestamp_seconds and dependency:failing:bool == 1'),
      lib.record('dependency:last_since:timestamp_seconds', 'dependency:failing_since:timestamp_seconds and dependency:failing:bool == 1'),
      // A run that failed with it, or soon after it was seen to fail for the last time, is explained
      // until the next one.
      lib.record('collector:explained_by:info', |||
        topk without (dependency) (1,
          (
            collector:failing_dependency:timestamp_seconds
            >= bool ignoring (collector) group_left () last_over_time(dependency:last_struck:timestamp_seconds[%(span)ds])
            > 0
          )
          * ignoring (collector) group_left ()
          max_over_time(dependency:last_failing:timestamp_seconds[%(span)ds])
          >= ignoring (dependency) group_left ()
          collector:failing_since:timestamp_seconds
          >= ignoring (dependency) group_left ()
          (collector:last_run:timestamp_seconds - %(hold)d)
        ) > bool 0
      ||| % { hold: lib.seconds(c.hold), span: 2 * lib.seconds(c.hold) }),
      // No news while that keeps to its habits.
      lib.record('collector:explained_habit:info', 'max without (dependency) (collector:explained_by:info and ignoring (collector) dependency:habit:kept_ratio)'),
      lib.record('dependency:reason:count', |||
        count without (collector) (
          collector:explained_by:info
          * ignoring (dependency, reason) group_left (reason)
          max without (stage) (collector:last_failure:info)
        )
      |||),
      // What the inventory lacks has no declared dependency. One whose troubles began during a failure
      // of a dependency, and for the reason that its collectors state, is laid at its door (of two, at
      // that of the one which fails now, and for longer): that decides who is told, not whether the
      // dependency is failing.
      lib.record('dependency:stated_reason:rank', |||
        0 * (
          max_over_time(dependency:reason:count[%(hold)s])
          >= ignoring (reason) group_left () 0.5 * max without (reason) (max_over_time(dependency:reason:count[%(hold)s]))
        )
        + ignoring (reason) group_left () (
          1e10 * max_over_time(dependency:failing:bool[15m])
          - min_over_time(dependency:last_since:timestamp_seconds[6h])
        )
      ||| % { hold: c.hold }),
      lib.record('collector:presumed_by:info', |||
        (
          max without (reason) (
            (
              max without (stage) (collector:last_failure:info{reason!~"%(own)s"})
              * ignoring (reason) group_left () (
                min without (problem, severity) (min_over_time(collector:problem:seen_timestamp_seconds[6h])) < collector:failing_since:timestamp_seconds
                or collector:failing_since:timestamp_seconds
              )
              and ignoring (reason) collector:failure:evidence_nats
              and ignoring (reason) max without (%(dropped)s, team, tier, owner, source, version, registered) (
                last_over_time(collection_info%(unregistered)s[%(guard)s])
              )
            )
            * ignoring (collector, dependency) group_left (dependency)
            (topk without (dependency) (1, dependency:stated_reason:rank) != bool 0)
          )
          <= ignoring (collector) group_left () max_over_time(dependency:last_failing:timestamp_seconds[%(hold)s])
          >= ignoring (collector) group_left () min_over_time(dependency:last_since:timestamp_seconds[6h])
        )
        > bool 0
      ||| % {
        own: std.join('|', config.failing.nonHealingReasons),
        dropped: lib.dropped,
        unregistered: lib.matchers('registered="false"'),
        guard: config.scrapeGuard,
        hold: c.hold,
      }),
      // Whose news a collector's troubles are. A good run in between does not make them its own while
      // the dependency still fails. (Not `or ignoring`: over a range of time VictoriaMetrics gives
      // the right side's values the left side's labels.)
      lib.record('collector:root_dependency:info', |||
        collector:explained_by:info
        or
        collector:presumed_by:info
        unless ignoring (dependency) collector:explained_by:info
        or
        topk without (dependency) (1,
          (max_over_time(collector:explained_by:info[%(hold)s]) or max_over_time(collector:presumed_by:info[%(hold)s]))
          and ignoring (collector) dependency:problem:value
        )
        unless ignoring (dependency) (collector:explained_by:info or collector:presumed_by:info)
      ||| % { hold: c.hold }),
      // Failing while it explains anybody, or its probe fails; the value is how many it explains.
      lib.record('dependency:problem:value', |||
        count without (collector) (collector:explained_by:info)
        or 0 * (dependency:failing:bool == 1)
      |||),
    ]),
    lib.group('habits-evidence', config.slowInterval, [
      lib.record('dependency:habit:evident_timestamp_seconds', 'time() * (dependency:failing:bool == 1)'),
    ]),
    lib.group('dependency-usual', config.baselineInterval, [
      // Evidence that all its collectors' runs of a week produce by chance as rarely as the dial says
      // of critical alerts.
      lib.record('dependency:evidence:limit_nats', |||
        ln(sum without (collector) (
          collector:dependency:info * ignoring (dependency) group_left () (%(tests)g / collector:interval:assumed_seconds)
        ))
      ||| % { tests: 604800 * config.criticalFactor / (config.falseAlertsPerCollectorWeek * config.falseAlertShares.dependency) }),
      // The most important tier that stands on it.
      lib.record('dependency:tier:info', |||
        label_replace(0 * dependency:collectors:count + 1, "tier", "3", "", "")
        unless ignoring (tier) count without (collector, team, tier) (%(tier1)s or %(tier2)s)
        or label_replace(count without (collector, team, tier) (%(tier2)s) * 0 + 1, "tier", "2", "", "")
        unless ignoring (tier) count without (collector, team, tier) (%(tier1)s)
        or label_replace(count without (collector, team, tier) (%(tier1)s) * 0 + 1, "tier", "1", "", "")
      ||| % {
        ['tier' + tier]: 'collector:dependency:info * ignoring (dependency, team, tier) group_left (team, tier) collector:owner:info{tier="%s"}' % tier
        for tier in ['1', '2']
      }),
    ]),
  ],
}
