// How it fails: dominant reason, time of day.
function(config, lib) {
  groups: [
    lib.group('patterns', config.longInterval, [
      lib.record('collector:reason_failures:week', '(%s) > 0' % lib.increase('collection_run_failures_total', '7d', only='> 0')),
      lib.record('collector:reason:share_ratio', |||
        %(failures)s
        / ignoring (reason) group_left ()
        sum without (reason) (%(failures)s)
      ||| % { failures: lib.held('collector:reason_failures:week') }),
      lib.record('collector:reason:dominant', 'topk without (reason) (1, %s) >= 0.5' % lib.held('collector:reason:share_ratio')),
      // Failures of the last hour, and the share of the week's failures that fell into the same hour
      // of day: near 1 on every day at the same time, 1/24 without a pattern.
      lib.record('collector:failures:hourly', 'sum without (reason) (%s)' % std.rstripChars(lib.increase('collection_run_failures_total', '1h'), '\n')),
      lib.record('collector:hour:failure_share_ratio', |||
        sum without (days) (
          %s
        )
        /
        (sum_over_time(collector:failures:hourly[7d]) >= 5)
      ||| % std.join('\n  or ', [
        'label_replace(last_over_time(collector:failures:hourly[70m]%s), "days", "%d", "", "")' % [if day == 0 then '' else ' offset %dd' % day, day]
        for day in std.range(0, 6)
      ])),
    ]),
  ],
}
