// Whether the monitoring itself can be trusted: from the first byte received to the last message delivered.
function(kit)
  local q = kit.q;
  local prometheus = kit.config.prometheusSelector;
  local alertmanager = kit.config.alertmanagerSelector;
  local rate(metric, extra='') = 'rate(%s{%s}[$__rate_interval])' % [metric, extra];
  local own(metric, extra='') = rate(metric, std.join(', ', [m for m in [kit.matchers.facts, extra] if m != '']));
  local notScraped(what) = '%s is not scraped: add it to Prometheus as a job' % what;

  kit.new({
    name: 'self',
    title: 'Collection Health itself',
    description: 'Whether the monitoring can be trusted: receiving, recording, scraping, judging, delivering.',
    variables: [],
    annotations: kit.allAnnotations,
    rows: [
      kit.row('', [
        kit.stat({
          title: 'Exporters',
          description: 'Exporters that answer Prometheus, of those it knows.',
          unit: 'none',
          width: 3,
          queries: [kit.query(q('sum(up{%(facts)s})'), 'up'), kit.query(q('count(up{%(facts)s})'), 'known')],
          noValue: notScraped('The exporter'),
        }),
        kit.stat({
          title: 'Ledger',
          description: 'Whether outcomes can be recorded. When not, the exporter answers 503, clients keep their outcomes and deliver later.',
          unit: 'none',
          width: 3,
          queries: [kit.query(q('min(collection_health_ledger_writable{%(facts)s})'), 'writable')],
          mappings: kit.yesNo('writable', 'not writable', 'green', 'red'),
          thresholds: kit.steps([[null, 'red'], [1, 'green']]),
          noValue: notScraped('The exporter'),
        }),
        kit.stat({
          title: 'Inventory',
          description: 'Whether the newest collectors.yml was accepted. A bad file keeps the old one; collection-health check says why.',
          unit: 'none',
          width: 3,
          queries: [kit.query(q('min(collection_health_config_last_reload_successful{%(facts)s})'), 'accepted')],
          mappings: kit.yesNo('accepted', 'refused', 'green', 'red'),
          thresholds: kit.steps([[null, 'red'], [1, 'green']]),
          noValue: notScraped('The exporter'),
        }),
        kit.stat({
          title: 'Shedding load',
          description: 'Under pressure of CPU or memory the exporter stops optional work (probes, pages); it never drops an outcome.',
          unit: 'none',
          width: 3,
          queries: [kit.query(q('max(collection_health_shedding{%(facts)s})'), 'shedding')],
          mappings: kit.yesNo('shedding', 'no', 'orange', 'green'),
          thresholds: kit.zeroIsGood('orange'),
          noValue: notScraped('The exporter'),
        }),
        kit.stat({
          title: 'Break glass',
          description: 'Emergency modes that are switched on. They switch safety off and should not stay on.',
          unit: 'none',
          width: 3,
          queries: [kit.query(q('sum(collection_health_break_glass_active{%(facts)s})'), 'active')],
          thresholds: kit.zeroIsGood('orange'),
          noValue: 'none active',
        }),
        kit.stat({
          title: 'Rules that fail',
          description: 'Evaluations of rules that failed in the last hour. A failing rule means alerts that cannot fire.',
          unit: 'short',
          width: 3,
          queries: [kit.instant('sum(increase(prometheus_rule_evaluation_failures_total{%s}[1h]))' % prometheus, 'failed evaluations')],
          thresholds: kit.zeroIsGood(),
          noValue: notScraped('Prometheus'),
        }),
        kit.stat({
          title: 'Messages that fail',
          description: 'Notifications Alertmanager could not deliver in the last hour, over all channels.',
          unit: 'short',
          width: 3,
          queries: [kit.instant('sum(increase(alertmanager_notifications_failed_total{%s}[1h]))' % alertmanager, 'failed messages')],
          thresholds: kit.zeroIsGood(),
          noValue: notScraped('Alertmanager'),
        }),
        kit.stat({
          title: 'Version',
          description: 'Versions of the exporter that run; two at a time are normal only during an upgrade.',
          unit: 'none',
          width: 3,
          queries: [kit.instant(q('count by (version) (collection_health_build_info{%(facts)s})'), '{{version}}')],
          options: { textMode: 'name' },
          noValue: notScraped('The exporter'),
        }),
      ]),

      kit.row('Receiving', [
        kit.stacked({
          title: 'Events received by result',
          description: 'Events a second: accepted, repeated (acknowledged and counted once), rejected as invalid, and turned away with 503.',
          unit: 'eps',
          queries: [kit.query(q('sum by (result) (%s)' % own('collection_health_events_total')), '{{result}}')],
          overrides: [
            kit.byName('accepted', kit.color('green')),
            kit.byName('duplicate', kit.color('blue')),
            kit.byName('rejected', kit.color('orange')),
            kit.byName('unavailable', kit.color('red')),
          ],
          noValue: 'No event was ever received: report a first run with collection-health record NAME success',
        }),
        kit.timeseries({
          title: 'Events received by protocol',
          description: 'Events a second by the protocol they came by. A protocol that stops is a sender that stopped.',
          unit: 'eps',
          queries: [kit.query(q('sum by (protocol) (%s) > 0' % own('collection_health_events_total')), '{{protocol}}')],
          noValue: 'No event arrived in this time range',
        }),
      ]),

      kit.row('Recording', [
        kit.timeseries({
          title: 'Time to commit',
          description: 'How long the ledger takes to make outcomes durable. Senders wait for it; a slow disk shows here first.',
          unit: 's',
          width: 8,
          queries: [
            kit.query(q('histogram_quantile(%s, sum by (le) (%s))' % [quantile[0], own('collection_health_ledger_commit_duration_seconds_bucket')]), quantile[1])
            for quantile in [['0.5', 'median'], ['0.99', '99 %']]
          ],
          noValue: 'Nothing was committed in this time range',
        }),
        kit.timeseries({
          title: 'Queue before the ledger',
          description: 'Events waiting for the next commit. It should return to zero; growth means more arrives than the disk takes.',
          unit: 'short',
          width: 8,
          queries: [kit.query(q('max by (instance) (collection_health_ledger_queue_events{%(facts)s})'), '{{instance}}')],
          noValue: notScraped('The exporter'),
        }),
        kit.timeseries({
          title: 'Ledger size',
          description: 'Bytes on disk. Retention prunes outcomes, so it levels off; unbounded growth means retention does not run.',
          unit: 'bytes',
          width: 8,
          queries: [kit.query(q('max by (instance) (collection_health_ledger_bytes{%(facts)s})'), '{{instance}}')],
          noValue: notScraped('The exporter'),
        }),
        kit.timeseries({
          title: 'Events committed',
          description: 'Events a second that became durable. It follows what is accepted; a gap between the two is a queue.',
          unit: 'eps',
          width: 12,
          queries: [kit.query(q('sum by (instance) (%s)' % own('collection_health_ledger_events_total')), '{{instance}}')],
          noValue: notScraped('The exporter'),
        }),
        kit.timeseries({
          title: 'Commits that failed',
          description: 'Failed commits a second. Nothing was acknowledged, so nothing is lost, but senders have to wait.',
          unit: 'ops',
          width: 12,
          queries: [kit.query(q('sum by (instance) (%s)' % own('collection_health_ledger_failures_total')), '{{instance}}')],
          noValue: notScraped('The exporter'),
        }),
      ]),

      kit.row('Coverage', [
        kit.timeseries({
          title: 'Collectors by state of reporting',
          description: 'Registered in collectors.yml, reporting, discovered without being registered, and registered but silent.',
          unit: 'short',
          queries: [kit.query(q('sum by (state) (collection_health_collectors{%(facts)s})'), '{{state}}')],
          noValue: notScraped('The exporter'),
        }),
        kit.timeseries({
          title: 'Unknown and refused collectors',
          description: 'Events a second from collectors that are not in collectors.yml, and from new ones beyond the cap, which are refused.',
          unit: 'eps',
          queries: [
            kit.query(q('sum(%s)' % own('collection_health_unknown_collectors_total')), 'unknown'),
            kit.query(q('sum(%s)' % own('collection_health_collectors_refused_total')), 'refused (cap reached)'),
          ],
          noValue: notScraped('The exporter'),
        }),
      ]),

      kit.row('Scraping and judging', [
        kit.timeseries({
          title: 'Scrape duration',
          description: 'How long Prometheus takes to read an exporter. It grows with the number of collectors and must stay far below the scrape interval.',
          unit: 's',
          width: 8,
          queries: [kit.query(q('max by (instance) (scrape_duration_seconds{%(facts)s})'), '{{instance}}')],
          noValue: notScraped('The exporter'),
        }),
        kit.timeseries({
          title: 'Samples per scrape',
          description: 'Samples Prometheus takes from an exporter: about a hundred a collector.',
          unit: 'short',
          width: 8,
          queries: [kit.query(q('max by (instance) (scrape_samples_scraped{%(facts)s})'), '{{instance}}')],
          noValue: notScraped('The exporter'),
        }),
        kit.timeseries({
          title: 'Rule groups: share of their interval used',
          description: 'Time the last evaluation of a rule group took, as a share of its interval. At 100 % evaluations are skipped and alerts come late.',
          unit: 'percentunit',
          width: 8,
          thresholds: kit.steps([[null, 'green'], [0.8, 'orange'], [1, 'red']]),
          queries: [kit.query(
            'topk(10, max by (rule_group) (prometheus_rule_group_last_duration_seconds{%(p)s} / prometheus_rule_group_interval_seconds{%(p)s}))' % { p: prometheus },
            '{{rule_group}}'
          )],
          noValue: notScraped('Prometheus'),
        }),
        kit.timeseries({
          title: 'Rule evaluations missed',
          description: 'Evaluations a second that were skipped because the one before was still running.',
          unit: 'ops',
          width: 12,
          queries: [kit.query('sum by (rule_group) (%s)' % rate('prometheus_rule_group_iterations_missed_total', prometheus), '{{rule_group}}')],
          options: { legend: { showLegend: true, displayMode: 'list', placement: 'right', calcs: [] } },
          noValue: notScraped('Prometheus'),
        }),
        kit.timeseries({
          title: 'Alerts from Prometheus to Alertmanager',
          description: 'Alerts a second that Prometheus sent, and those it had to drop or could not send.',
          unit: 'ops',
          width: 12,
          queries: [
            kit.query('sum(%s)' % rate('prometheus_notifications_sent_total', prometheus), 'sent'),
            kit.query('sum(%s)' % rate('prometheus_notifications_dropped_total', prometheus), 'dropped'),
            kit.query('sum(%s)' % rate('prometheus_notifications_errors_total', prometheus), 'errors'),
          ],
          overrides: [kit.byName('dropped', kit.color('red')), kit.byName('errors', kit.color('red'))],
          noValue: notScraped('Prometheus'),
        }),
      ]),

      kit.row('Delivering', [
        kit.timeseries({
          title: 'Messages by channel',
          description: 'Notifications a second that Alertmanager handed to each channel.',
          unit: 'ops',
          width: 8,
          queries: [kit.query('sum by (integration) (%s) > 0' % rate('alertmanager_notifications_total', alertmanager), '{{integration}}')],
          noValue: 'No message left Alertmanager in this time range',
        }),
        kit.timeseries({
          title: 'Messages that failed, by channel',
          description: 'Deliveries a second that a channel refused or that timed out. Alertmanager retries some of them.',
          unit: 'ops',
          width: 8,
          queries: [kit.query('sum by (integration) (%s)' % rate('alertmanager_notifications_failed_total', alertmanager), '{{integration}}')],
          noValue: notScraped('Alertmanager'),
        }),
        kit.timeseries({
          title: 'Time to deliver',
          description: 'How long a channel takes to accept a message, 99 % of them.',
          unit: 's',
          width: 8,
          queries: [kit.query(
            'histogram_quantile(0.99, sum by (le, integration) (%s))' % rate('alertmanager_notification_latency_seconds_bucket', alertmanager),
            '{{integration}}'
          )],
          noValue: 'No message left Alertmanager in this time range',
        }),
      ]),
    ],
  })
