// Who is told and what explains it: one series per collector that alerts join for their labels.
function(config, lib) {
  groups: [
    lib.group('labels', config.fastInterval, [
      // topk and not max: while a team or tier changes there are two label sets for some minutes,
      // and a join against two partners would fail for every collector.
      lib.record('collector:owner:info', |||
        max without (%(dropped)s, owner, source, version, registered) (
          topk without (%(dropped)s, team, tier, owner, source, version, registered) (1,
            last_over_time(collection_info%(matchers)s[%(guard)s])
          )
        )
      ||| % {
        dropped: std.join(', ', config.instanceLabels),
        matchers: lib.matchers(),
        guard: config.scrapeGuard,
      }),
      lib.record('collector:labels:info', |||
        label_replace(collector:owner:info, "root_cause", "collector:$1", "collector", "(.+)")
      |||),
    ]),
  ],
}
