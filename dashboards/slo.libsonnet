// What was promised, how much of each promise's error budget is left, and what uses it up.
function(kit)
  local q = kit.q;
  local config = kit.config;
  local remaining = kit.rule('collector:error_budget:remaining_ratio');
  local burn(window) = kit.rule('collector:burn_rate:ratio', 'window="%s"' % window);
  local declare = 'No collector has targets: see slo in collectors.yml';
  local budget = kit.ratioIsGood(0.0001, 0.25);
  local worst = config.dashboards.worst;
  // The period a budget is for.
  local period = config.slo.window;
  // Good share of all events: a ratio of sums over collectors, never a mean of their ratios.
  local share(errors, events) = '1 - %s / (%s > 0)' % [errors, events];
  local grown(what) = q('sum by (sli) (%s)' % kit.teams(kit.grown('collection_sli_%s_total' % what, '$__range', 'sli')));
  local increase(what, window) = kit.teamSum('team:sli_%s:increase' % what, 'sli', 'window="%s"' % window);
  // Rows of a table: the smallest budgets.
  local smallest = 'bottomk(%d, %s)' % [worst, kit.teams(remaining)];
  local of(expr) = q('%s and on (%%(by)s, sli) %s' % [expr, smallest]);

  kit.new({
    name: 'slo',
    title: 'SLOs and error budgets',
    description: 'What was promised, how much of each error budget is left, and what uses it up.',
    time: '7d',
    variables: kit.teamVariables,
    annotations: kit.fleetAnnotations,
    rows: [
      kit.row('', [
        kit.stat({
          title: 'Budgets used up',
          description: 'Promises whose error budget is gone: one more failure breaks them further. Slow down changes to these collectors.',
          unit: 'short',
          queries: [kit.instant(q(kit.orZero('count(%s)' % kit.teams(remaining + ' <= 0'))), 'used up')],
          thresholds: kit.zeroIsGood(),
          noValue: declare,
        }),
        kit.stat({
          title: 'Budgets below a quarter',
          description: 'Promises with less than a quarter of their error budget left.',
          unit: 'short',
          queries: [kit.instant(q(kit.orZero('count(%s)' % kit.teams(remaining + ' < 0.25 > 0'))), 'below a quarter')],
          thresholds: kit.zeroIsGood('orange'),
          noValue: declare,
        }),
        kit.stat({
          title: 'Burning now',
          description: 'Collectors that use their budget faster than they may, by more than chance explains.',
          unit: 'short',
          queries: [kit.query(q(kit.orZero('count(count by (%%(by)s) (%s))' % kit.teams(kit.rule('collector:problem:value', 'problem=~"budget_fast|budget_slow"')))), 'burning')],
          thresholds: kit.zeroIsGood('orange'),
          noValue: declare,
        }),
        kit.stat({
          title: 'Good events over the time range',
          description: 'Share of events that met their target, by promise, over all chosen collectors and the time range.',
          unit: 'percentunit',
          decimals: 2,
          width: 12,
          queries: [kit.instant(share(grown('errors'), grown('events')), '{{sli}}')],
          options: { colorMode: 'none' },
          noValue: declare,
        }),
      ]),

      kit.row('Budgets', [
        kit.table({
          title: 'Smallest budgets',
          description: 'The promises closest to being broken. Burn rate 1 uses the budget up exactly at the end of the period.',
          height: 10,
          noValue: declare,
          sortBy: [{ displayName: 'Budget left', desc: false }],
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector(), width: 260 },
            { title: 'Promise', label: 'sli' },
            {
              title: 'Budget left',
              expr: q(smallest),
              unit: 'percentunit',
              decimals: 1,
              min: 0,
              max: 1,
              thresholds: budget,
              color: 'gauge',
            },
            { title: 'Objective', expr: of(kit.rule('collector:slo:objective_ratio')), unit: 'percentunit', decimals: 2 },
            {
              title: 'Failed in the period',
              expr: of('max by (%%(by)s, sli) (%s)' % kit.rule('collector:sli_error:ratio', 'window="%s"' % period)),
              unit: 'percentunit',
              decimals: 2,
            },
            { title: 'Burn rate 1 h', expr: of('max by (%%(by)s, sli) (%s)' % burn('1h')), decimals: 1, noValue: '–' },
            { title: 'Burn rate 1 d', expr: of('max by (%%(by)s, sli) (%s)' % burn('1d')), decimals: 1, noValue: '–' },
          ],
        }),
        kit.timeseries({
          title: 'Smallest budgets over time',
          description: 'The ten smallest budgets at the end of the time range, and how they got there. A cliff is one outage; a slope is a chronic weakness.',
          unit: 'percentunit',
          max: 1,
          queries: [kit.query(q('%s and on (%%(by)s, sli) bottomk(10, %s)' % [
            remaining,
            kit.teamsAtEnd(remaining + ' @ end()'),
          ]), '{{collector}} {{sli}}')],
          thresholds: budget,
          links: kit.seriesToCollector,
          noValue: declare,
        }),
        kit.timeseries({
          title: 'Fastest burn',
          description: 'The ten fastest burn rates over one day, of those above a half. Above 1 the promise breaks before the period ends; at the red line it is news.',
          unit: 'short',
          maxDataPoints: 100,
          queries: [kit.query(q('topk(10, %s)' % kit.teams(burn('1d') + ' > 0.5')), '{{collector}} {{sli}}')],
          thresholds: kit.steps([[null, 'green'], [1, 'orange'], [config.slo.burn['1d'], 'red']]),
          links: kit.seriesToCollector,
          noValue: 'Nothing burned half of what its budget allows in this time range',
        }),
      ]),

      kit.row('Promises of the whole fleet', [
        kit.timeseries({
          title: 'Good events by promise',
          description: 'Share of events that met their target within the day before each point, over all chosen collectors.',
          unit: 'percentunit',
          max: 1,
          custom: { axisSoftMin: 0.9 },
          queries: [kit.query(share(increase('errors', '1d'), increase('events', '1d')), '{{sli}}')],
          noValue: declare,
        }),
        kit.stacked({
          title: 'Broken events by promise',
          description: 'Events within the hour before each point that missed their target, by promise.',
          unit: 'short',
          queries: [kit.query(increase('errors', '1h') + ' > 0', '{{sli}}')],
          noValue: 'Every event met its target in this time range',
        }),
      ]),
    ],
  })
