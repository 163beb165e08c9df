// Inhibition: which alert explains which, so that one cause is one message.
//
// Two alerts that inhibit each other silence both. What follows is therefore a strict order: fleet
// over dependency over collector; within one root cause a higher severity over a lower one; at equal
// severity the kinds in the order of `ranks`. Alertmanager takes a label missing on both sides for
// equal, so every rule that compares root_cause also asks for one.

// A flapping collector is one fact, not a stream of failures; a failing one is stale as a
// consequence; whatever is wrong with its runs also spends its error budget.
local ranks = [
  ['flapping'],
  ['failure'],
  ['hanging'],
  ['freshness'],
  ['latency', 'volume', 'quality', 'schema', 'probe', 'version'],
];
// Never explained by another alert of the same root cause: escalation is the answer to it, a failed
// recovery a news of its own.
local unexplained = ['dependency', 'fleet', 'monitoring', 'escalation', 'recovery'];

local anyOf(values) = std.join('|', values);
local anyIncident = 'root_cause!=""';
local oneIncident = 'root_cause=~"(collector|dependency):.+"';

local rule(config, name, source, target, equal=[]) =
  { source_matchers: source, target_matchers: target, equal: equal + config.clusterLabels }
  + (if config.allows('0.30') then { name: name } else {});

function(config)
  [
    rule(
      config,
      'monitoring-explains-everything',
      ['alertname="CollectionHealthDown"'],
      ['root_cause!=""', 'root_cause!="monitoring"'],
    ),
    rule(
      config,
      'fleet-explains-collectors',
      ['kind="fleet"', 'severity="critical"'],
      ['kind!~"fleet|escalation"', oneIncident],
    ),
    rule(
      config,
      'dependency-explains-collectors',
      ['kind="dependency"', 'severity="critical"', oneIncident],
      ['collector!=""', 'kind!="escalation"', oneIncident],
      ['root_cause'],
    ),
    rule(
      config,
      'dependency-warning-explains-warnings',
      ['kind="dependency"', 'severity="warning"', oneIncident],
      ['collector!=""', 'severity=~"warning|info"', 'kind!="escalation"', oneIncident],
      ['root_cause'],
    ),
    rule(
      config,
      'third-level-silences-lower',
      ['kind="escalation"', 'level="3"', anyIncident],
      ['kind="escalation"', 'level=~"1|2"', anyIncident],
      ['root_cause'],
    ),
    rule(
      config,
      'second-level-silences-first',
      ['kind="escalation"', 'level="2"', anyIncident],
      ['kind="escalation"', 'level="1"', anyIncident],
      ['root_cause'],
    ),
    rule(
      config,
      'escalation-silences-repeats',
      ['kind="escalation"', 'level=~"2|3"', anyIncident],
      ['kind!~"escalation|recovery"', anyIncident],
      ['root_cause'],
    ),
    rule(
      config,
      'critical-over-warning',
      ['severity="critical"', 'kind!="escalation"', oneIncident],
      ['severity=~"warning|info"', 'kind!~"%s"' % anyOf(unexplained), oneIncident],
      ['root_cause'],
    ),
    rule(
      config,
      'warning-over-info',
      ['severity="warning"', 'kind!="escalation"', oneIncident],
      ['severity="info"', 'kind!~"%s"' % anyOf(unexplained), oneIncident],
      ['root_cause'],
    ),
  ]
  + std.mapWithIndex(
    function(index, kinds)
      rule(
        config,
        '%s-explains-lesser' % kinds[0],
        ['kind=~"%s"' % anyOf(kinds), oneIncident],
        ['kind!~"%s"' % anyOf(unexplained + std.flattenArrays(ranks[:index + 1])), oneIncident],
        ['root_cause', 'severity'],
      ),
    ranks,
  )
