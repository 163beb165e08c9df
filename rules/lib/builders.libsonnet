// Builders shared by every rule file: facts of the exporter, recording rules, alerts.
function(config) {
  local this = self,
  local dropped = std.join(', ', config.instanceLabels),
  local dial = config.falseAlertsPerCollectorWeek,

  // ---- Reading -----------------------------------------------------------------------------------

  // Labels that tell one exporter from another, for `without (…)`.
  dropped: dropped,

  // Braced matchers: the exporter's selector and whatever the caller adds.
  matchers(extra='')::
    local parts = std.filter(function(part) part != '', [config.selector, extra]);
    if std.length(parts) == 0 then '' else '{%s}' % std.join(', ', parts),

  // Newest value of a fact: one series per collector whatever number of exporters states it, and
  // unmoved by a missed scrape (a failed scrape marks series stale; last_over_time looks past that).
  // `only` ('> 0') leaves most series out before they cost anything.
  fact(metric, extra='', drop=[], offset='', only='')::
    'max without (%s) (last_over_time(%s%s[%s]%s)%s)' % [
      std.join(', ', [dropped] + drop),
      metric,
      this.matchers(extra),
      config.scrapeGuard,
      if offset == '' then '' else ' offset ' + offset,
      if only == '' then '' else ' ' + only,
    ],

  // Increase of a counter over a window as a difference of two samples: exact (nothing is
  // extrapolated) and as cheap over two weeks as over an hour. Counters start at 0 with their
  // collector and survive restarts of the exporter, so without an older sample the counter itself
  // is the increase.
  // `now` names the series that holds the newest value, where one is recorded. With `only` '> 0' what
  // never counted has no increase, rather than none.
  increase(metric, window, extra='', drop=[], only='', now=this.fact(metric, extra, drop, only=only))::
    |||
      (%(now)s - %(past)s) >= 0
      or
      %(now)s
    ||| % { now: now, past: this.fact(metric, extra, drop, offset=window, only=only) },

  // Sum over the collectors of each team and tier: dashboards draw weeks of it at no cost. `labels`
  // are those that the expression has beside the collector.
  teamSum(expr, labels)::
    |||
      sum without (collector) (
        (%(expr)s)
        * ignoring (team, tier, %(labels)s) group_left (team, tier) collector:owner:info
      )
    ||| % { expr: expr, labels: labels },

  // A series recorded in the long group: instant selectors look back five minutes only, so readers
  // hold its value over two missed evaluations (also within the group: vmalert writes later).
  held(name, interval=config.longInterval, extra='', offset='')::
    'last_over_time(%s%s[%ds]%s)' % [name, extra, 2 * this.seconds(interval) + 600, if offset == '' then '' else ' offset ' + offset],

  // Whether something, whose times are recorded while there is evidence of it, was so lately that it
  // is not over: by so many runs, within limits.
  steadyUntil(times, steady=config.flapping.steady)::
    local last = 'max_over_time(%s[%s])' % [times, steady.atMost];
    'time() - %s < clamp(%d * (collector:interval:assumed_seconds and %s), %d, %d)' % [
      last,
      steady.runs,
      last,
      this.seconds(steady.atLeast),
      this.seconds(steady.atMost),
    ],

  // What may become a habit (habits.libsonnet), while there is evidence of it.
  evident(problem, expr)::
    this.record('collector:habit:evident_timestamp_seconds', 'time() + 0 * %s' % expr, { problem: problem }),

  // Leaves out what is no more of a problem than comes and goes by itself.
  beyondHabit(problem):: 'unless sum without (problem) (collector:habit:kept_ratio{problem="%s"})' % problem,

  // ---- Certainty ---------------------------------------------------------------------------------

  // Evidence in nats above which a verdict tested at every run stays within its share of the dial:
  // ln(tests per week / false alerts per week). Windows overlap: `runs` of them in a row are one test.
  // Evidence has `labels` beside the collector's.
  surprising(nats, share, runs=1, labels=['window'])::
    '%s - %g > ignoring (%s) group_left () collector:evidence:limit_nats' % [
      nats,
      -std.log(config.falseAlertShares[share] * runs),
      std.join(', ', labels),
    ],

  // The same for medians of n runs: n in a row are one test.
  local medianLimit(share, runs) = 'clamp_min(collector:evidence:limit_nats + %g, 2)' % -std.log(config.falseAlertShares[share] * runs),


  // Deviations as a multiple of sigma with that evidence: z where the Gaussian tail is e^-limit,
  // z = sqrt(2 L - ln(4 pi L)) (asymptotic inverse of the normal tail).
  sigmas(share, runs=1):: 'sqrt(2 * %(l)s - ln(12.566 * %(l)s))' % { l: medianLimit(share, runs) },

  // ---- Writing -----------------------------------------------------------------------------------

  record(name, expr, labels={}):: {
    record: name,
    expr: expr,
    [if labels != {} then 'labels']: labels,
  },

  group(name, interval, rules):: { name: 'collection-' + name, interval: interval, rules: rules },

  // A problem of a collector: a sparse series that exists while the problem does; its value is the
  // number that matters.
  problem(name, severity, expr)::
    this.record(
      'collector:problem:value',
      '(\n%s\n)\nunless collector:quiet:active\nunless collector:explained_habit:info' % indented(expr),
      { problem: name, severity: severity },
    ),

  // A prediction: seconds until it comes true.
  prediction(name, expr)::
    this.record(
      'collector:prediction:value',
      '(\n%s\n)\nunless collector:quiet:active' % indented(expr),
      { prediction: name },
    ),

  // Problems that mean no data; sparse, so that windows over them cost nothing for healthy collectors.
  outages:: 'collector:problem:value{problem=~"failing|not_running|hanging|stale"}',

  local indented(expr) = '  ' + std.strReplace(std.rstripChars(expr, '\n'), '\n', '\n  '),

  // '90s', '10m', '1h30m' as a number of seconds.
  seconds(duration)::
    local unit = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
    local isDigit(char) = std.codepoint(char) >= 48 && std.codepoint(char) <= 57;
    local step(state, char) =
      if isDigit(char) then state { number: state.number + char }
      else { total: state.total + std.parseInt(state.number) * unit[char], number: '' };
    std.foldl(step, std.stringChars(duration), { total: 0, number: '' }).total,
}
