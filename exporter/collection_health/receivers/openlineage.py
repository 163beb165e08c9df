"""OpenLineage 2-0-2: what Airflow, dbt, Spark, Flink and others emit after one variable is set.

    OPENLINEAGE_URL=http://exporter:9036

A job becomes the collector ``namespace/name``. Runs of one pipeline are counted at one level:
a run whose ``parent`` facet names another job is a *task* of it. Tasks are not collectors; their
rows, bytes, quality and errors are added to the run they belong to. A task counts by itself
instead where the inventory names it (by name or alias), where it says it is a DAG (one that
another DAG triggered), or with ``--openlineage.count-tasks``.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from collection_health import reasons
from collection_health.events import MAX_TEXT, Error, Outcome, Quality, Records

PROTOCOL = "openlineage"
MAX_OPEN_RUNS = 10_000  # runs whose family is remembered; the oldest is forgotten first
_MAX_COUNT = 2**63 - 1

Facets = dict[str, Any]
NonEmpty = Annotated[str, Meta(min_length=1, max_length=2_000)]


class Job(Struct):
    """The job: its identity and facets."""

    namespace: NonEmpty
    name: NonEmpty
    facets: Facets | None = None

    @property
    def full_name(self) -> str:
        """``namespace/name``: how the inventory's ``openlineage`` aliases name it."""
        return f"{self.namespace}/{self.name}"


class Run(Struct):
    """The run: its identity (a UUID by the specification; any text is accepted) and facets."""

    runId: Annotated[str, Meta(min_length=1, max_length=200)]
    facets: Facets | None = None


class Dataset(Struct):
    """An input or output; only its facets matter here."""

    facets: Facets | None = None
    inputFacets: Facets | None = None
    outputFacets: Facets | None = None


class RunEvent(Struct):
    """The part of a run event that says something about how the run went."""

    eventTime: datetime
    run: Run
    job: Job
    eventType: Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"] | None = None
    inputs: list[Dataset] | None = None
    outputs: list[Dataset] | None = None

    @property
    def ended(self) -> bool:
        """Whether this event ends its run."""
        return self.eventType in ("COMPLETE", "FAIL", "ABORT")


class Figures(Struct):
    """What a run, or the tasks of a run together, moved and found."""

    rows: int | None = None
    bytes: int | None = None
    assertions: int = 0
    passed: int = 0
    cells: int = 0
    nulls: int = 0
    data_time: datetime | None = None
    error: Error | None = None
    counted: set[str] = field(default_factory=set)  # run ids whose figures are in here

    def add(self, other: "Figures") -> None:
        """Add a task's figures; the newest error is the one that is kept."""
        self.rows = _sum(self.rows, other.rows)
        self.bytes = _sum(self.bytes, other.bytes)
        self.assertions += other.assertions
        self.passed += other.passed
        self.cells += other.cells
        self.nulls += other.nulls
        self.data_time = max(filter(None, (self.data_time, other.data_time)), default=None)
        self.error = other.error or self.error

    @property
    def quality(self) -> Quality | None:
        """Validity = assertions that held; completeness = cells that are not null."""
        if not self.assertions and not self.cells:
            return None
        return Quality(
            validity=self.passed / self.assertions if self.assertions else None,
            completeness=1 - self.nulls / self.cells if self.cells else None,
        )


def decode(body: bytes | msgspec.Raw) -> RunEvent | None:
    """A run event, or None for a job or dataset event, which says nothing about a run.

    Raises `msgspec.ValidationError` (it names the field) or `msgspec.DecodeError`.
    """
    keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if "run" not in keys and ("job" in keys or "dataset" in keys):
        return None
    return msgspec.json.decode(body, type=RunEvent)


def to_outcomes(event: RunEvent, collector: str, tasks: Figures | None = None) -> list[Outcome]:
    """The outcome one run event reports; none for OTHER, which only adds metadata.

    ``tasks`` are the figures of the run's tasks; they are added to what the event says itself.
    RUNNING says that the run started, should its START have been lost.
    """
    kind = event.eventType
    if kind is None or kind == "OTHER":
        return []
    facets = event.run.facets or {}
    at = _instant(event.eventTime)
    outcome = Outcome(
        collector=collector,
        outcome=_OUTCOMES[kind],
        run_id=event.run.runId,
        occurred_at=at,
        scheduled_for=_due(facets, at),
        version=_text(_dig(event.job.facets, "sourceCodeLocation", "version"), 150),
        source=PROTOCOL,
    )
    if event.ended:
        own = figures(event)
        if tasks is not None:
            error = own.error if _says_why(own.error) else tasks.error or own.error
            own.add(tasks)
            own.error = error
        if own.rows is not None:
            outcome.records = Records(written=own.rows)
        outcome.bytes = own.bytes
        outcome.quality = own.quality
        outcome.data_time = own.data_time
        if kind != "COMPLETE":
            outcome.error = own.error
            if own.passed < own.assertions and not _says_why(own.error):
                outcome.reason, outcome.stage = "quality", "validate"
    return [outcome]


