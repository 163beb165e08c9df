// Routes: who hears an alert. First the machines, then each team, then everybody else. Within a team
// escalation levels come first, then severity; tier decides at what time of day.
local quote(value) = std.escapeStringJson(value);
local anyOf(values) = std.join('|', [std.strReplace(value, '.', '\\.') for value in values]);

local timing(config, name, groupBy) = config.throttle[name] { group_by: groupBy };

local intervalName(interval, owner) =
  if owner == 'default' then interval else '%s/%s' % [interval, owner];

// 'waking' mutes the quiet hours instead of listing the others: it stays right if they change.
local moment(owner, word) = {
  always: {},
  waking: { mute_time_intervals: [intervalName('quiet-hours', owner)] },
  business: { active_time_intervals: [intervalName('business-hours', owner)] },
}[word];

// A team that keeps the default time zone keeps the default hours.
local clockOf(config, name) =
  if name != 'default' && config.teams[name].timezone != config.timezone then name else 'default';

local levelRoute(config, name, level) = {
  matchers: ['kind="escalation"', 'level="%s"' % level],
  receiver: '%s/level-%s' % [name, level],
  // By level alone: whoever is asked to get up gets one message with everything nobody has answered,
  // however many causes it has.
} + timing(config, 'escalation', ['level']);

local severityRoute(config, name, severity) =
  local words = config.when[severity];
  local clock = clockOf(config, name);
  local receiver = '%s/%s' % [name, severity];
  // Tiers whose hours differ from those of tier 1. They take over all but the hours.
  local others = [
    { matchers: ['tier="%s"' % tier], receiver: receiver } + moment(clock, words[tier])
    for tier in std.objectFields(words)
    if words[tier] != words['1']
  ];
  { matchers: ['severity="%s"' % severity], receiver: receiver }
  + timing(config, severity, if severity == 'info' then ['team', 'tier'] else config.groupBy)
  + moment(clock, words['1'])
  + (if others == [] then {} else { routes: others });

local peopleRoutes(config, name) =
  [levelRoute(config, name, level) for level in ['3', '2', '1']]
  + [severityRoute(config, name, severity) for severity in ['critical', 'warning', 'info']];

local teamRoutes(config, name) =
  local dependencies = config.teams[name].dependencies;
  local below = { receiver: '%s/warning' % name, routes: peopleRoutes(config, name) };
  [below { matchers: ['team=%s' % quote(name)] }]
  + (
    if dependencies == [] then []
    else [below {
      matchers: ['root_cause=~%s' % quote('dependency:(%s)' % anyOf(dependencies)), 'collector=""'],
    }]
  );

local recoveryRoutes(config) = [
  {
    matchers: matchers,
    receiver: 'recovery',
    continue: true,
  } + timing(config, 'recovery', ['alertname', 'collector', 'dependency'])
  for matchers in [
    [
      'kind=~%s' % quote(std.join('|', config.recovery.kinds)),
      'severity=~"critical|warning"',
    ],
    // What is only predicted is information; steps marked safe may prevent it.
    ['kind="prediction"'],
  ]
];

local watchdogRoute(config) = {
  matchers: ['alertname="CollectionHealthWatchdog"'],
  receiver: if config.deadMansSwitch == null then 'nobody' else 'dead-mans-switch',
  group_by: ['alertname'],
  group_wait: '0s',
  group_interval: '1m',
  repeat_interval: '1m',
};

local hours(interval, location) = [interval { location: location }];

{
  timeIntervals(config)::
    local clocks = [{ owner: 'default', timezone: config.timezone }] + [
      { owner: name, timezone: config.teams[name].timezone }
      for name in std.objectFields(config.teams)
      if clockOf(config, name) == name
    ];
    std.flattenArrays([
      [
        {
          name: intervalName('business-hours', clock.owner),
          time_intervals: hours(config.businessHours, clock.timezone),
        },
        {
          name: intervalName('quiet-hours', clock.owner),
          time_intervals: hours(config.quietHours, clock.timezone),
        },
      ]
      for clock in clocks
    ]),

  tree(config):: {
    // Alerts that no route knows, such as those of your own rules, are told like warnings.
    receiver: 'default/warning',
    routes:
      [
        watchdogRoute(config),
        // On trial: recorded by Prometheus, told to nobody.
        { matchers: ['shadow="true"'], receiver: 'nobody' },
      ]
      + (if config.recovery == null then [] else recoveryRoutes(config))
      + std.flattenArrays([teamRoutes(config, name) for name in std.objectFields(config.teams)])
      + peopleRoutes(config, 'default'),
  } + timing(config, 'warning', config.groupBy),
}
