// Each promise of Collection Health itself: target, value, trend. And whether its alerts were worth reading.
function(kit)
  local q = kit.q;
  local value(promise, offset='') = kit.slow('fleet:scorecard:value', 'promise="%s"' % promise, offset);
  local target(promise) = kit.slow('fleet:scorecard:target', 'promise="%s"' % promise);
  local notYet = 'No figure yet: it needs incidents, or feedback on alerts, to judge';

  // [promise, title, what it says, unit]
  local promises = [
    ['reliability_ratio', 'Reliability of the monitoring', 'Of the monitoring itself over a day: exporter scraped, rules evaluated, messages delivered; the worst of the three.', 'percentunit'],
    ['uptime_ratio', 'Uptime of collectors', 'Collector time of a day that was not spent in confirmed failure.', 'percentunit'],
    ['coverage_ratio', 'Coverage', 'Registered collectors that report.', 'percentunit'],
    ['quality_ratio', 'Quality of data', 'Mean quality of the last ten runs, over all collectors that report it.', 'percentunit'],
    ['recovery_time_seconds', 'Time to recovery', 'Mean length of the incidents of a week, from the first bad run to the next good one. Lower is better.', 's'],
    ['recovery_success_ratio', 'Recovery success', 'Automatic recoveries of a week that a later good run confirmed.', 'percentunit'],
    ['interventions_saved_ratio', 'Interventions saved', 'Incidents of a week that ended without a person.', 'percentunit'],
    ['alert_relevance_ratio', 'Relevance of alerts', 'Alerts that people called relevant, among those with feedback.', 'percentunit'],
  ];
  local kept(p) =
    local target = kit.config.scorecard[p[0]];
    kit.steps(if p[3] == 's' then [[null, 'green'], [target, 'red']] else [[null, 'red'], [target, 'green']]);
  local lowerIsBetter = 'promise="recovery_time_seconds"';

  kit.new({
    name: 'scorecard',
    title: 'Scorecard',
    description: 'Each promise of Collection Health: target, value, trend.',
    time: '30d',
    variables: [],
    annotations: kit.allAnnotations,
    rows: [
      kit.row('Now', [
        kit.stat({
          title: p[1],
          description: p[2] + ' Beside it the target, and the value a week ago.',
          unit: p[3],
          decimals: if p[3] == 's' then 0 else 1,
          width: 6,
          height: 5,
          queries: [
            kit.instant(q('max(%s)' % value(p[0])), 'now'),
            kit.instant(q('max(%s)' % target(p[0])), 'target'),
            kit.instant(q('max(%s)' % value(p[0], ' offset 1w')), 'a week ago'),
          ],
          thresholds: kept(p),
          options: { colorMode: 'value' },
          noValue: notYet,
        })
        for p in promises
      ]),

      kit.row('Kept or not', [
        kit.stateTimeline({
          title: 'Promises kept over time',
          description: 'Green while the value meets its target, red while it does not.',
          unit: 'none',
          width: 24,
          height: 9,
          queries: [
            kit.query('max by (promise) (%s >= bool %s)' % [
              kit.slow('fleet:scorecard:value', std.strReplace(lowerIsBetter, '=', '!=')),
              kit.slow('fleet:scorecard:target', std.strReplace(lowerIsBetter, '=', '!=')),
            ], '{{promise}}'),
            kit.query('max by (promise) (%s <= bool %s)' % [
              kit.slow('fleet:scorecard:value', lowerIsBetter),
              kit.slow('fleet:scorecard:target', lowerIsBetter),
            ], '{{promise}}'),
          ],
          mappings: kit.yesNo('kept', 'broken', 'green', 'red'),
          thresholds: kit.steps([[null, 'red'], [1, 'green']]),
          noValue: notYet,
        }),
      ]),

      kit.row('Trend', [
        kit.timeseries({
          title: p[1] + ' over time',
          description: p[2] + ' The dashed line is the target.',
          unit: p[3],
          width: 6,
          height: 6,
          maxDataPoints: 200,
          queries: [
            kit.query(q('max(%s)' % value(p[0])), 'value'),
            kit.query(q('max(%s)' % target(p[0])), 'target'),
          ],
          overrides: [kit.dashed('target', 'orange')],
          noValue: notYet,
        })
        for p in promises
      ]),

      kit.row('Were the alerts worth reading', [
        kit.table({
          title: 'Feedback by alert',
          description: 'What people said about each alert: relevant or noise. Tune or disable what is mostly noise.',
          width: 12,
          noValue: 'No feedback yet: every message carries links to give it',
          sortBy: [{ displayName: 'Noise', desc: true }],
          columns: [
            { title: 'Alert', label: 'alertname' },
            { title: 'Relevant', expr: q('sum by (alertname) (collection_alert_feedback_total{%(facts)s, verdict="relevant"})') },
            { title: 'Noise', expr: q('sum by (alertname) (collection_alert_feedback_total{%(facts)s, verdict="noise"})') },
          ],
        }),
        kit.stacked({
          title: 'Alerts firing',
          description: 'Alerts that fire, by name, those on trial (shadow) not counted.',
          unit: 'short',
          width: 12,
          maxDataPoints: 200,
          queries: [kit.query('count by (alertname) (%s)' % kit.alerts('', 'kind!~"|monitoring"'), '{{alertname}}')],
          noValue: 'No alert fired in this time range',
        }),
        kit.stacked({
          title: 'Alerts on trial',
          description: 'Shadow alerts: evaluated and recorded, told to nobody. Compare with the incidents above before you switch one on.',
          unit: 'short',
          width: 24,
          maxDataPoints: 200,
          queries: [kit.query('count by (alertname) (ALERTS{alertstate="firing", shadow="true"})', '{{alertname}}')],
          noValue: 'No alert is on trial: name one in shadowAlerts of pack.yml',
        }),
      ]),
    ],
  })
