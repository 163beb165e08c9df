// What comes and goes by itself every other day is a habit: no news until there was more of it within
// a day than there used to be. Of whatever is evident, whether anybody heard of it or not: a habit that
// only counts while nobody is told would be told every other week.
function(config, lib) {
  local h = config.habit,
  local levels = [
    { level: 'collector', labels: 'collector, problem', outages: '{problem="not_running"}', since: '' },
    // Its collectors' flakes grow with its nights, and it is the later evident: it is known since when
    // they fail.
    { level: 'dependency', labels: 'dependency', outages: '', since: 'dependency:failing_since:timestamp_seconds' },
  ],
  // Share of the evaluations: of as many as there were of what always exists at that pace.
  local share(of, span) = |||
    count_over_time(%(level)s:habit:evident_timestamp_seconds[%(span)s])
    / ignoring (%(labels)s) group_left ()
    count_over_time(fleet:health:score[1d])
  ||| % of { span: span },
  local earlier(of, extra='') = '%s:habit:day_ratio%s[%s] offset 1d' % [of.level, extra, h.window],
  local usual(of) = lib.held(of.level + ':habit:usual_ratio', config.historyInterval),
  local most(of) = '%g * %s + %g' % [h.factor, usual(of), lib.seconds(h.more) / 86400],
  local perDay = 86400 / lib.seconds(config.historyInterval),
  groups: [
    lib.group('habits-history', config.historyInterval, [
      // What lasted for hours was no habit but an incident.
      lib.record(of.level + ':habit:day_ratio', '%s<= %g' % [share(of, '1d'), lib.seconds(h.atMost) / 86400])
      for of in levels
    ] + [
      // Each occurrence is seen for a day. What fails or does not come at all is worse than what is not
      // as good as usual, and must be a habit of most days.
      lib.record(of.level + ':habit:usual_ratio', |||
        quantile_over_time(%(calm)g, %(earlier)s)
        and count_over_time(%(earlier)s) >= %(days)d
        unless count_over_time(%(outages)s) < %(outageDays)d
      ||| % {
        calm: h.calm,
        earlier: earlier(of),
        outages: earlier(of, of.outages),
        days: (h.days - 0.5) * perDay,
        outageDays: (h.outageDays - 0.5) * perDay,
      })
      for of in levels
    ]),
    lib.group('habits', config.slowInterval, [
      // Exists while there was no more of it than usual. Less than a day is looked at, lest the same
      // hour of yesterday counts as well.
      lib.record(of.level + ':habit:kept_ratio', |||
        %(usual)s
        unless
        (
          %(today)s
        ) > %(most)s%(since)s
      ||| % {
        usual: usual(of),
        today: std.strReplace(std.rstripChars(share(of, '20h'), '\n'), '\n', '\n  '),
        most: most(of),
        since: if of.since == '' then '' else '\nunless (time() - %s) / 86400 > %s' % [of.since, most(of)],
      })
      for of in levels
    ]),
  ],
}
