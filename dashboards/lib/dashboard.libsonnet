// Turns rows of panels into a dashboard. Everything all dashboards share is set here, once:
// uid, tags, time range, variables, annotations, links, panel ids and positions.
local panels = import 'panels.libsonnet';

function(config) {
  local settings = config.dashboards,
  local uid(name) = 'collection-health-' + name,
  local cluster = config.clusterLabel,

  // Panels flow from left to right and wrap at 24 columns.
  local place(row, y) = std.foldl(
    function(at, panel)
      local wraps = at.x + panel.size.w > 24;
      local x = if wraps then 0 else at.x;
      local top = if wraps then at.y + at.height else at.y;
      {
        x: x + panel.size.w,
        y: top,
        height: if wraps then panel.size.h else std.max(at.height, panel.size.h),
        panels: at.panels + [panel { gridPos: { x: x, y: top, w: panel.size.w, h: panel.size.h } }],
      },
    row.panels,
    { x: 0, y: y, height: 0, panels: [] },
  ),
  local header(title, y) = {
    type: 'row',
    title: title,
    collapsed: false,
    gridPos: { x: 0, y: y, w: 24, h: 1 },
    panels: [],
  },
  local stack(rows) = std.foldl(
    function(at, row)
      local titled = row.title != '';
      local placed = place(row, at.y + if titled then 1 else 0);
      {
        y: placed.y + placed.height,
        panels: at.panels + (if titled then [header(row.title, at.y)] else []) + placed.panels,
      },
    rows,
    { y: 0, panels: [] },
  ).panels,

  row(title, panels):: { title: title, panels: panels },

  // ── Variables ──────────────────────────────────────────────────────────────────────────────
  variable:: {
    datasource: {
      type: 'datasource',
      name: 'datasource',
      label: 'Data source',
      query: 'prometheus',
      regex: settings.datasourceRegex,
      refresh: 1,
      hide: 0,
      multi: false,
      includeAll: false,
      options: [],
    },
    labelValues(name, label, metric, field, description=''):: {
      local query = 'label_values(%s, %s)' % [metric, field],
      type: 'query',
      name: name,
      label: label,
      description: description,
      datasource: panels.datasource,
      definition: query,
      query: { qryType: 1, query: query, refId: 'variable-' + name },
      refresh: 2,
      sort: 1,
      hide: 0,
      multi: false,
      includeAll: false,
      options: [],
    },
    // Several values or all; "all" matches everything, values that do not exist yet included.
    any:: { multi: true, includeAll: true, allValue: '.*', current: { selected: true, text: ['All'], value: ['$__all'] } },
  },
  local clusterVariable =
    if cluster == '' then []
    else [$.variable.labelValues(
      cluster,
      'Cluster',
      'collection_info{%s}' % config.selector,
      cluster,
      'Only collectors of these clusters',
    ) + $.variable.any],

  // ── Annotations ────────────────────────────────────────────────────────────────────────────
  local annotation(name, expr, color, title, text, tags) = {
    name: name,
    datasource: panels.datasource,
    enable: true,
    hide: false,
    iconColor: color,
    expr: expr,
    step: '2m',
    titleFormat: title,
    textFormat: text,
    tagKeys: tags,
    useValueForTime: false,
  },
  local onDashboard = {
    builtIn: 1,
    name: 'Annotations & Alerts',
    datasource: { type: 'grafana', uid: '-- Grafana --' },
    enable: true,
    hide: true,
    iconColor: 'rgba(0, 211, 255, 1)',
    type: 'dashboard',
  },
  // `alerts` are label matchers, `held` an expression: they keep the marks to what the dashboard shows.
  annotations(alerts, held):: [
    annotation(
      'Alerts',
      'count by (%salertname, severity, root_cause) (ALERTS{alertstate="firing", kind!="", shadow="", %s})' % [if cluster == '' then '' else cluster + ', ', alerts],
      'red',
      '{{alertname}}',
      '{{severity}}, root cause {{root_cause}}',
      'severity',
    ),
    annotation(
      'Maintenance, pause, acknowledgement',
      held,
      'blue',
      '{{collector}} {{control}}',
      'Held back by a person: paused, in maintenance or acknowledged',
      'control',
    ),
  ],

  // ── The dashboard ──────────────────────────────────────────────────────────────────────────
  // spec: name (the uid's last part), title, description, variables, annotations, rows, time (how far back)
  new(spec):: {
    uid: uid(spec.name),
    title: 'Collection Health / ' + spec.title,
    description: spec.description,
    tags: settings.tags,
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    timezone: settings.timezone,
    weekStart: '',
    refresh: settings.refresh,
    time: { from: 'now-' + std.get(spec, 'time', settings.timeRange), to: 'now' },
    timepicker: {},
    templating: { list: [$.variable.datasource] + clusterVariable + spec.variables },
    // Every two minutes is plenty in a day, and too much in a week.
    local coarse = if std.endsWith(self.time.from, 'd') then { step: '20m' } else {},
    annotations: { list: [onDashboard] + [mark + coarse for mark in spec.annotations] },
    links: [{
      type: 'dashboards',
      title: 'Collection Health',
      tags: settings.tags,
      asDropdown: true,
      includeVars: true,
      keepTime: true,
      targetBlank: false,
      icon: 'external link',
      tooltip: 'The other dashboards, with this time range and these variables',
      url: '',
    }] + std.get(spec, 'links', []),
    local placed = stack(spec.rows),
    panels: [placed[i] { id: i + 1 } for i in std.range(0, std.length(placed) - 1)],
  },

  // A link to another dashboard that takes data source, cluster and time range along. `variables` adds
  // further `name=value` pairs, where a value may be Grafana's ${__data.fields.x} or ${__field.labels.x}.
  link(name, title, variables={}):: {
    title: title,
    url: '/d/%s/?${datasource:queryparam}%s&${__url_time_range}%s' % [
      uid(name),
      if cluster == '' || std.objectHas(variables, cluster) then '' else '&${%s:queryparam}' % cluster,
      std.join('', ['&var-%s=%s' % [v, variables[v]] for v in std.objectFields(variables)]),
    ],
  },
}
