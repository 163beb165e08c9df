// The dashboards, by file name.
{
  local kit = (import 'lib/kit.libsonnet')($._config),

  grafanaDashboards+:: {
    [dashboard.uid + '.json']: dashboard
    for dashboard in [
      (import 'fleet.libsonnet')(kit),
      (import 'collector.libsonnet')(kit),
      (import 'recovery.libsonnet')(kit),
      (import 'self.libsonnet')(kit),
    ]
  },
}
