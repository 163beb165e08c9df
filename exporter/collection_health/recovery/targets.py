"""What a recovery is about: a collector, or a dependency of several."""

from dataclasses import dataclass
from typing import Literal

from collection_health.inventory_schema import RecoveryConfig
from collection_health.pipeline import Pipeline
from collection_health.state import CollectorState, RecoveryRecord, RecoveryState
from collection_health.timing import timing

Kind = Literal["collector", "dependency"]
Key = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Target:
    """One target as the fold and the inventory know it now."""

    kind: Kind
    name: str
    policy: RecoveryConfig | None
    state: RecoveryState
    incident: float  # first bad run of the open incident; 0 when none is open
    silent_since: float  # since when a run hangs or is overdue; 0 when neither is so
    reason: str  # why it fails; "" when that does not matter
    over: bool  # a good run came since the current recovery was queued
    quiet: str  # "paused" or "in maintenance"

    def covered(self) -> bool:
        """Whether the current recovery is about the incident that is open now."""
        record = self.state.current
        if record is None or self.over or record.trigger == "prediction":
            return False
        ended = record.phase in ("verified", "cancelled", "exhausted")
        return not (ended and self.incident > record.at)


def find(pipeline: Pipeline, key: Key) -> Target | None:
    """The target, or None when neither the inventory nor a report knows it."""
    kind, name = key
    if kind == "dependency":
        return _dependency(pipeline, name)
    state = pipeline.collectors.get(name)
    return None if state is None else _collector(pipeline, state)


def _collector(pipeline: Pipeline, state: CollectorState) -> Target:
    now = pipeline.clock()
    config = pipeline.config(state.name)
    recoveries = state.recoveries or RecoveryState()
    record = recoveries.current
    reason = (state.failure_reason if state.consecutive_failures else "missed") or "unknown"
    quiet = next(
        (
            name
            for name, control in state.controls.items()
            if name != "acknowledged" and (control.until is None or control.until > now)
        ),
        "",
    )
    return Target(
        "collector", state.name, config.recovery, recoveries, state.failing_since,
        _silent_since(pipeline, state), reason if state.failing_since else "",
        record is not None and not record.open, {"maintenance": "in maintenance"}.get(quiet, quiet),
    )  # fmt: skip


def _silent_since(pipeline: Pipeline, state: CollectorState) -> float:
    """Since when nothing came from a collector that is overdue or hangs; 0 when it is neither."""
    if state.running:
        return min(state.running.values())
    deadline = timing(state, pipeline.config(state.name)).deadline
    if deadline is None or deadline > pipeline.clock():
        return 0.0
    return state.last_run or state.registered_at


def _dependency(pipeline: Pipeline, name: str) -> Target | None:
    declared = pipeline.inventory.dependencies.get(name)
    if declared is None:
        return None
    dependents = [
        pipeline.collectors[collector]
        for collector, config in pipeline.inventory.registered.items()
        if name in config.depends_on and collector in pipeline.collectors
    ]
    recoveries = pipeline.fleet.recoveries.get(name) or RecoveryState()
    record = recoveries.current
    over = record is not None and _back(record, dependents)
    incident = min((state.failing_since for state in dependents if state.failing_since), default=0)
    return Target("dependency", name, declared.recovery, recoveries, incident, 0.0, "", over, "")


def _back(record: RecoveryRecord, dependents: list[CollectorState]) -> bool:
    """Whether a collector that failed for the dependency has run well since."""
    since = record.incident
    nothing_failed = since == record.queued_at  # a person asked: any later good run will do
    return any(
        state.last_success > max(since, state.last_failure)
        and (nothing_failed or state.last_failure >= since)
        for state in dependents
    )
