// Receivers: one for each team and audience, with the channels that audience hears.
local resolved(audience) =
  // An escalation ends with its incident, and the alert itself reports that. Machines must be told.
  !std.startsWith(audience, 'level-');

local slack(config, channel, audience) = {
  send_resolved: resolved(audience),
  channel: channel.channel,
  title: '{{ template "collection_health.title" . }}',
  title_link: '{{ template "collection_health.title_link" . }}',
  text: '{{ template "collection_health.slack.text" . }}',
  fallback: '{{ template "collection_health.title" . }}',
  color: '{{ template "collection_health.slack.color" . }}',
  footer: '{{ template "collection_health.footer" . }}',
  mrkdwn_in: ['text'],
} + (
  if std.objectHas(channel, 'api_url_file') then { api_url_file: channel.api_url_file }
  else {
    api_url: 'https://slack.com/api/chat.postMessage',
    http_config: { authorization: { credentials_file: channel.bot_token_file } },
  }
) + { [name]: channel[name] for name in ['update_message'] if std.objectHas(channel, name) };

local email(config, channel, audience) = channel {
  send_resolved: resolved(audience),
  html: '{{ template "collection_health.email.html" . }}',
  text: '{{ template "collection_health.email.text" . }}',
  headers: { Subject: '{{ template "collection_health.title" . }}' },
};

local webhook(config, channel, audience) = {
  send_resolved: true,
  max_alerts: 0,  // all of them: a machine must not miss the last ones
} + {
  [name]: channel[name]
  for name in ['url', 'url_file', 'timeout', 'payload']
  if std.objectHas(channel, name)
} + (
  if std.get(channel, 'credentials_file') == null then {}
  else { http_config: { authorization: { credentials_file: channel.credentials_file } } }
);

local builders = {
  slack: function(config, channel, audience) { slack_configs: [slack(config, channel, audience)] },
  email: function(config, channel, audience) { email_configs: [email(config, channel, audience)] },
  webhook: function(config, channel, audience) { webhook_configs+: [webhook(config, channel, audience)] },
  pager: function(config, channel, audience) { webhook_configs+: [webhook(config, channel, audience)] },
};

local receiver(config, name, team, audience) =
  local heard = [kind for kind in config.notify[audience] if std.objectHas(team.channels, kind)];
  std.foldl(
    function(sofar, kind)
      sofar + (
        if std.objectHas(builders, kind) then builders[kind](config, team.channels[kind], audience)
        else team.channels[kind].receiver
      ),
    heard,
    { name: '%s/%s' % [name, audience] }
  );

function(config)
  local people = [
    receiver(config, name, team, audience)
    for audience in std.objectFields(config.notify)
    for entry in [{ name: 'default', team: config.default }] + [
      { name: name, team: config.teams[name] }
      for name in std.objectFields(config.teams)
    ]
    for name in [entry.name]
    for team in [entry.team]
  ];
  [{ name: 'nobody' }]
  + (
    if config.recovery == null then []
    else [{ name: 'recovery', webhook_configs: [webhook(config, config.recovery, 'recovery')] }]
  )
  + (
    if config.deadMansSwitch == null then []
    else [{
      name: 'dead-mans-switch',
      webhook_configs: [webhook(config, config.deadMansSwitch, 'watchdog') { send_resolved: false }],
    }]
  )
  + std.sort(people, function(one) one.name)
