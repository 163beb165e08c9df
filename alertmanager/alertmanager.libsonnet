// Everything that turns firing alerts into messages: one configuration file and its templates.
local inhibition = import 'inhibition.libsonnet';
local settings = import 'lib/settings.libsonnet';
local receivers = import 'receivers.libsonnet';
local routes = import 'routes.libsonnet';

{
  local config = settings($._config),

  alertmanager+:: {
    config: {
      templates: ['templates/*.tmpl'],
      route: routes.tree(config),
      time_intervals: routes.timeIntervals(config),
      inhibit_rules: inhibition(config),
      receivers: receivers(config),
    },

    // File name to content. links.tmpl is the only one that depends on the configuration.
    templates: {
      'links.tmpl': |||
        {{ define "collection_health.exporter_url" }}%(exporterUrl)s{{ end }}
        {{ define "collection_health.notification_reason" }}%(reason)s{{ end }}
      ||| % {
        exporterUrl: config.exporterUrl,
        // Why Alertmanager sends this now: a new alert, a repetition, …
        reason: if config.allows('0.32') then '{{ .NotificationReason }}' else '',
      },
      'message.tmpl': importstr 'templates/message.tmpl',
      'slack.tmpl': importstr 'templates/slack.tmpl',
      'email.tmpl': importstr 'templates/email.tmpl',
    },
  },
}
