// Objectives, error budgets and burn rates, from exact differences of the exporter's counters.
function(config, lib) {
  local c = config.slo,
  local windows = ['1h', '6h', '1d', '3d', c.window],
  groups: [
    lib.group('slo', config.baselineInterval, [
      lib.record('collector:slo:objective_ratio', |||
        %(declared)s
        or
        0 * %(events)s + %(default)g
      ||| % {
        declared: lib.fact('collection_slo_objective_ratio'),
        events: lib.fact('collection_sli_events_total', 'sli="availability"'),
        default: c.defaultObjective,
      }),
      lib.record('collector:sli_events:total', lib.fact('collection_sli_events_total')),
      lib.record('collector:sli_errors:total', lib.fact('collection_sli_errors_total')),
    ] + [
      lib.record('collector:sli_%s:increase' % kind, lib.increase('collection_sli_%s_total' % kind, window, now='collector:sli_%s:total' % kind), { window: window })
      for kind in ['events', 'errors']
      for window in windows
    ] + [
      // Ratios of sums; no events, no ratio. 1 spends the budget exactly within the SLO's own window.
      lib.record('collector:sli_error:ratio', 'collector:sli_errors:increase{window="%(all)s"} / (collector:sli_events:increase{window="%(all)s"} > 0)' % { all: c.window }),
      lib.record('collector:burn_rate:ratio', |||
        collector:sli_errors:increase / (collector:sli_events:increase > 0)
        / ignoring (window) group_left ()
        (1 - collector:slo:objective_ratio > 0)
      |||),
      lib.record('collector:error_budget:remaining_ratio', '1 - sum without (window) (collector:burn_rate:ratio{window="%s"})' % c.window),
    ]),
    lib.group('slo-evidence', config.baselineInterval, [
      // Only where there are errors enough to speak of, and lately: no verdict asks for less, and the
      // rest of the fleet costs nothing here.
      lib.record('collector:sli_errors:notable_count', |||
        collector:sli_errors:increase{window!="%(all)s"} >= %(minErrors)d
        and ignoring (window) collector:sli_errors:increase{window="6h"} >= %(minErrors)d
        and collector:sli_events:increase{window!="%(all)s"} >= %(minEvents)d
      ||| % { all: c.window, minErrors: c.minErrors, minEvents: c.minEvents }),
      lib.record('collector:sli_events:notable_count', 'collector:sli_events:increase{window!="%s"} and collector:sli_errors:notable_count' % c.window),
      lib.record('collector:sli_errors:notable_ratio', 'collector:sli_errors:notable_count / collector:sli_events:notable_count'),
      // What the collector's error ratio is otherwise: over the SLO's window without the last day(s).
      // n KL(ratio || otherwise) as for failures; a chronic violator is a matter for a report.
      lib.record('collector:sli_errors:usual_ratio', |||
        clamp(
          (collector:sli_errors:increase{window="%(all)s"} - ignoring (window) group_right () collector:sli_errors:notable_count + 0.5)
          / (collector:sli_events:increase{window="%(all)s"} - ignoring (window) group_right () collector:sli_events:notable_count + 10),
          0.001, 0.5
        )
      ||| % { all: c.window }),
      lib.record('collector:sli_errors:surprise_nats', |||
        (
          clamp(collector:sli_errors:notable_ratio, 0.0001, 0.9999) * ln(clamp(collector:sli_errors:notable_ratio, 0.0001, 0.9999) / collector:sli_errors:usual_ratio)
          + clamp(1 - collector:sli_errors:notable_ratio, 0.0001, 0.9999) * ln(clamp(1 - collector:sli_errors:notable_ratio, 0.0001, 0.9999) / (1 - collector:sli_errors:usual_ratio))
        )
        * collector:sli_events:notable_count
        * ignoring (sli, window) group_left () collector:flake:independent_ratio
        and collector:sli_errors:notable_ratio > collector:sli_errors:usual_ratio
      |||),
    ]),
    lib.group('slo-totals', config.historyInterval, [
      lib.record('team:sli_%s:increase' % kind, lib.teamSum('collector:sli_%s:increase{window=~"1h|1d"}' % kind, 'sli, window'))
      for kind in ['events', 'errors']
    ]),
  ],
}
