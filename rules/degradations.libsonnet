// It runs and succeeds, but not as well as it used to: slower, fewer records, worse ones, several attempts.
function(config, lib) {
  local problem = lib.problem,
  local suspicion(problem, condition) =
    lib.record('collector:suspicion:last_run_timestamp_seconds', 'collector:last_run:timestamp_seconds and ignoring (window) %s' % condition, { problem: problem }),
  local confirmed(problem) = 'sum without (problem) (collector:suspicion:confirmed_seconds{problem="%s"})' % problem,
  local unclean(how, share) = 'max without (how) (%s)' % lib.surprising('collector:unclean:surprise_nats{how="%s"}' % how, share, 3, ['how']),
  local news(problem) =
    'sum without (problem) (collector:habit:evident_timestamp_seconds{problem="%s"})\n%s' % [problem, lib.beyondHabit(problem)],
  // The median of the last 10 runs is off, and that of the last 3 still nearly so: ten runs may lie on both sides of an outage.
  local persists(off, sign) =
    'sum without (window) (collector:records:unusual_ratio{window="10"} %(off)s %(sign)s1) and sum without (window) (collector:records:unusual_ratio{window="3"} %(off)s %(sign)s0.75)'
    % { off: off, sign: sign },

  groups: [
    lib.group('degradations', config.slowInterval, [
      lib.record('collector:quality:low_ratio', 'collector:quality:level_ratio < ignoring (window) group_left () collector:quality:limit_ratio'),
      // The median of the last 3 runs is off, as two stray runs in a row can make it. Kept with the end
      // of the newest run, to tell how many more runs it has been so.
      suspicion('slow', 'collector:duration:unusual_seconds{window="3"}'),
      suspicion('volume_low', 'collector:records:unusual_ratio{window="3"} < -1'),
      suspicion('volume_high', 'collector:records:unusual_ratio{window="3"} > 1'),
      suspicion('quality', 'collector:quality:low_ratio{window="3"}'),
      // Two more runs, or one of a slow job, whose strays are days apart.
      lib.record('collector:suspicion:confirmed_seconds', |||
        (
          %(suspicion)s - (
            min_over_time(%(suspicion)s[1h]) and ignoring (problem) collector:interval:assumed_seconds <= 900
            or min_over_time(%(suspicion)s[8h]) and ignoring (problem) collector:interval:assumed_seconds <= 7200
            or min_over_time(%(suspicion)s[2d]) and ignoring (problem) collector:interval:assumed_seconds <= 43200
            or min_over_time(%(suspicion)s[8d])
          )
        )
        >= ignoring (problem) group_left ()
        (1.5 * collector:interval:assumed_seconds < 32400 or 0.5 * collector:interval:assumed_seconds)
      ||| % { suspicion: 'collector:suspicion:last_run_timestamp_seconds' }),
      lib.evident('slow', |||
        max without (window) (collector:duration:unusual_seconds)
        and (
          %(confirmed)s
          or sum without (window) (collector:duration:unusual_seconds{window="10"})
        )
      ||| % { confirmed: confirmed('slow') }),
      lib.evident('partial', unclean('partial', 'quality')),
      lib.evident('retried', unclean('retried', 'flapping')),
      lib.record('collector:slow:confirmed_timestamp_seconds', news('slow')),
      lib.record('collector:partial:confirmed_timestamp_seconds', news('partial')),
      // Its own slow runs widen what is usual. Until the last runs are nearly as fast as before it is
      // not over.
      problem('slow', 'warning', |||
        max without (window) (
          (
            collector:duration:level_seconds and ignoring (window) collector:slow:confirmed_timestamp_seconds
            or
            collector:duration:level_seconds{window="3"}
            and ignoring (window) (%(still)s)
            and collector:duration:level_seconds > ignoring (window) group_left () %(factor)g * collector:duration:base_seconds
          )
          / ignoring (window) group_left ()
          collector:duration:base_seconds
        )
      ||| % {
        still: lib.steadyUntil('collector:slow:confirmed_timestamp_seconds', config.latency.steady),
        factor: config.latency.minFactor['10'],
      }),
      problem('volume_zero', 'warning', |||
        sum without (window) (collector:records:level{window="3"} == 0)
        and sum without (window) (%(low)s) > 0
        and collector:records:usual >= %(min)d
        and sum without (window) (collector:runs:count{window="100"}) >= 10
      ||| % { low: lib.held('collector:records:week_low'), min: config.volume.minRecords }),
      problem('volume_low', 'warning', |||
        (
          min without (window) (
            (collector:records:level and collector:records:low_ratio) / ((collector:records:expected_best and collector:records:low_ratio) >= %(min)d)
            and ignoring (window) (
              %(confirmed)s
              or %(still)s
            )
          )
          or sum without (window) (collector:records:level{window="3"}) / %(target)s < 1
        )
        unless ignoring (problem, severity) collector:problem:value{problem="volume_zero"}
      ||| % {
        min: config.volume.minRecords,
        target: lib.fact('collection_min_records'),
        confirmed: confirmed('volume_low'),
        still: persists('<', '-'),
      }),
      problem('volume_high', 'warning', |||
        max without (window) (
          (collector:records:level and collector:records:unusual_ratio > 1) / ((collector:records:expected_best and collector:records:unusual_ratio) >= %(min)d)
          and ignoring (window) (
            %(confirmed)s
            or %(still)s
          )
        )
      ||| % {
        min: config.volume.minRecords,
        confirmed: confirmed('volume_high'),
        still: persists('>', ''),
      }),
      // What the last 10 runs were is over where the last 3 are nearly as good as usual.
      problem('quality', 'warning', |||
        min without (window) (
          collector:quality:low_ratio
          and ignoring (window) (
            %(confirmed)s
            or sum without (window) (collector:quality:low_ratio{window="10"})
          )
        )
        and sum without (window) (collector:quality:level_ratio{window="3"})
        < 0.5 * ((collector:quality:limit_ratio and ignoring (window) collector:quality:low_ratio) + collector:quality:base_ratio)
      ||| % { confirmed: confirmed('quality') }),
      problem('partial', 'warning', |||
        sum without (how) (collector:unclean:count{how="partial"}) / 10
        and %s
      ||| % lib.steadyUntil('collector:partial:confirmed_timestamp_seconds')),
      // The verdict itself comes and goes, which replaces the stream of critical messages.
      problem('flapping', 'critical', |||
        collector:flips:count >= %d
        and changes(collector:own_failing:bool[%s]) > 0
        and %s
      ||| % [config.flapping.stateFlips, config.flapping.steadyAfter, lib.steadyUntil('collector:own_failing:timestamp_seconds')]),
    ]),
  ],
}
