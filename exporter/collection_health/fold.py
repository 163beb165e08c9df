"""The fold: state x event -> state. No clock, no I/O; live, restart and replay share it.

`apply` changes the state it is given (a copy per event would cost more than the rest of the
path) and is otherwise pure: the same events in the same order give the same state.
"""

from datetime import datetime

from collection_health.events import (
    BreakGlass,
    Control,
    Error,
    Event,
    Feedback,
    Forgotten,
    Outcome,
    ProbeResult,
    Recovery,
    Registered,
)
from collection_health.fold_content import count_content, quality_score
from collection_health.fold_recovery import apply_recovery, note_bad_run
from collection_health.inventory import CollectorConfig
from collection_health.schedule import infer
from collection_health.state import (
    BAD,
    GOOD,
    PARTIAL,
    RETRIED,
    STARTS,
    STREAKS,
    WINDOW,
    CollectorState,
    ControlState,
    FleetState,
    ProbeState,
    RecoveryState,
)

AVAILABILITY, LATENCY, FRESHNESS, QUALITY, VOLUME = range(5)
_CODES = {"success": GOOD, "partial": PARTIAL, "failure": BAD, "aborted": BAD}
MAX_RUNNING = 100  # open runs remembered a collector; the oldest is forgotten first


def apply(state: CollectorState, event: Event, config: CollectorConfig, position: int) -> None:
    """Fold one event into its collector's state.

    ``config`` holds the collector's own targets; ``position`` is where the ledger keeps the
    event and lets a restart skip what a snapshot already contains.
    """
    if isinstance(event, Outcome):
        apply_outcome(state, event, config, position)
        return
    state.position = position
    if isinstance(event, ProbeResult):
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
    elif isinstance(event, Recovery):
        apply_recovery(fleet.recoveries.setdefault(event.collector, RecoveryState()), event)


def collector_of(event: Event) -> str | None:
    """The collector whose state ``event`` changes; None for the fleet's."""
    if isinstance(event, Outcome | Control | Registered | Forgotten):
        return event.collector
    if isinstance(event, Recovery) and event.kind == "collector":
        return event.collector
    if isinstance(event, ProbeResult) and event.target_kind == "collector":
        return event.target
    return None


def apply_outcome(
    state: CollectorState, event: Outcome, config: CollectorConfig, position: int
) -> None:
    """Fold one outcome: what `apply` does with the events that come in numbers."""
    state.position = position
    at: float = event.at  # type: ignore[assignment]  # set by prepare before anything is recorded
    if not state.first_seen:
        state.first_seen = at
    if event.source:
        state.source = event.source
    if event.version is not None and event.version != state.version:
        if state.version:
            state.version_changed = at
        state.version = event.version
    if event.outcome == "started":
        _start(state, event, config, at)
    elif event.reason == "missed":
        _missed(state, event, at)
    else:
        _end(state, event, config, at, position)


def _end(
    state: CollectorState, event: Outcome, config: CollectorConfig, at: float, position: int
) -> None:
    """A run ended. ``counted``: not already counted as an overrun; ``current``: it is news."""
    counted = not _close(state, event)
    backfill = event.scheduled_for is not None and _is_backfill(state, event, at, config)
    current = at >= state.last_run and not backfill
    state.positions.append(position)
    kind = event.outcome
    if kind == "skipped":
        state.skips += 1
        if current:
            state.last_run = at
        return
    code = _CODES[kind]
    retry = _is_retry(state, event)
    if counted:
        state.runs += 1
        _judge_run(state, event, code != BAD, retry)
    count_content(state, event)
    if config.slo.freshness is not None and state.last_success and not backfill:
        _judge(state, FRESHNESS, at - state.last_success <= config.slo.freshness)
    if code == BAD:
        _bad(state, event, at, counted, current)
    else:
        state.partials += code == PARTIAL
        _good(state, event, config, at, current=current, backfill=backfill)
    if current:
        state.last_run = at
        state.run_times.append(at)
    if counted and not backfill:
        if state.outcomes and retry:  # windows count runs: this one ended otherwise, or again so
            state.retried_runs += code != BAD
            state.outcomes[-1] = RETRIED if code == GOOD else code
        else:
            state.outcomes.append(code)
        state.failed_run = (event.run_id or "") if code == BAD else ""
    if len(state.positions) >= 2 * WINDOW:
        _trim(state)


def _start(state: CollectorState, event: Outcome, config: CollectorConfig, at: float) -> None:
    running = state.running
    running[event.run_id or ""] = at
    if len(running) > MAX_RUNNING:
        del running[min(running, key=running.__getitem__)]
    if event.scheduled_for is None or not _is_old(state, _seconds(event.scheduled_for), at, config):
        state.last_started = max(state.last_started, at)  # a back-fill meets no slot of today


def _close(state: CollectorState, event: Outcome) -> bool:
    """Close the run this event ends; True when it was already counted as an overrun.

    A run's duration comes from its own start when the end does not state it.
    """
    running = state.running
    if not running and not state.overran:
        return False
    run_id = event.run_id or ""
    started = running.pop(run_id, None)
    if started is None and len(running) == 1 and (not run_id or "" in running):
        started = running.popitem()[1]  # either its start or its end did not say which run it is
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


def _is_retry(state: CollectorState, event: Outcome) -> bool:
    """Whether this is another attempt of the run that failed last."""
    return bool(state.failed_run) and event.run_id == state.failed_run and (event.attempt or 1) > 1


