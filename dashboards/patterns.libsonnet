// Why things fail, together with what, and when: reasons, common dependencies, flapping, hours, versions.
function(kit)
  local q = kit.q;
  local settings = kit.config.dashboards;
  local since = kit.rule('collector:failing_since:timestamp_seconds');
  local failing = kit.rule('collector:failing:bool') + ' == 1';

  kit.new({
    name: 'patterns',
    title: 'Failure patterns and dependencies',
    description: 'Why things fail, together with what, and when.',
    time: '24h',
    variables: kit.teamVariables,
    annotations: kit.fleetAnnotations,
    rows: [
      kit.row('Reasons', [
        kit.barGauge({
          title: 'Failures of a week by reason',
          description: 'Failed and missed runs of the last seven days, by reason, over the chosen collectors.',
          unit: 'short',
          decimals: 0,
          width: 8,
          thresholds: kit.steps([[null, 'orange']]),
          queries: [kit.instant(q('sort_desc(sum by (reason) (%s))' % kit.teams(kit.slow('collector:reason_failures:week'))), '{{reason}}')],
          noValue: 'No run failed in a week',
        }),
        kit.barGauge({
          title: 'Where runs fail now',
          description: 'Failing collectors by the stage their last run failed in: connect, auth, fetch, parse, validate, load.',
          unit: 'short',
          width: 8,
          thresholds: kit.steps([[null, 'red']]),
          queries: [kit.instant(q('count by (stage) (%s and on (%%(by)s) %s)' % [kit.teams(kit.rule('collector:last_failure:info')), failing]), 'stage {{stage}}')],
          noValue: 'No collector is failing',
        }),
        kit.table({
          title: 'One reason behind most failures',
          description: 'Collectors with a reason that explains at least half of their failures of a week: one repair ends most of them.',
          width: 8,
          noValue: 'No reason stands out',
          sortBy: [{ displayName: 'Share', desc: true }],
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector() },
            { title: 'Reason', label: 'reason' },
            {
              title: 'Share',
              expr: q('topk(%d, %s)' % [settings.worst, kit.teams(kit.slow('collector:reason:dominant'))]),
              unit: 'percentunit',
              decimals: 0,
            },
          ],
        }),
        kit.statusHistory({
          title: 'Which reason when',
          description: 'Collectors in an incident, by the reason of their last failed run. A column is an outage that shows as many reasons; a row is a chronic one; a rhythm is a time of day.',
          unit: 'short',
          width: 24,
          height: 9,
          queries: [kit.query(q('count by (reason) (%s)' % kit.teams(kit.rule('collector:last_failure:info') + ' and on (%(by)s) ' + kit.rule('collector:failing_since:timestamp_seconds'))), '{{reason}}')],
          thresholds: kit.steps([[null, 'yellow'], [3, 'orange'], [10, 'red']]),
          noValue: 'No run failed in this time range',
        }),
      ]),

      kit.row('Dependencies and cascades', [
        kit.table({
          title: 'Dependencies',
          description: 'What several collectors stand on: how many of them fail, and how surprising that is together. Evidence above about 10 is no coincidence.',
          width: 14,
          noValue: 'Declare depends_on in collectors.yml to see common causes',
          sortBy: [{ displayName: 'Evidence', desc: true }],
          local per(metric) = q('max by (%%(and)sdependency) (%s)' % kit.rule(metric)),
          columns: [
            { title: 'Dependency', label: 'dependency' },
            {
              title: 'State',
              expr: per('dependency:failing:bool'),
              mappings: kit.yesNo('failing', 'healthy'),
              thresholds: kit.zeroIsGood(),
              color: 'background',
            },
            { title: 'Collectors', expr: q('count by (%%(and)sdependency) (%s)' % kit.rule('collector:dependency:info')) },
            { title: 'Failing', expr: per('dependency:failing:count') },
            { title: 'Share', expr: per('dependency:failing:ratio'), unit: 'percentunit', decimals: 0 },
            { title: 'Evidence', expr: per('dependency:evidence:nats'), decimals: 1, noValue: '–' },
            {
              title: 'Probe',
              expr: q('min by (%(and)sdependency) (collection_dependency_probe_success{%(facts)s})'),
              mappings: kit.yesNo('answers', 'fails', 'green', 'red'),
              thresholds: kit.steps([[null, 'red'], [1, 'green']]),
              color: 'text',
              noValue: 'none',
            },
          ],
        }),
        kit.table({
          title: 'Cascades: explained by a dependency',
          description: 'Collectors whose failure is explained by a dependency. Repair the dependency; these follow.',
          width: 10,
          noValue: 'No failure is explained by a dependency',
          columns: [
            { title: 'Dependency', label: 'dependency' },
            { title: 'Collector', label: 'collector', links: kit.toCollector() },
            {
              title: 'Failing since',
              expr: q('1000 * max by (%%(by)s, dependency) (%s * on (%%(by)s) group_right () %s)' % [since, kit.rule('collector:explained_by:info')]),
              unit: 'dateTimeFromNow',
            },
          ],
        }),
        kit.statusHistory({
          title: 'Dependencies over time',
          description: 'Share of the collectors of each dependency that fail. Red across a row is an outage of the dependency itself.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          decimals: 0,
          width: 14,
          queries: [kit.query(q('max by (%%(and)sdependency) (%s)' % kit.rule('dependency:failing:ratio')), '{{dependency}}')],
          thresholds: kit.steps([[null, 'green'], [0.01, 'yellow'], [kit.config.dependency.minShare, 'red']]),
          noValue: 'Declare depends_on in collectors.yml to see common causes',
        }),
        kit.stateTimeline({
          title: 'Probes of dependencies',
          description: 'Active checks of the dependencies over time: they tell which fell first.',
          unit: 'none',
          width: 10,
          queries: [kit.query(q('min by (%(and)sdependency, probe) (collection_dependency_probe_success{%(facts)s})'), '{{dependency}} {{probe}}')],
          mappings: kit.yesNo('answers', 'fails', 'green', 'red'),
          thresholds: kit.steps([[null, 'red'], [1, 'green']]),
          noValue: 'Declare probes of dependencies in collectors.yml',
        }),
      ]),

      kit.row('Flapping, hours, versions', [
        kit.barGauge({
          title: 'Flapping',
          description: 'Changes between confirmed failing and healthy within a day. Each one is a message somebody reads.',
          unit: 'short',
          width: 8,
          thresholds: kit.steps([[null, 'yellow'], [6, 'red']]),
          queries: [kit.instant(q('topk(15, %s > 0)' % kit.teams(kit.rule('collector:flips:count'))), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'Nothing flaps',
        }),
        kit.barGauge({
          title: 'This hour of the day',
          description: 'Share of a week of failures that fell into this hour of the day. Above 25 % the hour is the cause: a batch window, a backup, a quota that resets.',
          unit: 'percentunit',
          min: 0,
          max: 1,
          decimals: 0,
          width: 8,
          thresholds: kit.steps([[null, 'blue'], [0.25, 'orange']]),
          queries: [kit.instant(q('topk(15, %s > 0.1)' % kit.teams(kit.slow('collector:hour:failure_share_ratio'))), '{{collector}}')],
          links: kit.seriesToCollector,
          noValue: 'No collector fails at this hour more than at others',
        }),
        kit.table({
          title: 'Failing since a new version',
          description: 'Collectors that fail since their own version changed: roll back first, ask later.',
          width: 8,
          noValue: 'No failure began with a new version',
          local wanted = kit.teams(kit.rule('collector:problem:value', 'problem="version"')),
          columns: [
            { title: 'Collector', label: 'collector', links: kit.toCollector() },
            { title: 'Version', label: 'version' },
            {
              title: 'Since',
              expr: q('1000 * %s * on (%%(by)s) group_right () max by (%%(by)s, version) (collection_info{%%(facts)s}) and on (%%(by)s) %s' % [
                kit.fact('collection_version_changed_timestamp_seconds'),
                wanted,
              ]),
              unit: 'dateTimeFromNow',
            },
          ],
        }),
      ]),
    ],
  })
