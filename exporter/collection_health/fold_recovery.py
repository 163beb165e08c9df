"""The fold of recoveries: what the phases of `events.Recovery` say about one target."""

from datetime import UTC, datetime

from collection_health.events import Outcome, Recovery
from collection_health.state import (
    RECOVERY_OVER,
    RecoveryRecord,
    RecoveryState,
    Try,
)

KEPT = 5  # ended recoveries remembered a target
DAY = 86400.0
MAX_TRIED = 500  # characters of `tried`: it becomes a label
MAX_SAID = 80  # of them for each attempt's output
_CLEAR = 2  # evidence that settles that a step did not help, see `note_bad_run`


def apply_recovery(state: RecoveryState, event: Recovery) -> None:
    """Fold one phase of a recovery of one collector or dependency."""
    phase = event.phase
    if phase in ("circuit_open", "circuit_closed"):
        state.circuit_open_until = event.until or 0.0
        return
    if phase == "manual":
        return  # a person acted beside the engine
    record = _record(state, event)
    record.phase, record.at, record.until = phase, event.at, event.until
    if phase == "started":
        state.attempts[event.action] = state.attempts.get(event.action, 0) + 1
        state.starts = [at for at in state.starts if at > event.at - DAY] + [event.at]
        record.tries.append(Try(event.step, event.attempt, event.action, event.at))
        record.bad_runs = 0
        if event.trigger == "prediction":
            state.prevented[record.cause] = event.at
    elif phase == "finished":
        if record.tries:
            last = record.tries[-1]
            last.ended, last.result, last.output = event.at, event.result, event.output
    else:
        record.output = event.output or ""
        record.approved |= phase == "approved"
    if phase in RECOVERY_OVER:
        _end(state, record, event.result)


def note_bad_run(state: RecoveryState, event: Outcome, at: float) -> None:
    """A run ended badly: evidence against the newest attempt if the run began after it did.

    A run that does not say when it began may have been under way before: it takes two.
    """
    record = state.current
    if record is None or not record.tries or record.phase in RECOVERY_OVER:
        return
    if event.started_at is not None:
        began: float | None = event.started_at.timestamp()
    else:
        began = None if event.duration_seconds is None else at - event.duration_seconds
    if began is None:
        record.bad_runs += 1
    elif began >= record.tries[-1].at:
        record.bad_runs += _CLEAR


def proved_ineffective(record: RecoveryRecord) -> bool:
    """Whether runs that began after the newest attempt failed all the same."""
    return record.bad_runs >= _CLEAR


def tried(record: RecoveryRecord) -> str:
    """What a recovery that ended tried, when and with what output, in a line for a message."""
    parts = []
    for attempt in record.tries:
        moment = datetime.fromtimestamp(attempt.at, UTC)
        said = " ".join((attempt.output or "").split())[-MAX_SAID:]
        text = f"{attempt.action} at {moment:%H:%M} UTC {attempt.result or 'unknown'}"
        parts.append(f"{text} ({said})" if said else text)
    if record.output:
        parts.append(record.output)
    return "; ".join(parts)[:MAX_TRIED]


def _record(state: RecoveryState, event: Recovery) -> RecoveryRecord:
    record = state.current
    if record is None or record.id != event.id:
        if record is not None:
            state.earlier = [*state.earlier, record][-KEPT:]
        record = state.current = RecoveryRecord(
            event.id, event.incident, event.trigger, event.actor, event.at, event.cause
        )
    return record


def _end(state: RecoveryState, record: RecoveryRecord, result: str | None) -> None:
    record.result = result
    if result is None:
        return
    state.results[result] = state.results.get(result, 0) + 1
    if result == "recovered":
        state.fruitless = 0
    elif result != "skipped":
        state.fruitless += 1
