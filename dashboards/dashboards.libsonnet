// The nine dashboards, by file name.
{
  local kit = (import 'lib/kit.libsonnet')($._config),

  grafanaDashboards+:: {
    [dashboard.uid + '.json']: dashboard
    for dashboard in [
      (import 'fleet.libsonnet')(kit),
      (import 'collector.libsonnet')(kit),
      (import 'slo.libsonnet')(kit),
      (import 'trends.libsonnet')(kit),
      (import 'patterns.libsonnet')(kit),
      (import 'predictions.libsonnet')(kit),
      (import 'recovery.libsonnet')(kit),
      (import 'scorecard.libsonnet')(kit),
      (import 'self.libsonnet')(kit),
    ]
  },
}
