"""What only a clock can tell: missed runs, runs past their maximum, controls that expired.

`due` is pure, so that live, restart and back-test write the same events; `Timers` calls it at
the right moments.
"""

import heapq
from statistics import median

from collection_health.events import Control, Event, Outcome
from collection_health.inventory import CollectorConfig
from collection_health.schedule import utc
from collection_health.state import CollectorState
from collection_health.timing import timing

MAX_CATCH_UP = 1_000  # missed runs of one collector written at once after a long absence
ABANDONED_AFTER = 86_400.0  # without a declared timeout a run is given up after a day or more


def due(state: CollectorState, config: CollectorConfig, now: float) -> list[Event]:
    """The events the exporter itself has to write for one collector by ``now``.

    Each carries an ``event_id`` made of the scheduled time or the run, so that writing it
    again — after a restart or a clock step — is a repeat and counts once.
    """
    expired: list[Event] = [
        Control(state.name, name, False, control.until, None, "exporter", "expired")  # type: ignore[arg-type]
        for name, control in state.controls.items()
        if control.until is not None and control.until <= now
    ]
    if any(name != "acknowledged" for name in state.controls):
        return expired  # judged again once the end of the pause is folded
    return [*expired, *_overruns(state, config, now), *_missed(state, config, now)]


def next_check(state: CollectorState, config: CollectorConfig) -> float | None:
    """When `due` may have something new for this collector; None when only an event can."""
    moments = [control.until for control in state.controls.values() if control.until is not None]
    if state.running:
        moments.append(min(state.running.values()) + _run_limit(state, config))
    slot = _first_open_slot(state, config)
    if slot is not None:
        moments.append(slot[1])
    return min(moments, default=None)


def _overruns(state: CollectorState, config: CollectorConfig, now: float) -> list[Event]:
    limit = _run_limit(state, config)
    return [
        Outcome(
            state.name, "failure", event_id=f"overrun/{run_id}/{start:.0f}",
            run_id=run_id or None, started_at=utc(start), reason="overrun", source="exporter",
            at=start + limit,
        )
        for run_id, start in state.running.items()
        if start + limit <= now
    ]  # fmt: skip


def _run_limit(state: CollectorState, config: CollectorConfig) -> float:
    if config.timeout is not None:
        return config.timeout
    usual = median(state.durations[-100:]) if state.durations else 0.0
    return max(ABANDONED_AFTER, 10 * usual)


def _first_open_slot(state: CollectorState, config: CollectorConfig) -> tuple[float, float] | None:
    """The first scheduled time not yet met or written off, and its deadline."""
    schedule = config.schedule
    expected = timing(state, config)
    if schedule is None or expected.next_run is None or expected.deadline is None:
        return None
    slot = expected.next_run
    patience = expected.deadline - slot
    if state.missed_until >= slot:
        slot = schedule.next_after(state.missed_until)
    return slot, slot + patience


def _missed(state: CollectorState, config: CollectorConfig, now: float) -> list[Event]:
    first = _first_open_slot(state, config)
    events: list[Event] = []
    if first is None or config.schedule is None:
        return events
    slot, deadline = first
    patience = deadline - slot
    while slot + patience <= now and len(events) < MAX_CATCH_UP:
        events.append(
            Outcome(
                state.name, "failure", event_id=f"missed/{slot:.0f}", scheduled_for=utc(slot),
                reason="missed", source="exporter", at=slot + patience,
            )
        )  # fmt: skip
        slot = config.schedule.next_after(slot)
    return events


class Timers:
    """Which collector to look at when: a heap of moments, possibly early, never late."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._earliest: dict[str, float] = {}

    def watch(self, state: CollectorState, config: CollectorConfig) -> None:
        """Note when ``state`` must be looked at next, unless that is already noted earlier."""
        moment = next_check(state, config)
        if moment is not None and moment < self._earliest.get(state.name, float("inf")):
            self._earliest[state.name] = moment
            heapq.heappush(self._heap, (moment, state.name))

    def ready(self, now: float) -> list[str]:
        """Collectors to look at by ``now``; each must be watched again afterwards."""
        names: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            moment, name = heapq.heappop(self._heap)
            if self._earliest.get(name) == moment:
                del self._earliest[name]
                names.append(name)
        return names
