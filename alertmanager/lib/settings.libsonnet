// Reads the `alertmanager` section of _config, refuses what cannot work with the path of the knob,
// and answers the questions the rest of this folder asks.
local findSecrets = import 'secrets.libsonnet';

local digits(text) = text != '' && std.all([std.member('0123456789', char) for char in std.stringChars(text)]);
local numbers(version) =
  local parts = std.split(version, '.');
  if std.length(parts) > 1 && std.all([digits(part) for part in parts])
  then [std.parseInt(part) for part in (parts + ['0', '0'])[:3]]
  else error 'alertmanager.version: %s is not a version such as 0.25' % version;

// Known fields of the channels that are built here, with the version that understands them first.
local webhookFields = {
  url: '0.25',
  url_file: '0.26',
  credentials_file: '0.25',
  timeout: '0.28',
  payload: '0.32',
};
local fields = {
  slack: {
    api_url_file: '0.25',
    bot_token_file: '0.25',
    channel: '0.25',
    update_message: '0.32',
  },
  email: {
    to: '0.25',
    from: '0.25',
    smarthost: '0.25',
    hello: '0.25',
    auth_username: '0.25',
    auth_password_file: '0.25',
    require_tls: '0.25',
    threading: '0.30',
  },
  webhook: webhookFields,
  pager: webhookFields,
};
local required = {
  slack: [['api_url_file', 'bot_token_file'], ['channel']],
  email: [['to'], ['from'], ['smarthost']],
  webhook: [['url', 'url_file']],
  pager: [['url', 'url_file']],
};
local teamFields = ['dependencies', 'timezone'];
local audiences = ['critical', 'warning', 'info', 'level-1', 'level-2', 'level-3'];
local moments = ['always', 'waking', 'business'];

local list(names) = std.join(', ', names);
// `value` if it holds, else an error that starts with the path of the knob.
local check(holds, path, problem, value) =
  if holds then value else error 'alertmanager.%s: %s' % [path, problem];

local withoutSecrets(path, value) =
  local found = findSecrets('alertmanager.' + path, value);
  if found == [] then value else error found[0];

function(root)
  local section = root.alertmanager;
  local target = numbers(section.version);
  local allows(version) = !(target < numbers(version));

  // 'x@example.org' and '#channel' are short for the objects.
  local expand(kind, given) =
    if !std.isString(given) then given
    else if kind == 'email' then { to: given }
    else if kind == 'slack' then { channel: given }
    else { url: given };

  local checked(kind, path, channel) =
    local known = fields[kind];
    local unknown = [name for name in std.objectFields(channel) if !std.objectHas(known, name)];
    local early = [
      name
      for name in std.objectFields(channel)
      if std.objectHas(known, name) && !allows(known[name])
    ];
    local missing = [
      std.join(' or ', choice)
      for choice in required[kind]
      if std.length([name for name in choice if std.objectHas(channel, name)]) != 1
    ];
    check(
      unknown == [],
      path,
      'unknown %s; known are %s' % [list(unknown), list(std.objectFields(known))],
      check(
        early == [],
        path,
        '%s needs Alertmanager %s, and alertmanager.version is %s' % [
          list(early),
          list([known[name] for name in early]),
          section.version,
        ],
        check(missing == [], path, 'needs exactly one of %s' % list(missing), channel)
      )
    );

  local channelsOf(path, channels) = {
    [kind]:
      local where = '%s.%s' % [path, kind];
      local channel = withoutSecrets(where, expand(kind, channels[kind]));
      if std.objectHas(fields, kind) then
        check(std.isObject(channel), where, 'must be an object or null', checked(kind, where, channel))
      else
        check(
          std.isObject(channel) && std.objectFields(channel) == ['receiver'],
          where,
          'not one of %s; another kind of channel is {receiver: {…_configs: […]}}'
          % list(std.objectFields(fields)),
          channel
        )
    for kind in std.objectFields(channels)
    if channels[kind] != null
  };

  local kinds = std.set(std.objectFields(fields) + std.objectFields(section.channels));

  local team(name) =
    local path = 'teams.%s' % name;
    local given = section.teams[name];
    local own = { [kind]: given[kind] for kind in std.objectFields(given) if !std.member(teamFields, kind) };
    local unknown = [kind for kind in std.objectFields(own) if !std.member(kinds, kind)];
    // A team's channel is laid over the default one of its kind: `channel: '#data'` keeps the rest.
    local merged = {
      [kind]:
        local default = std.get(section.channels, kind);
        if !std.objectHas(own, kind) then default
        else if own[kind] == null || default == null then expand(kind, own[kind])
        else expand(kind, default) + expand(kind, own[kind])
      for kind in kinds
    };
    local channels = channelsOf(path, merged);
    check(
      unknown == [],
      path,
      'unknown %s; known are %s' % [list(unknown), list(kinds + teamFields)],
      check(
        std.length(channels) > 0,
        path,
        'has no channel: name one of %s here or in alertmanager.channels' % list(kinds),
        {
          channels: channels,
          dependencies: std.get(given, 'dependencies', []),
          timezone: std.get(given, 'timezone', section.timezone),
        }
      )
    );

  local notify = {
    [audience]:
      local unknown = [kind for kind in section.notify[audience] if !std.member(kinds, kind)];
      check(
        unknown == [],
        'notify.%s' % audience,
        'unknown channel %s; known are %s' % [list(unknown), list(kinds)],
        section.notify[audience]
      )
    for audience in audiences
  };

  local when = {
    [severity]: {
      [tier]:
        local moment = section.when[severity][tier];
        check(
          std.member(moments, moment),
          'when.%s.%s' % [severity, tier],
          '%s is not one of %s' % [moment, list(moments)],
          moment
        )
      for tier in std.objectFields(section.when[severity])
    }
    for severity in std.objectFields(section.when)
  };

  local webhook(path, given) =
    if given == null then null else checked('webhook', path, withoutSecrets(path, expand('webhook', given)));

  local recovery =
    if section.recovery == null then null
    else withoutSecrets('recovery', section.recovery) + {
      url: if section.recovery.url == null then root.exporterUrl + '/api/v1/alertmanager/webhook'
      else section.recovery.url,
    };

  check(
    allows('0.25'),
    'version',
    '%s is older than 0.25, the oldest supported' % section.version,
    // Written out once and read back: everything is checked, even what no audience hears, and
    // jsonnet does not compute it again wherever it is used.
    section + std.parseJson(std.manifestJson({
      exporterUrl: root.exporterUrl,
      clusterLabels: if root.clusterLabel == '' then [] else [root.clusterLabel],
      default: { channels: channelsOf('channels', section.channels), dependencies: [], timezone: section.timezone },
      teams: { [name]: team(name) for name in std.objectFields(section.teams) },
      notify: notify,
      when: when,
      recovery: recovery,
      deadMansSwitch: webhook('deadMansSwitch', section.deadMansSwitch),
    })) + { allows: allows }
  )
