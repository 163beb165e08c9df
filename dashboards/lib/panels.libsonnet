// Grafana panels as plain objects, independent of the configuration.
//
// Every constructor takes one spec:
//   title, description, unit      required: no panel is published without them
//   queries                       list of query()/instant(); a table takes `columns` instead
//   noValue                       what to do when there is nothing to see (an empty panel must not leave anyone guessing)
//   width, height                 in Grafana's grid of 24 columns
//   thresholds, mappings, links, decimals, min, max   field defaults
//   overrides                     list of {matcher, properties}
//   options, custom               merged over the options and the drawing style of the panel type
{
  datasource:: { type: 'prometheus', uid: '${datasource}' },

  // A range query; `legend` names its series.
  query(expr, legend):: {
    datasource: $.datasource,
    editorMode: 'code',
    expr: expr,
    legendFormat: legend,
    range: true,
    instant: false,
    format: 'time_series',
  },
  // One value a series, at the end of the time range.
  instant(expr, legend):: $.query(expr, legend) + { range: false, instant: true },

  // Absolute thresholds from [[value, colour], …]; the first value is the base and stays null.
  steps(pairs):: {
    mode: 'absolute',
    steps: [
      { value: if i == 0 then null else pairs[i][0], color: pairs[i][1] }
      for i in std.range(0, std.length(pairs) - 1)
    ],
  },

  // Texts and colours for values: {'0': ['healthy', 'green'], …}.
  valueMap(texts):: {
    type: 'value',
    options: {
      [value]: { text: texts[value][0], color: texts[value][1], index: std.parseInt(value) }
      for value in std.objectFields(texts)
    },
  },

  byName(name, properties):: {
    matcher: { id: 'byName', options: name },
    properties: [{ id: id, value: properties[id] } for id in std.objectFields(properties)],
  },
  byRegexp(pattern, properties):: $.byName(pattern, properties) + { matcher+: { id: 'byRegexp' } },
  color(fixed):: { color: { mode: 'fixed', fixedColor: fixed } },
  dashed(name, fixed):: $.byName(name, $.color(fixed) + {
    'custom.lineStyle': { fill: 'dash', dash: [8, 6] },
    'custom.fillOpacity': 0,
  }),
  // Draws the series `upper` as a band above the series `lower`.
  band(lower, upper, fixed='blue'):: [
    $.byName(lower, $.color(fixed) + { 'custom.lineWidth': 0, 'custom.fillOpacity': 0 }),
    $.byName(upper, $.color(fixed) + { 'custom.lineWidth': 0, 'custom.fillOpacity': 15, 'custom.fillBelowTo': lower }),
  ],

  local refId(i) = std.char(std.codepoint('A') + i),
  local numbered(queries) = [queries[i] { refId: refId(i) } for i in std.range(0, std.length(queries) - 1)],
  local optional(spec, names) = { [n]: spec[n] for n in names if std.objectHas(spec, n) },

  local panel(type, spec, defaults, options) = {
    // Read by dashboard.libsonnet, which places the panels.
    size:: { w: std.get(spec, 'width', 12), h: std.get(spec, 'height', 8) },
    type: type,
    title: spec.title,
    description: spec.description,
    datasource: $.datasource,
    targets: numbered(spec.queries),
    fieldConfig: {
      defaults: {
        unit: spec.unit,
        noValue: std.get(spec, 'noValue', 'No data'),
      } + defaults + optional(spec, ['decimals', 'min', 'max', 'thresholds', 'mappings', 'links']) + {
        custom+: std.get(spec, 'custom', {}),
      },
      overrides: std.get(spec, 'overrides', []),
    },
    options: options + std.get(spec, 'options', {}),
  } + optional(spec, ['transformations', 'maxDataPoints', 'interval', 'timeFrom']),

  local tooltip(mode) = { mode: mode, sort: 'desc' },
  local legend(mode, placement, calcs) = {
    showLegend: true,
    displayMode: mode,
    placement: placement,
    calcs: calcs,
  },

  stat(spec):: panel(
    'stat',
    // The trend behind the number needs few points, and every point costs the whole query.
    { width: 4, height: 4, maxDataPoints: 60, thresholds: $.steps([[null, 'text']]) } + spec,
    { color: { mode: 'thresholds' } },
    {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: if std.objectHas(spec, 'thresholds') then 'background' else 'value',
      graphMode: if std.length([q for q in spec.queries if q.range]) > 0 then 'area' else 'none',
      textMode: 'auto',
      justifyMode: 'auto',
      orientation: 'auto',
      wideLayout: true,
    },
  ),

  // As many points as a person can tell apart: one a minute in six hours.
  timeseries(spec):: panel(
    'timeseries',
    { maxDataPoints: 360 } + spec,
    {
      color: { mode: 'palette-classic' },
      custom: {
        drawStyle: 'line',
        lineInterpolation: 'linear',
        lineWidth: 1,
        fillOpacity: 10,
        showPoints: 'never',
        spanNulls: false,
        axisSoftMin: 0,
        stacking: { mode: 'none', group: 'A' },
        thresholdsStyle: { mode: if std.objectHas(spec, 'thresholds') then 'dashed' else 'off' },
      },
    },
    {
      legend: legend('list', 'bottom', []),
      tooltip: tooltip('multi'),
    },
  ),
  // Stacked areas or, for counts per interval, stacked bars.
  stacked(spec):: $.timeseries(spec) + {
    fieldConfig+: { defaults+: { custom+: { stacking: { mode: 'normal', group: 'A' }, fillOpacity: 60, lineWidth: 0 } } },
  },
  bars(spec):: $.stacked({ maxDataPoints: 120, interval: '1m' } + spec) + {
    fieldConfig+: { defaults+: { custom+: { drawStyle: 'bars', fillOpacity: 80 } } },
  },

  // One row a series, coloured by state; equal neighbours are merged.
  stateTimeline(spec):: panel(
    'state-timeline',
    { maxDataPoints: 300 } + spec,
    { color: { mode: 'thresholds' }, custom: { fillOpacity: 80, lineWidth: 0 } },
    {
      showValue: 'never',
      mergeValues: true,
      rowHeight: 0.85,
      alignValue: 'left',
      perPage: 25,
      legend: legend('list', 'bottom', []),
      tooltip: tooltip('single'),
    },
  ),
  // One cell a sample: a heat strip.
  statusHistory(spec):: panel(
    'status-history',
    { maxDataPoints: 96 } + spec,
    { color: { mode: 'thresholds' }, custom: { fillOpacity: 80, lineWidth: 1 } },
    {
      showValue: 'never',
      rowHeight: 0.85,
      colWidth: 0.95,
      perPage: 25,
      legend: legend('list', 'bottom', []),
      tooltip: tooltip('single'),
    },
  ),

  barGauge(spec):: panel(
    'bargauge',
    spec,
    { color: { mode: 'thresholds' } },
    {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      displayMode: 'basic',
      orientation: 'horizontal',
      valueMode: 'color',
      showUnfilled: true,
      namePlacement: 'auto',
      sizing: 'auto',
      minVizWidth: 8,
      minVizHeight: 16,
      maxVizHeight: 300,
      legend: { showLegend: false, displayMode: 'list', placement: 'bottom', calcs: [] },
    },
  ),

  // A table of instant queries joined on the labels they share. `columns` in order:
  //   {title, label}             a label of the series
  //   {title, expr, …}           a value; `unit`, `decimals`, `mappings`, `thresholds`, `links`, `width`, `color`
  //                              ('background', 'text' or 'gauge') style its cells
  //   {title, expr, hidden: true}  only the labels of the expression are wanted, not its value
  // Every expression must stay within the rows that are wanted: whatever any of them returns becomes a row.
  table(spec)::
    local columns = spec.columns;
    local values = [c for c in columns if std.objectHas(c, 'expr')];
    local fields = [
      if std.objectHas(columns[i], 'expr')
      then 'Value #' + refId(std.length([c for c in columns[0:i] if std.objectHas(c, 'expr')]))
      else columns[i].label
      for i in std.range(0, std.length(columns) - 1)
    ];
    local cell = {
      background: { type: 'color-background', mode: 'basic' },
      text: { type: 'color-text' },
      gauge: { type: 'gauge', mode: 'basic', valueDisplayMode: 'text' },
    };
    local properties(c) =
      optional(c, ['unit', 'decimals', 'mappings', 'thresholds', 'links', 'min', 'max', 'noValue'])
      + (if std.objectHas(c, 'width') then { 'custom.width': c.width } else {})
      + (if std.objectHas(c, 'color') then { 'custom.cellOptions': cell[c.color] } else {});
    local shown = [c for c in columns if !std.get(c, 'hidden', false)];
    panel(
      'table',
      { width: 24, unit: 'none' } + spec + {
        queries: [$.instant(c.expr, c.title) + { format: 'table' } for c in values],
        overrides: [$.byName(c.title, properties(c)) for c in shown if properties(c) != {}],
        transformations: [
          { id: 'merge', options: {} },
          {
            id: 'organize',
            options: {
              excludeByName: { Time: true } + {
                [fields[i]]: true
                for i in std.range(0, std.length(columns) - 1)
                if std.get(columns[i], 'hidden', false)
              },
              indexByName: { [fields[i]]: i for i in std.range(0, std.length(columns) - 1) },
              renameByName: { [fields[i]]: columns[i].title for i in std.range(0, std.length(columns) - 1) }
                            // Grafana drops the number when only one query answers.
                            + { Value: values[0].title },
            },
          },
        ],
      },
      {
        color: { mode: 'thresholds' },
        custom: { align: 'auto', filterable: true, inspect: false, cellOptions: { type: 'auto' } },
      },
      {
        showHeader: true,
        cellHeight: 'sm',
        footer: { show: false, reducer: [], countRows: false, fields: '' },
        sortBy: std.get(spec, 'sortBy', []),
      },
    ),

  text(spec):: {
    size:: { w: std.get(spec, 'width', 24), h: std.get(spec, 'height', 3) },
    type: 'text',
    title: spec.title,
    description: spec.description,
    transparent: std.get(spec, 'transparent', false),
    options: { mode: 'markdown', content: spec.content },
  },
}
