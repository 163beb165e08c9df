"""When a collector's next run is expected, and when it is overdue."""

import math
from dataclasses import dataclass
from statistics import median

from collection_health.inventory import CollectorConfig
from collection_health.schedule import derived_grace, infer
from collection_health.state import CollectorState


@dataclass(frozen=True, slots=True)
class Timing:
    """What the schedule says of one collector; None where nothing is known yet."""

    interval: float | None = None
    confidence: float = 0.0
    grace: float = 0.0
    next_run: float | None = None
    deadline: float | None = None


def timing(state: CollectorState, config: CollectorConfig) -> Timing:
    """When the next run is expected and when it is overdue.

    Counted from the last sign of life (an end, a skip, a start); the deadline leaves the grace
    and the usual duration, because many collectors report only their end.
    """
    schedule = config.schedule
    anchor = max(state.last_run, state.last_started)
    if schedule is not None:
        interval, confidence = schedule.interval, 1.0
        anchor = max(anchor or state.registered_at or state.first_seen, state.resumed_at)
    else:
        inferred = infer(state.run_times)
        if inferred is None:
            return Timing()
        interval, confidence = inferred
    grace = config.grace
    if grace is None:
        grace = derived_grace(interval, schedule is not None)
    if not anchor or (schedule is not None and schedule.streaming):
        return Timing(interval, confidence, grace)
    next_run = schedule.next_after(anchor) if schedule is not None else anchor + interval
    if math.isinf(next_run):
        return Timing(interval, confidence, grace)
    usual = 2 * median(state.durations[-100:]) if state.durations else 0.0
    return Timing(interval, confidence, grace, next_run, next_run + grace + usual)
