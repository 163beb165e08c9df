// A pack in miniature: one of everything that `generate` has to carry over.
{
  _config+:: {
    job: 'collection-health',
    windows: ['1h', '6h'],
    alerts: { CollectorSlow: { 'for': '10m', factor: 1.5 } },
    alertExtraLabels: {},
    slack: null,
    pager: { url: 'http://127.0.0.1/' },
    channels: { extensible:: true, email: null },
    kubernetes: {
      name: 'collection-health',
      namespace: '',
      labels: {},
      ruleLabels: {},
      dashboardLabels: { grafana_dashboard: '1' },
    },
  },
  assert $._config.alerts.CollectorSlow.factor > 1 : 'alerts.CollectorSlow.factor must be above 1',
  prometheusRules+:: {
    groups: [{
      name: 'collector.sli',
      rules: [{
        record: 'collector:up:max',
        expr: |||
          max by (collector) (
            up{job="%s"}
          )
        ||| % $._config.job,
      }],
    }],
  },
  prometheusAlerts+:: {
    groups: [{
      name: 'collector.alerts',
      rules: [{
        alert: 'CollectorSlow',
        expr: 'collector:up:max > %g' % $._config.alerts.CollectorSlow.factor,
        'for': $._config.alerts.CollectorSlow['for'],
        labels: { severity: 'warning' } + $._config.alertExtraLabels,
        annotations: { summary: 'A collector is slow.', description: 'It takes {{ $value }} s.' },
      }],
    }],
  },
  grafanaDashboards+:: {
    'fleet.json': { uid: 'collection-health-fleet', title: 'Fleet · overview' },
    [if std.objectHas($._config.channels, 'extra') then 'extra.json']: {
      uid: 'collection-health-extra',
      title: $._config.channels.extra.title,
    },
  },
  alertmanager+:: {
    config: {
      route: { receiver: 'people' },
      templates: ['templates/*.tmpl'],
      receivers: [{
        name: 'people',
        [if $._config.pager != null then 'webhook_configs']: [{ url: $._config.pager.url }],
        [if $._config.slack != null then 'slack_configs']: [$._config.slack],
      }],
    },
    templates: { 'slack.tmpl': '{{ define "slack.title" }}{{ .Status }}{{ end }}' },
  },
}
