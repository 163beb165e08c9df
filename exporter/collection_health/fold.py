"""The fold: state x event -> state. No clock, no I/O; live, restart and replay share it.

`apply` changes the state it is given (a copy per event would cost more than the rest of the
path) and is otherwise pure: the same events in the same order give the same state.
"""

from bisect import bisect_left
from datetime import datetime

from collection_health.events import (
    BreakGlass,
    Control,
    Error,
    Event,
    Feedback,
    Outcome,
    ProbeResult,
    Quality,
    Recovery,
    Registered,
)
from collection_health.inventory import CollectorConfig
from collection_health.state import (
    BAD,
    DURATION_BUCKETS,
    GOOD,
    PARTIAL,
    STARTS,
    STREAKS,
    WINDOW,
    CollectorState,
    ControlState,
    FleetState,
    ProbeState,
)

AVAILABILITY, LATENCY, FRESHNESS, QUALITY, VOLUME = range(5)
MAX_RUNNING = 100  # open runs remembered a collector; the oldest is forgotten first


def apply(state: CollectorState, event: Event, config: CollectorConfig, position: int) -> None:
    """Fold one event into its collector's state.

    ``config`` holds the collector's own targets; ``position`` is where the ledger keeps the
    event and lets a restart skip what a snapshot already contains.
    """
    state.position = position
    if isinstance(event, Outcome):
        _outcome(state, event, config, position)
    elif isinstance(event, ProbeResult):
        state.probes[event.probe] = ProbeState(
            event.success, event.at, event.duration_seconds, event.message, event.expires_at
        )
        if event.expires_at is not None:
            state.credential_expires_at = event.expires_at
    elif isinstance(event, Control):
        _control(state, event)
    elif isinstance(event, Registered):
        state.registered_at = state.registered_at or event.at
        state.first_seen = state.first_seen or event.at
    elif isinstance(event, Recovery):
        _recovery(state, event)


def apply_fleet(fleet: FleetState, event: Event, position: int) -> None:
    """Fold one event that belongs to no single collector."""
    fleet.position = position
    if isinstance(event, Feedback):
        key = f"{event.alertname} {event.verdict}"
        fleet.feedback[key] = fleet.feedback.get(key, 0) + 1
    elif isinstance(event, ProbeResult):
        fleet.dependency_probes.setdefault(event.target, {})[event.probe] = ProbeState(
            event.success, event.at, event.duration_seconds, event.message, event.expires_at
        )
    elif isinstance(event, BreakGlass):
        if event.active:
            fleet.break_glass[event.mode] = ControlState(
                event.at, event.until, event.actor, event.reason
            )
        else:
            fleet.break_glass.pop(event.mode, None)


def collector_of(event: Event) -> str | None:
    """The collector whose state ``event`` changes; None for the fleet's."""
    if isinstance(event, Outcome | Control | Registered | Recovery):
        return event.collector
    if isinstance(event, ProbeResult) and event.target_kind == "collector":
        return event.target
    return None


def _outcome(
    state: CollectorState, event: Outcome, config: CollectorConfig, position: int
) -> None:
    at: float = event.at  # type: ignore[assignment]  # set by prepare before anything is recorded
    if not state.first_seen:
        state.first_seen = at
    if event.source:
        state.source = event.source
    if event.version is not None and event.version != state.version:
        if state.version:
            state.version_changed = at
        state.version = event.version
    kind = event.outcome
    if kind == "started":
        _start(state, event, at)
        return
    if event.reason == "missed":
        _missed(state, event, at)
        return
    late_end = _close(state, event)
    backfill = event.scheduled_for is not None and _is_backfill(state, event, at, config)
    current = at >= state.last_run and not backfill
    positions = state.positions
    positions.append(position)
    if len(positions) >= 2 * WINDOW:
        del positions[:-WINDOW]
    if kind == "skipped":
        state.skips += 1
        if current:
            state.last_run = at
        return
    if not late_end:
        state.runs += 1
        state.sli_events[AVAILABILITY] += 1
    _count_content(state, event)
    slo = config.slo
    if slo.freshness is not None and state.last_success and not backfill:
        state.sli_events[FRESHNESS] += 1
        if at - state.last_success > slo.freshness:
            state.sli_errors[FRESHNESS] += 1
    if kind == "success" or kind == "partial":
        _good(state, event, config, at, current)
        code = GOOD if kind == "success" else PARTIAL
        if code == PARTIAL:
            state.partials += 1
    else:
        code = BAD
        reason = event.reason or "unknown"
        if not late_end:
            state.failures[reason] = state.failures.get(reason, 0) + 1
            state.sli_errors[AVAILABILITY] += 1
        if current:
            _bad(state, event, reason, at)
    if current:
        state.last_run = at
        run_times = state.run_times
        run_times.append(at)
        if len(run_times) > 2 * STARTS:
            del run_times[:-STARTS]
    if not backfill and not late_end:
        outcomes = state.outcomes
        outcomes.append(code)
        if len(outcomes) >= 2 * WINDOW:
            del outcomes[:-WINDOW]


