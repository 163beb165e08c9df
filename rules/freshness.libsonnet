// Is it running, and is what it brings new? Two ages: of the run (the scheduler or worker is dead)
// and of the data (runs happen, nothing good comes).
function(config, lib) {
  local f = config.freshness,
  groups: [
    lib.group('freshness', config.fastInterval, [
      // 1 while the exporter was lately away: outcomes may still be on their way.
      lib.record('fleet:exporter:up', 'max without (%s) (up%s)' % [std.join(', ', config.instanceLabels), lib.matchers()]),
      lib.record('fleet:exporter:settling', 'min_over_time(fleet:exporter:up[%s]) < bool 1 > 0' % f.settle),
      lib.record('collector:run_deadline:timestamp_seconds', |||
        %(deadline)s
        + collector:interval:seconds * (1 - %(confidence)s)
        and
        %(confidence)s >= %(min)g
      ||| % {
        deadline: lib.fact('collection_run_deadline_timestamp_seconds'),
        confidence: lib.fact('collection_expected_interval_confidence_ratio'),
        min: f.minConfidence,
      }),
      // Age of the last run over the age at which the next one is missing: above 1 a run is overdue.
      lib.record('collector:run_age:ratio', |||
        (time() - collector:last_run:timestamp_seconds)
        /
        (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds > 0)
      |||),
      // How long good data may take. Declared by the owner, but never shorter than one due run; or
      // else as long as the failed runs that are still no news.
      lib.record('collector:data_age:limit_seconds', |||
        clamp_min(%(target)s, 0)
        or
        (collector:failing:threshold{severity="warning"} - 1) * ignoring (severity) collector:interval:seconds
        + (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds)
      ||| % { target: lib.fact('collection_freshness_target_seconds') }),
      lib.record('collector:data_age:seconds', |||
        time() - (
          %(newest)s and %(target)s
          or
          collector:last_success:timestamp_seconds
        )
      ||| % {
        newest: lib.fact('collection_newest_data_timestamp_seconds'),
        target: lib.fact('collection_freshness_target_seconds'),
      }),
      lib.record('collector:data_age:ratio', 'collector:data_age:seconds / (collector:data_age:limit_seconds > 0)'),
    ]),
  ],
}