def _is_backfill(state: CollectorState, event: Outcome, at: float, config: CollectorConfig) -> bool:
    """Whether the run filled an old slot: such data is not news."""
    slot = _seconds(event.scheduled_for)
    old = _is_old(state, slot, at, config)
    state.newest_slot = max(state.newest_slot, slot)
    return old


def _is_old(state: CollectorState, slot: float, at: float, config: CollectorConfig) -> bool:
    """Whether a slot is older than one already seen, or more than two intervals before ``at``.

    The interval is what the collector's last runs say where nobody declared one.
    """
    if slot < state.newest_slot:
        return True
    interval = config.interval or (infer(state.run_times[-20:]) or (None,))[0]
    return interval is not None and at - slot > 2 * interval + (config.grace or 0.0)


def _missed(state: CollectorState, event: Outcome, at: float) -> None:
    state.runs += 1
    state.failures["missed"] = state.failures.get("missed", 0) + 1
    _settle(state)
    _judge(state, AVAILABILITY, good=False)
    state.missed_until = max(state.missed_until, _seconds(event.scheduled_for))
    if not state.failing_since:
        state.failing_since = at


def _judge_run(state: CollectorState, event: Outcome, good: bool, retry: bool) -> None:
    """Availability counts a run once, as its last attempt ended. Where another attempt once saved
    one, a failed run waits for its next attempt, or for the next run to say that there is none."""
    if retry and not state.awaits_retry:
        return  # its first attempt was counted before anybody knew that there are more
    if not retry:
        _settle(state)
    state.awaits_retry = state.retried_runs > 0 and not good and bool(event.run_id)
    if not state.awaits_retry:
        _judge(state, AVAILABILITY, good)


def _settle(state: CollectorState) -> None:
    """The run that waited for another attempt had none."""
    if state.awaits_retry:
        state.awaits_retry = False
        _judge(state, AVAILABILITY, good=False)


def _judge(state: CollectorState, sli: int, good: bool) -> None:
    state.sli_events[sli] += 1
    if not good:
        state.sli_errors[sli] += 1


def _good(
    state: CollectorState,
    event: Outcome,
    config: CollectorConfig,
    at: float,
    *,
    current: bool,
    backfill: bool,
) -> None:
    slo = config.slo
    duration = event.duration_seconds
    if duration is not None:
        if current:  # a back-fill says nothing about what is usual
            state.durations.append(duration)
        if slo.latency is not None and not backfill:  # it has days to fetch, and time
            _judge(state, LATENCY, duration <= slo.latency)
    records = event.records
    collected = None
    if records is not None:
        collected = records.collected if records.collected is not None else records.written
    if slo.min_records is not None:
        _judge(state, VOLUME, (collected or 0) >= slo.min_records)
    quality = quality_score(event)
    if quality is not None:
        if current:
            state.qualities.append(quality)
        if slo.quality is not None:
            _judge(state, QUALITY, quality >= slo.quality)
    if event.data_time is not None:
        newest = min(event.data_time.timestamp(), at)  # no record is newer than its run
        state.newest_data = max(state.newest_data, newest)
    if current:
        _show(state, at, duration, collected, quality)


def _show(
    state: CollectorState,
    at: float,
    duration: float | None,
    collected: int | None,
    quality: float | None,
) -> None:
    """A good run that is news: it becomes the last run and ends the incident."""
    if duration is not None:
        state.last_duration = duration
    if collected is not None:
        state.last_records = collected
        state.volumes.append(collected)
    if quality is not None:
        state.last_quality = quality
    state.last_success = at
    state.consecutive_failures = 0
    if state.recoveries is not None and state.recoveries.current is not None:
        state.recoveries.current.open = False
    if state.failing_since:
        _end_incident(state, at)
    state.recovery_exhausted = False


def _bad(state: CollectorState, event: Outcome, at: float, counted: bool, current: bool) -> None:
    reason = event.reason or "unknown"
    if counted:
        state.failures[reason] = state.failures.get(reason, 0) + 1
    if not current:
        return
    state.last_failure = at
    if not (state.consecutive_failures and _is_retry(state, event)):
        state.consecutive_failures += 1
        if state.consecutive_failures in STREAKS:
            state.streaks[STREAKS.index(state.consecutive_failures)] += 1
    state.failure_reason = reason
    state.failure_stage = event.stage or ""
    state.failure_message = _message(event.error)
    if state.recoveries is not None:
        note_bad_run(state.recoveries, event, at)
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
    state.intervened = state.recovery_acted = False
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
    if state.recoveries is None:
        state.recoveries = RecoveryState()
    apply_recovery(state.recoveries, event)
    phase = event.phase
    by_hand = event.trigger == "manual" and phase == "queued"
    if by_hand or phase in ("manual", "approved"):
        state.manual_interventions += 1
        state.intervened = True
    elif phase == "finished":
        worked = event.result not in ("failed", "timed_out")
        state.recovery_acted |= worked and event.trigger != "manual"
    elif phase == "exhausted":
        state.recovery_exhausted = True


def _trim(state: CollectorState) -> None:
    """Forget what no window reaches any more: now and then, because it moves whole lists."""
    for values in (
        state.positions, state.outcomes, state.durations, state.volumes, state.qualities
    ):  # fmt: skip
        del values[:-WINDOW]
    del state.run_times[:-STARTS]


def _seconds(instant: datetime | None) -> float:
    return instant.timestamp() if instant is not None else 0.0
