"""Incidents of one collector, derived by folding what was recorded — as the live state is."""

from msgspec import Struct, field

from collection_health import fold
from collection_health.api import shapes
from collection_health.events import Control, Event, Outcome, Recovery
from collection_health.inventory import CollectorConfig
from collection_health.state import CollectorState
from collection_health.times import rfc3339

MAX_DONE = 50  # controls and recovery steps told of one incident


class _Open(Struct):
    """An incident while it is folded."""

    began: float
    bad_runs: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    message: str | None = None
    done: list[str] = field(default_factory=list)

    def note(self, event: Event) -> None:
        if isinstance(event, Outcome):
            if event.outcome in ("failure", "aborted"):
                self.bad_runs += 1
                reason = event.reason or "unknown"
                self.reasons[reason] = self.reasons.get(reason, 0) + 1
                if event.error is not None and event.error.message:
                    self.message = event.error.message
        elif isinstance(event, Control | Recovery) and len(self.done) < MAX_DONE:
            self.done.append(describe(event))

    def closed(self, at: float | None, now: float, ended_by: str | None) -> shapes.Incident:
        end = now if at is None else at
        return shapes.Incident(
            started_at=rfc3339(self.began), ended_at=None if at is None else rfc3339(at),
            duration_seconds=round(max(0.0, end - self.began), 3), bad_runs=self.bad_runs,
            reasons=self.reasons, message=self.message, ended_by=ended_by, done=self.done,
        )  # fmt: skip


def derive(
    name: str, config: CollectorConfig, events: list[Event], now: float
) -> list[shapes.Incident]:
    """Incidents in ``events`` (in the order they were recorded), the newest first."""
    state = CollectorState(name)
    current: _Open | None = None
    ended: list[shapes.Incident] = []
    for event in events:
        before = dict(state.incidents)
        fold.apply(state, event, config, 0)
        if current is None and state.failing_since:
            current = _Open(state.failing_since)
        if current is None:
            continue
        current.note(event)
        if not state.failing_since:
            by = next((key for key, n in state.incidents.items() if n != before.get(key, 0)), None)
            ended.append(current.closed(state.last_success, now, by))
            current = None
    if current is not None:
        ended.append(current.closed(None, now, None))
    return ended[::-1]


def describe(event: Control | Recovery) -> str:
    """What was done, in a line."""
    by = f" by {event.actor}" if event.actor else ""
    if isinstance(event, Control):
        verb = event.control if event.active else f"{event.control} ended"
        why = f": {event.reason}" if event.reason else ""
        return f"{rfc3339(event.at)} {verb}{by}{why}"
    result = f": {event.result}" if event.result else ""
    action = f" {event.action}" if event.action else ""
    return f"{rfc3339(event.at)} recovery {event.phase}{action}{by}{result}"