def _start(state: CollectorState, event: Outcome, at: float) -> None:
    running = state.running
    running[event.run_id or ""] = at
    if len(running) > MAX_RUNNING:
        del running[min(running, key=running.__getitem__)]
    if at > state.last_started:
        state.last_started = at


def _close(state: CollectorState, event: Outcome) -> bool:
    """Close the run this event ends; True when it was already counted as an overrun.

    A run's duration comes from its own start when the end does not state it.
    """
    running = state.running
    if not running and not state.overran:
        return False
    run_id = event.run_id or ""
    started = running.pop(run_id, None)
    if event.reason == "overrun":
        state.overran.append(run_id)
        del state.overran[:-MAX_RUNNING]
        return False
    if started is not None:
        if event.duration_seconds is None and event.at is not None:
            event.duration_seconds = max(0.0, event.at - started)
        return False
    if run_id in state.overran:
        state.overran.remove(run_id)
        return True
    return False


def _is_backfill(
    state: CollectorState, event: Outcome, at: float, config: CollectorConfig
) -> bool:
    """Whether the run filled an old slot: such data is not news.

    Older than a slot already seen, or more than two intervals behind its own end.
    """
    slot = _seconds(event.scheduled_for)
    if slot < state.newest_slot:
        return True
    state.newest_slot = slot
    interval = config.interval
    return interval is not None and at - slot > 2 * interval + (config.grace or 0.0)


def _missed(state: CollectorState, event: Outcome, at: float) -> None:
    state.runs += 1
    state.failures["missed"] = state.failures.get("missed", 0) + 1
    state.sli_events[AVAILABILITY] += 1
    state.sli_errors[AVAILABILITY] += 1
    state.missed_until = max(state.missed_until, _seconds(event.scheduled_for))
    if not state.failing_since:
        state.failing_since = at


def _count_content(state: CollectorState, event: Outcome) -> None:
    duration = event.duration_seconds
    if duration is not None:
        state.duration_buckets[bisect_left(DURATION_BUCKETS, duration)] += 1
        state.duration_sum += duration
    records = event.records
    if records is not None:
        totals = state.records
        for index, count in enumerate(
            (records.expected, records.collected, records.written, records.rejected,
             records.duplicate)
        ):  # fmt: skip
            if count:
                totals[index] += count
    if event.bytes:
        state.bytes += event.bytes
    if event.requests is not None and event.requests.retried:
        state.retries += event.requests.retried
    if event.attempt is not None and event.attempt > 1:
        state.retries += 1
    if event.quota is not None:
        quota = event.quota
        if quota.limit and quota.remaining is not None:
            state.quota_remaining = min(1.0, quota.remaining / quota.limit)
        if quota.resets_at is not None:
            state.quota_resets_at = quota.resets_at.timestamp()
    if event.credential_expires_at is not None:
        state.credential_expires_at = event.credential_expires_at.timestamp()


