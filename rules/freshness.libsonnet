// Is it running, and is what it brings new? Two ages: of the run (the scheduler or worker is dead)
// and of the data (runs happen, nothing good comes).
function(config, lib) {
  local f = config.freshness,
  groups: [
    lib.group('slack', config.baselineInterval, [
      lib.record('collector:interval:confidence_ratio', lib.fact('collection_expected_interval_confidence_ratio') + ' >= %g' % f.minConfidence),
      // The hesitation of schedulers, and for inferred intervals slack in proportion to the doubt in
      // them. None, and no verdict, where the doubt is too great.
      lib.record('collector:run_deadline:slack_seconds', |||
        clamp(%(lateness)g * collector:interval:seconds, %(minLateness)d, %(maxLateness)d)
        + collector:interval:seconds * (1 - collector:interval:confidence_ratio)
      ||| % {
        lateness: f.lateness,
        minLateness: lib.seconds(f.minLateness),
        maxLateness: lib.seconds(f.maxLateness),
      }),
      // The hours of the week at which it never runs, though nobody declared that. Both weeks, for one
      // may have been an outage; an hour and a half of tolerance, for clocks change.
      lib.record('collector:weekly_pause:active', |||
        1 + 0 * max_over_time(collector:run_missing:seconds[3h] offset %(week)ds)
        and max_over_time(collector:run_missing:seconds[3h] offset %(fortnight)ds)
        and collector:interval:confidence_ratio < 1
        unless collector:run_missing:seconds >= %(most)d
      ||| % { week: 604800 - 5400, fortnight: 2 * 604800 - 5400, most: lib.seconds(f.weeklyPause) }),
    ]),
    lib.group('lateness', config.historyInterval, [
      // How late its runs have lately been, as known a day ago: a run that is missing now is not what
      // its collector is used to. After an outage no more than half an interval.
      lib.record('collector:run_missing:usual_seconds', |||
        %(late)s < 0.5 * collector:interval:assumed_seconds
        or
        0.5 * collector:interval:assumed_seconds and %(late)s
      ||| % { late: 'max_over_time(collector:run_missing:seconds[%s] offset 1d)' % config.historyWindow }),
    ]),
    lib.group('freshness', config.fastInterval, [
      lib.record('fleet:exporter:up', 'max without (%s) (up%s)' % [lib.dropped, lib.matchers()]),
      // Exists while the exporter was lately away: outcomes may still be on their way.
      lib.record('fleet:exporter:settling', 'min_over_time(fleet:exporter:up[%s]) < 1' % f.settle),
      // The exporter's deadline (next run, grace and usual duration), and what is granted on top.
      lib.record('collector:run_deadline:timestamp_seconds', '%s + %s' % [
        lib.fact('collection_run_deadline_timestamp_seconds'),
        lib.held('collector:run_deadline:slack_seconds', config.baselineInterval),
      ]),
      // Age of the last run over the age at which the next one is missing: above 1 a run is overdue.
      lib.record('collector:run_age:ratio', |||
        (time() - collector:last_run:timestamp_seconds)
        /
        (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds > 0)
      |||),
      // A run under way hangs beyond collector:running:limit_seconds; beyond a declared timeout the
      // exporter itself counts it as failed (overrun).
      lib.record('collector:running:start_timestamp_seconds', lib.fact('collection_oldest_running_start_timestamp_seconds') + ' > 0'),
      lib.record('collector:running:seconds', |||
        time() - collector:running:start_timestamp_seconds
        unless
        collector:last_run:timestamp_seconds > collector:running:start_timestamp_seconds
      |||),
      // Whether or not anybody should hear of it.
      lib.record('collector:run_missing:seconds', |||
        time() - collector:run_deadline:timestamp_seconds > 0
        unless collector:running:seconds
      |||),
    ]),
    lib.group('data-age', config.slowInterval, [
      // How long good data may take. Declared by its owner, but never shorter than one due run;
      // else longer than the failed runs that are still no critical news.
      lib.record('collector:data_age:limit_seconds', |||
        (
          %(target)s
          or
          (sum without (severity) (%(threshold)s) + 1) * collector:interval:seconds
          + (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds)
        )
        > 0
      ||| % {
        target: lib.fact('collection_freshness_target_seconds'),
        threshold: lib.held('collector:failing:threshold', config.baselineInterval, '{severity="critical"}'),
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
    ]),
  ],
}
