// Builders of alerts: links, extra labels, overrides, shadow mode, and the joins that label them.
function(config) {
  local this = self,
  local dashboard(uid) = config.dashboardUrlPattern % uid,

  // An alert with everything the pack promises of one. `timing` may hold `for` and `keep_firing_for`.
  alert(name, severity, expr, labels, annotations, timing={})::
    local override = { labels: {}, annotations: {} } + std.get(config.alertOverrides, name, {});
    local times = {
      [key]: std.get(override, key, std.get(timing, key))
      for key in ['for', 'keep_firing_for']
      if std.objectHas(override, key) || std.objectHas(timing, key)
    };
    {
      alert: name,
      expr: expr,
      labels: { severity: std.get(override, 'severity', severity) } + labels
              + (if std.member(config.shadowAlerts, name) then { shadow: 'true' } else {})
              + config.alertExtraLabels + override.labels,
      annotations: {
        runbook_url: config.runbookUrlPattern % std.asciiLower(name),
        dashboard_url: dashboard('collection-health-fleet'),
      } + annotations + config.alertExtraAnnotations + override.annotations,
    } + times,

  // Adds team, tier and root cause to an expression with one series per collector.
  labelled(expr):: |||
    (
      %s
    )
    * ignoring (team, tier, root_cause) group_left (team, tier, root_cause)
    collector:labels:info
  ||| % std.strReplace(std.rstripChars(expr, '\n'), '\n', '\n  '),

  // What a recorded series about `label` says, in a template; nothing where it is absent. The `%q` in
  // `expr` stands for the collector or dependency.
  local said(label, expr, text) = '{{ with query (printf `%s` $labels.%s) }}{{ with first . }}%s{{ end }}{{ end }}' % [expr, label, text],

  // Annotations that every alert on a collector carries: since when, why, what it costs, what is
  // being done. Each reads a recorded series and stays empty where there is nothing to say.
  about(annotations):: annotations {
    local query(expr, text) = said('collector', expr, text),
    since: query('time() - collector:failing_since:timestamp_seconds{collector=%q}', '{{ . | value | humanizeDuration }} ago'),
    cause: query('collector:last_failure:info{collector=%q} and on (collector) collector:failing_since:timestamp_seconds', 'Reason {{ . | label "reason" }}{{ with . | label "stage" }} at stage {{ . }}{{ end }}. ')
           + '{{ if not (match "^collector:" $labels.root_cause) }}Explained by {{ $labels.root_cause }}. {{ end }}'
           + annotations.cause,
    impact: annotations.impact
            + query('collector:impact:records_missed{collector=%q} >= 1', ' About {{ . | value | printf "%.0f" }} records missed so far.')
            + query('collector:impact:cost{collector=%q}', ' Cost so far {{ . | value | printf "%.2f" }}.')
            + query('collector:impact:consumers{collector=%q}', ' {{ . | value }} consumers wait downstream.'),
    recovery: query('collector:recovery:state{collector=%q} > 0', '{{ if eq (. | value) 1.0 }}Automatic recovery is under way.{{ else if eq (. | value) 2.0 }}Automatic recovery waits: its breaker is open.{{ else }}Automatic recovery is exhausted.{{ end }}'),
    dashboard_url: dashboard('collection-health-collector') + '?var-collector={{ $labels.collector | urlquery }}',
  },

  // The same for a dependency.
  aboutDependency(annotations):: annotations {
    local query(expr, text) = said('dependency', expr, text),
    since: query('time() - dependency:failing_since:timestamp_seconds{dependency=%q}', '{{ . | value | humanizeDuration }} ago'),
    cause: query('dependency:probe_failing:count{dependency=%q}', 'Its own probe fails. ')
           + query('topk(1, count by (reason) (collector:last_failure:info and on (collector) collector:explained_by:info{dependency=%q}))', 'Most frequent reason: {{ . | label "reason" }}. ')
           + query('dependency:failing:ratio{dependency=%q}', '{{ . | value | humanizePercentage }} of its collectors that ran since fail. ')
           + annotations.cause,
    impact: annotations.impact
            + query('sum(collector:impact:records_missed and on (collector) collector:explained_by:info{dependency=%q}) >= 1', ' About {{ . | value | printf "%.0f" }} records missed so far.')
            + query('count(count by (consumer) (collection_consumer_info and on (collector) collector:explained_by:info{dependency=%q}))', ' {{ . | value }} consumers wait downstream.'),
  },

  // An alert on one kind of problem of a collector; `told` where the message weighs it differently,
  // `also` and `unless` for what else it says and what it leaves to others.
  problem(name, severity, problem, kind, annotations, timing={}, labels={}, told=severity, also='', unless='')::
    this.alert(
      name,
      told,
      this.labelled(
        (if also == '' then '%s' else '(\n  %s\n)') % std.strReplace(
          'sum without (problem, severity) (collector:problem:value{problem="%s", severity="%s"})' % [problem, severity] + std.rstripChars(also, '\n'), '\n', '\n  '
        ) + unless
      ),
      { kind: kind } + labels,
      this.about(annotations),
      timing,
    ),

  // An alert on one kind of prediction about a collector.
  prediction(name, prediction, annotations, timing={}, severity='info', condition='', unless='')::
    this.alert(
      name,
      severity,
      this.labelled('sum without (prediction) (collector:prediction:value{prediction="%s"}%s)' % [prediction, condition] + unless),
      { kind: 'prediction' },
      this.about(annotations),
      timing,
    ),
}
