// Finds secrets written into the configuration: generated files are committed and mailed around.
// Alertmanager reads each of these from a file as well.
local secretFields = [
  'api_key',
  'api_secret',
  'api_token',
  'api_url',
  'app_token',
  'auth_identity_password',
  'auth_password',
  'auth_secret',
  'bearer_token',
  'bot_token',
  'client_secret',
  'credentials',
  'password',
  'routing_key',
  'secret_key',
  'service_key',
  'token',
  'user_key',
  'webhook_url',
];
// Hosts whose webhook URLs are secrets by themselves.
local secretHosts = ['://hooks.slack.com/', '://discord.com/api/webhooks/', '.webhook.office.com/'];

local contains(text, part) = std.length(std.findSubstr(part, text)) > 0;

local inUrl(path, url) =
  local authority = std.split(std.split(url, '://')[1], '/')[0];
  if contains(authority, '@') then
    ['%s: holds a password; use credentials_file' % path]
  else if std.length([host for host in secretHosts if contains(url, host)]) > 0 then
    ['%s: this URL is a secret; use url_file or api_url_file' % path]
  else [];

// All secrets at or below `value`, as messages that start with their path.
local find(path, value) =
  if std.isObject(value) then std.flattenArrays([
    if std.member(secretFields, name) && value[name] != null then
      ['%s.%s: secrets are read from files only; use %s_file' % [path, name, name]]
    else find('%s.%s' % [path, name], value[name])
    for name in std.objectFields(value)
  ])
  else if std.isArray(value) then
    std.flattenArrays(std.mapWithIndex(function(index, item) find('%s[%d]' % [path, index], item), value))
  else if std.isString(value) && contains(value, '://') then inUrl(path, value)
  else [];

find
