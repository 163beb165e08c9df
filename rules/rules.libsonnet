// Puts the rule files together under the two keys of the monitoring-mixin contract.
{
  local root = self,
  local lib = (import 'lib/builders.libsonnet')(root._config),
  local concern(file) = file(root._config, lib).groups,

  prometheusRules+:: {
    groups+:
      concern(import 'sli.libsonnet') +
      concern(import 'baseline.libsonnet') +
      concern(import 'freshness.libsonnet') +
      concern(import 'health.libsonnet') +
      concern(import 'labels.libsonnet'),
  },

  prometheusAlerts+:: {
    groups+: concern(import 'alerts.libsonnet'),
  },
}
