// Weeks, not minutes: what slowly becomes worse, and what is only the time of the day or week.
function(kit)
  local q = kit.q;
  local own = kit.own;
  local settings = kit.config.dashboards;
  local past(days) = if days == 0 then '' else ' offset %dd' % days;
  // Every run is an event of the availability promise, and an error when it failed or was missed.
  local ofDay(what, ago) = kit.teamSum('team:sli_%s:increase' % what, 'sli', 'sli="availability", window="1d"', past(ago));
  local failedShare(ago) = '%s / (%s > 0)' % [ofDay('errors', ago), ofDay('events', ago)];
  local weeks = [[0, 'now'], [7, 'last week'], [14, 'two weeks ago']];
  local faded = [kit.byName('now', kit.color('blue') + { 'custom.lineWidth': 2 }), kit.dashed('last week', 'text'), kit.dashed('two weeks ago', 'super-light-blue')];
  local history = 'No history yet: comparisons appear after a week';

  // A level now over the same level a week ago, where both are known.
  local change(level) = '%s / (%s offset 1w > 0)' % [level, level];

  local changes(title, description, level, unit, direction) = kit.table({
    title: title,
    description: description,
    width: 12,
    noValue: history,
    sortBy: [{ displayName: 'Change', desc: direction == 'topk' }],
    local chosen = '%s(%d, %s)' % [direction, settings.worst, kit.teams(change(level))],
    columns: [
      { title: 'Collector', label: 'collector', links: kit.toCollector() },
      { title: 'Change', expr: q('(%s) - 1' % chosen), unit: 'percentunit', decimals: 0 },
      { title: 'Now', expr: q('%s and on (%%(by)s) %s' % [level, chosen]), unit: unit, decimals: 1 },
    ],
  });

  kit.new({
    name: 'trends',
    title: 'Trends and seasonality',
    description: 'What slowly becomes worse, and what is only the time of the day or week.',
    time: '7d',
    variables: kit.teamVariables + [kit.collectorVariable],
    annotations: kit.fleetAnnotations,
    rows: [
      kit.row('The fleet, week against week', [
        kit.timeseries({
          title: 'Failed runs, share',
          description: 'Share of runs that failed within the day before each point, now and at the same time of earlier weeks.',
          unit: 'percentunit',
          maxDataPoints: 200,
          queries: [kit.query(failedShare(w[0]), w[1]) for w in weeks],
          overrides: faded,
          noValue: 'No run in this time range',
        }),
        kit.timeseries({
          title: 'Runs a day',
          description: 'Runs within the day before each point, now and at the same time of earlier weeks. A drop is work that no longer happens.',
          unit: 'short',
          maxDataPoints: 200,
          queries: [kit.query(ofDay('events', w[0]), w[1]) for w in weeks],
          overrides: faded,
          noValue: 'No run in this time range',
        }),
        kit.timeseries({
          title: 'Health of the fleet',
          description: 'Health of all collectors weighted by impact, now and at the same time of earlier weeks.',
          unit: 'percentunit',
          max: 1,
          custom: { axisSoftMin: 0.8 },
          queries: [kit.query(kit.rule('fleet:health:score') + past(w[0]), w[1]) for w in weeks],
          overrides: faded,
          noValue: history,
        }),
        kit.stacked({
          title: 'Recognised seasonality',
          description: 'How many collectors are predicted best by which past: recent level (flat), same hour of other days (daily), of other weeks (weekly).',
          unit: 'short',
          maxDataPoints: 60,
          queries: [kit.query(q('count by (model) (%s)' % kit.teams(kit.rule('collector:records:season', 'window="10"'))), '{{model}}')],
          noValue: 'Not enough history yet: a model is chosen after about a week of records',
        }),
      ]),

      kit.row('What changed most within a week', [
        changes('Slower than a week ago', 'Usual duration now against a week ago, the largest growth first.', kit.rule('collector:duration:base_seconds'), 's', 'topk'),
        changes('Fewer records than a week ago', 'Expected records now against a week ago, the largest loss first.', kit.rule('collector:records:expected_best', 'window="10"'), 'short', 'bottomk'),
      ]),

      kit.row('One collector: $collector', [
        kit.timeseries({
          title: 'Records, same hour of earlier weeks',
          description: 'Level of the records of $collector now and at the same time of the weeks before.',
          unit: 'short',
          queries: [kit.query(kit.ownRule('collector:records:level', 'window="10"') + past(w[0]), w[1]) for w in weeks],
          overrides: faded,
          noValue: 'No run of this collector reported records',
        }),
        kit.timeseries({
          title: 'Records, what each model expects',
          description: 'Expectation of each model for $collector against what came. The model in use is the one that was least wrong over the last week.',
          unit: 'short',
          queries: [
            kit.query(kit.ownRule('collector:records:level', 'window="10"'), 'records'),
            kit.query(kit.ownRule('collector:records:expected', 'window="10"'), '{{model}}'),
          ],
          overrides: [kit.byName('records', kit.color('blue') + { 'custom.lineWidth': 2 })],
          noValue: 'No run of this collector reported records',
        }),
        kit.timeseries({
          title: 'Duration, same hour of earlier weeks',
          description: 'Level of the duration of $collector now and at the same time of the weeks before.',
          unit: 's',
          queries: [kit.query(kit.ownRule('collector:duration:level_seconds', 'window="10"') + past(w[0]), w[1]) for w in weeks],
          overrides: faded,
          noValue: 'No run of this collector carried a duration',
        }),
        kit.timeseries({
          title: 'Quality over weeks',
          description: 'Quality of $collector: the level of the last runs and what is usual. A slow slope is a source that changes.',
          unit: 'percentunit',
          max: 1,
          queries: [
            kit.query(kit.ownRule('collector:quality:level_ratio', 'window="10"'), 'level'),
            kit.query(kit.ownRule('collector:quality:base_ratio'), 'usual'),
          ],
          noValue: 'No run of this collector reported quality',
        }),
        kit.stateTimeline({
          title: 'Model in use',
          description: 'Which past predicted the records of $collector best over time.',
          unit: 'none',
          width: 12,
          height: 6,
          queries: [kit.query(kit.ownRule('collector:records:season', 'window="10"'), '{{model}}')],
          mappings: [kit.valueMap({ '1': ['in use', 'blue'] })],
          noValue: 'Not enough history yet: a model is chosen after about a week of records',
        }),
        kit.stat({
          title: 'Flakes',
          description: 'Failed runs of $collector among its last 100, and the chance that a run begins a streak of failures that heals by itself.',
          unit: 'percentunit',
          decimals: 1,
          width: 12,
          height: 6,
          queries: [
            kit.instant(kit.ownRule('collector:failures:ratio', 'window="100"'), 'failed of the last 100'),
            kit.instant(kit.ownRule('collector:flake:start_ratio'), 'begins a flake'),
            kit.instant(kit.ownRule('collector:flake:persist_ratio'), 'flake goes on'),
          ],
          options: { colorMode: 'none' },
          noValue: 'No run yet',
        }),
      ]),
    ],
  })
