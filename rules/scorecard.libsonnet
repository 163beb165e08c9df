// The promises, each with its present value and its target.
function(config, lib) {
  local c = config.scorecard,
  local week(metric, extra='') = 'sum without (collector, %s) (%s)' % [
    'ended_by, result, action',
    std.rstripChars(lib.increase(metric, '7d', extra), '\n'),
  ],
  local value(promise, expr) = lib.record('fleet:scorecard:value', expr, { promise: promise }),
  groups: [
    lib.group('scorecard', config.historyInterval, [
      value('recovery_time_seconds', |||
        %s
        /
        (%s > 0)
      ||| % [week('collection_incident_duration_seconds_sum'), week('collection_incident_duration_seconds_count')]),
      // People's verdicts on alerts; shadow alerts tell nobody and get none.
      value('alert_relevance_ratio', |||
        sum without (alertname, verdict) (%s)
        /
        (sum without (alertname, verdict) (%s) > 0)
      ||| % [lib.fact('collection_alert_feedback_total', 'verdict="relevant"'), lib.fact('collection_alert_feedback_total')]),
      value('recovery_success_ratio', |||
        %s
        /
        (%s > 0)
      ||| % [week('collection_recovery_results_total', 'result="recovered"'), week('collection_recovery_results_total', 'result!="skipped"')]),
      value('coverage_ratio', '1 - sum without (state) (%s) / sum without (state) (%s > 0)' % [
        lib.fact('collection_health_collectors', 'state="silent"'),
        lib.fact('collection_health_collectors', 'state="registered"'),
      ]),
      value('uptime_ratio', |||
        1 - avg_over_time(fleet:failing:count[1d]) / sum without (state) (fleet:collectors:count)
      |||),
      value('quality_ratio', 'avg without (collector) (sum without (window) (collector:quality:level_ratio{window="10"}))'),
      value('interventions_saved_ratio', |||
        1 -
        %s
        /
        (%s > 0)
      ||| % [week('collection_incidents_total', 'ended_by="manual"'), week('collection_incidents_total')]),
      // Scraped, rules evaluated, notifications delivered: the weakest of the three.
      value('reliability_ratio', |||
        min without (part) (
          label_replace(avg_over_time(fleet:exporter:up[1d]), "part", "scrape", "", "")
          or label_replace(fleet:rule_evaluations:success_ratio, "part", "rules", "", "")
          or label_replace(fleet:notifications:success_ratio, "part", "notifications", "", "")
        )
      |||),
    ] + [
      lib.record('fleet:scorecard:target', 'vector(%g)' % c[promise], { promise: promise })
      for promise in std.objectFields(c)
    ]),
    lib.group('alert-history', config.fastInterval, [
      // Firing alerts of the pack, live and on trial, for the scorecard's comparison.
      lib.record('fleet:alerts:count', |||
        count by (alertname, shadow) (
          ALERTS{alertstate="firing", alertname=~"Collect.*|Dependency.*|Fleet.*"}
        )
      |||),
    ]),
  ],
}
