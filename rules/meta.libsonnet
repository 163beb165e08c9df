// The monitoring watched: scrapes, ingest, ledger, rule evaluation, delivery.
function(config, lib) {
  local prometheus(extra) = '{%s}' % std.join(', ', [config.prometheusSelector, extra]),
  local alertmanager = '{%s}' % config.alertmanagerSelector,
  local dropped = lib.dropped,
  groups: [
    lib.group('meta', config.slowInterval, [
      lib.record('fleet:rule_evaluation_failures:increase1h', 'sum without (%s, rule_group) (increase(prometheus_rule_evaluation_failures_total%s[1h]))' % [dropped, prometheus('rule_group=~".*collection-.*"')]),
      lib.record('fleet:rule_evaluations:success_ratio', |||
        1 - fleet:rule_evaluation_failures:increase1h
        / (sum without (%s, rule_group) (increase(prometheus_rule_evaluations_total%s[1h])) > 0)
      ||| % [dropped, prometheus('rule_group=~".*collection-.*"')]),
      lib.record('fleet:rule_groups_behind:count', |||
        count without (%(dropped)s, rule_group) (
          prometheus_rule_group_last_duration_seconds%(groups)s
          > prometheus_rule_group_interval_seconds%(groups)s
        )
      ||| % { dropped: dropped, groups: prometheus('rule_group=~".*collection-.*"') }),
      lib.record('fleet:notifications_failed:increase1h', 'sum without (%s, reason) (increase(alertmanager_notifications_failed_total%s[1h]))' % [dropped, alertmanager]),
      lib.record('fleet:notifications:success_ratio', |||
        1 - sum without (integration) (fleet:notifications_failed:increase1h)
        / (sum without (%s, integration) (increase(alertmanager_notifications_total%s[1h])) > 0)
      ||| % [dropped, alertmanager]),
      lib.record('fleet:events:increase1h', 'sum without (%s, protocol) (increase(collection_health_events_total%s[1h]))' % [dropped, lib.matchers()]),
    ]),
  ],
}
