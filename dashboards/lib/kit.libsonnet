// What a dashboard file is written with: panels, dashboard assembly, and PromQL helpers that know the
// configuration's labels. `kit.q` fills these placeholders in:
//   %(facts)s   matchers of the exporter's own series            job="collection-health"
//   %(one)s     the same for the chosen collector                …, collector="$collector"
//   %(by)s      grouping by collector                            [cluster,] collector
//   %(and)s     joining on the cluster alone, for other groupings: 'by (%(and)sdependency)'
//   %(teams)s   keeps an expression by collector to the chosen teams and tiers
local rules = import '../../rules/lib/builders.libsonnet';
local dashboard = import 'dashboard.libsonnet';
local panels = import 'panels.libsonnet';

function(config)
  // Locals of the function and not of the object: jsonnet computes an object's again for every field it reads.
  local cluster = config.clusterLabel;
  local clusterMatcher = if cluster == '' then '' else cluster + '=~"$' + cluster + '"';
  local matchers(list) = std.join(', ', [m for m in list if m != '']);
  local braced(metric, list) =
    local all = matchers(list);
    if all == '' then metric else metric + '{' + all + '}';
  local prefix = if cluster == '' then '' else cluster + ', ';
  local facts = matchers([config.selector, clusterMatcher]);
  local chosen = 'collector="$collector"';
  local one = matchers([facts, chosen]);
  local byCollector = prefix + 'collector';
  local chosenTeams = 'team=~"$team", tier=~"$tier"';
  local teams = 'and on (' + byCollector + ') collector:owner:info{' + matchers([clusterMatcher, chosenTeams]) + '}';
  local placeholders = { facts: facts, one: one, by: byCollector, and: prefix, teams: teams };
  local names = std.objectFields(placeholders);
  local memory = '[' + (2 * rules(config).seconds(config.longInterval) + 300) + 's]';
  local info = 'collection_info{' + facts + '}';
  local clusterOf(scope) = if cluster == '' then {} else { [cluster]: '${' + scope + '.' + cluster + ':percentencode}' };

  local kit = panels + dashboard(config) + {
    config:: config,
    matchers:: placeholders,
    // Replaced one by one: the format operator is interpreted, and a hundred times slower on long texts.
    q(expr):: std.foldl(
      function(text, name) std.strReplace(text, '%(' + name + ')s', placeholders[name]),
      names,
      expr
    ),

    // A fact of every collector, and of the chosen one: several exporters may report the same collector.
    fact(metric, extra=''):: 'max by (' + byCollector + ') (' + braced(metric, [facts, extra]) + ')',
    own(metric, extra=''):: 'max by (' + byCollector + ') (' + braced(metric, [one, extra]) + ')',
    // A conclusion of every collector, and of the chosen one.
    rule(metric, extra=''):: braced(metric, [clusterMatcher, extra]),
    // Conclusions of the groups that run every few minutes or more: Prometheus forgets a sample after five.
    slow(metric, extra='', past=''):: 'last_over_time(' + self.rule(metric, extra) + memory + past + ')',
    ownSlow(metric, extra=''):: 'last_over_time(' + self.ownRule(metric, extra) + memory + ')',
    ownRule(metric, extra=''):: braced(metric, [clusterMatcher, chosen, extra]),
    // How much a counter grew over a long window, as one value. The exporter's counters survive restarts, so
    // a difference is exact and reads two samples where increase() reads them all. A collector younger than
    // the window started at 0; the memory tells it from one that was not scraped at that moment.
    grown(metric, window, by='', extra='')::
      local labels = byCollector + (if by == '' then '' else ', ' + by);
      local counter(text) = 'sum by (' + labels + ') (' + text + ')';
      local now = counter(braced(metric, [facts, extra]));
      local past = counter('last_over_time(' + braced(metric, [facts, extra]) + '[1h] offset ' + window + ')');
      '(' + now + ' - ' + past + ' >= 0 or ' + now + ')',
    // The same from one point of a graph to the next: whole numbers, every event in one bar only.
    counted(metric, by='', extra='', matchers=facts)::
      local labels = byCollector + (if by == '' then '' else ', ' + by);
      local counter(past) = 'sum by (' + labels + ') (' + braced(metric, [matchers, extra]) + past + ')';
      '(' + counter('') + ' - ' + counter(' offset $__interval') + ' >= 0)',
    teams(expr):: '(' + expr + ' ' + teams + ')',
    // A sum that the rules keep for each team and tier, of the chosen ones; every quarter of an hour.
    teamSum(metric, by, extra='', past='')::
      'sum by (' + by + ') (last_over_time(' + braced(metric, [clusterMatcher, chosenTeams, extra]) + memory + past + '))',
    // For choosing what a graph shows by its last point: with @ end() throughout it is computed only once.
    teamsAtEnd(expr):: '(' + expr + ' ' + teams + ' @ end())',
    // Alerts of this pack that are firing; shadow alerts are tried out silently and do not count.
    alerts(extra='', kind='kind!=""'):: braced('ALERTS', ['alertstate="firing"', kind, 'shadow=""', clusterMatcher, extra]),
    // When each of these alerts became true, in milliseconds as Grafana's date units want it.
    since(alerts):: '1000 * (ALERTS_FOR_STATE and ignoring (alertstate) %s)' % alerts,
    orZero(expr):: '%s or vector(0)' % expr,

    // ── Words and colours: one meaning, one colour on every dashboard ──────────────────────────
    states:: [kit.valueMap({
      '0': ['healthy', 'green'],
      '1': ['degraded', 'yellow'],
      '2': ['failing', 'red'],
      '3': ['no data', 'purple'],
      '4': ['held', 'blue'],
    })],
    stateSteps:: kit.steps([[null, 'green'], [1, 'yellow'], [2, 'red'], [3, 'purple'], [4, 'blue']]),
    severities:: [kit.valueMap({ '1': ['info', 'blue'], '2': ['warning', 'orange'], '3': ['critical', 'red'] })],
    severitySteps:: kit.steps([[null, 'text'], [1, 'blue'], [2, 'orange'], [3, 'red']]),
    yesNo(yes, no, yesColor='red', noColor='green'):: [kit.valueMap({ '0': [no, noColor], '1': [yes, yesColor] })],
    // Zero is good, anything above is not.
    zeroIsGood(color='red'):: kit.steps([[null, 'green'], [1, color]]),
    ratioIsGood(bad, good):: kit.steps([[null, 'red'], [bad, 'yellow'], [good, 'green']]),

    // ── Links ──────────────────────────────────────────────────────────────────────────────────
    // From a table row, from a series.
    toCollector(field='collector'):: [kit.link('collector', 'Open this collector', { collector: '${__data.fields.%s:percentencode}' % field } + clusterOf('__data.fields'))],
    seriesToCollector:: [kit.link('collector', 'Open this collector', { collector: '${__field.labels.collector:percentencode}' } + clusterOf('__field.labels'))],

    // ── Variables ──────────────────────────────────────────────────────────────────────────────
    teamVariables:: [
      kit.variable.labelValues('team', 'Team', info, 'team', 'Only collectors of these teams') + kit.variable.any,
      kit.variable.labelValues(
        'tier',
        'Tier',
        'collection_info{%s}' % matchers([facts, 'team=~"$team"']),
        'tier',
        'Tier 1 wakes people, tier 3 never does'
      ) + kit.variable.any,
    ],
    collectorVariable:: kit.variable.labelValues('collector', 'Collector', info, 'collector', 'The collector to look at'),

    // Marks for what a dashboard shows: everything, or one collector and what it stands on.
    // Over the whole fleet only what is recorded while it lasts: most controls are never active.
    local quiet = kit.rule('collector:quiet:active'),
    fleetAnnotations:: kit.annotations(matchers(['severity="critical"', 'team=~"$team|"', clusterMatcher]), kit.teams(quiet)),
    collectorAnnotations:: kit.annotations(matchers([clusterMatcher, chosen]), 'collection_control_active{' + one + '} == 1'),
    allAnnotations:: kit.annotations(matchers(['severity="critical"', clusterMatcher]), quiet),
  };
  kit
