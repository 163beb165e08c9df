// Builders shared by every rule file: facts of the exporter, recording rules, alerts.
function(config) {
  local dropped = std.join(', ', config.instanceLabels),

  // Braced matchers: the exporter's selector and whatever the caller adds.
  matchers(extra='')::
    local parts = std.filter(function(part) part != '', [config.selector, extra]);
    if std.length(parts) == 0 then '' else '{%s}' % std.join(', ', parts),

  // Newest value of a fact: one series per collector whatever number of exporters states it, and
  // unmoved by a missed scrape (a failed scrape marks series stale; last_over_time looks past that).
  fact(metric, extra='', drop=[], offset='')::
    'max without (%s) (last_over_time(%s%s[%s]%s))' % [
      std.join(', ', [dropped] + drop),
      metric,
      $.matchers(extra),
      config.scrapeGuard,
      if offset == '' then '' else ' offset ' + offset,
    ],

  record(name, expr, labels={}):: {
    record: name,
    expr: expr,
    [if labels != {} then 'labels']: labels,
  },

  // '90s', '10m', '1h30m' as a number of seconds.
  seconds(duration)::
    local unit = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
    local step(state, char) =
      if std.length(std.findSubstr(char, '0123456789')) > 0 then
        // A digit after a unit begins the next part.
        (if state.unit == '' then state { number: state.number + char } else step(flush(state), char))
      else state { unit: state.unit + char },
          flush(state) = { total: state.total + std.parseInt(state.number) * unit[state.unit], number: '', unit: '' };
    flush(std.foldl(step, std.stringChars(duration), { total: 0, number: '', unit: '' })).total,

  group(name, interval, rules):: { name: 'collection-' + name, interval: interval, rules: rules },

  // An alert with everything the pack promises of one: links, extra labels, overrides, shadow mode.
  alert(name, severity, expr, labels, annotations, timing={})::
    local override = { labels: {}, annotations: {} } + std.get(config.alertOverrides, name, {});
    local anchor = std.asciiLower(name);
    {
      alert: name,
      expr: expr,
      [if std.objectHas(override, 'for') then 'for' else if std.objectHas(timing, 'for') then 'for']: std.get(override, 'for', std.get(timing, 'for', '0s')),
      [if std.objectHas(override, 'keep_firing_for') || std.objectHas(timing, 'keep_firing_for') then 'keep_firing_for']: std.get(override, 'keep_firing_for', std.get(timing, 'keep_firing_for', '0s')),
      labels: { severity: std.get(override, 'severity', severity) } + labels
              + (if std.member(config.shadowAlerts, name) then { shadow: 'true' } else {})
              + config.alertExtraLabels + override.labels,
      annotations: {
        runbook_url: config.runbookUrlPattern % anchor,
        dashboard_url: config.dashboardUrlPattern % 'collection-health-fleet',
      } + annotations + config.alertExtraAnnotations + override.annotations,
    },

  // An alert on one kind of problem of a collector; the join adds team, tier and root cause.
  collectorAlert(name, severity, problem, kind, annotations, timing={})::
    $.alert(
      name,
      severity,
      |||
        max without (problem, severity) (collector:problem:value{problem="%s", severity="%s"})
        * ignoring (team, tier, root_cause) group_left (team, tier, root_cause)
        collector:labels:info
      ||| % [problem, severity],
      { kind: kind },
      { dashboard_url: config.dashboardUrlPattern % 'collection-health-collector' + '?var-collector={{ $labels.collector }}' } + annotations,
      timing,
    ),
}
