// One collector: what happens, why, since when, what is usual, what comes next and who is repairing it.
function(kit)
  local q = kit.q;
  local own = kit.own;
  local settings = kit.config.dashboards;
  local since = own('collection_failing_since_timestamp_seconds') + ' > 0';
  local notDeclared(what) = 'Declare %s for this collector in collectors.yml' % what;
  // Counts per bar; several exporters may have told of the same collector at different times.
  local increase(metric, by='', extra='') = 'sum by (%s%s) (increase(%s{%s}[$__rate_interval]))' % [
    kit.matchers.by,
    if by == '' then '' else ', ' + by,
    metric,
    kit.matchers.one + if extra == '' then '' else ', ' + extra,
  ];
  local line(expr, legend) = kit.query(q(expr), legend);

  // The exporter's own pages know single runs and take acknowledgements.
  local atExporter(title, path, icon, tooltip) = {
    type: 'link',
    title: title,
    url: '%s/collectors/${collector:percentencode}%s' % [kit.config.exporterUrl, path],
    icon: icon,
    tooltip: tooltip,
    tags: [],
    asDropdown: false,
    targetBlank: true,
    includeVars: false,
    keepTime: false,
  };

  local rightNow = [
    kit.stat({
      title: 'State',
      description: 'Healthy, degraded (delivers, but not as it should), failing, or nothing known. The problems are listed below.',
      unit: 'none',
      width: 3,
      queries: [line(kit.ownRule('collector:health:state'), 'State')],
      mappings: kit.states,
      thresholds: kit.stateSteps,
      noValue: 'No verdict yet: the rules need a first run',
    }),
    kit.stat({
      title: 'Failing since',
      description: 'First bad run of the incident that is open now, missed runs included.',
      unit: 'dateTimeFromNow',
      width: 3,
      queries: [kit.instant(q('1000 * (%s)' % since), 'First bad run')],
      thresholds: kit.steps([[null, 'red']]),
      noValue: 'not failing',
    }),
    kit.stat({
      title: 'Why',
      description: 'Reason of the last failed run and the stage it failed in, while an incident is open.',
      unit: 'none',
      width: 3,
      queries: [kit.instant(q('max by (%%(by)s, reason, stage) (collection_last_failure_info{%%(one)s}) and on (%%(by)s) %s' % since), '{{reason}} {{stage}}')],
      options: { textMode: 'name' },
      thresholds: kit.steps([[null, 'orange']]),
      noValue: 'not failing',
    }),
    kit.stat({
      title: 'Failed in a row',
      description: 'Failed runs in a row, against the number at which they are news for this collector: derived from its own past, so that flakes stay silent.',
      unit: 'short',
      width: 3,
      queries: [
        kit.instant(q(own('collection_consecutive_failures')), 'failed'),
        kit.instant(q(kit.ownSlow('collector:failing:threshold', 'severity="warning"')), 'news from'),
      ],
      thresholds: kit.zeroIsGood('orange'),
      noValue: 'No run yet',
    }),
    kit.stat({
      title: 'Next run',
      description: 'When the next run is expected. In the past: it is late.',
      unit: 'dateTimeFromNow',
      width: 3,
      queries: [kit.instant(q('1000 * ' + own('collection_next_run_timestamp_seconds')), 'expected')],
      noValue: 'No schedule: declare one in collectors.yml, or let a few runs show it',
    }),
    kit.stat({
      title: 'Last good run',
      description: 'End of the newest run that delivered.',
      unit: 'dateTimeFromNow',
      width: 3,
      queries: [kit.instant(q('1000 * (%s > 0)' % own('collection_last_success_timestamp_seconds')), 'last good run')],
      noValue: 'never',
    }),
    kit.stat({
      title: 'Cost so far',
      description: 'Cost of the open incident: cost_per_hour times the hours since its first bad run.',
      unit: settings.costUnit,
      width: 3,
      queries: [kit.instant(q('%s * (time() - (%s)) / 3600' % [own('collection_cost_per_hour'), since]), 'so far')],
      thresholds: kit.zeroIsGood('orange'),
      noValue: 'not failing, or no impact.cost_per_hour declared',
    }),
    kit.stat({
      title: 'Repair',
      description: 'What automatic recovery is doing. Exhausted: every step was tried, a person is needed. Breaker open: it kept failing and waits.',
      unit: 'none',
      width: 3,
      queries: [kit.instant(q('%s + 2 * %s + 4 * %s' % [
        own('collection_recovery_in_progress'),
        own('collection_recovery_circuit_open'),
        own('collection_recovery_exhausted'),
      ]), 'Repair')],
      mappings: [kit.valueMap({
        '0': ['idle', 'green'],
        '1': ['under way', 'blue'],
        '2': ['breaker open', 'orange'],
        '3': ['under way', 'blue'],
        '4': ['exhausted', 'red'],
        '5': ['under way', 'blue'],
        '6': ['exhausted', 'red'],
        '7': ['under way', 'blue'],
      })],
      noValue: 'No recovery configured: add a recovery section in collectors.yml',
      links: [kit.link('recovery', 'Open Recovery and escalation')],
    }),
  ];

  local problems = [
    kit.table({
      title: 'Alerts',
      description: 'Alerts about this collector that fire now, and what they take for the root cause.',
      width: 14,
      height: 6,
      noValue: 'No alert fires for this collector',
      local firing = kit.alerts('collector="$collector"'),
      columns: [
        { title: 'Alert', label: 'alertname', width: 260 },
        { title: 'Severity', label: 'severity', width: 90 },
        { title: 'Root cause', label: 'root_cause' },
        {
          title: 'Since',
          expr: q('min by (%%(and)salertname, severity, root_cause) (%s)' % kit.since(firing)),
          unit: 'dateTimeFromNow',
        },
      ],
    }),
    kit.table({
      title: 'Problems',
      description: 'Everything the rules find wrong now, with the number that matters for it. A problem becomes an alert when it is worth telling.',
      width: 10,
      height: 6,
      noValue: 'Nothing is wrong',
      columns: [
        { title: 'Problem', label: 'problem' },
        { title: 'Severity', label: 'severity' },
        { title: 'Value', expr: q('max by (problem, severity) (%s)' % kit.ownRule('collector:problem:value')), decimals: 2 },
      ],
    }),
    kit.table({
      title: 'Who it belongs to',
      description: 'Team, owner, tier and version, from collectors.yml and the newest run.',
      width: 14,
      height: 4,
      noValue: 'Unknown collector: check the name, or report a first run',
      columns: [
        { title: 'Team', label: 'team' },
        { title: 'Owner', label: 'owner' },
        { title: 'Tier', label: 'tier' },
        { title: 'Version', label: 'version' },
        { title: 'Registered', label: 'registered' },
        { title: 'Weight', expr: q('max by (%(by)s) (collection_impact_weight{%(one)s}) * on (%(by)s) group_right () max by (%(by)s, team, owner, tier, version, registered) (collection_info{%(one)s})') },
      ],
    }),
  ];

  local runs = [
    kit.bars({
      title: 'Runs',
      description: 'Runs per interval by how they ended. Partial runs delivered something; missed runs were due and never came.',
      unit: 'short',
      width: 12,
      queries: [
        line('%s - on (%%(by)s) sum by (%%(by)s) (%s) - on (%%(by)s) %s' % [
          increase('collection_runs_total'),
          increase('collection_run_failures_total'),
          increase('collection_runs_partial_total'),
        ], 'success'),
        line(increase('collection_runs_partial_total'), 'partial'),
        line(increase('collection_run_failures_total', '', 'reason!="missed"'), 'failure'),
        line(increase('collection_run_failures_total', '', 'reason="missed"'), 'missed'),
        line(increase('collection_runs_skipped_total'), 'skipped'),
      ],
      overrides: [
        kit.byName('success', kit.color('green')),
        kit.byName('partial', kit.color('yellow')),
        kit.byName('failure', kit.color('red')),
        kit.byName('missed', kit.color('purple')),
        kit.byName('skipped', kit.color('text')),
      ],
      noValue: 'No run in this time range: widen it, or check that the collector reports',
    }),
    kit.bars({
      title: 'Failures by reason',
      description: 'Failed runs per interval by reason. One reason is one cause; many reasons at once point at the environment.',
      unit: 'short',
      width: 12,
      queries: [line(increase('collection_run_failures_total', 'reason') + ' > 0', '{{reason}}')],
      noValue: 'No failure in this time range',
    }),
    kit.stateTimeline({
      title: 'State, holds and last failure',
      description: 'State over time, with what was held back by people, and the reason and stage of the last failed run while an incident was open.',
      unit: 'none',
      width: 24,
      height: 7,
      queries: [
        line(kit.ownRule('collector:health:state'), 'state'),
        line('4 * max by (%(by)s, control) (collection_control_active{%(one)s}) > 0', '{{control}}'),
        line('2 * max by (%%(by)s, reason, stage) (collection_last_failure_info{%%(one)s}) and on (%%(by)s) %s' % since, 'failed: {{reason}} {{stage}}'),
      ],
      mappings: kit.states,
      thresholds: kit.stateSteps,
      noValue: 'Nothing known in this time range',
    }),
  ];

  local performance = [
    kit.timeseries({
      title: 'Run duration',
      description: 'Duration of the last good run and the level of the last three, in the band that is usual for this collector. Above the band it is news; at the timeout it fails.',
      unit: 's',
      queries: [
        line(own('collection_last_run_duration_seconds'), 'last run'),
        line(kit.ownRule('collector:duration:level_seconds'), 'level (median of 3)'),
        line(kit.ownSlow('collector:duration:base_seconds'), 'usual'),
        line(kit.ownSlow('collector:duration:limit_seconds'), 'news above'),
        line(own('collection_latency_target_seconds'), 'target'),
        line(own('collection_run_timeout_seconds'), 'timeout'),
      ],
      overrides: kit.band('usual', 'news above') + [kit.dashed('target', 'orange'), kit.dashed('timeout', 'red')],
      noValue: 'No good run carried a duration yet',
    }),
    kit.timeseries({
      title: 'Records per run',
      description: 'Records of the last good run and the level of the last three, in the band expected at this time of the day or week. Outside the band it is news.',
      unit: 'short',
      queries: [
        line(own('collection_last_run_records'), 'last run'),
        line(kit.ownRule('collector:records:level'), 'level (median of 3)'),
        line(kit.ownSlow('collector:records:expected_best'), 'expected'),
        line(kit.ownSlow('collector:records:lower'), 'news below'),
        line(kit.ownSlow('collector:records:upper'), 'news above'),
        line(own('collection_min_records'), 'declared minimum'),
      ],
      overrides: kit.band('news below', 'news above') + [kit.dashed('expected', 'blue'), kit.dashed('declared minimum', 'red')],
      noValue: 'No run reported records: add records to its outcomes',
    }),
    kit.stat({
      title: 'Seasonality',
      description: 'Which past predicts the records of this collector best: its recent level (flat), the same hour of other days (daily), or of other weeks (weekly).',
      unit: 'none',
      width: 6,
      queries: [kit.instant(kit.ownSlow('collector:records:season'), '{{model}}')],
      options: { textMode: 'name', colorMode: 'none' },
      noValue: 'Not enough history yet',
    }),
    kit.stat({
      title: 'Records against expectation',
      description: 'Records now over what was expected: 1 is as expected, 0.5 is half.',
      unit: 'percentunit',
      decimals: 0,
      width: 6,
      queries: [kit.instant('exp(%s)' % kit.ownSlow('collector:records:deviation'), 'of the expected records')],
      options: { colorMode: 'none' },
      noValue: 'Not enough history yet',
    }),
    kit.stat({
      title: 'Duration against expectation',
      description: 'Where the duration stands between usual (0) and news (100 %).',
      unit: 'percentunit',
      decimals: 0,
      width: 6,
      queries: [kit.instant(kit.ownSlow('collector:duration:deviation_ratio'), 'of the way to news')],
      thresholds: kit.steps([[null, 'text'], [1, 'orange']]),
      noValue: 'Not enough history yet',
    }),
    kit.stat({
      title: 'Flakes',
      description: 'Failed runs among the last 100. What stays below this is no news for this collector.',
      unit: 'percentunit',
      decimals: 1,
      width: 6,
      queries: [kit.instant(kit.ownRule('collector:failures:ratio', 'window="100"'), 'of the last 100 runs')],
      options: { colorMode: 'none' },
      noValue: 'No run yet',
    }),
    kit.timeseries({
      title: 'Freshness',
      description: 'Age of the newest good data and of the last run, whatever it brought. Above the limit the data is stale: runs may happen and bring nothing good.',
      unit: 's',
      queries: [
        line(kit.ownRule('collector:data_age:seconds'), 'age of the data'),
        line('time() - %s' % kit.ownRule('collector:last_run:timestamp_seconds'), 'since the last run'),
        line(kit.ownRule('collector:data_age:limit_seconds'), 'stale above'),
        line(kit.ownRule('collector:interval:seconds'), 'expected interval'),
      ],
      overrides: [kit.dashed('stale above', 'red'), kit.dashed('expected interval', 'blue')],
      noValue: 'No good run yet',
    }),
    kit.timeseries({
      title: 'Time left until the deadline',
      description: 'Seconds until the next run counts as missing: expected time plus grace plus usual duration. Below zero it is late.',
      unit: 's',
      custom: { axisSoftMin:: 0 },  // goes below zero
      queries: [line(kit.ownRule('collector:run_deadline:timestamp_seconds') + ' - time()', 'until the deadline')],
      thresholds: kit.steps([[null, 'red'], [0, 'green']]),
      noValue: 'No schedule: declare one in collectors.yml, or let a few runs show it',
    }),
    kit.timeseries({
      title: 'Quality',
      description: 'Quality of the last good run and the level of the last three, 0 to 100 %, against what is usual and what is promised.',
      unit: 'percentunit',
      min: 0,
      max: 1,
      queries: [
        line(own('collection_last_run_quality_ratio'), 'last run'),
        line(kit.ownRule('collector:quality:level_ratio'), 'level (median of 3)'),
        line(kit.ownSlow('collector:quality:base_ratio'), 'usual'),
        line(kit.ownSlow('collector:quality:limit_ratio'), 'news below'),
        line(own('collection_quality_target_ratio'), 'target'),
      ],
      overrides: [kit.dashed('news below', 'orange'), kit.dashed('target', 'red')],
      noValue: 'No run reported quality or rejected records: add them to its outcomes',
    }),
    kit.bars({
      title: 'Records by kind',
      description: 'Records per interval: collected, written, rejected, duplicate. Growing rejections are a change at the source.',
      unit: 'short',
      queries: [line(increase('collection_records_total', 'kind', 'kind!="expected"'), '{{kind}}')],
      overrides: [kit.byName('rejected', kit.color('red')), kit.byName('duplicate', kit.color('orange'))],
      noValue: 'No run reported records: add records to its outcomes',
    }),
  ];

  local promises = [
    kit.barGauge({
      title: 'Error budget left',
      description: 'Share of the error budget that is left, by promise. At 0 the promise is broken for this period.',
      unit: 'percentunit',
      min: 0,
      max: 1,
      decimals: 0,
      width: 8,
      thresholds: kit.ratioIsGood(0.0001, 0.25),
      queries: [kit.instant(kit.ownRule('collector:error_budget:remaining_ratio'), '{{sli}}')],
      noValue: notDeclared('slo'),
    }),
    kit.timeseries({
      title: 'Budget burn rate',
      description: 'How fast the budget is used: 1 uses it up exactly at the end of the period, 14 in a day.',
      unit: 'short',
      width: 8,
      queries: [line(kit.ownRule('collector:burn_rate:ratio', 'window=~"1h|1d"'), '{{sli}} over {{window}}')],
      thresholds: kit.steps([[null, 'green'], [1, 'orange']]),
      noValue: notDeclared('slo'),
    }),
    kit.table({
      title: 'Predictions',
      description: 'What will happen if nothing changes: when, and how sure the rules are.',
      width: 8,
      noValue: 'Nothing bad is predicted',
      sortBy: [{ displayName: 'In', desc: false }],
      columns: [
        { title: 'What', label: 'prediction' },
        { title: 'In', expr: q('max by (prediction) (%s)' % kit.ownRule('collector:prediction:value')), unit: 's' },
        {
          title: 'Confidence',
          expr: q('max by (prediction) (%s and on (%%(by)s, prediction) %s)' % [
            kit.ownRule('collector:prediction:confidence_ratio'),
            kit.ownRule('collector:prediction:value'),
          ]),
          unit: 'percentunit',
          decimals: 0,
        },
      ],
    }),
    kit.timeseries({
      title: 'Duration forecast',
      description: 'Level of the duration now, and where it is heading by the prediction horizon, against the timeout.',
      unit: 's',
      width: 8,
      queries: [
        line(kit.ownRule('collector:duration:level_seconds'), 'level'),
        line(kit.ownSlow('collector:duration:forecast_seconds'), 'forecast'),
        line(own('collection_run_timeout_seconds'), 'timeout'),
      ],
      overrides: [kit.dashed('forecast', 'purple'), kit.dashed('timeout', 'red')],
      noValue: 'No good run carried a duration yet',
    }),
    kit.timeseries({
      title: 'Quota left',
      description: 'Share of the upstream quota that is left. It must not reach 0 before it resets.',
      unit: 'percentunit',
      min: 0,
      max: 1,
      width: 8,
      queries: [line(own('collection_quota_remaining_ratio'), 'left')],
      noValue: 'No run reported a quota',
    }),
    kit.stat({
      title: 'Credential expires',
      description: 'When the credential this collector reported runs out.',
      unit: 'dateTimeFromNow',
      width: 4,
      queries: [kit.instant('1000 * ' + own('collection_credential_expiry_timestamp_seconds'), 'expires')],
      noValue: 'No run reported an expiry',
      options: { colorMode: 'none' },
    }),
    kit.stat({
      title: 'Quota resets',
      description: 'When the upstream quota starts anew.',
      unit: 'dateTimeFromNow',
      width: 4,
      queries: [kit.instant('1000 * ' + own('collection_quota_reset_timestamp_seconds'), 'resets')],
      noValue: 'No run reported a quota',
      options: { colorMode: 'none' },
    }),
  ];

  local repair = [
    kit.bars({
      title: 'Recovery attempts and results',
      description: 'What was tried and how it ended, per interval. Only a later good run counts as success.',
      unit: 'short',
      queries: [
        line(increase('collection_recovery_attempts_total', 'action') + ' > 0', 'tried: {{action}}'),
        line(increase('collection_recovery_results_total', 'result') + ' > 0', 'ended: {{result}}'),
      ],
      noValue: 'Nothing was tried in this time range. Recovery is configured in collectors.yml',
    }),
    kit.bars({
      title: 'Incidents that ended',
      description: 'Incidents per interval by how they ended: by automatic recovery, by a person, or by themselves.',
      unit: 'short',
      queries: [line(increase('collection_incidents_total', 'ended_by') + ' > 0', '{{ended_by}}')],
      noValue: 'No incident ended in this time range',
    }),
  ];

  local dependencies = [
    kit.table({
      title: 'Stands on',
      description: 'What this collector depends on, and whether that is failing. Declared in collectors.yml under depends_on.',
      width: 12,
      noValue: 'Declare depends_on for this collector in collectors.yml',
      local on = 'max by (%(and)sdependency) (collection_dependency_info{%(one)s})',
      columns: [
        { title: 'Dependency', label: 'dependency' },
        { title: 'Declared', expr: q(on), hidden: true },
        {
          title: 'State',
          expr: q('max by (%%(and)sdependency) (%s) and on (%%(and)sdependency) %s' % [kit.rule('dependency:failing:bool'), on]),
          mappings: kit.yesNo('failing', 'healthy'),
          thresholds: kit.zeroIsGood(),
          color: 'background',
          noValue: 'unknown',
        },
        {
          title: 'Collectors failing',
          expr: q('max by (%%(and)sdependency) (%s) and on (%%(and)sdependency) %s' % [kit.rule('dependency:failing:count'), on]),
        },
        {
          title: 'Collectors on it',
          expr: q('max by (%%(and)sdependency) (%s) and on (%%(and)sdependency) %s' % [kit.rule('dependency:collectors:count'), on]),
        },
        {
          title: 'Probe',
          expr: q('min by (%%(and)sdependency) (collection_dependency_probe_success{%%(facts)s}) and on (%%(and)sdependency) %s' % on),
          mappings: kit.yesNo('answers', 'fails', 'green', 'red'),
          thresholds: kit.steps([[null, 'red'], [1, 'green']]),
          color: 'text',
          noValue: 'none',
        },
      ],
    }),
    kit.stateTimeline({
      title: 'Probes',
      description: 'Active checks of this collector over time. They tell a broken source from a broken collector.',
      unit: 'none',
      width: 12,
      queries: [line('max by (%(by)s, probe) (collection_probe_success{%(one)s})', '{{probe}}')],
      mappings: kit.yesNo('answers', 'fails', 'green', 'red'),
      thresholds: kit.steps([[null, 'red'], [1, 'green']]),
      noValue: 'Declare probes for this collector in collectors.yml',
    }),
  ];

  kit.new({
    name: 'collector',
    title: 'Collector',
    description: 'One collector: what happens, why, since when, what is usual, what comes next and who is repairing it.',
    variables: [kit.collectorVariable],
    annotations: kit.collectorAnnotations,
    links: [
      atExporter('Runs, incidents, error messages', '', 'doc', 'What the exporter recorded, run by run'),
      atExporter('Acknowledge', '/ack', 'bolt', 'Say that you are on it: escalation stops, others see your name'),
    ],
    rows: [
      kit.row('', rightNow),
      kit.row('What is wrong', problems),
      kit.row('Runs', runs),
      kit.row('Latency, volume, freshness, quality', performance),
      kit.row('Promises and predictions', promises),
      kit.row('Recovery', repair),
      kit.row('Dependencies and probes', dependencies),
    ],
  })
