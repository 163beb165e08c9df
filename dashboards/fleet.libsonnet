// The page to open first: what is broken, why, since when, what it costs and whether it is being repaired.
function(kit)
  local q = kit.q;
  local settings = kit.config.dashboards;

  local state = kit.rule('collector:health:state');
  local failing = kit.teams(state + ' == 2');
  local cost = kit.fact('collection_cost_per_hour');
  local health = kit.ratioIsGood(0.8, 0.95);
  local repairing = kit.fact('collection_recovery_in_progress');
  local acknowledged = kit.fact('collection_control_active', 'control="acknowledged"');

  // Incidents are what alerts say about collectors and their dependencies, not what follows from them.
  local incident(extra='') = kit.alerts('team=~"$team|", tier=~"$tier|"' + extra, 'kind!~"|monitoring|coverage|escalation"');
  local hit = 'count by (%(and)sroot_cause, collector) (' + incident(', collector!=""') + ')';
  local perCause(fact) = q('sum by (%(and)sroot_cause) (' + hit + ' ^ 0 * on (%(by)s) group_left () ' + fact + ')');

  local count(title, value, color, description) = kit.stat({
    title: title,
    description: description,
    unit: 'short',
    width: 3,
    queries: [kit.query(q(kit.orZero('count(%s)' % kit.teams('%s == %d' % [state, value]))), title)],
    thresholds: kit.zeroIsGood(color),
    noValue: '0',
  });

  kit.new({
    name: 'fleet',
    title: 'Fleet overview',
    description: 'What is broken, why, since when, what it costs and whether it is being repaired.',
    variables: kit.teamVariables,
    annotations: kit.fleetAnnotations,
    rows: [
      kit.row('', [
        count('Failing', 2, 'red', 'Collectors whose runs fail, hang or are overdue beyond what their own history explains.'),
        count('Degraded', 1, 'orange', 'Collectors that deliver, but late, slowly, less than expected or in worse quality.'),
        count('No data', 3, 'purple', 'Collectors that nothing is known about: never reported, or their exporter cannot be reached.'),
        kit.stat({
          title: 'Being repaired',
          description: 'Collectors with an automatic recovery under way at this moment. Recovery and escalation shows what is tried.',
          unit: 'short',
          width: 3,
          queries: [kit.query(q(kit.orZero('sum(%s)' % kit.teams(repairing))), 'Being repaired')],
          thresholds: kit.steps([[null, 'text'], [1, 'blue']]),
          noValue: '0',
          links: [kit.link('recovery', 'Open Recovery and escalation')],
        }),
        kit.stat({
          title: 'Held back',
          description: 'Collectors that are paused, in maintenance or acknowledged: their alerts are held back on purpose.',
          unit: 'short',
          width: 3,
          queries: [kit.query(q(kit.orZero('count(%s)' % kit.teams(kit.fact('collection_control_active') + ' == 1'))), 'Held back')],
          thresholds: kit.steps([[null, 'text'], [1, 'blue']]),
          noValue: '0',
        }),
        kit.stat({
          title: 'Cost of failures, per hour',
          description: 'What each further hour costs: the sum of cost_per_hour of the collectors that fail now. Declared per collector in collectors.yml under impact.',
          unit: settings.costUnit,
          width: 3,
          queries: [kit.query(q(kit.orZero('sum(%s and on (%%(by)s) %s)' % [cost, failing])), 'per hour')],
          thresholds: kit.zeroIsGood('orange'),
          noValue: 'Declare impact.cost_per_hour in collectors.yml',
        }),
        kit.stat({
          title: 'Health',
          description: 'Health of the whole fleet and of the least healthy of the chosen teams, 0 to 100 %, weighted by impact.weight: an important collector moves it more.',
          unit: 'percentunit',
          width: 3,
          min: 0,
          max: 1,
          decimals: 0,
          queries: [
            kit.query(kit.rule('fleet:health:score'), 'fleet'),
            kit.query('min(' + kit.rule('team:health:score', 'team=~"$team"') + ')', 'worst team'),
          ],
          thresholds: health,
          noValue: 'No collector has reported yet: see the five-minute start in the README',
        }),
        kit.stat({
          title: 'Monitoring',
          description: 'Whether every exporter answers. If not, distrust the rest of this page and open Collection Health itself.',
          unit: 'none',
          width: 3,
          queries: [kit.instant(q('min(up{%(facts)s})'), 'Exporters')],
          mappings: kit.yesNo('up', 'down', 'green', 'red'),
          thresholds: kit.steps([[null, 'red'], [1, 'green']]),
          noValue: 'not scraped: add the exporter to Prometheus',
          links: [kit.link('self', 'Open Collection Health itself')],
        }),
      ]),

      kit.row('What is broken, and why', [
        kit.table({
          title: 'Active incidents by root cause',
          description: 'One row a cause, however many collectors it takes down. Repair the cause, not the rows of the table below.',
          height: 7,
          noValue: 'Nothing is alerting',
          sortBy: [{ displayName: 'Severity', desc: true }],
          columns: [
            { title: 'Root cause', label: 'root_cause', width: 280 },
            {
              title: 'Severity',
              expr: q('max by (%%(and)sroot_cause) (3 * %s or 2 * %s or %s)' % [
                incident(', severity="critical"'),
                incident(', severity="warning"'),
                incident(', severity="info"'),
              ]),
              mappings: kit.severities,
              thresholds: kit.severitySteps,
              color: 'background',
              width: 110,
            },
            {
              title: 'Since',
              expr: q('min by (%%(and)sroot_cause) (%s)' % kit.since(incident())),
              unit: 'dateTimeFromNow',
            },
            { title: 'Collectors hit', expr: q('count by (%(and)sroot_cause) (' + hit + ')'), noValue: '–' },
            { title: 'Cost per hour', expr: perCause(cost), unit: settings.costUnit, noValue: '–' },
            { title: 'Being repaired', expr: perCause(repairing), noValue: '–' },
            { title: 'Acknowledged', expr: perCause(acknowledged), noValue: '–' },
          ],
        }),
        kit.table({
          title: 'Failing collectors',
          description: 'Every collector that fails now, with the last reason and where in the run it failed. Click a name for its own page.',
          height: 9,
          noValue: 'No collector is failing',
          sortBy: [{ displayName: 'Impact', desc: true }],
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector(), width: 240 },
            { title: 'Team', label: 'team' },
            { title: 'Tier', label: 'tier', width: 60 },
            {
              title: 'Failing since',
              expr: q('1000 * %s and on (%%(by)s) %s' % [kit.rule('collector:failing_since:timestamp_seconds'), failing]),
              unit: 'dateTimeFromNow',
            },
            { title: 'Reason', label: 'reason', width: 110 },
            { title: 'Stage', label: 'stage', width: 90 },
            { title: 'Root cause', label: 'root_cause' },
            {
              title: 'Failed in a row',
              expr: q('%s and on (%%(by)s) %s' % [kit.rule('collector:consecutive_failures:count'), failing]),
              width: 120,
            },
            {
              title: 'Cost so far',
              expr: q('%s and on (%%(by)s) %s' % [kit.rule('collector:impact:cost'), failing]),
              unit: settings.costUnit,
              noValue: '–',
            },
            {
              title: 'Impact',
              expr: q('%s and on (%%(by)s) %s' % [kit.rule('collector:impact:score'), failing]),
              decimals: 1,
              noValue: '–',
            },
            {
              title: 'Repair',
              expr: q('%s and on (%%(by)s) %s' % [repairing, failing]),
              mappings: kit.yesNo('under way', 'no', 'blue', 'text'),
              noValue: 'not configured',
            },
            {
              title: 'Acknowledged',
              expr: q('%s and on (%%(by)s) %s' % [acknowledged, failing]),
              mappings: kit.yesNo('yes', 'no', 'blue', 'text'),
            },
            {
              title: 'Last failure',
              expr: q('max by (%%(by)s, reason, stage) (%s) and on (%%(by)s) %s' % [kit.rule('collector:last_failure:info'), failing]),
              hidden: true,
            },
            {
              title: 'Labels',
              expr: q('max by (%%(by)s, team, tier, root_cause) (%s) and on (%%(by)s) %s' % [kit.rule('collector:labels:info'), failing]),
              hidden: true,
            },
          ],
        }),
      ]),

      kit.row('State of every collector', [
        kit.stateTimeline({
          title: 'The worst collectors over time',
          description: 'One row a collector, the least healthy in the time range first. A column of red is a common cause; one red row is a collector of its own.',
          unit: 'none',
          width: 24,
          height: 12,
          queries: [kit.query(q('%(state)s and on (%%(by)s) topk(%(worst)d, %(now)s > 0)' % {
            state: state,
            worst: settings.worst,
            now: kit.teamsAtEnd('max by (%%(by)s) (avg_over_time(%s[$__range] @ end()))' % state),
          }), '{{collector}}')],
          mappings: kit.states,
          thresholds: kit.stateSteps,
          links: kit.seriesToCollector,
          noValue: 'Every collector was healthy in this time range',
        }),
        kit.stacked({
          title: 'Collectors by state',
          description: 'How many collectors were in which state, all teams.',
          unit: 'short',
          width: 12,
          queries: [kit.query(kit.rule('fleet:collectors:count'), '{{state}}')],
          overrides: [
            kit.byName(s[0], kit.color(s[2]) + { displayName: s[1] })
            for s in [
              ['0', 'healthy', 'green'],
              ['1', 'degraded', 'yellow'],
              ['2', 'failing', 'red'],
              ['3', 'no data', 'purple'],
            ]
          ],
          noValue: 'No collector has reported yet: see the five-minute start in the README',
        }),
        kit.stacked({
          title: 'Open incidents by reason',
          maxDataPoints: 120,
          description: 'Collectors in an incident by the reason of their last failed run. A reason that jumps names the kind of the outage.',
          unit: 'short',
          width: 12,
          queries: [kit.query(q('count by (reason) (%s)' % kit.teams(kit.rule('collector:last_failure:info') + ' and on (%(by)s) ' + kit.rule('collector:failing_since:timestamp_seconds'))), '{{reason}}')],
          noValue: 'No run failed in this time range',
        }),
      ]),

      kit.row('Risk and impact', [
        kit.timeseries({
          title: 'Risk and health of the fleet',
          description: 'Health: the mean of all collectors, weighted by impact. Risk: how much of what the fleet is worth is endangered now; above the dashed line it deserves attention. Both for all teams.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          width: 6,
          thresholds: kit.steps([[null, 'transparent'], [kit.config.fleet.riskShare, 'orange']]),
          queries: [
            kit.query(kit.rule('fleet:health:score'), 'health'),
            kit.query(kit.rule('fleet:risk:ratio'), 'risk'),
          ],
          overrides: [kit.byName('health', kit.color('green')), kit.byName('risk', kit.color('red'))],
          noValue: 'No verdict yet: the rules need a first run',
        }),
        kit.timeseries({
          title: 'Impact of open incidents',
          description: 'Weight times severity of all open incidents: compares this night with other nights.',
          unit: 'short',
          width: 6,
          queries: [kit.query(kit.rule('fleet:impact:score'), 'impact')],
          noValue: 'No incident is open',
        }),
        kit.timeseries({
          title: 'What open incidents took so far',
          description: 'Records that were not collected (what the collectors usually bring, times the runs they missed) and what that has cost, of all open incidents and teams.',
          unit: 'short',
          width: 6,
          queries: [
            kit.query(kit.rule('fleet:impact:records_missed'), 'records missed'),
            kit.query(kit.rule('fleet:impact:cost'), 'cost'),
          ],
          overrides: [kit.byName('cost', { unit: settings.costUnit })],
          noValue: 'No incident is open',
        }),
        kit.barGauge({
          title: 'Where impact comes from',
          description: 'Collectors with the largest impact now: weight in collectors.yml times severity of what is wrong.',
          unit: 'short',
          width: 6,
          decimals: 1,
          thresholds: kit.steps([[null, 'orange']]),
          queries: [kit.instant(q('topk(10, %s > 0)' % kit.teams(kit.rule('collector:impact:score'))), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'No incident is open',
        }),
      ]),

      kit.row('Who is affected', [
        kit.table({
          title: 'By team',
          description: 'Collectors of each team, how many of them fail, their health, the share of their weight that is at risk, and what open incidents have cost.',
          width: 12,
          noValue: 'No collector has reported yet',
          sortBy: [{ displayName: 'Failing', desc: true }],
          local owner = 'max by (%%(by)s, team) (%s)' % kit.rule('collector:owner:info', 'team=~"$team", tier=~"$tier"'),
          columns: [
            { title: 'Team', label: 'team' },
            { title: 'Collectors', expr: q('count by (%(and)steam) (' + owner + ')') },
            {
              title: 'Failing',
              expr: q('sum by (%%(and)steam) (%s * on (%%(by)s) group_left () %s)' % [owner, kit.rule('collector:failing:bool')]),
              thresholds: kit.zeroIsGood(),
              color: 'text',
            },
            {
              title: 'Health',
              expr: q('max by (%%(and)steam) (%s)' % kit.rule('team:health:score', 'team=~"$team"')),
              unit: 'percentunit',
              decimals: 1,
              min: 0,
              max: 1,
              thresholds: health,
              color: 'gauge',
            },
            {
              title: 'At risk',
              expr: q('max by (%%(and)steam) (%s)' % kit.rule('team:risk:ratio', 'team=~"$team"')),
              unit: 'percentunit',
              decimals: 0,
              thresholds: kit.steps([[null, 'green'], [kit.config.fleet.riskShare, 'orange']]),
              color: 'text',
            },
            {
              title: 'Cost so far',
              expr: q('sum by (%%(and)steam) (%s * on (%%(by)s) group_left () %s)' % [owner, kit.rule('collector:impact:cost')]),
              unit: settings.costUnit,
              noValue: '–',
            },
          ],
        }),
        kit.table({
          title: 'By consumer',
          description: 'Who uses the data of collectors that fail now: the people to tell. Declared in collectors.yml under impact.consumers.',
          width: 12,
          noValue: 'No failing collector has a declared consumer',
          sortBy: [{ displayName: 'Failing collectors', desc: true }],
          columns: [
            { title: 'Consumer', label: 'consumer' },
            {
              title: 'Failing collectors',
              expr: q('count by (%%(and)sconsumer) (max by (%%(by)s, consumer) (collection_consumer_info{%%(facts)s}) and on (%%(by)s) %s)' % failing),
            },
          ],
        }),
      ]),

      kit.row('Coverage', [
        kit.stat({
          title: 'Collectors',
          description: 'Registered: in collectors.yml. Reporting: told of a run. Discovered: report without being registered. Silent: registered but never heard of.',
          unit: 'short',
          width: 12,
          queries: [kit.instant(q('sum by (state) (collection_health_collectors{%(facts)s})'), '{{state}}')],
          noValue: 'The exporter is not scraped: add it to Prometheus',
          options: { colorMode: 'none' },
        }),
        kit.table({
          title: 'Not in the inventory',
          description: 'Collectors that report without being registered: nobody declared who owns them, when they run, or what they promise.',
          width: 12,
          height: 6,
          noValue: 'Every collector that reports is registered',
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector() },
            { title: 'Reports by', label: 'source' },
            { title: 'Last run', expr: q('1000 * %s * on (%%(by)s) group_right () max by (%%(by)s, source) (collection_info{%%(facts)s, registered="false"})' % kit.fact('collection_last_run_timestamp_seconds')), unit: 'dateTimeFromNow' },
          ],
        }),
      ]),
    ],
  })