_OUTCOMES: dict[str, Any] = {
    "START": "started", "RUNNING": "started", "COMPLETE": "success", "FAIL": "failure",
    "ABORT": "aborted",
}  # fmt: skip


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
        _remember(self._run_of_task, event.run.runId, top)
        if event.ended:
            total = self._figures.get(top) or Figures()
            _remember(self._figures, top, total)
            if event.run.runId not in total.counted:
                total.counted.add(event.run.runId)
                total.add(figures(event, named=True))
        return True

    def tasks_of(self, event: RunEvent) -> Figures | None:
        """The figures of the tasks of an ending run, handed out once."""
        return self._figures.pop(event.run.runId, None) if event.ended else None

    def _top(self, event: RunEvent) -> str | None:
        if self._count_tasks or self._stands_alone(event.job.full_name):
            return None
        if _dig(event.job.facets, "jobType", "jobType") == "DAG":
            return None
        parent = _dig(event.run.facets, "parent")
        run_id = _dig(parent, "run", "runId")
        job = _dig(parent, "job")
        names = (_dig(job, "namespace"), _dig(job, "name"))
        if not isinstance(run_id, str) or names == (event.job.namespace, event.job.name):
            return self._run_of_task.get(event.run.runId)  # facets add up over a run's events
        return self._run_of_task.get(run_id, run_id)


def figures(event: RunEvent, named: bool = False) -> Figures:
    """What one event's facets say; ``named`` puts the job's name before the error message."""
    found = Figures(error=_error(event, named))
    for dataset in event.outputs or []:
        statistics = _dig(dataset.outputFacets, "outputStatistics")
        found.rows = _sum(found.rows, _count(_dig(statistics, "rowCount")))
        found.bytes = _sum(found.bytes, _count(_dig(statistics, "size")))
    for dataset in [*(event.inputs or []), *(event.outputs or [])]:
        _add_quality(found, dataset)
    return found


def _add_quality(found: Figures, dataset: Dataset) -> None:
    for assertion in _list(_quality_facet(dataset, "dataQualityAssertions"), "assertions"):
        held = _dig(assertion, "success")
        if isinstance(held, bool):
            found.assertions += 1
            found.passed += held
    metrics = _quality_facet(dataset, "dataQualityMetrics")
    rows = _count(_dig(metrics, "rowCount"))
    columns = _dig(metrics, "columnMetrics")
    if rows and isinstance(columns, dict):
        for column in columns.values():
            nulls = _count(_dig(column, "nullCount"))
            if nulls is not None:
                found.cells += rows
                found.nulls += min(nulls, rows)
    updated = _parse_instant(_dig(metrics, "lastUpdated"))
    if updated is not None:
        found.data_time = max(filter(None, (found.data_time, updated)))


def _quality_facet(dataset: Dataset, name: str) -> Any:
    """A facet that integrations put on the input, on the output or on the dataset itself."""
    for facets in (dataset.inputFacets, dataset.outputFacets, dataset.facets):
        facet = _dig(facets, name)
        if facet is not None:
            return facet
    return None


_EXCEPTION = re.compile(r"\b[A-Za-z_][\w.$]{0,150}(?:Error|Exception|Timeout|Interrupt)\b")


def _error(event: RunEvent, named: bool) -> Error | None:
    facet = _dig(event.run.facets, "errorMessage")
    message = _text(_dig(facet, "message"), MAX_TEXT)
    if message is None:
        return None
    trace = _text(_dig(facet, "stackTrace"), None) or ""
    if named:
        message = f"{event.job.name[:150]}: {message}"
    return Error(type=_exception_name(message, trace[-4 * MAX_TEXT :]), message=message)


def _exception_name(message: str, trace: str) -> str | None:
    """The exception a trace ends with (Python) or was caused by (Java): the last that says why."""
    names = _EXCEPTION.findall(trace) or _EXCEPTION.findall(message)
    telling = [name for name in names if reasons.from_exception_name(name)]
    return (telling or names or [None])[-1]


def _says_why(error: Error | None) -> bool:
    return error is not None and bool(error.type) and bool(
        reasons.from_exception_name(error.type or "")
    )


def _due(facets: Facets, at: datetime) -> datetime | None:
    """When the run was due: the later of the two nominal times that is not after the event.

    By the specification that is the nominal start. Airflow gives the interval of the *data*,
    whose end is when the run is due.
    """
    nominal = _dig(facets, "nominalTime")
    times = (
        _parse_instant(_dig(nominal, "nominalStartTime")),
        _parse_instant(_dig(nominal, "nominalEndTime")),
    )
    return max((time for time in times if time is not None and time <= at), default=None)


# --- facets are open-ended: what is not of the expected shape is treated as not given -----------


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _list(value: Any, key: str) -> Iterator[Any]:
    items = _dig(value, key)
    return iter(items if isinstance(items, list) else ())


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return None
    return int(value)


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one + other, _MAX_COUNT)


def _text(value: Any, limit: int | None) -> str | None:
    return value[:limit] if isinstance(value, str) and value else None


def _parse_instant(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return _instant(msgspec.convert(value, datetime))
    except msgspec.ValidationError:
        return None


def _instant(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _remember(runs: OrderedDict[str, Any], key: str, value: Any) -> None:
    runs[key] = value
    runs.move_to_end(key)
    if len(runs) > MAX_OPEN_RUNS:
        runs.popitem(last=False)
