"""What an OpenLineage event says of its run: identity, figures and errors, from the facets."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from collection_health import reasons
from collection_health.events import MAX_TEXT, Error, Quality

MAX_RUN_ID = 200
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


class Run(Struct, rename="camel"):
    """The run: its identity (a UUID by the specification; any text is accepted) and facets."""

    run_id: Annotated[str, Meta(min_length=1, max_length=MAX_RUN_ID)]
    facets: Facets | None = None


class Dataset(Struct, rename="camel"):
    """An input or output; only its facets matter here."""

    facets: Facets | None = None
    input_facets: Facets | None = None
    output_facets: Facets | None = None


class RunEvent(Struct, rename="camel"):
    """The part of a run event that says something about how the run went."""

    event_time: datetime
    run: Run
    job: Job
    event_type: Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"] | None = None
    inputs: list[Dataset] | None = None
    outputs: list[Dataset] | None = None

    @property
    def ended(self) -> bool:
        """Whether this event ends its run."""
        return self.event_type in ("COMPLETE", "FAIL", "ABORT")


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


def figures(event: RunEvent, named: bool = False) -> Figures:
    """What one event's facets say; ``named`` puts the job's name before the error message."""
    found = Figures(error=_error(event, named))
    for dataset in event.outputs or []:
        statistics = dig(dataset.output_facets, "outputStatistics")
        found.rows = _sum(found.rows, _count(dig(statistics, "rowCount")))
        found.bytes = _sum(found.bytes, _count(dig(statistics, "size")))
    for dataset in [*(event.inputs or []), *(event.outputs or [])]:
        _add_quality(found, dataset)
    return found


def _add_quality(found: Figures, dataset: Dataset) -> None:
    assertions = dig(_quality_facet(dataset, "dataQualityAssertions"), "assertions")
    for assertion in assertions if isinstance(assertions, list) else ():
        held = dig(assertion, "success")
        if isinstance(held, bool):
            found.assertions += 1
            found.passed += held
    metrics = _quality_facet(dataset, "dataQualityMetrics")
    rows = _count(dig(metrics, "rowCount"))
    columns = dig(metrics, "columnMetrics")
    if rows and isinstance(columns, dict):
        for column in columns.values():
            nulls = _count(dig(column, "nullCount"))
            if nulls is not None:
                found.cells += rows
                found.nulls += min(nulls, rows)
    updated = parse_instant(dig(metrics, "lastUpdated"))
    if updated is not None:
        found.data_time = max(updated, found.data_time or updated)


def _quality_facet(dataset: Dataset, name: str) -> Any:
    """A facet that integrations put on the input, on the output or on the dataset itself."""
    for facets in (dataset.input_facets, dataset.output_facets, dataset.facets):
        facet = dig(facets, name)
        if facet is not None:
            return facet
    return None


# `pkg.SomeError`, and `Some Error` as SQL engines and dbt write it.
_EXCEPTION = re.compile(
    r"\b[A-Za-z_][\w.$]{0,150}(?:Error|Exception|Timeout|Interrupt)\b|\b[A-Z][a-z]{1,30} Error\b"
)


def _error(event: RunEvent, named: bool) -> Error | None:
    facet = dig(event.run.facets, "errorMessage")
    message = text(dig(facet, "message"), MAX_TEXT)
    if message is None:
        return None
    trace = dig(facet, "stackTrace")
    if named:
        message = f"{event.job.name[:150]}: {message}"
    return Error(
        type=_exception_name(message, trace[-4 * MAX_TEXT :] if isinstance(trace, str) else ""),
        message=message,
    )


def _exception_name(message: str, trace: str) -> str | None:
    """The exception a trace ends with (Python) or was caused by (Java): the last that says why."""
    found = _EXCEPTION.findall(trace) or _EXCEPTION.findall(message)
    names: list[str] = [name.replace(" ", "") for name in found]
    telling = [name for name in names if reasons.from_exception_name(name)]
    return (telling or names)[-1] if names else None


def says_why(error: Error | None) -> bool:
    """Whether the error names an exception that stands for a reason."""
    if error is None or not error.type:
        return False
    return reasons.from_exception_name(error.type) is not None


# --- facets are open-ended: what is not of the expected shape is treated as not given -----------


def dig(value: Any, *keys: str) -> Any:
    """The value at the end of nested objects, or None where one is missing."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: Any, limit: int) -> str | None:
    """The first ``limit`` characters of a text, or None for anything else."""
    return value[:limit] if isinstance(value, str) and value else None


def instant(value: datetime) -> datetime:
    """``value``, in UTC where it names no zone."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def parse_instant(value: Any) -> datetime | None:
    """An ISO 8601 text as a time, or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return instant(msgspec.convert(value, datetime))
    except msgspec.ValidationError:
        return None


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return None
    return int(value)


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one + other, _MAX_COUNT)
