// What will break if nothing changes: when, how sure, and from which numbers.
function(kit)
  local q = kit.q;
  local settings = kit.config.dashboards;
  local prediction = kit.rule('collector:prediction:value');
  local soonest = 'bottomk(%d, %s)' % [settings.worst, kit.teams(prediction)];
  local of(expr) = q('%s and on (%%(by)s, prediction) %s' % [expr, soonest]);

  local kind(name, title, description) = kit.stat({
    title: title,
    description: description,
    unit: 'short',
    queries: [kit.query(q(kit.orZero('count(%s)' % kit.teams(kit.rule('collector:prediction:value', 'prediction="%s"' % name)))), title)],
    thresholds: kit.zeroIsGood('orange'),
    noValue: '0',
  });

  kit.new({
    name: 'predictions',
    title: 'Predictions',
    description: 'What will break if nothing changes: when, and how sure the rules are.',
    time: '24h',
    variables: kit.teamVariables,
    annotations: kit.fleetAnnotations,
    rows: [
      kit.row('', [
        kind('stale', 'Data will be stale', 'Collectors whose next attempts cannot meet the freshness deadline any more.'),
        kind('timeout', 'Runs will time out', 'Collectors whose duration grows towards their timeout.'),
        kind('budget', 'Budget will be gone', 'Promises whose error budget runs out before its period ends.'),
        kind('quota', 'Quota will be used up', 'Collectors that use their upstream quota up before it resets.'),
        kind('credential', 'Credential will expire', 'Collectors whose credential runs out soon.'),
        kind('volume_zero', 'Records will run dry', 'Collectors whose records trend towards nothing.'),
      ]),

      kit.row('What comes next', [
        kit.table({
          title: 'Soonest first',
          description: 'Everything predicted now, the soonest first, with the confidence of the prediction.',
          height: 10,
          width: 14,
          noValue: 'Nothing bad is predicted',
          sortBy: [{ displayName: 'In', desc: false }],
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector(), width: 260 },
            { title: 'What', label: 'prediction' },
            { title: 'In', expr: q(soonest), unit: 's' },
            {
              title: 'Confidence',
              expr: of(kit.rule('collector:prediction:confidence_ratio')),
              unit: 'percentunit',
              decimals: 0,
              min: 0,
              max: 1,
              thresholds: kit.steps([[null, 'blue']]),
              color: 'gauge',
            },
          ],
        }),
        kit.stacked({
          title: 'Predictions over time',
          maxDataPoints: 120,
          description: 'Collectors with a prediction, by kind. A prediction that stays for days and never comes true deserves feedback.',
          unit: 'short',
          width: 10,
          height: 10,
          queries: [kit.query(q('count by (prediction) (%s)' % kit.teams(prediction)), '{{prediction}}')],
          noValue: 'Nothing bad was predicted in this time range',
        }),
      ]),

      kit.row('The numbers behind', [
        kit.barGauge({
          title: 'Duration as a share of the timeout, forecast',
          description: 'Where the duration is heading by the prediction horizon, as a share of the timeout: at 100 % runs are killed.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          decimals: 0,
          width: 8,
          thresholds: kit.steps([[null, 'green'], [0.7, 'orange'], [1, 'red']]),
          queries: [kit.instant(q('topk(10, %s / on (%%(by)s) %s)' % [
            kit.teams(kit.rule('collector:duration:forecast_seconds')),
            kit.fact('collection_run_timeout_seconds'),
          ]), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'No collector has a timeout: declare one in collectors.yml',
        }),
        kit.timeseries({
          title: 'Lowest quotas',
          description: 'The ten smallest shares of upstream quota that are left. A saw-tooth that touches 0 before it resets stops the collector.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          width: 8,
          queries: [kit.query(q('bottomk(10, %s)' % kit.teams(kit.fact('collection_quota_remaining_ratio'))), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'No run reported a quota',
        }),
        kit.table({
          title: 'Credentials that expire',
          description: 'The credentials that run out first, as reported by runs and probes.',
          width: 8,
          noValue: 'No run reported when its credential expires',
          sortBy: [{ displayName: 'Expires', desc: false }],
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector() },
            {
              title: 'Expires',
              expr: q('1000 * bottomk(%d, %s)' % [settings.worst, kit.teams(kit.fact('collection_credential_expiry_timestamp_seconds'))]),
              unit: 'dateTimeFromNow',
            },
          ],
        }),
        kit.timeseries({
          title: 'Closest to stale',
          description: 'Age of the data as a share of what is allowed, the ten highest. At 100 % the data is stale.',
          unit: 'percentunit',
          width: 12,
          thresholds: kit.steps([[null, 'green'], [1, 'red']]),
          queries: [kit.query(q('topk(10, %s)' % kit.teams(kit.rule('collector:data_age:ratio'))), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'No collector has a known interval or freshness target',
        }),
        kit.timeseries({
          title: 'Volume: furthest below expectation',
          description: 'Records as a share of what was expected, the ten lowest.',
          unit: 'percentunit',
          width: 12,
          queries: [kit.query(q('bottomk(10, exp(%s))' % kit.teams(kit.rule('collector:records:deviation', 'window="10"'))), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'Not enough history yet: expectations appear after about a week of records',
        }),
      ]),
    ],
  })
