"""The metric catalogue: collector states -> samples.

`FAMILIES` lists every metric a collector has (exporter/README.md prints it); a family's
function gives the samples of one collector.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from prometheus_client.core import Metric

from collection_health.fold_recovery import tried
from collection_health.inventory import CollectorConfig
from collection_health.reasons import ALL_REASONS
from collection_health.state import (
    BAD,
    CONTROLS,
    DURATION_BUCKETS,
    PARTIAL,
    RECORD_KINDS,
    RECOVERY_UNDER_WAY,
    RETRIED,
    SLIS,
    STREAKS,
    CollectorState,
    RecoveryState,
)
from collection_health.timing import Timing, timing

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]  # name suffix, labels beside `collector`, value
Samples = Iterable[Sample]
ENDED_BY = ("automatic", "manual", "self")
RECOVERY_RESULTS = (
    "recovered", "ineffective", "failed", "timed_out", "not_verified", "skipped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Context:
    """What a family's function sees of one collector."""

    state: CollectorState
    config: CollectorConfig
    timing: Timing
    now: float


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: name without ``_total`` for counters, type, help and samples."""

    name: str
    kind: str
    help: str
    samples: Callable[[Context], Samples]


def _one(value: float | None) -> Samples:
    return () if value is None else (("", (), value),)


def _gauge(name: str, text: str, get: Callable[[Context], float | None]) -> Family:
    return Family(f"collection_{name}", "gauge", text, lambda c: _one(get(c)))


def _counter(name: str, text: str, get: Callable[[Context], float]) -> Family:
    return Family(f"collection_{name}", "counter", text, lambda c: (("_total", (), get(c)),))


_REASON_LABELS = {reason: (("reason", reason),) for reason in ALL_REASONS}
_KIND_LABELS = [(("kind", kind),) for kind in RECORD_KINDS]
_SLI_LABELS = [(("sli", sli),) for sli in SLIS]
_ENDED_LABELS = {ended: (("ended_by", ended),) for ended in ENDED_BY}
_RESULT_LABELS = {result: (("result", result),) for result in RECOVERY_RESULTS}
_CONTROL_LABELS = {control: (("control", control),) for control in CONTROLS}
_W3: Labels = (("window", "3"),)
_W10: Labels = (("window", "10"),)
_W100: Labels = (("window", "100"),)
_BUCKETS: list[Labels] = [(("le", bound),) for bound in (*map(str, DURATION_BUCKETS), "+Inf")]


def _failures(c: Context) -> Samples:
    counts = c.state.failures
    return [("_total", labels, counts.get(r, 0)) for r, labels in _REASON_LABELS.items()]


def _active_slis(c: Context) -> Iterator[int]:
    slo = c.config.slo
    targets = (True, slo.latency, slo.freshness, slo.quality, slo.min_records)
    return (index for index, target in enumerate(targets) if target is not None)


def _sli_events(c: Context) -> Samples:
    return [("_total", _SLI_LABELS[i], c.state.sli_events[i]) for i in _active_slis(c)]


def _sli_errors(c: Context) -> Samples:
    return [("_total", _SLI_LABELS[i], c.state.sli_errors[i]) for i in _active_slis(c)]


def _objectives(c: Context) -> Samples:
    return [("", _SLI_LABELS[i], c.config.slo.objective(SLIS[i])) for i in _active_slis(c)]


def _histogram(c: Context) -> Samples:
    total = 0
    samples: list[Sample] = []
    for labels, count in zip(_BUCKETS, c.state.duration_buckets, strict=True):
        total += count
        samples.append(("_bucket", labels, total))
    return [*samples, ("_count", (), total), ("_sum", (), c.state.duration_sum)]


def _incident_durations(c: Context) -> Samples:
    return (
        ("_count", (), sum(c.state.incidents.values())),
        ("_sum", (), c.state.incident_seconds),
    )


def _window(*sizes: int) -> list[tuple[int, Labels]]:
    return [(size, (("window", str(size)),)) for size in sizes]


_W_OUTCOMES = _window(10, 30, 100)


def _window_runs(c: Context) -> Samples:
    n = len(c.state.outcomes)
    return [("", labels, min(n, size)) for size, labels in _W_OUTCOMES]


def _window_failures(c: Context) -> Samples:
    outcomes = c.state.outcomes
    return [("", labels, outcomes[-size:].count(BAD)) for size, labels in _W_OUTCOMES]


def _flips(outcomes: list[int]) -> int:
    bad = [code == BAD for code in outcomes]
    return sum(a != b for a, b in pairwise(bad))


def _window_transitions(c: Context) -> Samples:
    outcomes = c.state.outcomes
    return [("", labels, _flips(outcomes[-size:])) for size, labels in _W_OUTCOMES]


def _last_ten(c: Context, code: int) -> Samples:
    return (("", _W10, c.state.outcomes[-10:].count(code)),)


def _medians(values: list[Any], *windows: tuple[int, Labels]) -> Samples:
    if not values:
        return ()
    return [("", labels, median(values[-size:])) for size, labels in windows]


_STREAK_LABELS: list[Labels] = [(("runs", str(length)),) for length in STREAKS]
_W_DURATION = _window(3, 10, 100)
_W_QUALITY = _window(3, 10)


def _streaks(c: Context) -> Samples:
    return [
        ("_total", labels, n) for labels, n in zip(_STREAK_LABELS, c.state.streaks, strict=True)
    ]


def _deviation(values: list[Any]) -> Samples:
    """Median absolute deviation over median: the usual spread, unmoved by outliers."""
    newest = values[-100:]
    usual = median(newest) if len(newest) >= 5 else 0
    if not usual:
        return ()
    return [("", _W100, median(abs(value - usual) for value in newest) / usual)]


def _failure_info(c: Context) -> Samples:
    state = c.state
    if not state.last_failure:
        return ()
    return (("", (("reason", state.failure_reason), ("stage", state.failure_stage)), 1),)


def _info(c: Context) -> Samples:
    state, config = c.state, c.config
    labels = (
        ("team", config.team), ("owner", config.owner), ("tier", str(config.tier)),
        ("source", state.source), ("version", state.version),
        ("registered", "true" if config.registered else "false"),
    )  # fmt: skip
    return (("", labels, 1),)


def _controls(c: Context) -> Samples:
    active = c.state.controls
    return [
        ("", labels, float(name in active and (active[name].until or math.inf) > c.now))
        for name, labels in _CONTROL_LABELS.items()
    ]


def _probes(attribute: str) -> Callable[[Context], Samples]:
    def samples(c: Context) -> Samples:
        declared = {probe.name or probe.type for probe in c.config.probes}
        return [
            ("", (("probe", name),), float(getattr(probe, attribute)))
            for name, probe in c.state.probes.items()
            if name in declared
        ]

    return samples


def _with_recovery(get: Callable[[CollectorState], float]) -> Callable[[Context], float | None]:
    return lambda c: get(c.state) if c.config.recovery is not None else None


_NO_RECOVERY = RecoveryState()


def _recovery_attempts(c: Context) -> Samples:
    config = c.config.recovery
    if config is None:
        return ()
    counts = (c.state.recoveries or _NO_RECOVERY).attempts
    actions = {step.action for step in (*config.steps, *config.on_prediction)} | set(counts)
    return [("_total", (("action", name),), counts.get(name, 0)) for name in sorted(actions)]


def _recovery_results(c: Context) -> Samples:
    if c.config.recovery is None:
        return ()
    counts = (c.state.recoveries or _NO_RECOVERY).results
    return [("_total", labels, counts.get(r, 0)) for r, labels in _RESULT_LABELS.items()]


def _recovering(state: CollectorState) -> float:
    record = state.recoveries.current if state.recoveries is not None else None
    return float(record is not None and record.phase in RECOVERY_UNDER_WAY)


def _circuit_open(c: Context) -> Samples:
    if c.config.recovery is None:
        return ()
    state = c.state.recoveries or _NO_RECOVERY
    return (("", (), float(state.circuit_open_until > c.now)),)


def _recovery_tried(c: Context) -> Samples:
    """What to tell people once automation gave up; nothing before, so it is one series at most."""
    record = c.state.recoveries.current if c.state.recoveries is not None else None
    if c.config.recovery is None or record is None or not c.state.recovery_exhausted:
        return ()
    text = tried(record)
    return (("", (("tried", text),), 1),) if text else ()


def _seen(value: float) -> float | None:
    return value or None


FAMILIES: tuple[Family, ...] = (
    _counter("runs", "Runs that ended or were missed; each attempt counts.",
             lambda c: c.state.runs),
    Family("collection_run_failures", "counter", "Bad runs by reason.", _failures),
    _counter("runs_partial", "Runs that got part of their data.", lambda c: c.state.partials),
    _counter("runs_retried", "Runs that ended well after failed attempts.",
             lambda c: c.state.retried_runs),
    _counter("runs_skipped", "Runs that decided to do nothing.", lambda c: c.state.skips),
    Family("collection_records", "counter", "Records by kind.", lambda c: [
        ("_total", labels, n) for labels, n in zip(_KIND_LABELS, c.state.records, strict=True)]),
    _counter("bytes", "Bytes collected.", lambda c: c.state.bytes),
    _counter("retries", "Retried runs and upstream requests.", lambda c: c.state.retries),
    Family("collection_failure_streaks", "counter",
           "Streaks of bad runs that reached this many runs.", _streaks),
    Family("collection_sli_events", "counter", "Runs judged, by SLI.", _sli_events),
    Family("collection_sli_errors", "counter", "Runs that missed the target.", _sli_errors),
    Family("collection_incidents", "counter", "Incidents that ended.", lambda c: [
        ("_total", labels, c.state.incidents.get(e, 0)) for e, labels in _ENDED_LABELS.items()]),
    Family("collection_incident_duration_seconds", "summary",
           "First bad run to next good run.", _incident_durations),
    _counter("manual_interventions", "Times a person had to act.",
             lambda c: c.state.manual_interventions),
    Family("collection_recovery_attempts", "counter", "Recovery steps run.", _recovery_attempts),
    Family("collection_recovery_results", "counter", "How recoveries ended.", _recovery_results),
    Family("collection_run_duration_seconds", "histogram", "Duration of runs.", _histogram),
    _gauge("last_run_timestamp_seconds", "End of the newest run.",
           lambda c: _seen(c.state.last_run)),
    _gauge("last_success_timestamp_seconds", "End of the newest good run.",
           lambda c: _seen(c.state.last_success)),
    _gauge("last_failure_timestamp_seconds", "End of the newest bad run.",
           lambda c: _seen(c.state.last_failure)),
    _gauge("last_run_duration_seconds", "Duration of the newest good run.",
           lambda c: c.state.last_duration),
    _gauge("last_run_records", "Records of the newest good run.", lambda c: c.state.last_records),
    _gauge("last_run_quality_ratio", "Quality of the newest good run.",
           lambda c: c.state.last_quality),
    _gauge("newest_data_timestamp_seconds", "Time of the newest record collected.",
           lambda c: _seen(c.state.newest_data)),
    _gauge("consecutive_failures", "Bad runs in a row.", lambda c: c.state.consecutive_failures),
    Family("collection_window_runs", "gauge", "Runs in the window.", _window_runs),
    Family("collection_window_failures", "gauge", "Bad runs in the window.", _window_failures),
    Family("collection_window_transitions", "gauge", "Flips between good and bad in the window.",
           _window_transitions),
    Family("collection_window_partials", "gauge", "Partial runs in the window.",
           lambda c: _last_ten(c, PARTIAL)),
    Family("collection_window_retried", "gauge",
           "Runs in the window that ended well after failed attempts.",
           lambda c: _last_ten(c, RETRIED)),
    Family("collection_window_duration_seconds", "gauge", "Median duration of good runs.",
           lambda c: _medians(c.state.durations, *_W_DURATION)),
    Family("collection_window_records", "gauge", "Median records of good runs.",
           lambda c: _medians(c.state.volumes, *_W_DURATION)),
    Family("collection_window_duration_deviation_ratio", "gauge",
           "Median absolute deviation of durations over their median.",
           lambda c: _deviation(c.state.durations)),
    Family("collection_window_records_deviation_ratio", "gauge",
           "Median absolute deviation of records over their median.",
           lambda c: _deviation(c.state.volumes)),
    Family("collection_window_quality_ratio", "gauge", "Median quality of good runs.",
           lambda c: _medians(c.state.qualities, *_W_QUALITY)),
    _gauge("running_runs", "Runs under way.", lambda c: len(c.state.running)),
    _gauge("oldest_running_start_timestamp_seconds", "Start of the oldest run under way, or 0.",
           lambda c: min(c.state.running.values(), default=0)),
    _gauge("expected_interval_seconds", "Time between runs, declared or inferred.",
           lambda c: c.timing.interval),
    _gauge("expected_interval_confidence_ratio", "1 when declared, less when inferred.",
           lambda c: c.timing.confidence if c.timing.interval is not None else None),
    _gauge("next_run_timestamp_seconds", "When the next run is expected.",
           lambda c: c.timing.next_run),
    _gauge("run_deadline_timestamp_seconds", "When the next run is overdue.",
           lambda c: c.timing.deadline),
    _gauge("grace_seconds", "How late a run may be.",
           lambda c: c.timing.grace if c.timing.interval is not None else None),
    _gauge("run_timeout_seconds", "Declared maximum duration.", lambda c: c.config.timeout),
    _gauge("failing_since_timestamp_seconds", "First bad run of the open incident, or 0.",
           lambda c: c.state.failing_since),
    _gauge("version_changed_timestamp_seconds", "First run of the current version.",
           lambda c: _seen(c.state.version_changed)),
    Family("collection_control_active", "gauge", "1 while the control holds.", _controls),
    Family("collection_slo_objective_ratio", "gauge", "Share of runs that must be good.",
           _objectives),
    _gauge("latency_target_seconds", "Target of one run's duration; no target for back-fills.",
           lambda c: c.config.slo.latency),
    _gauge("freshness_target_seconds", "Target of the gap between good runs.",
           lambda c: c.config.slo.freshness),
    _gauge("quality_target_ratio", "Target of one run's quality.", lambda c: c.config.slo.quality),
    _gauge("min_records", "Target of one run's records.", lambda c: c.config.slo.min_records),
    _gauge("impact_weight", "Relative weight of the collector.", lambda c: c.config.impact.weight),
    _gauge("cost_per_hour", "Cost of an hour without data.",
           lambda c: c.config.impact.cost_per_hour),
    Family("collection_consumer_info", "gauge", "Who uses the data.", lambda c: [
        ("", (("consumer", name),), 1) for name in c.config.impact.consumers]),
    Family("collection_dependency_info", "gauge", "What the collector stands on.", lambda c: [
        ("", (("dependency", name),), 1) for name in c.config.depends_on]),
    Family("collection_last_failure_info", "gauge", "Why the newest bad run failed.",
           _failure_info),
    Family("collection_info", "gauge", "Metadata; rules join it.", _info),
    Family("collection_probe_success", "gauge", "1 while the probe succeeds.",
           _probes("success")),
    Family("collection_probe_duration_seconds", "gauge", "Duration of the newest probe.",
           _probes("duration_seconds")),
    _gauge("quota_remaining_ratio", "Upstream quota left.", lambda c: c.state.quota_remaining),
    _gauge("quota_reset_timestamp_seconds", "When the quota is full again.",
           lambda c: _seen(c.state.quota_resets_at)),
    _gauge("credential_expiry_timestamp_seconds", "When the credential expires.",
           lambda c: _seen(c.state.credential_expires_at)),
    _gauge("recovery_in_progress", "1 while a recovery runs or is verified.",
           _with_recovery(_recovering)),
    _gauge("recovery_exhausted", "1 when automation has nothing left to try.",
           _with_recovery(lambda s: float(s.recovery_exhausted))),
    Family("collection_recovery_tried_info", "gauge",
           "What automation tried (label `tried`), when and with what output, once it gave up.",
           _recovery_tried),
    Family("collection_recovery_circuit_open", "gauge", "1 while the breaker holds recovery.",
           _circuit_open),
)  # fmt: skip


def samples(
    state: CollectorState, config: CollectorConfig, now: float
) -> Iterator[tuple[str, Labels, float]]:
    """Every sample of one collector as (full name, labels with ``collector`` first, value)."""
    context = Context(state, config, timing(state, config), now)
    collector = (("collector", state.name),)
    for family in FAMILIES:
        for suffix, labels, value in family.samples(context):
            yield family.name + suffix, collector + labels, float(value)


def collect(contexts: Iterable[Context]) -> Iterator[Metric]:
    """The same samples as prometheus-client metric objects (for registries and as an oracle)."""
    known = list(contexts)
    for family in FAMILIES:
        metric = Metric(family.name, family.help, family.kind)
        for context in known:
            for suffix, labels, value in family.samples(context):
                metric.add_sample(
                    family.name + suffix, {"collector": context.state.name, **dict(labels)}, value
                )
        yield metric
