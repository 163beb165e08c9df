// What happened: the exporter's facts as one series per collector, and ratios of sums over them.
function(config, lib) {
  local failing(info) = '%s and ignoring (reason, stage, %s) collector:failing_since:timestamp_seconds' % [info, lib.dropped],
  // Three runs are too few for a rate.
  local windows = 'window=~"10|30|100"',

  groups: [
    lib.group('sli', config.fastInterval, [
      lib.record('collector:last_run:timestamp_seconds', lib.fact('collection_last_run_timestamp_seconds')),
      lib.record('collector:last_success:timestamp_seconds', lib.fact('collection_last_success_timestamp_seconds')),
      lib.record('collector:failing_since:timestamp_seconds', lib.fact('collection_failing_since_timestamp_seconds', only='> 0')),
      lib.record('collector:consecutive_failures:count', lib.fact('collection_consecutive_failures')),
      lib.record('collector:version_changed:timestamp_seconds', lib.fact('collection_version_changed_timestamp_seconds')),
      // Of those that fail, one series at a time. Preferring what the newest scrape says over what an
      // older one said keeps a reason from lingering; falling back to it survives a missed scrape.
      lib.record('collector:last_failure:info', |||
        max without (%(dropped)s) (%(newest)s)
        or
        (
          max without (%(dropped)s) (%(guarded)s)
          unless ignoring (reason, stage)
          max without (%(dropped)s, reason, stage) (%(newest)s)
        )
      ||| % {
        dropped: lib.dropped,
        newest: failing('collection_last_failure_info%s' % lib.matchers()),
        guarded: failing('last_over_time(collection_last_failure_info%s[%s])' % [lib.matchers(), config.scrapeGuard]),
      }),
      // Paused or in maintenance: a person knows, nothing about it is news.
      lib.record('collector:quiet:active', lib.fact('collection_control_active', 'control=~"paused|maintenance"', ['control'], only='== 1')),
      // Failed runs in a row of those that fail now: most do not, and whatever reads this and what
      // follows from it need not look at them.
      lib.record('collector:streak:count', 'collector:consecutive_failures:count >= 1 unless collector:quiet:active'),
    ]),
    lib.group('recent-runs', config.slowInterval, [
      lib.record('collector:runs:count', lib.fact('collection_window_runs', windows)),
      lib.record('collector:failures:count', lib.fact('collection_window_failures', windows)),
      // A window without runs has no ratio, rather than NaN.
      lib.record('collector:failures:ratio', 'collector:failures:count{window!="30"} / (collector:runs:count > 0)'),
      lib.record('collector:transitions:count', lib.fact('collection_window_transitions', windows)),
    ]),
    // What changes with the inventory alone.
    lib.group('inventory', config.slowInterval, [
      lib.record('collector:interval:seconds', lib.fact('collection_expected_interval_seconds')),
      // Irregular collectors without a known interval are treated as hourly ones.
      lib.record('collector:interval:assumed_seconds', |||
        collector:interval:seconds
        or
        0 * collector:consecutive_failures:count + 3600
      |||),
      lib.record('collector:impact:weight', |||
        %s
        or
        0 * collector:consecutive_failures:count + 1
      ||| % lib.fact('collection_impact_weight')),
      lib.record('collector:dependency:info', lib.fact('collection_dependency_info')),
      lib.record('dependency:collectors:count', 'count without (collector) (collector:dependency:info)'),
      // topk and not max: while a team or tier changes there are two label sets for some minutes,
      // and a join against two partners would fail for every collector.
      lib.record('collector:owner:info', |||
        max without (%(dropped)s, owner, source, version, registered) (
          topk without (%(dropped)s, team, tier, owner, source, version, registered) (1,
            last_over_time(collection_info%(matchers)s[%(guard)s])
          )
        )
      ||| % { dropped: lib.dropped, matchers: lib.matchers(), guard: config.scrapeGuard }),
    ]),
  ],
}
