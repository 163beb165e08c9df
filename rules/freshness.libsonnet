// Is it running, and is what it brings new? Two ages: of the run (the scheduler or worker is dead)
// and of the data (runs happen, nothing good comes).
function(config, lib) {
  local f = config.freshness,
  local target = lib.fact('collection_freshness_target_seconds'),
  local weekly(series) = '1 + 0 * max_over_time(%(series)s[3h] offset %(week)ds) and max_over_time(%(series)s[3h] offset %(fortnight)ds)' % { series: series, week: 604800 - 5400, fortnight: 2 * 604800 - 5400 },
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
        %(weekly)s
        and collector:interval:confidence_ratio < 1
        unless collector:run_missing:seconds >= %(most)d
      ||| % { weekly: weekly('collector:run_missing:seconds'), most: lib.seconds(f.weeklyPause) }),
      // Those at which its data are always old: runs skip, or the source has nothing.
      lib.record('collector:weekly_stale:active', |||
        %(weekly)s
        unless collector:data_age:seconds >= %(most)d
      ||| % { weekly: weekly('collector:data_age:old_ratio'), most: lib.seconds(f.weeklyPause) }),
    ]),
    lib.group('lateness', config.historyInterval, [
      // How late its runs have lately been, as known a day ago: a run that is missing now is not what
      // its collector is used to.
      lib.record('collector:run_missing:usual_seconds', 'max_over_time(collector:run_late:seconds[%s] offset 1d)' % config.historyWindow),
      // Share of the collectors of which runs were missing and came by themselves.
      lib.record('fleet:run_missing:brief_ratio', |||
        count without (collector) (%s)
        /
        count without (collector) (collector:interval:assumed_seconds)
      ||| % lib.held('collector:run_missing:usual_seconds', config.historyInterval)),
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
      // A run under way hangs beyond collector:running:limit_seconds; beyond a declared timeout the
      // exporter itself counts it as failed (overrun).
      lib.record('collector:running:start_timestamp_seconds', lib.fact('collection_oldest_running_start_timestamp_seconds', only='> 0')),
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
      // How late it was when it came. Later than an interval is no habit but an outage.
      lib.record('collector:run_late:seconds', |||
        max_over_time(collector:run_missing:seconds[%s]) < collector:interval:assumed_seconds
        unless collector:run_missing:seconds
      ||| % f.settle),
    ]),
    lib.group('data-age', config.slowInterval, [
      // Age of the last run over the age at which the next one is missing: above 1 a run is overdue.
      lib.record('collector:run_age:ratio', |||
        (time() - collector:last_run:timestamp_seconds)
        /
        (collector:run_deadline:timestamp_seconds - collector:last_run:timestamp_seconds > 0)
      |||),
      // How long good data may take while nothing is wrong: until the end of the next run, and as many
      // failed ones as are no news. Where the owner declared a target slow jobs have no such excuse;
      // where nobody did, runs may skip over a weekend, and over Friday's failed one.
      lib.record('collector:data_age:excused_seconds', |||
        (
          clamp_max(((sum without (severity) (%(warning)s) and %(target)s) - 1) * collector:interval:seconds, %(most)d)
          * (collector:consecutive_failures:count > bool 0)
          or
          (sum without (severity) (%(critical)s) + 1) * collector:interval:seconds
          + %(pause)d * (collector:last_run:timestamp_seconds > bool %(failed)s or collector:consecutive_failures:count == bool 0)
        )
        + (
          collector:run_deadline:timestamp_seconds
          - ((collector:running:start_timestamp_seconds and collector:running:seconds) or collector:last_run:timestamp_seconds)
        )
      ||| % {
        target: target,
        failed: lib.fact('collection_last_failure_timestamp_seconds'),
        most: lib.seconds(f.excused),
        pause: lib.seconds(f.weeklyPause),
        warning: lib.held('collector:failing:threshold', config.baselineInterval, '{severity="warning"}'),
        critical: lib.held('collector:failing:threshold', config.baselineInterval, '{severity="critical"}'),
      }),
      // A target that its own flakes miss costs budget and wakes nobody.
      lib.record('collector:data_age:limit_seconds', |||
        (
          %(target)s > collector:data_age:excused_seconds
          or
          collector:data_age:excused_seconds
          or
          %(target)s
        )
        > 0
      ||| % { target: target }),
      // A source that often has nothing new is as fresh as the run that found nothing.
      lib.record('collector:data_age:seconds', |||
        time() - (
          (
            %(newest)s
            and %(target)s
            unless (%(records)s == 0 and sum without (window) (%(low)s) == 0)
          )
          or
          collector:last_success:timestamp_seconds
        )
      ||| % {
        newest: lib.fact('collection_newest_data_timestamp_seconds'),
        target: target,
        records: lib.fact('collection_last_run_records'),
        low: lib.held('collector:records:week_low'),
      }),
      lib.record('collector:data_age:ratio', 'collector:data_age:seconds / collector:data_age:limit_seconds'),
      lib.record('collector:data_age:old_ratio', 'collector:data_age:ratio > %g' % (1 + f.surelyStale)),
    ]),
  ],
}
