// Every alert of the pack: what it says, to whom it matters and what to do.
function(config, lib) {
  groups: [
    lib.group('alerts-collector', config.fastInterval, [
      lib.collectorAlert('CollectorFailing', severity, 'failing', 'failure', {
        summary: 'A collector fails more often in a row than its own flakes explain.',
        description: 'Collector {{ $labels.collector }} failed {{ $value }} runs in a row; its own past explains fewer.',
        action: 'Read the reason of the last failed run and follow the runbook section for it.',
        impact: 'No good data since the last successful run.',
      })
      for severity in ['critical', 'warning']
    ] + [
      lib.collectorAlert('CollectorNotRunning', 'critical', 'not_running', 'freshness', {
        summary: 'A collector did not run when it was due.',
        description: 'Collector {{ $labels.collector }} is {{ $value | humanizeDuration }} past the deadline of its next run; its scheduler, worker or host is probably down.',
        action: 'Check the scheduler and the worker, then start a run by hand.',
        impact: 'Data grows older with every missed run.',
      }),
      lib.collectorAlert('CollectorDataStale', 'critical', 'stale', 'freshness', {
        summary: 'A collector brings no good data although it runs.',
        description: 'The newest good data of collector {{ $labels.collector }} is {{ $value | humanize }} times as old as it may be.',
        action: 'Compare the age of the data with the last runs: missed and failed runs, or a source that stopped moving.',
        impact: 'Consumers read data older than was promised.',
      }),
    ]),
    lib.group('alerts-monitoring', config.fastInterval, [
      lib.alert('CollectionHealthDown', 'critical', 'fleet:exporter:up == 0 or absent(up%s)' % lib.matchers(), { kind: 'monitoring', root_cause: 'monitoring' }, {
        summary: 'No Collection Health exporter can be scraped.',
        description: 'Prometheus reaches no Collection Health exporter ({{ $value }} up): no collector is being watched.',
        action: 'Start the exporter, or mend the scrape configuration and the network between them.',
        impact: 'Failures of any collector go unnoticed until it is back.',
      }, { 'for': '2m' }),
    ]),
  ],
}
