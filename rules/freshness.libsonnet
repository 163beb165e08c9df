// Is it running, and is what it brings new? Two ages: of the run (the scheduler or worker is dead)
// and of the data (runs happen, nothing good comes).
function(config, lib) {
  local f = config.freshness,
  groups: [
    lib.group('freshness', config.fastInterval, [
      lib.record('fleet:exporter:up', 'max without (%s) (up%s)' % [lib.dropped, lib.matchers()]),
      // Exists while the exporter was lately away: outcomes may still be on their way.
      lib.record('fleet:exporter:settling', 'min_over_time(fleet:exporter:up[%s]) < 1' % f.settle),
      // The exporter's deadline (next run, grace and usual duration), the hesitation of schedulers, and
      // for inferred intervals slack in proportion to the doubt in them.
      lib.record('collector:run_deadline:timestamp_seconds', |||
        %(deadline)s
        + clamp(%(lateness)g * collector:interval:seconds, %(minLateness)d, %(maxLateness)d)
        + collector:interval:seconds * (1 - %(confidence)s)
        and
        %(confidence)s >= %(min)g
      ||| % {
        deadline: lib.fact('collection_run_deadline_timestamp_seconds'),
        confidence: lib.fact('collection_expected_interval_confidence_ratio'),
        min: f.minConfidence,
        lateness: f.lateness,
        minLateness: lib.seconds(f.minLateness),
        maxLateness: lib.seconds(f.maxLateness),
      }),
      // Age of the last run over the age at which the next one is missing: above 1 a run is overdue.
      lib.record('collector:run_age:ratio', |||
        (time() - collector:last_run:timestamp_seconds)
        /
        (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds > 0)
      |||),
      // How long good data may take. Declared by its owner, but never shorter than one due run;
      // else longer than the failed runs that are still no critical news.
      lib.record('collector:data_age:limit_seconds', |||
        (
          %(target)s
          or
          (sum without (severity) (collector:failing:threshold{severity="critical"}) + 1) * collector:interval:seconds
          + (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds)
        )
        > 0
      ||| % {
        target: lib.fact('collection_freshness_target_seconds'),
      }),
      lib.record('collector:data_age:seconds', |||
        time() - (
          (%(newest)s and %(target)s)
          or
          collector:last_success:timestamp_seconds
        )
      ||| % {
        newest: lib.fact('collection_newest_data_timestamp_seconds'),
        target: lib.fact('collection_freshness_target_seconds'),
      }),
      lib.record('collector:data_age:ratio', 'collector:data_age:seconds / collector:data_age:limit_seconds'),
      // A run under way hangs beyond a multiple of its usual duration; beyond a declared timeout the
      // exporter itself counts it as failed (overrun).
      lib.record('collector:running:seconds', |||
        time() - (%(start)s > 0)
        unless
        collector:last_run:timestamp_seconds > %(start)s
      ||| % { start: lib.fact('collection_oldest_running_start_timestamp_seconds') }),
      lib.record('collector:running:limit_seconds', |||
        collector:duration:base_seconds * clamp_min(exp(collector:duration:spread_ratio * %(sigmas)s + %(drift)g), %(factor)g) + 60
        or
        %(timeout)s
        or
        2 * collector:interval:seconds
      ||| % {
        timeout: lib.fact('collection_run_timeout_seconds'),
        factor: f.hangingFactor,
        sigmas: lib.sigmas('latency'),
        drift: config.latency.drift,
      }),
    ]),
  ],
}
