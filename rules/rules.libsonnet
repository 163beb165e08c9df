// Puts the rule files together under the two keys of the monitoring-mixin contract.
{
  local config = self._config,
  // A verdict with no share of the dial would need infinite evidence.
  local shareless = [
    name
    for name in std.objectFields(config.falseAlertShares)
    if config.falseAlertShares[name] <= 0
  ],
  assert config.falseAlertsPerCollectorWeek > 0 : 'falseAlertsPerCollectorWeek: must be above 0',
  assert shareless == [] : 'falseAlertShares.%s: must be above 0; to switch alerts off name them in disabledAlerts' % shareless[0],
  local lib = (import 'lib/builders.libsonnet')(config),
  local alerts = (import 'lib/alerts.libsonnet')(config),
  local wanted(group) = group {
    rules: std.filter(function(rule) !std.member(config.disabledAlerts, rule.alert), group.rules),
  },

  // Groups of one name are one group, at the place of the last: its rules run one after the other in
  // the same evaluation, so that a verdict does not wait for several rounds of what it rests on.
  local joined(groups) = [
    groups[i] { rules: std.flatMap(function(group) if group.name == groups[i].name then group.rules else [], groups) }
    for i in std.range(0, std.length(groups) - 1)
    if std.filter(function(later) later.name == groups[i].name, groups[i + 1:]) == []
  ],

  prometheusRules+:: {
    groups+: joined(std.flatMap(function(concern) concern(config, lib).groups, [
      import 'sli.libsonnet',
      import 'baseline.libsonnet',
      import 'freshness.libsonnet',
      import 'volume.libsonnet',
      import 'latency.libsonnet',
      import 'slo.libsonnet',
      import 'habits.libsonnet',
      import 'failing.libsonnet',
      import 'degradations.libsonnet',
      import 'health.libsonnet',
      import 'dependencies.libsonnet',
      import 'patterns.libsonnet',
      import 'prediction.libsonnet',
      import 'risk.libsonnet',
      import 'recovery.libsonnet',
      import 'labels.libsonnet',
      import 'meta.libsonnet',
      import 'scorecard.libsonnet',
    ])),
  },

  prometheusAlerts+:: {
    groups+: std.filter(
      function(group) group.rules != [],
      std.map(wanted, (import 'alerts.libsonnet')(config, lib, alerts).groups)
    ),
  },
}