def _good(
    state: CollectorState, event: Outcome, config: CollectorConfig, at: float, current: bool
) -> None:
    slo = config.slo
    duration = event.duration_seconds
    if duration is not None:
        _push(state.durations, duration)
        if slo.latency is not None:
            state.sli_events[LATENCY] += 1
            if duration > slo.latency:
                state.sli_errors[LATENCY] += 1
    records = event.records
    collected = None
    if records is not None:
        collected = records.collected if records.collected is not None else records.written
    if collected is not None and current:
        _push(state.volumes, collected)
    if slo.min_records is not None:
        state.sli_events[VOLUME] += 1
        if (collected or 0) < slo.min_records:
            state.sli_errors[VOLUME] += 1
    quality = quality_score(event)
    if quality is not None:
        _push(state.qualities, quality)
        if slo.quality is not None:
            state.sli_events[QUALITY] += 1
            if quality < slo.quality:
                state.sli_errors[QUALITY] += 1
    if event.data_time is not None:
        state.newest_data = max(state.newest_data, event.data_time.timestamp())
    if not current:
        return
    if duration is not None:
        state.last_duration = duration
    if collected is not None:
        state.last_records = collected
    if quality is not None:
        state.last_quality = quality
    state.last_success = at
    state.consecutive_failures = 0
    if state.failing_since:
        _end_incident(state, at)


def _bad(state: CollectorState, event: Outcome, reason: str, at: float) -> None:
    state.last_failure = at
    state.consecutive_failures += 1
    if state.consecutive_failures in STREAKS:
        state.streaks[STREAKS.index(state.consecutive_failures)] += 1
    state.failure_reason = reason
    state.failure_stage = event.stage or ""
    state.failure_message = _message(event.error)
    if not state.failing_since:
        state.failing_since = at


def _message(error: Error | None) -> str:
    if error is None:
        return ""
    return ": ".join(part for part in (error.type, error.message) if part)


def _end_incident(state: CollectorState, at: float) -> None:
    if state.recovery_acted:
        ended_by = "automatic"
    elif state.intervened:
        ended_by = "manual"
    else:
        ended_by = "self"
    state.incidents[ended_by] = state.incidents.get(ended_by, 0) + 1
    state.incident_seconds += max(0.0, at - state.failing_since)
    state.failing_since = 0.0
    state.intervened = state.recovery_acted = state.recovery_exhausted = False
    state.recovery = ""
    state.controls.pop("acknowledged", None)  # an acknowledgement is of one incident


def _control(state: CollectorState, event: Control) -> None:
    if event.active:
        state.controls[event.control] = ControlState(
            event.at, event.until, event.actor, event.reason
        )
        return
    ended = state.controls.pop(event.control, None)
    if ended is not None and event.control != "acknowledged":
        state.resumed_at = max(state.resumed_at, event.at)


def _recovery(state: CollectorState, event: Recovery) -> None:
    phase = event.phase
    state.recovery = phase
    if phase == "started":
        state.recovery_attempts[event.action] = state.recovery_attempts.get(event.action, 0) + 1
    elif phase == "finished":
        state.recovery_acted = True
    elif phase == "manual":
        state.manual_interventions += 1
        state.intervened = True
    elif phase == "exhausted":
        state.recovery_exhausted = True
    if event.result:
        state.recovery_results[event.result] = state.recovery_results.get(event.result, 0) + 1


def quality_score(event: Outcome) -> float | None:
    """The run's quality from 0 to 1: its own score, else the mean of the ratios it gives,
    else the share of records that were not rejected; None when it says nothing."""
    quality: Quality | None = event.quality
    if quality is not None:
        if quality.score is not None:
            return quality.score
        given = [
            ratio
            for ratio in (
                quality.completeness, quality.validity, quality.uniqueness, quality.consistency
            )
            if ratio is not None
        ]  # fmt: skip
        if given:
            return sum(given) / len(given)
    records = event.records
    if records is not None and records.rejected is not None and records.collected:
        return max(0.0, 1.0 - records.rejected / records.collected)
    return None


def _push(values: list[float] | list[int], value: float) -> None:
    values.append(value)  # type: ignore[arg-type]  # an int list only ever gets ints
    if len(values) >= 2 * WINDOW:
        del values[:-WINDOW]


def _seconds(instant: datetime | None) -> float:
    return instant.timestamp() if instant is not None else 0.0
