// Repair and escalation: what automation is doing, and how long a page-worthy problem has waited.
function(config, lib) {
  local e = config.escalation,
  groups: [
    lib.group('escalation', config.fastInterval, [
      // 0 idle, 1 under way, 2 held by its breaker, 3 exhausted; absent without automatic recovery.
      lib.record('collector:recovery:state', |||
        3 * (%(exhausted)s == 1)
        or 2 * (%(open)s == 1)
        or %(progress)s
      ||| % {
        exhausted: lib.fact('collection_recovery_exhausted'),
        open: lib.fact('collection_recovery_circuit_open'),
        progress: lib.fact('collection_recovery_in_progress'),
      }),
      // Somebody knows, or automation may still succeed.
      lib.record('collector:page:held', |||
        %s
        or collector:recovery:state == 1
      ||| % lib.fact('collection_control_active', 'control="acknowledged"', ['control'], only='== 1')),
      // Whether something about it is worth a page; none for collectors about which nothing has been
      // for longer than escalation looks back.
      lib.record('collector:page:bool', |||
        (count without (problem, severity) (collector:problem:value{severity="critical"}) > bool 0)
        or
        0 * count without (problem, severity) (max_over_time(collector:problem:value{severity="critical"}[%ds]))
      ||| % (600 + std.foldl(std.max, [
               lib.seconds(after)
               for tier in std.objectFields(e)
               for after in e[tier]
             ], 0))),
    ]),
    lib.group('recovery-totals', config.historyInterval, [
      lib.record('team:%s:total' % total.name, lib.teamSum(lib.fact('collection_%s_total' % total.name, drop=total.drop), total.label))
      for total in [
        { name: 'incidents', label: 'ended_by', drop: [] },
        { name: 'recovery_attempts', label: 'action', drop: [] },
        { name: 'recovery_results', label: 'result', drop: [] },
      ]
    ]),
    lib.group('recovery', config.longInterval, [
      lib.record('collector:incidents:week', lib.increase('collection_incidents_total', '7d')),
      lib.record('collector:time_to_recovery:seconds', |||
        (
          %(sum)s
        )
        /
        ((
          %(count)s
        ) > 0)
      ||| % {
        sum: lib.increase('collection_incident_duration_seconds_sum', '7d'),
        count: lib.increase('collection_incident_duration_seconds_count', '7d'),
      }),
      lib.record('collector:recovery_results:week', lib.increase('collection_recovery_results_total', '7d')),
      lib.record('collector:recovery_success:ratio', |||
        sum without (result) (%(results)s)
        /
        (sum without (result) (%(all)s) > 0)
      ||| % {
        results: lib.held('collector:recovery_results:week', extra='{result="recovered"}'),
        all: lib.held('collector:recovery_results:week', extra='{result!="skipped"}'),
      }),
    ]),
  ],
}
