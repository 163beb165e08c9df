// The one configuration of the pack. Every knob is here once, with a comment that says when to turn it.
// Overlay it from jsonnet (`(import 'mixin.libsonnet') + { _config+:: { … } }`) or, without knowing
// jsonnet, from YAML: `collection-health generate --config pack.yml`.
{
  _config+:: {
    // ---- Where the series come from -------------------------------------------------------------

    // Selects the exporter's series. Change it when your scrape job has another name; add matchers
    // (`job="collection-health", env="prod"`) to judge only a part of the fleet.
    selector: 'job="collection-health"',

    // Labels that tell one exporter process from another. Rules aggregate them away, so that a
    // restarted, moved or doubled exporter is still the same collector. Add labels your service
    // discovery attaches per target; labels not listed here survive into rules and alerts.
    instanceLabels: ['instance', 'job', 'pod', 'container', 'endpoint', 'namespace', 'service', 'node', 'replica'],

    // Label that separates clusters or sites reporting to one Prometheus, '' when there is only one.
    // It must be set on the exporter's targets; rules keep it because it is not an instance label.
    clusterLabel: '',

    // Prometheus' and Alertmanager's own metrics, for the alerts about the monitoring itself.
    prometheusSelector: 'job="prometheus"',
    alertmanagerSelector: 'job="alertmanager"',

    // How far back a fact may be read. Must span several scrapes, or one missed scrape resolves
    // alerts; must stay short, or a removed collector lingers. Five times the scrape interval or more.
    scrapeGuard: '5m',

    // ---- How often rules run ---------------------------------------------------------------------

    // Verdicts about the newest run. Longer saves CPU and delays every alert by as much.
    fastInterval: '30s',
    // Levels, deviations, dependency and fleet figures that move in minutes.
    slowInterval: '2m',
    // Thresholds, limits and expectations: they move in hours. Below 5m, because dashboards and most
    // rules read them with Prometheus' five minutes of look-back.
    baselineInterval: '4m',
    // What is counted over days and weeks, and sums by team: other rules and dashboards hold these
    // over two missed evaluations. Shorter makes them dearer and no better.
    historyInterval: '15m',
    // Hourly figures, week-long quantiles and scorecards, the most expensive rules of the pack.
    // Shorter makes them dearer and little better.
    longInterval: '1h',

    // How much history the baselines read. Keep it below the retention of your Prometheus
    // (15 days unless configured); with less history the verdicts are more careful, never wrong.
    historyWindow: '14d',

    // ---- How certain an alert must be --------------------------------------------------------------

    // The dial: false alerts you accept per collector and week, over all alerts together. Every
    // statistical threshold is derived from it and from the collector's own past. 0.02 is one false
    // alert per collector in a year. Raise it to hear sooner, lower it to hear only certainties.
    falseAlertsPerCollectorWeek: 0.02,

    // How the dial is divided between the verdicts. Give a verdict you care about a larger share
    // and it becomes faster; the sum should stay 1.
    falseAlertShares: {
      failing: 0.5,
      flapping: 0.2,
      latency: 0.05,
      volume: 0.1,
      quality: 0.05,
      slo: 0.05,
      dependency: 0.05,
    },

    // Critical alerts wake people: they must be this much rarer than warnings. 20 means at most one
    // false page for twenty false warnings.
    criticalFactor: 20,

    // ---- Failing -----------------------------------------------------------------------------------

    failing: {
      // Reasons that do not heal by themselves: one confirmed run is enough, unless this collector
      // has recovered from that reason by itself within the history window. Remove a reason when
      // your upstream is known to produce it by accident.
      nonHealingReasons: ['auth', 'not_found', 'parse', 'schema', 'config', 'overrun'],
      // A half of the history with more than `factor` times the flakes of the other, and `more` on
      // top, held an incident: the calmer half alone says what is usual. Lower both where incidents
      // are frequent and small.
      unusualHalf: { factor: 3, more: 5 },
      // What is known of collectors in general counts as much as this many runs of its own. More makes
      // young and slow collectors quicker to judge, and trusts them to be as steady as others.
      priorRuns: 100,
      // Runs a collector must have behind it before one run may be enough.
      minRunsForSingle: 10,
      // Of those, what an upstream also produces by accident: an error page where data should be. Of a
      // collector with more flakes than this in its history, one such run is not enough.
      doubtfulReasons: ['not_found', 'parse'],
      maxFlakesForSingle: 1,
      // Failed runs in a row that count while nothing is known of a collector (its first minutes).
      coldStartRuns: 5,
      // Fewest and most failed runs in a row that CollectorFailing may wait for.
      minRuns: 2,
      maxRuns: 20,
      // So many failed runs, and so much time, are news whatever a collector's flakes. Raise both where
      // days without data of a flaky collector are nothing to hear of.
      surelyFailing: { runs: 3, after: '6h' },
      // So many, and so much, are critical whatever the flakes of the fleet.
      surelyCritical: { runs: 4, after: '12h' },
      // A streak must last half an interval, or this long where the interval is longer, before it counts.
      minStreak: '10m',
      // Retries of one run are one failed run. Of a collector with a longer interval than this a failed
      // retry counts as a second one when no other follows for a twentieth of the interval, for its
      // next run is far away.
      retriesCount: '2h',
      // A streak shorter than this is a blip. Lower it where a minute without data is already news.
      minSpan: '4m',
      // The first good run is not always the last word: so many good runs end the warning, and so much
      // time, unless they take longer than `atMost`. More gives fewer messages, later ones at the end.
      steady: { runs: 2, atLeast: '20m', atMost: '1h' },
      // Tiers that want to hear of the first failed run at once, whatever it costs in false alerts,
      // e.g. ['1']. Empty keeps the dial in charge.
      impatientTiers: [],
      // A streak that began within this many runs of a new version is laid at its door.
      versionRuns: 3,
    },

    flapping: {
      // Changes of the confirmed state within a day after which one flapping alert replaces the
      // stream of failing ones.
      stateFlips: 6,
      // Without a flip for this long it is steady again, or as `steady` says. Longer for slow jobs.
      steadyAfter: '2h',
      // What comes and goes is over after so many runs without new evidence, within these limits. More
      // gives fewer messages, and later ones about its end.
      steady: { runs: 8, atLeast: '1h', atMost: '12h' },
    },

    habit: {
      // What was evident on so many of the days of this window, for no more than `atMost` within a day,
      // is a habit: no news until there was more of it within a day than `factor` times what there used
      // to be, and `more` on top. What there used to be is what so large a share of those days stayed
      // below (`calm`). More days take longer to get used to something, 14 never do.
      window: '13d',
      days: 3,
      // Of runs that do not come at all, and of dependencies, on so many.
      outageDays: 7,
      atMost: '6h',
      calm: 0.9,
      factor: 1.5,
      more: '5m',
    },

    // ---- Freshness ---------------------------------------------------------------------------------

    freshness: {
      // A run counts as missing only after the exporter itself was up this long, so that outcomes
      // delayed by an outage of the monitoring can arrive first.
      settle: '10m',
      // Inferred intervals below this confidence give no verdict. Declare the schedule instead of
      // lowering it.
      minConfidence: 0.5,
      // Schedulers hesitate. A run may be as late as this collector's runs have lately been, at most
      // this share of its interval and at most so long; without a day of history that much at once.
      // Lower both where schedulers are punctual and minutes matter.
      lateness: 0.3,
      maxLateness: '15m',
      // but at least two scrape intervals: a deadline read from Prometheus is as old as its scrape.
      minLateness: '30s',
      // A page waits until the run after it is missing too: by this share of the interval longer, at
      // most so long. Lower both where nobody can wait for a late run; 0 pages at once.
      surelyMissing: { share: 1, atMost: '45m' },
      // Data older than its limit by this share are worth a page. 0 pages for a minute beyond it.
      surelyStale: 0.1,
      // The limit is the owner's where one is declared, but never less than the collector's own flakes
      // take, up to this long: a target that they miss every other day wakes nobody. 0s knows no excuse.
      excused: '6h',
      // A collector without a declared schedule that did not run at these hours in either of the last
      // two weeks does not run then, and is missed only after so long; nor are runs of one without a
      // freshness target that skip. 0s always asks for them.
      weeklyPause: '4d',
      // Where runs of so large a share of the fleet were missing for less than an interval and came by
      // themselves, within historyWindow, the second missing run is waited for, `surelyMissing.atMost`
      // at most. 1 never waits, 0 always does.
      briefShare: 0.2,
      // From so many timeouts within historyWindow on, a long run is one more of them until the next run
      // is missing.
      oftenTimedOut: 2,
      // From so many missed runs within historyWindow on, a page waits for one interval more. Raise it
      // where every missing run must wake somebody.
      oftenMissing: 4,
      // A run hangs when it takes this many times its usual duration, more for collectors whose
      // durations vary much, and half an interval, at most so long. Lower both where a stuck run
      // blocks others.
      hangingFactor: 4,
      hangingAfter: '30m',
    },

    // ---- Latency -----------------------------------------------------------------------------------

    latency: {
      // Runs before a duration is judged.
      minRuns: 10,
      // Slower by less than this factor is never news, for the median of the last 3 and of the last
      // 10 runs. Two stray slow runs make a median of 3. Raise them when deployments change durations.
      minFactor: { '3': 2.2, '10': 1.5 },
      // A slow collector is over it after so many runs without new evidence, within these limits, even
      // while the last ones are slower by that factor: it is how it is now.
      steady: { runs: 8, atLeast: '30m', atMost: '6h' },
      // Durations are taken to vary by at least this much (log scale), however steady they look.
      minSpread: 0.1,
      // Deployments and busy days shift durations by this much (log scale) without being news.
      drift: 0.25,
      // How far ahead durations are extrapolated towards the timeout.
      predictionHorizon: '1d',
    },

    // ---- Volume ------------------------------------------------------------------------------------

    volume: {
      // Days of history before a volume is judged. Below 8 the first weekend of a new collector is
      // news to the pack.
      minHistory: '8d',
      // A difference by less than this factor is never news,
      minFactor: 1.7,
      // nor by less than this one of a job that runs every six hours or less often: a week has told
      // little of how much its records vary.
      minFactorSlow: 2.2,
      // Volumes are taken to vary by at least this much (log scale), however steady they look.
      minSpread: 0.1,
      // Where so large a share of the fleet, and so many collectors, bring no more than on their quietest
      // day of the week, it is a holiday and no lack of records. A share of 1 knows no holidays.
      dayOff: { share: 0.05, atLeast: 3 },
      // Collectors that usually bring fewer records than this are not judged by volume.
      minRecords: 10,
      // Severity of too many records: back-fills and sales days do that, so it is not worth a message.
      highSeverity: 'info',
    },

    // ---- Quality -----------------------------------------------------------------------------------

    quality: {
      // Worse by less than this (ratio 0-1) is never news unless the owner's own target is missed.
      minDrop: 0.03,
      // Runs before quality is judged.
      minRuns: 5,
    },

    // ---- Objectives --------------------------------------------------------------------------------

    slo: {
      // Budgets and shares of failed runs still see an incident after its end. For this long people
      // who were told of it are not told again what it cost.
      quietAfter: '6h',
      // The window of error budgets. Not beyond your retention: 15 days unless you configured more.
      window: '14d',
      // Availability objective of collectors that declare none.
      defaultObjective: 0.99,
      // Fewer errors or runs than this in a window are no evidence, whatever the ratio.
      minErrors: 3,
      minEvents: 10,
      // Burn rates that are news, by window (Google's SRE Workbook, chapter 5).
      burn: { '1h': 14.4, '6h': 6, '1d': 3, '3d': 1 },
    },

    // ---- Dependencies and fleet --------------------------------------------------------------------

    dependency: {
      // A dependency is blamed when at least this many of its collectors fail,
      minCollectors: 2,
      // and more than this share of those that ran since,
      minShare: 0.6,
      // with failures this far apart. Longer ignores longer blips and delays the alert as much.
      minSpan: '10m',
      // Failures that began this far apart, or a run of the slowest collector, may have one cause.
      // Longer where one that broke hours before the others is to count for the dependency.
      together: '2h',
      // Where only two fail, the later one must have begun within two of its runs, or this long.
      pairTogether: '30m',
      // Evidence in nats that one collector can contribute at most.
      evidenceCap: 8.5,
      // and by a single failed run: one flake beside one long failure is no common cause.
      singleEvidenceCap: 7.5,
      // and where its reason is usually its own (failing.nonHealingReasons). Raise it where shared
      // credentials expire.
      ownEvidenceCap: 3,
      // A run that failed so soon after it was last seen to fail is still explained by it, until the
      // next run but at most twice as long: collectors that run every few hours then tell for themselves.
      hold: '90m',
    },

    fleet: {
      // Share of all collectors failing without a dependency that explains them, and how many at least.
      failingShare: 0.5,
      failingCount: 5,
      // Share of the fleet's weight at risk that deserves a person's attention.
      riskShare: 0.3,
    },

    probes: {
      // A probe must have failed throughout. At least twice the interval of your slowest probe.
      minFailing: '10m',
    },

    // ---- Predictions -------------------------------------------------------------------------------

    prediction: {
      // Growth towards the timeout counts once the duration is this unusual (1 is news by itself),
      minDeviation: 0.5,
      // and this near to the timeout.
      minShareOfCeiling: 0.2,
      // How far ahead the end of an error budget is announced.
      budgetHorizon: '1d',
      // A quota must run out before this share of the time left until its reset,
      quotaMargin: 0.8,
      // and only what is left below this share is judged: early in a period the estimate is noise.
      quotaBelow: 0.6,
      // How long before its end a credential is announced. Tokens renewed within a week are left to
      // the collector that renews them.
      credentialHorizon: '3d',
      // Below this it is critical.
      credentialCritical: '1d',
      // How far ahead a volume's end is announced.
      volumeHorizon: '1d',
    },

    // ---- Escalation --------------------------------------------------------------------------------

    // Levels by tier: after how long a critical problem that nobody acknowledged, and that no recovery
    // is working on, climbs to level 1, 2, 3. A tier that is not listed never escalates.
    escalation: {
      '1': ['0s', '15m', '30m'],
      '2': ['0s', '2h'],
    },

    // ---- Promises on the scorecard -----------------------------------------------------------------

    scorecard: {
      recovery_time_seconds: 300,
      alert_relevance_ratio: 0.95,
      recovery_success_ratio: 0.9,
      coverage_ratio: 1,
      uptime_ratio: 0.995,
      quality_ratio: 0.95,
      interventions_saved_ratio: 0.8,
      reliability_ratio: 0.999,
    },

    // ---- Links and labels on alerts -----------------------------------------------------------------

    // %s is the alert's name in lower case, the anchor of its section in rules/runbooks/README.md.
    runbookUrlPattern: 'https://github.com/collection-health/collection-health/blob/main/rules/runbooks/README.md#%s',
    // %s is the dashboard's uid; the collector or dependency is appended as a variable.
    dashboardUrlPattern: '/d/%s',
    // Where people reach the exporter: acknowledge and feedback links in messages. Set it to the
    // address your people open, not the one Prometheus scrapes.
    exporterUrl: 'http://localhost:9036',

    // Alerts you never want: names, e.g. ['CollectorVolumeAnomaly'].
    disabledAlerts: [],
    // Alerts on trial: evaluated, recorded and compared in the scorecard, but labelled
    // `shadow="true"` so that Alertmanager tells nobody.
    shadowAlerts: [],
    // Labels and annotations added to every alert, e.g. {source: 'collection-health'}.
    alertExtraLabels: {},
    alertExtraAnnotations: {},
    // Changes to single alerts, by name: {CollectorSlow: {severity: 'info', 'for': '30m',
    // labels: {…}, annotations: {…}}}. Thresholds have knobs of their own above.
    alertOverrides: {},

    // ---- Dashboards ----------------------------------------------------------------------------------

    dashboards: {
      // Grafana tags; the menu of every dashboard lists all dashboards that carry them.
      tags: ['collection-health'],
      // Which Prometheus data sources the picker offers, as a regular expression; '' offers all.
      datasourceRegex: '',
      // 'browser' shows local time. Set 'utc' when your teams talk about runs in UTC.
      timezone: 'browser',
      // How often an open dashboard reloads. Longer when many people leave it open all day.
      refresh: '1m',
      // What dashboards about now show at first. Longer for fleets of daily jobs.
      timeRange: '6h',
      // Unit of impact.cost_per_hour, one of Grafana's currency units: 'currencyEUR', 'currencyGBP'.
      costUnit: 'currencyUSD',
      // Rows of the heat strips and entries of the rankings, the worst first. More rows cost
      // query time and screen; a person reads about thirty.
      worst: 30,
    },

    // ---- Alertmanager: who hears what, where, when and how often ----------------------------------
    // Everything below shapes alertmanager/generated/alertmanager.yml. Without any channel the file
    // is valid and tells no person anything; only automatic recovery is told.
    alertmanager: {
      // The oldest Alertmanager that must read the file. It refuses fields it does not know, so newer
      // ones are written only when this allows them. Raise it once every Alertmanager is upgraded.
      version: '0.25',

      // The ways to reach people. null: this way does not exist, wherever it is named below.
      // Secrets are never written here, only paths of files that Alertmanager itself reads.
      channels: {
        extensible:: true,  // `generate` accepts keys beyond these
        // Incoming webhook: {api_url_file: '/etc/alertmanager/slack_url', channel: '#collectors'}.
        // Bot: {bot_token_file: '/etc/alertmanager/slack_token', channel: '#collectors'}, which may
        // add update_message: true from version 0.32 (one message that changes instead of several).
        slack: null,
        // {to: 'oncall@example.org', from: 'collectors@example.org', smarthost: 'mail:587',
        //  auth_username: 'collectors', auth_password_file: '/etc/alertmanager/smtp_password'};
        // also require_tls (default true), hello, and from 0.30 threading: {enabled: true, …}.
        email: null,
        // {url: 'http://chatops:8080/alerts', credentials_file: '/etc/alertmanager/token'}; from 0.26
        // url_file when the URL itself is a secret, from 0.28 timeout, from 0.32 payload.
        webhook: null,
        // What gets a person out of bed, as a webhook like the one above. Used by level 3 only.
        pager: null,
        // Anything else Alertmanager can talk to, under a name of your own, as it writes it:
        // opsgenie: {receiver: {opsgenie_configs: [{api_key_file: '/etc/alertmanager/opsgenie'}]}}.
      },

      // Which channels hear what. `critical`, `warning` and `info` are alerts as they fire; a level is
      // an escalation of a critical one that nobody acknowledged. Level 1 is empty because the alert
      // itself was the first message. Take email out of `warning` if inboxes fill up.
      notify: {
        critical: ['slack', 'email', 'webhook'],
        warning: ['slack', 'email', 'webhook'],
        info: ['slack', 'webhook'],
        'level-1': [],
        'level-2': ['slack', 'email', 'webhook'],
        'level-3': ['slack', 'email', 'webhook', 'pager'],
      },

      // Teams with channels of their own, by the `team` of their collectors:
      //   data: {slack: {channel: '#data'}, email: 'data@example.org', dependencies: ['warehouse']}
      // What a team does not mention it shares with `channels` above; null takes a channel away.
      // `dependencies` sends alerts about these dependencies to the team; `timezone` gives it its
      // own business hours.
      teams: {},

      // When people may be disturbed. 'Local' is the time zone of the machine Alertmanager runs on;
      // an IANA name such as 'Europe/Berlin' does not depend on it.
      timezone: 'Local',
      businessHours: { weekdays: ['monday:friday'], times: [{ start_time: '09:00', end_time: '17:00' }] },
      quietHours: { times: [{ start_time: '22:00', end_time: '24:00' }, { start_time: '00:00', end_time: '07:00' }] },

      // Severity says how bad, tier how much it matters: together they decide when a message may
      // arrive: 'always', 'waking' (not in quiet hours) or 'business' (in business hours only). What
      // is still wrong when its time comes is then sent; what healed in the night never is. Alerts
      // without a tier are treated as tier 1. Escalations always pass.
      when: {
        critical: { '1': 'always', '2': 'waking', '3': 'business' },
        warning: { '1': 'waking', '2': 'business', '3': 'business' },
        info: { '1': 'business', '2': 'business', '3': 'business' },
      },

      // One message is about one of these. `root_cause` keeps an incident together, however many
      // alerts and collectors it has. Take `root_cause` out, or add `tier`, to get fewer messages
      // that mix incidents.
      groupBy: ['team', 'root_cause'],

      // Alertmanager's three waits. group_wait: how long the first message waits for company and for
      // the alert that explains it. group_interval: the least time between two messages about the
      // same thing when something changed. repeat_interval: when an unchanged message is repeated;
      // it is rounded up to a multiple of group_interval and must stay below --data.retention (120h).
      throttle: {
        // Long enough for one evaluation of every rule group, so that a dependency's alert arrives
        // before the messages of its collectors leave; short against the minutes a page may cost.
        // Repeats are rare because escalation, not repetition, is what happens to the unheard.
        critical: { group_wait: '30s', group_interval: '5m', repeat_interval: '4h' },
        // Nobody is waiting for these: a longer wait and interval swallow what heals by itself and
        // join what belongs together. Once a day is a reminder, more is a habit of not reading.
        warning: { group_wait: '2m', group_interval: '15m', repeat_interval: '24h' },
        // A digest: by team and tier, at most hourly, repeated after four days.
        info: { group_wait: '10m', group_interval: '1h', repeat_interval: '96h' },
        // The clock of a level already ran in the rules; all that is awaited here is what reaches the
        // same level with it. Repeated often: somebody must answer.
        escalation: { group_wait: '10s', group_interval: '2m', repeat_interval: '30m' },
        // A machine reads these. It ignores what it is already working on, so repeats are cheap and
        // make up for a webhook lost in a restart.
        recovery: { group_wait: '5s', group_interval: '30s', repeat_interval: '5m' },
      },

      // Automatic recovery: alerts of these kinds, and predictions, are posted to the exporter before
      // people hear of them. url null: exporterUrl + /api/v1/alertmanager/webhook. credentials_file: a
      // file with a token of the exporter that has the scope `recovery`. `recovery: null` tells the
      // exporter nothing.
      recovery: {
        url: null,
        credentials_file: null,
        kinds: ['failure', 'freshness', 'hanging', 'probe', 'dependency'],
      },

      // Where the always-firing CollectionHealthWatchdog is sent: {url: …} or {url_file: …} of a
      // service that calls you when it stops hearing from Alertmanager. null: to nobody.
      deadMansSwitch: null,
    },

    // ---- Kubernetes: objects written by `generate --format kubernetes` -----------------------------
    kubernetes: {
      // First part of every object's name; change it when two packs share a namespace.
      name: 'collection-health',
      // '' leaves the namespace to kubectl or your deployment tool.
      namespace: '',
      // Labels on every object.
      labels: {},
      // What the ruleSelector of your Prometheus asks for, e.g. {release: 'kube-prometheus-stack'}.
      ruleLabels: {},
      // What Grafana's dashboard side-car looks for.
      dashboardLabels: { grafana_dashboard: '1' },
    },
  },
}
