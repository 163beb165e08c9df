// Collection Health as a monitoring mixin: prometheusRules, prometheusAlerts, and what the
// dashboards/ and alertmanager/ folders add.
(import 'config.libsonnet') +
(import 'rules/rules.libsonnet') +
(import 'dashboards/dashboards.libsonnet') +
(import 'alertmanager/alertmanager.libsonnet')
