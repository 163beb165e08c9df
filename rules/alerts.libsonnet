// Every alert of the pack: what it says, what it means for others and what to do.
function(config, lib, alerts) {
  local problem = alerts.problem,
  local prediction = alerts.prediction,
  local monitoring(name, severity, expr, annotations, timing={}) =
    alerts.alert(
      name,
      severity,
      expr,
      { kind: 'monitoring', root_cause: 'monitoring' },
      { dashboard_url: config.dashboardUrlPattern % 'collection-health-self' } + annotations,
      timing,
    ),
  // Page-worthy for all that time, and already so that long ago.
  local waited(after) =
    if lib.seconds(after) == 0 then 'collector:page:bool == 1'
    else 'min_over_time(collector:page:bool[%s]) == 1 and collector:page:bool offset %s == 1' % [after, after],

  // An acknowledgement ends with its incident, some evaluations before the verdict about the incident
  // does: without memory that moment would page whoever had just finished.
  local held = 'max_over_time(collector:page:held[%ds])' % (3 * lib.seconds(config.fastInterval)),

  // What an incident leaves behind in windows that still see it is not news to those who were told.
  local unlessTold = |||

    unless max without (problem, severity) (max_over_time(%(outages)s[%(window)s]))
    unless max without (dependency) (max_over_time(collector:root_dependency:info[%(window)s]))
  ||| % { outages: lib.outages, window: config.slo.quietAfter },

  // What alternates below a failing dependency is the dependency's news.
  local unlessExplained = '\nunless max without (dependency) (collector:root_dependency:info)\n',
  local unlessExplainedWithin(window) = unlessExplained + |||
    unless max without (dependency) (max_over_time(collector:root_dependency:info[%s]))
  ||| % window,

  // What began as failing goes on under that name. What an outage leaves behind in windows counted in runs (two more for the delay
  // of the verdict) is not news either, unless it alternated before.
  local unlessFailing = |||
    unless collector:flapping:after_failing_seconds >= 0
    unless (
      (
        max without (problem, severity) (max_over_time(%(outages)s[%(window)s]))
        or time() - max_over_time(collector:told:timestamp_seconds[%(history)s]) < 12 * collector:interval:assumed_seconds
      )
      unless (
        collector:flapping:after_failing_seconds < 0
        unless max without (dependency) (max_over_time(collector:explained_by:info[1d]))
      )
    )
  ||| % { outages: lib.outages, window: config.slo.quietAfter, history: config.historyWindow },

  // What was critical ends as critical, and whoever was told of that is not told again that it comes and
  // goes: each would be one more message.
  local wasCritical = 'sum without (severity) (max_over_time(collector:failing:confirmed_timestamp_seconds{severity="critical"}[1d]))',
  // Held back for longer than it lasts, so that it does not begin when nobody expects it any more.
  local stillFailing(severity) = |||

    or
    (
      sum without (problem, severity) (collector:problem:value{problem="flapping", severity="warning"})
      and collector:flapping:after_failing_seconds >= 0
      %s
    )%s
  ||| % {
    critical: ['and ' + lib.steadyUntil('collector:failing:grave_timestamp_seconds'), ''],
    warning: ['or collector:failing:settling_ratio', '\nunless ' + wasCritical],
  }[severity] + unlessExplainedWithin('%ds' % (2 * lib.seconds(config.flapping.steady.atMost))),

  // Where several fail at once, the first minutes decide whether it is their dependency or a blip.
  local unlessPending = |||

    unless max without (dependency) (collector:failing_dependency:info and ignoring (collector) dependency:pending:nats)
  |||,

  local inARow = 'failed {{ $value }} runs in a row',
  local flapping = {
    summary: 'A collector keeps failing and recovering.',
    cause: 'An overloaded or unstable upstream, one bad worker among several, or a recovery that does not last.',
    impact: 'Data arrives late and with gaps; single messages about it would be a stream.',
    action: 'Treat it as one problem: compare the failed runs by reason, stage, host and time of day.',
  },

  // Nor is the budget that a degradation cost those who were told of the degradation.
  local unlessKnown = |||
    unless max without (problem, severity) (max_over_time(
      collector:problem:value{problem=~"flapping|slow|quality|partial|volume_zero|volume_low"}[%(window)s]
    ))
  ||| % { window: config.slo.quietAfter },

  groups: [
    lib.group('alerts-failing', config.fastInterval, [
      problem('CollectorFailing', severity, 'failing', 'failure', {
        summary: 'A collector fails longer than its own flakes explain.',
        description: 'Collector {{ $labels.collector }} {{ if ge $value 1.0 }}%s{{ else }}still failed {{ $value | humanizePercentage }} of its last runs, with good ones in between{{ end }}, more than its own past explains.' % inARow,
        cause: 'Its upstream, its credentials or its own code; the reason of the last failed run says which.',
        impact: 'No good data since its last good run.',
        action: 'Read the last error, then follow the runbook section for its reason.',
      }, also=stillFailing(severity), unless=unlessPending)
      for severity in ['critical', 'warning']
    ] + [
      problem('CollectorNotRunning', severity, 'not_running', 'freshness', {
        summary: 'A collector did not run when it was due.',
        description: 'Collector {{ $labels.collector }} is {{ $value | humanizeDuration }} past the deadline of its next run.',
        cause: 'Its scheduler, worker or host is down, or it was removed without telling the inventory.',
        impact: 'Its data grows older with every missed run.',
        action: 'Check scheduler and worker, then start a run by hand.',
      })
      for severity in ['critical', 'warning']
    ] + [
      problem('CollectorRunOverdue', severity, 'hanging', 'hanging', {
        summary: 'A run takes longer than it may.',
        description: 'A run of collector {{ $labels.collector }} has been under way for {{ $value | humanizeDuration }} without an end.',
        cause: 'It waits for an upstream, a lock or a resource, or its process died without saying so.',
        impact: 'No new data until it ends, and later runs may queue behind it.',
        action: 'Look at the process: kill and restart it if it is stuck, and declare a timeout.',
      })
      for severity in ['critical', 'warning']
    ] + [
      problem('CollectorDataStale', 'critical', 'stale', 'freshness', {
        summary: 'A collector brings no good data although nothing else is said of it.',
        description: 'The newest good data of collector {{ $labels.collector }} is {{ $value | humanize }} times as old as it may be.',
        cause: 'Failed, skipped and missed runs in turn, or a source that stopped moving.',
        impact: 'Consumers read data older than was promised.',
        action: 'Compare the age of the data with the last runs, and the source with what it should hold.',
      }),
      problem('CollectorSchemaChanged', 'warning', 'schema', 'schema', {
        summary: 'The upstream changed the shape of its data.',
        description: 'Collector {{ $labels.collector }} failed {{ $value }} runs on a schema it had always understood.',
        cause: 'A field was renamed, removed or changed its kind upstream.',
        impact: 'Nothing is collected, or what is collected lacks fields.',
        action: 'Compare a fresh response with the expected schema and release an adapted collector.',
      }),
      problem('CollectorFailingSinceVersion', 'warning', 'version', 'version', {
        summary: 'A collector fails since its new version.',
        description: 'Collector {{ $labels.collector }} began to fail {{ $value | humanizeDuration }} after its version changed.',
        cause: 'The release itself, or configuration that came with it.',
        impact: 'It fails until the version is mended or rolled back.',
        action: 'Roll back first, look for the reason afterwards.',
      }),
      problem('CollectorProbeFailing', 'warning', 'probe', 'probe', {
        summary: 'An active check of a collector fails.',
        description: '{{ $value }} probes of collector {{ $labels.collector }} have failed throughout.',
        cause: 'The upstream is unreachable, slow, or answers something else than expected.',
        impact: 'The next run will probably fail.',
        action: 'Run the probe by hand and read its message.',
      }),
      // No incident of any collector: one message with all names.
      alerts.alert('CollectorUnregistered', 'info', 'count without (%s, collector, team, tier, owner, source, version, registered) (last_over_time(collection_info%s[%s]))' % [lib.dropped, lib.matchers('registered="false"'), config.scrapeGuard], { kind: 'coverage', root_cause: 'inventory' }, {
        summary: 'Collectors report that the inventory does not know.',
        description: 'The inventory lacks {{ $value }} collectors that report outcomes, so their schedules are guessed and nobody owns them:{{ range query `count by (collector) (collection_info%s)` | sortByLabel "collector" }} {{ .Labels.collector }}{{ end }}.' % lib.matchers('registered="false"'),
        cause: 'New collectors, renamed ones, or misspelt names.',
        impact: 'Nobody is told with certainty when one of them stops.',
        action: 'Add them to collectors.yml, or as aliases of the collectors they are.',
      }, { 'for': '1h' }),
    ]),

    lib.group('alerts-degraded', config.fastInterval, [
      problem('CollectorSlow', 'warning', 'slow', 'latency', {
        summary: 'A collector takes much longer than it used to.',
        description: 'Runs of collector {{ $labels.collector }} take {{ $value | humanize }} times their usual duration.',
        cause: 'A slow upstream, more data than usual, or a host short of something.',
        impact: 'Data arrives later; at its timeout it will fail.',
        action: 'Compare duration with records: if both grew it is volume, else the upstream or the host.',
      }),
      problem('CollectorVolumeAnomaly', 'warning', 'volume_zero', 'volume', {
        summary: 'A collector succeeds without bringing any records.',
        description: 'The last runs of collector {{ $labels.collector }} succeeded with {{ $value }} records, which it practically never does.',
        cause: 'An empty answer, a filter or a credential that sees nothing, or a page that moved.',
        impact: 'Consumers see a gap that looks like success.',
        action: 'Fetch the source by hand and compare.',
      }, labels={ direction: 'zero' }),
      problem('CollectorVolumeAnomaly', 'warning', 'volume_low', 'volume', {
        summary: 'A collector brings far fewer records than expected.',
        description: 'Collector {{ $labels.collector }} brings {{ $value | humanizePercentage }} of the records expected at this time.',
        cause: 'Part of the source is missing: a page, a partition, a tenant, a region.',
        impact: 'Consumers work with incomplete data.',
        action: 'Compare what is missing with the last complete run.',
      }, labels={ direction: 'low' }),
      problem('CollectorVolumeAnomaly', 'warning', 'volume_high', 'volume', {
        summary: 'A collector brings far more records than expected.',
        description: 'Collector {{ $labels.collector }} brings {{ $value | humanize }} times the records expected at this time.',
        cause: 'A back-fill, duplicates, or a filter that no longer filters.',
        impact: 'Storage, cost and consumers may suffer.',
        action: 'Check for duplicates and for a back-fill that somebody started.',
      }, labels={ direction: 'high' }, told=config.volume.highSeverity),
      problem('CollectorPartial', 'warning', 'partial', 'quality', {
        summary: 'A collector keeps bringing only part of its data.',
        description: '{{ $value | humanizePercentage }} of the last runs of collector {{ $labels.collector }} ended as partial, more than its own past explains.',
        cause: 'A page, tenant, partition or endpoint that fails while the others work.',
        impact: 'Consumers work with incomplete data that looks like a success.',
        action: 'Read what the partial runs say is missing and fetch that part by hand.',
      }),
      problem('CollectorQualityLow', 'warning', 'quality', 'quality', {
        summary: 'The quality of collected data dropped.',
        description: 'Quality of collector {{ $labels.collector }} fell to {{ $value | humanizePercentage }}, below its target or its own past.',
        cause: 'Missing or malformed fields upstream, or a parser that no longer fits.',
        impact: 'Consumers get records they cannot trust.',
        action: 'Look at rejected records of the last runs and at the fields that are empty.',
      }),
    ] + [
      problem('CollectorFlapping', 'critical', 'flapping', 'flapping', flapping {
        description: 'Collector {{ $labels.collector }} changed between good and bad {{ $value }} times lately.',
      }, { keep_firing_for: '1h' }, unless=unlessExplained + 'unless %s\n' % wasCritical),
      problem('CollectorFlapping', 'warning', 'flapping', 'flapping', flapping {
        description: '{{ $value | humanizePercentage }} of the last runs of collector {{ $labels.collector }} failed or needed another attempt, with good ones in between, more than its own past explains.',
      }, { keep_firing_for: '2h' }, unless='\nand collector:flapping:confirmed_timestamp_seconds' + unlessExplainedWithin(config.slo.quietAfter) + unlessFailing),
    ] + [
      problem('CollectorBudgetBurn', 'warning', 'budget_' + speed, 'slo', {
        summary: 'A collector spends its error budget %s than its objective allows.' % { fast: 'much faster', slow: 'steadily faster' }[speed],
        description: 'Collector {{ $labels.collector }} burns the budget of one of its objectives {{ $value | humanize }} times as fast as it may.',
        cause: 'More errors than in its own past: failed or missed runs, or runs that miss their target.',
        impact: 'The objective will be missed if it goes on.',
        action: 'Open its budgets to see which objective, then its failed runs.',
      }, { keep_firing_for: '30m' }, labels={ speed: speed }, unless=unlessTold + unlessKnown)
      for speed in ['fast', 'slow']
    ]),

    lib.group('alerts-prediction', config.slowInterval, [
      prediction('CollectorStalePredicted', 'stale', {
        summary: 'The next run cannot finish before the data is too old.',
        description: 'Data of collector {{ $labels.collector }} will miss its freshness target in {{ $value | humanizeDuration }}, before the next run can be done.',
        cause: 'The last run failed and the next one is due too late.',
        impact: 'Consumers will read data older than was promised.',
        action: 'Start a run now.',
      }),
      prediction('CollectorTimeoutPredicted', 'timeout', {
        summary: 'Runs grow longer and will reach their limit.',
        description: 'At its present growth collector {{ $labels.collector }} reaches its timeout in {{ $value | humanizeDuration }}.',
        cause: 'A source that grows, or an upstream that becomes slower by the hour.',
        impact: 'Every run will fail from then on.',
        action: 'Fetch less at a time, or raise the timeout while you look for the reason.',
      }),
      prediction('CollectorBudgetExhaustionPredicted', 'budget', {
        summary: 'An error budget will be gone soon.',
        description: 'At its present rate collector {{ $labels.collector }} has spent an error budget in {{ $value | humanizeDuration }}.',
        cause: 'More errors than in its own past.',
        impact: 'The objective will be missed.',
        action: 'Hold back risky changes and mend the most frequent reason.',
      }, unless=unlessTold + unlessKnown),
      prediction('CollectorQuotaExhaustionPredicted', 'quota', {
        summary: 'An upstream quota will be used up before it resets.',
        description: 'At its present use collector {{ $labels.collector }} has no quota left in {{ $value | humanizeDuration }}, before the reset.',
        cause: 'More requests than usual: retries, a back-fill, or a quota shared with others.',
        impact: 'Runs will be refused until the quota resets.',
        action: 'Widen the interval or fetch less until the reset.',
      }),
      prediction('CollectorCredentialExpiring', 'credential', {
        summary: 'A credential is about to expire.',
        description: 'The credential of collector {{ $labels.collector }} expires in {{ $value | humanizeDuration }}.',
        cause: 'Nobody has renewed it yet.',
        impact: 'Every run fails from then on.',
        action: 'Renew it now.',
      }),
      prediction('CollectorCredentialExpiring', 'credential', {
        summary: 'A credential expires very soon.',
        description: 'The credential of collector {{ $labels.collector }} expires in {{ $value | humanizeDuration }}.',
        cause: 'Nobody has renewed it yet.',
        impact: 'Every run fails from then on.',
        action: 'Renew it now.',
      }, severity='critical', condition=' < %d' % lib.seconds(config.prediction.credentialCritical)),
      prediction('CollectorVolumeTrendingToZero', 'volume_zero', {
        summary: 'A collector brings fewer and fewer records.',
        description: 'At its present decline collector {{ $labels.collector }} brings nothing in {{ $value | humanizeDuration }}.',
        cause: 'A source that is being emptied or switched off, or an access that narrows.',
        impact: 'Consumers will run dry.',
        action: 'Ask the owner of the source whether it moved.',
      }, { 'for': '1h' }),
    ]),

    lib.group('alerts-fleet', config.fastInterval, [
      alerts.alert('DependencyFailing', 'critical', |||
        (dependency:problem:value unless dependency:habit:kept_ratio)
        * ignoring (tier) group_left (tier) dependency:tier:info
      |||, { kind: 'dependency', root_cause: 'dependency:{{ $labels.dependency }}' }, alerts.aboutDependency({
        summary: 'What several collectors depend on has failed.',
        description: 'Dependency {{ $labels.dependency }} has failed: {{ $value }} of its collectors fail because of it.',
        cause: 'The dependency itself; its collectors have nothing else in common.',
        impact: 'All collectors that stand on it.',
        action: 'Mend the dependency; its collectors recover with their next runs.',
      }), {}),
      alerts.alert('FleetFailing', 'critical', |||
        fleet:unexplained_failing:ratio >= %g
        and fleet:failing:count >= %d
      ||| % [config.fleet.failingShare, config.fleet.failingCount], { kind: 'fleet', root_cause: 'fleet' }, {
        summary: 'A large part of the fleet fails and no single dependency explains it.',
        description: '{{ $value | humanizePercentage }} of all collectors are failing for no common dependency: look for what they all share.',
        cause: 'Network, DNS, the scheduler, the credentials store or the platform they run on.',
        impact: 'Most collectors and everything that consumes their data.',
        action: 'Start with what they share; do not mend collectors one by one.',
      }, { 'for': '1m' }),
      alerts.alert('FleetRiskHigh', 'warning', 'fleet:risk:ratio > %g and fleet:failing:count >= 3' % config.fleet.riskShare, { kind: 'fleet', root_cause: 'fleet' }, {
        summary: 'Much of what the business relies on is failing or degraded.',
        description: '{{ $value | humanizePercentage }} of the weight of all collectors is at risk at the same time.',
        cause: 'Several open incidents at once.',
        impact: 'Consumers of the most important data.',
        action: 'Take the incidents in the order of their impact.',
      }, { 'for': '10m' }),
    ]),

    lib.group('alerts-escalation', config.fastInterval, [
      alerts.alert(
        'CollectorUnacknowledged',
        'critical',
        alerts.labelled(std.join('\nor\n', [
          std.rstripChars(|||
            (
              %(waited)s unless %(held)s
              or collector:page:bool == 1 and collector:recovery:state == 3 unless %(held)s
            )
            and ignoring (team, tier, root_cause) collector:labels:info{tier="%(tier)s"}
          ||| % { tier: tier, held: held, waited: waited(config.escalation[tier][level]) }, '\n')
          for tier in std.objectFields(config.escalation)
          if std.length(config.escalation[tier]) > level
        ])),
        { kind: 'escalation', level: '%d' % (level + 1) },
        alerts.about({
          summary: 'Nobody has taken up a critical problem.',
          description: 'Collector {{ $labels.collector }} (tier {{ $labels.tier }}) has a critical problem ({{ $value }}) that nobody has acknowledged in time.',
          cause: 'Verdict:{{ range query (printf `collector:problem:value{collector=%q,severity="critical"}` $labels.collector) }} {{ .Labels.problem }}{{ end }}.',
          impact: 'The problem goes on.',
          action: 'Acknowledge it, then follow the runbook of the alert it is about.',
        }),
      )
      for level in std.range(0, std.foldl(std.max, [std.length(config.escalation[tier]) for tier in std.objectFields(config.escalation)], 0) - 1)
    ] + [
      alerts.alert('CollectorRecoveryExhausted', 'critical', alerts.labelled('(collector:recovery:state == 3) - 2 and collector:failing_since:timestamp_seconds'), { kind: 'recovery' }, {
        summary: 'Automatic recovery has nothing left to try.',
        description: 'Automatic recovery of collector {{ $labels.collector }} gave up ({{ $value }} ladder) and no good run followed.{{ with query (printf `collection_recovery_tried_info{collector=%q}` $labels.collector) }} Tried: {{ . | first | label "tried" }}.{{ end }}',
        cause: 'The fault is not one that these steps mend.',
        impact: 'It stays broken until a person acts.',
        action: 'Mend it by hand; GET /api/v1/collectors/NAME/recoveries has what was tried in full.',
        dashboard_url: config.dashboardUrlPattern % 'collection-health-recovery' + '?var-collector={{ $labels.collector | urlquery }}',
      }),
      alerts.alert('CollectorRecoveryCircuitOpen', 'warning', alerts.labelled('(collector:recovery:state == 2) - 1'), { kind: 'recovery' }, {
        summary: 'Automatic recovery is held by its circuit breaker.',
        description: 'Recovery of collector {{ $labels.collector }} failed to help too often; {{ $value }} breaker is open and nothing automatic will run.',
        cause: 'Steps that succeed without making the collector good again.',
        impact: 'The next failure waits for a person.',
        action: 'Look at what recovery did and why it did not last.',
        dashboard_url: config.dashboardUrlPattern % 'collection-health-recovery' + '?var-collector={{ $labels.collector | urlquery }}',
      }),
    ]),

    lib.group('alerts-monitoring', config.fastInterval, [
      monitoring('CollectionHealthDown', 'critical', 'fleet:exporter:up == 0 or absent(up%s)' % lib.matchers(), {
        summary: 'No Collection Health exporter can be scraped.',
        description: 'Prometheus reaches no Collection Health exporter ({{ $value }}): no collector is being watched.',
        cause: 'The exporter is down, or the scrape configuration or the network between them is wrong.',
        impact: 'Failures of any collector go unnoticed until it is back.',
        action: 'Start the exporter, or mend scrape configuration and network.',
      }, { 'for': '2m' }),
      monitoring('CollectionHealthExporterDown', 'warning', 'up%s == 0 unless ignoring (%s) fleet:exporter:up == 0' % [lib.matchers(), lib.dropped], {
        summary: 'One of several Collection Health exporters cannot be scraped.',
        description: 'Exporter {{ $labels.%s }} is down ({{ $value }}); others are still there.' % config.instanceLabels[0],
        cause: 'A crash, a rollout, or its host.',
        impact: 'Collectors that report to it are not watched.',
        action: 'Start it again; clients spool and deliver afterwards.',
      }, { 'for': '5m' }),
      monitoring('CollectionHealthIngestErrors', 'warning', |||
        sum without (result) (fleet:events:increase1h{result="rejected"})
        / sum without (result) (fleet:events:increase1h)
        > 0.05
        and sum without (result) (fleet:events:increase1h{result="rejected"}) > 10
      |||, {
        summary: 'Collectors send outcomes that are refused.',
        description: '{{ $value | humanizePercentage }} of the outcomes of the last hour were refused as invalid.',
        cause: 'A client of the wrong version, or a hand-made request.',
        impact: 'Refused outcomes are not counted; their collectors may look silent.',
        action: "Read the exporter's log: it names field and problem.",
      }),
      monitoring('CollectionHealthOverloaded', 'warning', |||
        max without (%(dropped)s) (max_over_time(collection_health_shedding%(matchers)s[5m])) == 1
        or sum without (result) (fleet:events:increase1h{result="unavailable"}) > 100
      ||| % { dropped: lib.dropped, matchers: lib.matchers() }, {
        summary: 'The exporter is overloaded and defers work.',
        description: 'The exporter sheds optional work or turns outcomes away ({{ $value }}); clients retry later.',
        cause: 'More outcomes than it can store, a slow disk, or too little memory.',
        impact: 'Probes, streams and pages stop first; outcomes arrive late.',
        action: 'Give it more CPU or a faster disk, or split the fleet over shards.',
      }, { 'for': '5m' }),
      monitoring('CollectionHealthLedgerTrouble', 'critical', |||
        max without (%(dropped)s) (last_over_time(collection_health_ledger_writable%(matchers)s[%(guard)s])) == 0
        or sum without (%(dropped)s) (increase(collection_health_ledger_failures_total%(matchers)s[10m])) > 0
      ||| % { dropped: lib.dropped, matchers: lib.matchers(), guard: config.scrapeGuard }, {
        summary: 'The exporter cannot write its ledger.',
        description: 'The exporter answers 503 because its ledger cannot be written ({{ $value }}).',
        cause: 'A full or failing disk, or wrong permissions.',
        impact: 'Outcomes wait in the clients; those without a spool are lost.',
        action: 'Free space under --storage.path; it recovers by itself.',
      }),
      monitoring('CollectionHealthConfigReloadFailed', 'warning', '%s == 0' % lib.fact('collection_health_config_last_reload_successful'), {
        summary: 'The inventory could not be reloaded.',
        description: 'The last reload of collectors.yml failed ({{ $value }}); the exporter keeps the old one.',
        cause: 'A mistake in the file.',
        impact: 'Changes since then are not in effect.',
        action: 'Run collection-health check; it names line and field.',
      }),
      monitoring('CollectionHealthCollectorsRefused', 'warning', 'sum without (%s) (increase(collection_health_collectors_refused_total%s[1h])) > 0' % [lib.dropped, lib.matchers()], {
        summary: 'New collectors are refused because the cap is reached.',
        description: 'About {{ $value | humanize }} outcomes of unknown collectors were refused in the last hour.',
        cause: 'More collectors than the cap allows, or names that change with every run.',
        impact: 'These collectors are not watched.',
        action: 'Raise the cap, or mend the client that invents names.',
      }),
      monitoring('CollectionHealthBreakGlassActive', 'warning', 'max without (%s) (last_over_time(collection_health_break_glass_active%s[%s])) == 1' % [lib.dropped, lib.matchers(), config.scrapeGuard], {
        summary: 'Automatic recovery is overridden by hand.',
        description: 'Break-glass mode {{ $labels.mode }} is active ({{ $value }}).',
        cause: 'A person set it, with a reason in the audit log.',
        impact: 'Recovery does nothing, or everything, until it ends.',
        action: 'End it as soon as its reason is gone.',
      }),
      monitoring('CollectionHealthCoverageLow', 'warning', lib.held('fleet:scorecard:value', config.historyInterval, '{promise="coverage_ratio"}') + ' < 0.9', {
        summary: 'Many known collectors are silent.',
        description: 'Only {{ $value | humanizePercentage }} of the registered collectors report in time.',
        cause: 'Collectors that were never connected, or an inventory that outlived them.',
        impact: 'What is silent cannot be judged.',
        action: 'Connect them or take them out of collectors.yml.',
      }, { 'for': '1h' }),
    ]),

    lib.group('alerts-pipeline', config.fastInterval, [
      monitoring('CollectionHealthRulesFailing', 'critical', 'fleet:rule_evaluation_failures:increase1h > 0', {
        summary: 'Rules of the pack fail to evaluate.',
        description: '{{ $value | humanize }} evaluations of the pack failed in the last hour.',
        cause: "Series that clash with the pack's own, or a rule file changed by hand.",
        impact: 'Some verdicts are missing.',
        action: 'Look at the rules page of Prometheus for the error.',
      }, { 'for': '5m' }),
      monitoring('CollectionHealthRulesSlow', 'warning', 'fleet:rule_groups_behind:count > 0', {
        summary: 'Rules of the pack take longer than their interval.',
        description: '{{ $value }} rule groups take longer to evaluate than their interval.',
        cause: 'More collectors than this Prometheus can judge at this pace.',
        impact: 'Alerts come late.',
        action: 'Lengthen fastInterval and slowInterval, or shard.',
      }, { 'for': '15m' }),
      monitoring('CollectionHealthNotificationsFailing', 'critical', 'fleet:notifications_failed:increase1h > 3', {
        summary: 'Alertmanager cannot deliver notifications.',
        description: '{{ $value | humanize }} notifications by {{ $labels.integration }} failed in the last hour.',
        cause: 'A wrong URL or token, a rate limit, or the receiving service.',
        impact: 'People are not told.',
        action: "Read Alertmanager's log for the channel and test it.",
      }, { 'for': '5m' }),
      monitoring('CollectionHealthWatchdog', 'info', 'vector(1)', {
        summary: 'Always firing, to prove that alerts arrive.',
        description: 'The chain from rules to notification works ({{ $value }}). Its absence is the alarm.',
        cause: 'This alert fires by design.',
        impact: 'None.',
        action: 'Let a service outside of this system expect it and call you when it stops.',
      }),
    ]),
  ],
}
