// What its evidence says of budgets, and how healthy it is altogether.
function(config, lib) {
  local problem = lib.problem,

  groups: [
    lib.group('slo-evidence', config.baselineInterval, [
      problem(speed.name, 'warning', |||
        max without (sli, window) (
          (collector:burn_rate:ratio{window="%(short)s"} > %(shortBurn)g or collector:burn_rate:ratio{window="%(long)s"} > %(longBurn)g)
          and %(surprising)s
          and ignoring (window) %(lately)s
        )
      ||| % speed {
        surprising: lib.surprising('collector:sli_errors:surprise_nats', 'slo', labels=['sli', 'window']),
        lately: lib.surprising('collector:sli_errors:surprise_nats{window="%s"}' % speed.recent, 'slo', labels=['sli', 'window']),
      })
      for speed in [
        { name: 'budget_fast', short: '1h', shortBurn: config.slo.burn['1h'], long: '6h', longBurn: config.slo.burn['6h'], recent: '1h' },
        { name: 'budget_slow', short: '1d', shortBurn: config.slo.burn['1d'], long: '3d', longBurn: config.slo.burn['3d'], recent: '6h' },
      ]
    ]),
    lib.group('health', config.slowInterval, [
      // Long form: a missing component cannot make the score vanish.
      lib.record('collector:health:component', |||
        clamp(
          2 - max without (age) (
            label_replace(collector:data_age:ratio, "age", "data", "", "")
            or label_replace(collector:run_age:ratio, "age", "run", "", "")
          ),
          0, 1
        )
      |||, { component: 'freshness' }),
      lib.record('collector:health:component', '1 - sum without (window) (collector:failures:ratio{window="10"})', { component: 'success' }),
      lib.record('collector:health:component', 'clamp(1.5 - collector:duration:deviation_ratio, 0, 1)', { component: 'latency' }),
      lib.record('collector:health:component', 'min without (window) (clamp(1.5 - abs(collector:records:deviation) / collector:records:limit, 0, 1))', { component: 'volume' }),
      lib.record('collector:health:component', 'sum without (window) (collector:quality:level_ratio{window="3"})', { component: 'quality' }),
      lib.record('collector:health:component', 'avg without (probe) (%s)' % lib.fact('collection_probe_success'), { component: 'probes' }),
      lib.record('collector:health:score', |||
        0.5 * min without (component) (collector:health:component)
        + 0.5 * avg without (component) (collector:health:component)
      |||),
      // 0 healthy, 1 degraded, 2 failing, 3 unknown (it never ran).
      lib.record('collector:health:state', |||
        2 * (collector:failing:bool == 1)
        or (0 * count without (problem, severity) (collector:problem:value{problem!~"volume_high"}) + 1)
        or (0 * collector:last_run:timestamp_seconds)
        or (0 * collector:consecutive_failures:count + 3)
      |||),
    ]),
  ],
}
