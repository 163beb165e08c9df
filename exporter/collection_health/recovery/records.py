"""The events a recovery is recorded by."""

import secrets

from collection_health.events import Recovery
from collection_health.recovery.ladder import Change, Start
from collection_health.recovery.requests import Request, Verdict
from collection_health.recovery.targets import Key, Target
from collection_health.state import RecoveryRecord

AUTOMATION = "automation"  # the actor of what no person asked for


def recorded(request: Request, target: Target, verdict: Verdict, now: float) -> Recovery:
    """The event of a verdict: of a new recovery, or of the current one when that ends."""
    key, record = request.key, target.state.current
    actor = request.actor or AUTOMATION
    if verdict.phase == "cancelled" and record is not None:
        return event_of(key, record, Change("cancelled", verdict.said), now, actor=actor)
    record = RecoveryRecord(
        secrets.token_hex(8), target.incident or target.silent_since or now, request.trigger,
        actor, now, request.cause,
    )  # fmt: skip
    change = Change(verdict.phase or "skipped", verdict.said, verdict.result)
    return event_of(key, record, change, now, actor=actor)


def event_of(
    key: Key,
    record: RecoveryRecord,
    change: Change,
    now: float,
    *,
    actor: str = AUTOMATION,
    start: Start | None = None,
) -> Recovery:
    """One phase of ``record``; ``start`` names the attempt it is about (default: the newest)."""
    kind, name = key
    step, attempt, action = 0, 0, ""
    if start is not None:
        step, attempt, action = start.step, start.attempt, start.action
    elif record.tries:
        last = record.tries[-1]
        step, attempt, action = last.step, last.attempt, last.action
    return Recovery(
        record.id, name, record.incident, step, attempt, action, change.phase, now,
        change.result, change.output or None, actor, kind, record.trigger, record.cause,
        change.until,
    )  # fmt: skip
