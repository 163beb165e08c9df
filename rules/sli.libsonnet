// What happened: the exporter's facts as one series per collector, and ratios of sums over them.
function(config, lib) {
  groups: [
    lib.group('sli', config.fastInterval, [
      lib.record('collector:interval:seconds', lib.fact('collection_expected_interval_seconds')),
      lib.record('collector:last_run:timestamp_seconds', lib.fact('collection_last_run_timestamp_seconds')),
      lib.record('collector:last_success:timestamp_seconds', lib.fact('collection_last_success_timestamp_seconds')),
      lib.record('collector:failing_since:timestamp_seconds', lib.fact('collection_failing_since_timestamp_seconds') + ' > 0'),
      lib.record('collector:consecutive_failures:count', lib.fact('collection_consecutive_failures')),
      lib.record('collector:runs:count', lib.fact('collection_window_runs')),
      lib.record('collector:failures:count', lib.fact('collection_window_failures')),
      // No division by zero: a window without runs has no ratio, rather than NaN.
      lib.record('collector:failures:ratio', 'collector:failures:count / (collector:runs:count > 0)'),
      lib.record('collector:transitions:count', lib.fact('collection_window_transitions')),
      // One series at a time. Preferring what the newest scrape says over what an older one said
      // keeps a reason from lingering; falling back to it survives a missed scrape.
      lib.record('collector:last_failure:info', |||
        max without (%(dropped)s) (collection_last_failure_info%(matchers)s)
        or
        (
          %(guarded)s
          unless ignoring (reason, stage)
          max without (%(dropped)s, reason, stage) (collection_last_failure_info%(matchers)s)
        )
      ||| % {
        dropped: std.join(', ', config.instanceLabels),
        matchers: lib.matchers(),
        guarded: lib.fact('collection_last_failure_info'),
      }),
      // Paused or in maintenance: a person knows, nothing about it is news.
      lib.record('collector:quiet:active', 'max without (control) (%s) == 1' % lib.fact('collection_control_active', 'control=~"paused|maintenance"')),
      lib.record('collector:quiet:timestamp_seconds', 'collector:quiet:active * time()'),
    ]),
  ],
}
