// What is repaired automatically, how well that works, and where a person is needed.
function(kit)
  local q = kit.q;
  // Over the time range shown, so that the picker asks the question.
  local each(metric, extra='') = kit.teams(kit.grown(metric, '$__range', '', extra));
  local total(metric, extra='') = 'sum(%s)' % each(metric, extra);
  // From one bar to the next: a difference of sums.
  local perBar(metric, by) =
    '%s - %s > 0' % [kit.teamSum(metric, by), kit.teamSum(metric, by, past=' offset $__interval')];
  local configure = 'No collector has a recovery section: see recovery in collectors.yml';

  kit.new({
    name: 'recovery',
    title: 'Recovery and escalation',
    description: 'What is repaired automatically, how well that works, and where a person is needed.',
    time: '7d',
    variables: kit.teamVariables,
    annotations: kit.fleetAnnotations,
    rows: [
      kit.row('', [
        kit.stat({
          title: 'Under way',
          description: 'Collectors with a recovery running or waiting for its verification.',
          unit: 'short',
          queries: [kit.instant(q('sum(%s)' % kit.teams(kit.fact('collection_recovery_in_progress'))), 'under way')],
          thresholds: kit.steps([[null, 'text'], [1, 'blue']]),
          noValue: configure,
        }),
        kit.stat({
          title: 'Exhausted',
          description: 'Collectors whose every recovery step was tried without success: a person is needed.',
          unit: 'short',
          queries: [kit.instant(q('sum(%s)' % kit.teams(kit.fact('collection_recovery_exhausted'))), 'exhausted')],
          thresholds: kit.zeroIsGood(),
          noValue: configure,
        }),
        kit.stat({
          title: 'Breakers open',
          description: 'Collectors whose recovery is switched off for a while because it kept failing.',
          unit: 'short',
          queries: [kit.instant(q('sum(%s)' % kit.teams(kit.fact('collection_recovery_circuit_open'))), 'open')],
          thresholds: kit.zeroIsGood('orange'),
          noValue: configure,
        }),
        kit.stat({
          title: 'Time to recovery',
          description: 'Mean length of the incidents that ended in the time range, from the first bad run to the next good one.',
          unit: 's',
          queries: [kit.instant(q('%s / (%s > 0)' % [total('collection_incident_duration_seconds_sum'), total('collection_incident_duration_seconds_count')]), 'mean')],
          noValue: 'No incident ended in this time range',
        }),
        kit.stat({
          title: 'Ended without a person',
          description: 'Share of the incidents that ended by automatic recovery or by themselves.',
          unit: 'percentunit',
          queries: [kit.instant(q('%s / (%s > 0)' % [total('collection_incidents_total', 'ended_by=~"automatic|self"'), total('collection_incidents_total')]), 'share')],
          thresholds: kit.ratioIsGood(0.5, 0.8),
          noValue: 'No incident ended in this time range',
        }),
        kit.stat({
          title: 'Interventions',
          description: 'Times a person stepped in: manual recoveries, acknowledgements with a repair, pauses.',
          unit: 'short',
          decimals: 0,
          queries: [kit.instant(q(total('collection_manual_interventions_total')), 'interventions')],
          noValue: 'none recorded in this time range',
        }),
      ]),

      kit.row('Now', [
        kit.table({
          title: 'Collectors that need attention',
          description: 'Collectors with a recovery under way, exhausted or held by its breaker, and since when they fail.',
          height: 8,
          noValue: 'No recovery is under way, exhausted or held by its breaker',
          local wanted = kit.teams('(%s + %s + %s) > 0' % [
            kit.fact('collection_recovery_in_progress'),
            kit.fact('collection_recovery_exhausted'),
            kit.fact('collection_recovery_circuit_open'),
          ]),
          local cell(metric) = q('%s and on (%%(by)s) %s' % [kit.fact(metric), wanted]),
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector(), width: 260 },
            { title: 'Under way', expr: cell('collection_recovery_in_progress'), mappings: kit.yesNo('yes', 'no', 'blue', 'text'), color: 'text' },
            { title: 'Exhausted', expr: cell('collection_recovery_exhausted'), mappings: kit.yesNo('yes', 'no', 'red', 'text'), color: 'text' },
            { title: 'Breaker', expr: cell('collection_recovery_circuit_open'), mappings: kit.yesNo('open', 'closed', 'orange', 'text'), color: 'text' },
            { title: 'Failing since', expr: q('1000 * (%s > 0 and on (%%(by)s) %s)' % [kit.fact('collection_failing_since_timestamp_seconds'), wanted]), unit: 'dateTimeFromNow', noValue: 'not failing' },
          ],
        }),
        kit.table({
          title: 'Escalations',
          description: 'Alerts that nobody acknowledged and no recovery ended in time, by level. Level 2 and 3 reach more people.',
          height: 6,
          noValue: 'Nothing is escalated',
          sortBy: [{ displayName: 'Since', desc: false }],
          local escalation = kit.alerts('', 'kind="escalation"'),
          columns: [
            { title: 'Root cause', label: 'root_cause', width: 260 },
            { title: 'Level', label: 'level' },
            { title: 'Alert', label: 'alertname' },
            { title: 'Team', label: 'team' },
            {
              title: 'Since',
              expr: q('min by (%%(and)sroot_cause, level, alertname, team) (%s)' % kit.since(escalation)),
              unit: 'dateTimeFromNow',
            },
          ],
        }),
      ]),

      kit.row('How well it works', [
        kit.bars({
          title: 'Recovery attempts by action',
          description: 'Attempts per interval of what was tried: rerun, restart and whatever else collectors.yml defines.',
          unit: 'short',
          queries: [kit.query(perBar('team:recovery_attempts:total', 'action'), '{{action}}')],
          noValue: 'No recovery was attempted in this time range',
        }),
        kit.bars({
          title: 'Recovery results',
          description: 'How attempts ended, per interval. Only a later good run counts as success; exit code 0 does not.',
          unit: 'short',
          queries: [kit.query(perBar('team:recovery_results:total', 'result'), '{{result}}')],
          noValue: 'No recovery ended in this time range',
        }),
        kit.timeseries({
          title: 'Worth waking somebody',
          description: 'Collectors with a problem worth a page, and those of them whose escalation is held: acknowledged, in maintenance, or under repair.',
          unit: 'short',
          queries: [
            kit.query(q('sum(%s)' % kit.teams(kit.rule('collector:page:bool'))), 'worth a page'),
            kit.query(q('count(%s)' % kit.teams(kit.rule('collector:page:held'))), 'held'),
          ],
          overrides: [kit.byName('worth a page', kit.color('red')), kit.byName('held', kit.color('blue'))],
          noValue: 'Nothing is worth a page',
        }),
        kit.timeseries({
          title: 'Recovery success by week',
          description: 'Share of the automatic recoveries of a week that a later good run confirmed, all collectors.',
          unit: 'percentunit',
          max: 1,
          queries: [
            kit.query(kit.slow('fleet:scorecard:value', 'promise="recovery_success_ratio"'), 'success'),
            kit.query(kit.slow('fleet:scorecard:target', 'promise="recovery_success_ratio"'), 'target'),
          ],
          overrides: [kit.dashed('target', 'orange')],
          noValue: 'No recovery ended in this week',
        }),
        kit.timeseries({
          title: 'Time to recovery by week',
          description: 'Mean length of the incidents of the week before each point, all collectors, against the promise.',
          unit: 's',
          queries: [
            kit.query(kit.slow('fleet:scorecard:value', 'promise="recovery_time_seconds"'), 'mean'),
            kit.query(kit.slow('fleet:scorecard:target', 'promise="recovery_time_seconds"'), 'target'),
          ],
          overrides: [kit.dashed('target', 'orange')],
          noValue: 'No incident ended within a week',
        }),
        kit.bars({
          title: 'How incidents ended',
          description: 'Incidents per interval that ended by automatic recovery, by a person, or by themselves.',
          unit: 'short',
          queries: [kit.query(perBar('team:incidents:total', 'ended_by'), '{{ended_by}}')],
          overrides: [
            kit.byName('automatic', kit.color('green')),
            kit.byName('self', kit.color('blue')),
            kit.byName('manual', kit.color('orange')),
          ],
          noValue: 'No incident ended in this time range',
        }),
      ]),

      kit.row('By collector', [
        kit.table({
          title: 'Recovery by collector',
          description: 'Over the time range: incidents, their mean length, attempts, and interventions by people. Long and manual ones are worth a recovery step.',
          height: 10,
          noValue: 'No incident and no recovery in this time range',
          sortBy: [{ displayName: 'Incidents', desc: true }],
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector(), width: 260 },
            { title: 'Incidents', expr: q(each('collection_incidents_total') + ' > 0'), decimals: 0 },
            {
              title: 'Mean length',
              expr: q('%s / (%s > 0)' % [
                each('collection_incident_duration_seconds_sum'),
                each('collection_incident_duration_seconds_count'),
              ]),
              unit: 's',
            },
            { title: 'Attempts', expr: q(each('collection_recovery_attempts_total') + ' > 0'), decimals: 0, noValue: '–' },
            { title: 'Interventions', expr: q(each('collection_manual_interventions_total') + ' > 0'), decimals: 0, noValue: '–' },
          ],
        }),
        kit.stateTimeline({
          title: 'Recoveries over time',
          description: 'When a recovery was under way (blue), held by its breaker (orange) or exhausted (red), for collectors where that happened.',
          unit: 'none',
          width: 24,
          height: 8,
          queries: [kit.query(q(kit.teams(kit.rule('collector:recovery:state') + ' > 0')), '{{collector}}')],
          mappings: [kit.valueMap({ '1': ['under way', 'blue'], '2': ['breaker open', 'orange'], '3': ['exhausted', 'red'] })],
          links: kit.seriesToCollector,
          noValue: 'No recovery was attempted in this time range',
        }),
      ]),
    ],
  })
