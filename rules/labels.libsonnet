// Whom news of a collector is for, and what it is laid at the door of: the labels of every alert.
function(config, lib) {
  groups: [
    lib.group('labels', config.fastInterval, [
      // Collectors about which there may be something to say: the rest of the fleet needs no labels.
      // Ahead of the verdicts, so that none waits for its labels.
      lib.record('collector:news:active', |||
        0 * (
          collector:consecutive_failures:count >= 1
          or collector:run_deadline:timestamp_seconds < time() + %d
          or collector:data_age:ratio > 0.9
          or max without (problem, severity) (collector:problem:value)
          or max without (prediction) (collector:prediction:value)
          or collector:recovery:state > 1
          or collector:failing:settling_ratio
        ) + 1
      ||| % (2 * lib.seconds(config.fastInterval))),
      // Who is to hear of it, and whose news it is.
      lib.record('collector:labels:info', |||
        max without (dependency) (label_replace(
          collector:owner:info * ignoring (team, tier, dependency) group_left (dependency) collector:root_dependency:info,
          "root_cause", "dependency:$1", "dependency", "(.+)"
        ))
        or
        label_replace(
          collector:owner:info and ignoring (team, tier) collector:news:active,
          "root_cause", "collector:$1", "collector", "(.+)"
        )
        unless ignoring (team, tier, root_cause, dependency) collector:root_dependency:info
      |||),
    ]),
  ],
}
