// What a dashboard file is written with: panels, dashboard assembly, and PromQL helpers that know the
// configuration's labels. `kit.q` fills these placeholders in:
//   %(facts)s   matchers of the exporter's own series            job="collection-health"
//   %(rules)s   matchers of recorded series                      (the cluster, if there is one)
//   %(one)s     the same for the chosen collector, facts         …, collector="$collector"
//   %(rule)s    … and recorded series
//   %(by)s      grouping by collector                            [cluster,] collector
//   %(and)s     joining on the cluster alone, for other groupings: 'by (%(and)sdependency)'
//   %(teams)s   keeps an expression by collector to the chosen teams and tiers
local rules = import '../../rules/lib/builders.libsonnet';
local dashboard = import 'dashboard.libsonnet';
local panels = import 'panels.libsonnet';

function(config)
  local kit = panels + dashboard(config) + {
    local cluster = config.clusterLabel,
    local clusterMatcher = if cluster == '' then '' else '%s=~"$%s"' % [cluster, cluster],
    local matchers(list) = std.join(', ', [m for m in list if m != '']),
    local braced(metric, list) =
      local all = matchers(list);
      if all == '' then metric else '%s{%s}' % [metric, all],
    local prefix = if cluster == '' then '' else cluster + ', ',
    config:: config,
    local seconds = rules(config).seconds,

    local facts = matchers([config.selector, clusterMatcher]),
    local chosen = 'collector="$collector"',
    matchers:: {
      facts: facts,
      rules: clusterMatcher,
      one: matchers([config.selector, clusterMatcher, chosen]),
      rule: matchers([clusterMatcher, chosen]),
      by: prefix + 'collector',
      and: prefix,
      cluster: cluster,
      teams: 'and on (%scollector) collector:owner:info{%s}' % [
        prefix,
        matchers([clusterMatcher, 'team=~"$team"', 'tier=~"$tier"']),
      ],
    },
    q(expr):: std.stripChars(expr, ' \n') % self.matchers,

    // A fact of every collector, and of the chosen one: several exporters may report the same collector.
    fact(metric, extra=''):: 'max by (%s) (%s{%s})' % [self.matchers.by, metric, matchers([facts, extra])],
    own(metric, extra=''):: 'max by (%s) (%s{%s})' % [self.matchers.by, metric, matchers([self.matchers.one, extra])],
    // A conclusion of every collector, and of the chosen one.
    rule(metric, extra=''):: braced(metric, [clusterMatcher, extra]),
    // Conclusions of the groups that run every few minutes or more: Prometheus forgets a sample after five.
    slow(metric, extra=''):: 'last_over_time(%s[%s])' % [self.rule(metric, extra), memory],
    ownSlow(metric, extra=''):: 'last_over_time(%s[%s])' % [self.ownRule(metric, extra), memory],
    local memory = '%ds' % (2 * seconds(config.longInterval) + 300),
    ownRule(metric, extra=''):: braced(metric, [clusterMatcher, chosen, extra]),
    // How much a counter grew over a long window. The exporter's counters survive restarts, so a difference
    // is exact and reads two samples where increase() reads them all; a collector younger than the window
    // started at 0.
    grown(metric, window, by='', extra='')::
      local labels = self.matchers.by + (if by == '' then '' else ', ' + by);
      local counter(offset) = 'sum by (%s) (%s%s)' % [labels, braced(metric, [facts, extra]), offset];
      '(%s - %s >= 0 or %s)' % [counter(''), counter(' offset ' + window), counter('')],
    teams(expr):: '(%s %s)' % [expr, self.matchers.teams],
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
    // Neither good nor bad: a plain number.
    neutral:: kit.steps([[null, 'text']]),
    ratioIsGood(bad, good):: kit.steps([[null, 'red'], [bad, 'yellow'], [good, 'green']]),

    // ── Links ──────────────────────────────────────────────────────────────────────────────────
    // From a table row, from a series.
    toCollector(field='collector'):: [kit.link('collector', 'Open this collector', { collector: '${__data.fields.%s:percentencode}' % field } + clusterOf('__data.fields'))],
    seriesToCollector:: [kit.link('collector', 'Open this collector', { collector: '${__field.labels.collector:percentencode}' } + clusterOf('__field.labels'))],
    local clusterOf(scope) = if cluster == '' then {} else { [cluster]: '${%s.%s:percentencode}' % [scope, cluster] },

    // ── Variables ──────────────────────────────────────────────────────────────────────────────
    local info = 'collection_info{%s}' % facts,
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
    fleetAnnotations:: kit.annotations(matchers(['severity="critical"', 'team=~"$team|"']), facts),
    collectorAnnotations:: kit.annotations(matchers([clusterMatcher, chosen]), matchers([facts, chosen])),
    allAnnotations:: kit.annotations('severity="critical"', facts),
  };
  kit
