// What it costs: impact of open incidents, risk of teams and of the fleet, weighted by importance.
function(config, lib) {
  groups: [
    lib.group('impact', config.slowInterval, [
      // Good runs bring what is expected; those that failed or were missed bring nothing.
      lib.record('collector:impact:records_missed', |||
        collector:records:usual * (time() - collector:failing_since:timestamp_seconds) / collector:interval:assumed_seconds
        and collector:failing:bool == 1
      |||),
      lib.record('collector:impact:cost', |||
        %s * (time() - collector:failing_since:timestamp_seconds) / 3600
        and collector:failing:bool == 1
      ||| % lib.fact('collection_cost_per_hour')),
      lib.record('collector:impact:consumers', 'count without (consumer) (%s)' % lib.fact('collection_consumer_info')),
      // Weight of what is failing, a quarter of it while only degraded.
      lib.record('collector:impact:score', |||
        collector:impact:weight
        * (
          (collector:health:state == 2) - 1
          or (collector:health:state == 1) * 0.25
        )
      |||),
      lib.record('team:risk:ratio', |||
        sum without (collector, tier) (collector:owner:info * ignoring (team, tier) group_left () (collector:impact:score or 0 * collector:health:state))
        /
        sum without (collector, tier) (collector:owner:info * ignoring (team, tier) group_left () collector:impact:weight)
      |||),
      lib.record('team:health:score', |||
        sum without (collector, tier) (
          collector:owner:info * ignoring (team, tier) group_left ()
          (collector:health:score * collector:impact:weight)
        )
        /
        sum without (collector, tier) (
          collector:owner:info * ignoring (team, tier) group_left ()
          (collector:impact:weight and collector:health:score)
        )
      |||),
    ]),
    // At the pace of the verdicts: one message about the fleet comes ahead of those about its collectors.
    lib.group('fleet-failing', config.fastInterval, [
      // Confirmed failing, and not explained by one dependency.
      lib.record('fleet:failing:count', |||
        sum without (collector) (collector:failing:bool)
      |||),
      lib.record('fleet:unexplained_failing:ratio', |||
        (
          fleet:failing:count
          - sum without (collector) (collector:failing:bool and max without (dependency) (collector:explained_by:info))
          or
          fleet:failing:count
        )
        /
        count without (collector) (collector:failing:bool)
      |||),
    ]),
    lib.group('fleet', config.slowInterval, [
      lib.record('fleet:collectors:count', |||
        sum without (collector) (collector:health:state == bool %d)
      ||| % state, { state: '%d' % state })
      for state in [0, 1, 2, 3]
    ] + [
      lib.record('fleet:impact:score', |||
        sum without (collector) (collector:impact:score)
        or
        0 * sum without (collector) (collector:health:state)
      |||),
      // Share of the fleet's weight that is failing (degraded counts a quarter).
      lib.record('fleet:risk:ratio', |||
        fleet:impact:score
        /
        sum without (collector) (collector:impact:weight)
      |||),
      lib.record('fleet:health:score', |||
        sum without (collector) (collector:health:score * collector:impact:weight)
        /
        sum without (collector) (collector:impact:weight and collector:health:score)
      |||),
      // The collectors' own estimate of records not collected, and of money, over all open incidents.
      lib.record('fleet:impact:cost', 'sum without (collector) (collector:impact:cost)'),
      lib.record('fleet:impact:records_missed', 'sum without (collector) (collector:impact:records_missed)'),
    ]),
  ],
}
