"""From run events to outcomes, counted at one level of a pipeline's family of runs."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from collection_health.events import Outcome, Records
from collection_health.receivers.openlineage.facets import (
    MAX_RUN_ID,
    Facets,
    Figures,
    RunEvent,
    dig,
    figures,
    instant,
    parse_instant,
    says_why,
    text,
)

PROTOCOL = "openlineage"
MAX_OPEN_RUNS = 10_000  # runs whose family is remembered; the oldest is forgotten first
MAX_TASKS = 10_000  # tasks of one run whose figures are added up


def to_outcomes(event: RunEvent, collector: str, tasks: Figures | None = None) -> list[Outcome]:
    """The outcome one run event reports; none for OTHER, which only adds metadata.

    ``tasks`` are the figures of the run's tasks; they are added to what the event says itself.
    RUNNING says that the run started, should its START have been lost. A streaming job has no
    end to wait for: there each RUNNING is a sign of life, recorded as a success.
    """
    kind = event.event_type
    if kind is None or kind == "OTHER":
        return []
    facets = event.run.facets or {}
    at = instant(event.event_time)
    if kind in _BEGINNINGS and dig(event.job.facets, "jobType", "processingType") == "STREAMING":
        return [
            Outcome(
                collector=collector,
                outcome="success",
                event_id=f"{event.run.run_id}/{kind}/{at.timestamp()!r}",
                occurred_at=at,
                source=PROTOCOL,
            )
        ]
    outcome = Outcome(
        collector=collector,
        outcome=_OUTCOMES[kind],
        run_id=event.run.run_id,
        occurred_at=at,
        scheduled_for=_due(facets, at),
        version=text(dig(event.job.facets, "sourceCodeLocation", "version"), 150),
        source=PROTOCOL,
    )
    if event.ended:
        own = figures(event)
        if tasks is not None:
            error = own.error if says_why(own.error) else tasks.error or own.error
            own.add(tasks)
            own.error = error
        if own.rows is not None:
            outcome.records = Records(written=own.rows)
        outcome.bytes = own.bytes
        outcome.quality = own.quality
        outcome.data_time = own.data_time
        if kind != "COMPLETE":
            outcome.error = own.error
            if own.passed < own.assertions and not says_why(own.error):
                outcome.reason, outcome.stage = "quality", "validate"
    return [outcome]


_BEGINNINGS = ("START", "RUNNING")
_OUTCOMES: dict[str, Any] = {
    "START": "started", "RUNNING": "started", "COMPLETE": "success", "FAIL": "failure",
    "ABORT": "aborted",
}  # fmt: skip


def _due(facets: Facets, at: datetime) -> datetime | None:
    """When the run was due: the later of the two nominal times that is not after the event.

    By the specification that is the nominal start. Airflow gives the interval of the *data*,
    whose end is when the run is due.
    """
    nominal = dig(facets, "nominalTime")
    times = (
        parse_instant(dig(nominal, "nominalStartTime")),
        parse_instant(dig(nominal, "nominalEndTime")),
    )
    return max((time for time in times if time is not None and time <= at), default=None)


class Families:
    """Which run belongs to which, while they are open; bounded by `MAX_OPEN_RUNS`.

    Kept in memory: after a restart of the exporter, figures of tasks that had already ended are
    missing from the run that is under way. Outcomes are never affected.
    """

    def __init__(self, stands_alone: Callable[[str], bool], count_tasks: bool = False) -> None:
        """``stands_alone(full_name)`` tells whether the inventory names a job itself."""
        self._stands_alone = stands_alone
        self._count_tasks = count_tasks
        self._run_of_task: OrderedDict[str, str] = OrderedDict()
        self._figures: OrderedDict[str, Figures] = OrderedDict()

    def is_task(self, event: RunEvent) -> bool:
        """Whether the run belongs to another; then its figures are added to that one's."""
        top = self._top(event)
        if top is None:
            return False
        _remember(self._run_of_task, event.run.run_id, top)
        if event.ended:
            total = self._figures.get(top) or Figures()
            _remember(self._figures, top, total)
            if event.run.run_id not in total.counted and len(total.counted) < MAX_TASKS:
                total.counted.add(event.run.run_id)
                total.add(figures(event, named=True))
        return True

    def tasks_of(self, event: RunEvent) -> Figures | None:
        """The figures of the tasks of an ending run."""
        return self._figures.get(event.run.run_id) if event.ended else None

    def forget(self, run_id: str | None) -> None:
        """Drop the figures of the tasks of a run that was recorded."""
        self._figures.pop(run_id or "", None)

    def _top(self, event: RunEvent) -> str | None:
        if self._count_tasks or self._stands_alone(event.job.full_name):
            return None
        if dig(event.job.facets, "jobType", "jobType") == "DAG":
            return None
        parent = dig(event.run.facets, "parent")
        run_id = dig(parent, "run", "runId")
        job = dig(parent, "job")
        names = (dig(job, "namespace"), dig(job, "name"))
        if (
            not isinstance(run_id, str)
            or len(run_id) > MAX_RUN_ID
            or names == (event.job.namespace, event.job.name)
        ):
            return self._run_of_task.get(event.run.run_id)  # facets add up over a run's events
        return self._run_of_task.get(run_id, run_id)


def _remember(runs: OrderedDict[str, Any], key: str, value: Any) -> None:
    runs[key] = value
    runs.move_to_end(key)
    if len(runs) > MAX_OPEN_RUNS:
        runs.popitem(last=False)
