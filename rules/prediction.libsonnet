// What has not failed yet and will: seconds until it does, and how sure that is.
function(config, lib) {
  local p = config.prediction,
  local expiry = lib.fact('collection_credential_expiry_timestamp_seconds'),
  groups: [
    lib.group('predictions', config.baselineInterval, [
      lib.record('collector:quota:remaining_ratio', lib.fact('collection_quota_remaining_ratio')),
      lib.record('collector:quota:reset_seconds', lib.fact('collection_quota_reset_timestamp_seconds') + ' - time() > 0'),
      // The use of two hours and of four: the slower decides.
      lib.record('collector:quota:exhaustion_seconds', |||
        collector:quota:remaining_ratio
        /
        (min without (over) (
          label_replace(-deriv(collector:quota:remaining_ratio[2h]), "over", "2h", "", "")
          or label_replace(-deriv(collector:quota:remaining_ratio[4h]), "over", "4h", "", "")
        ) > 0)
      |||),
      // Deterministic: the next attempt cannot be done before the owner's freshness target is missed.
      // One more failed run would be news, and a twentieth of an interval is left for a retry.
      lib.prediction('stale', |||
        collector:last_success:timestamp_seconds + %(target)s - time() > 0
        and %(next)s + %(usual)s > collector:last_success:timestamp_seconds + %(sure)g * %(target)s
        and time() - collector:failing_since:timestamp_seconds > 0.05 * collector:interval:assumed_seconds
        and collector:consecutive_failures:count > 0
        and collector:consecutive_failures:count >= sum without (severity) (%(threshold)s) - 1
      ||| % {
        target: lib.fact('collection_freshness_target_seconds'),
        threshold: lib.held('collector:failing:threshold', config.baselineInterval, '{severity="warning"}'),
        sure: 1 + config.freshness.surelyStale,
        next: lib.fact('collection_next_run_timestamp_seconds'),
        usual: lib.fact('collection_window_duration_seconds', 'window="100"', ['window']),
      }),
      // Growing for half a day and a whole one, already unusual, and at the ceiling within the horizon.
      lib.prediction('timeout', |||
        (collector:duration:ceiling_seconds - sum without (window) (collector:duration:level_seconds{window="10"})) / (%(slope)s > 0)
        and collector:duration:forecast_seconds > collector:duration:ceiling_seconds
        and collector:duration:deviation_ratio > %(deviation)g
        and sum without (window) (collector:duration:level_seconds{window="10"}) > %(share)g * collector:duration:ceiling_seconds
      ||| % { slope: lib.held('collector:duration:slope'), deviation: p.minDeviation, share: p.minShareOfCeiling }),
      // At the present rate: the slower of the last day's and of its last quarter's, both unusual.
      lib.prediction('budget', |||
        min without (sli) (
          (collector:error_budget:remaining_ratio > 0) * %(window)d
          / min without (window) (
            collector:burn_rate:ratio{window=~"6h|1d"} > 1
            and ignoring (window) %(quarter)s
            and ignoring (window) %(day)s
          )
        )
        < %(horizon)d
      ||| % {
        window: lib.seconds(config.slo.window),
        quarter: lib.surprising('collector:sli_errors:surprise_nats{window="6h"}', 'slo', labels=['sli', 'window']),
        day: lib.surprising('collector:sli_errors:surprise_nats{window="1d"}', 'slo', labels=['sli', 'window']),
        horizon: lib.seconds(p.budgetHorizon),
      }),
      // Used up before it is full again, with a margin for the noise of the estimate; and an hour
      // longer, because the estimate wavers.
      lib.record('collector:quota:short_seconds', |||
        collector:quota:exhaustion_seconds < %(margin)g * collector:quota:reset_seconds
        and collector:quota:remaining_ratio < %(below)g
      ||| % { margin: p.quotaMargin, below: p.quotaBelow }),
      lib.prediction('quota', |||
        last_over_time(collector:quota:short_seconds[1h])
        and collector:quota:remaining_ratio < %(below)g
        %(beyondHabit)s
        or 0 * (collector:quota:remaining_ratio <= 0 and collector:quota:reset_seconds)
      ||| % { below: p.quotaBelow, beyondHabit: lib.beyondHabit('quota') }),
      // Tokens that were renewed lately are short-lived and renewed by the collector itself.
      lib.prediction('credential', |||
        %(expiry)s - time() < %(horizon)d
        and %(renewed)s == 0
      ||| % { expiry: expiry, renewed: lib.held('collector:credential_renewed:bool'), horizon: lib.seconds(p.credentialHorizon) }),
      lib.prediction('volume_zero', |||
        sum without (window) (collector:records:level{window="10"}) / -(%(slope)s < 0) < %(horizon)d
        and sum without (window) (collector:records:level{window="10"} > 0) < 0.7 * collector:records:usual
        and sum without (window) (collector:records:low_ratio{window="10"})
        and sum without (window) (collector:records:low_ratio{window="3"})
        and collector:records:usual >= %(min)d
      ||| % { slope: lib.held('collector:records:slope'), horizon: lib.seconds(p.volumeHorizon), min: config.volume.minRecords }),
      // How sure: 1 where a clock decides, else what the evidence behind the estimate says.
    ] + [
      lib.record('collector:prediction:confidence_ratio', '%s and sum without (prediction) (collector:prediction:value{prediction="%s"})' % [sure.expr, sure.prediction], { prediction: sure.prediction })
      for sure in [
        { prediction: 'stale', expr: '0 * collector:consecutive_failures:count + 1' },
        { prediction: 'credential', expr: '0 * collector:consecutive_failures:count + 1' },
        { prediction: 'timeout', expr: '1 - exp(-2 * clamp_min(collector:duration:deviation_ratio, 0))' },
        { prediction: 'budget', expr: 'max without (sli, window) (1 - exp(-collector:sli_errors:surprise_nats{window="1d"} / 10))' },
        { prediction: 'quota', expr: 'clamp(1 - collector:quota:exhaustion_seconds / collector:quota:reset_seconds, 0, 1)' },
        { prediction: 'volume_zero', expr: '1 - exp(-max without (window) (abs(collector:records:deviation) / collector:records:limit))' },
      ]
    ]),
    lib.group('habits-evidence', config.slowInterval, [lib.evident('quota', 'collector:quota:short_seconds')]),
    lib.group('predictions-long', config.longInterval, [
      lib.record('collector:credential:hourly_timestamp_seconds', expiry),
      // (Not `changes`: VictoriaMetrics counts the first sample of a series as a change.)
      lib.record('collector:credential_renewed:bool', |||
        max_over_time(collector:credential:hourly_timestamp_seconds[7d])
        > bool min_over_time(collector:credential:hourly_timestamp_seconds[7d])
        and count_over_time(collector:credential:hourly_timestamp_seconds[7d]) >= %d
      ||| % (2 * 86400 / lib.seconds(config.longInterval))),
    ]),
  ],
}
