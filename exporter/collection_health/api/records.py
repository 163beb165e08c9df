"""What was recorded: runs and incidents of a collector, and the audit log of everything done."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Literal, TypeVar

from aiohttp import web
from msgspec import Struct

from collection_health import marks
from collection_health.api import history, incidents, shapes
from collection_health.api.bodies import ProblemError
from collection_health.api.controls import find
from collection_health.api.table import NAME, Route, add, query_of
from collection_health.api.view import reply
from collection_health.events import (
    BreakGlass,
    Control,
    Event,
    Feedback,
    Forgotten,
    Outcome,
    Recovery,
)
from collection_health.inventory import CollectorConfig
from collection_health.pipeline import Pipeline
from collection_health.server import PIPELINE
from collection_health.times import rfc3339, seen

T = TypeVar("T")
RUNS_FOLDED = 2_000  # newest runs that incidents are derived from
READERS = 2  # requests that read the ledger at the same time
AuditKind = Literal["control", "recovery", "break_glass", "feedback"]
_READING = web.AppKey("reading", asyncio.Semaphore)


class PageQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which page; ``before`` is the ``next`` of the page before it."""

    limit: shapes.Limit = 50
    before: str | None = None


class IncidentQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """How many of the newest."""

    limit: shapes.Limit = 20


class AuditQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Which entries."""

    collector: str | None = None
    actor: str | None = None
    kind: AuditKind | None = None


def setup(app: web.Application) -> None:
    """Add the routes."""
    app[_READING] = asyncio.Semaphore(READERS)
    missing = {404: "No such collector."}
    name = f"/api/v1/collectors/{NAME}"
    add(app, [
        Route("GET", f"{name}/runs", runs, "Recorded runs, the newest first.", shapes.RunList,
              query=PageQuery, others=missing),
        Route("GET", f"{name}/incidents", incidents_of,
              "Incidents, derived from what was recorded.", shapes.IncidentList,
              query=IncidentQuery, others=missing),
        Route("GET", "/api/v1/audit", audit,
              "Who did what, when, why and with what result; nothing is ever changed in it.",
              shapes.AuditList, query=AuditQuery),
    ])  # fmt: skip


async def read(app: web.Application, job: Callable[[sqlite3.Connection], T]) -> T:
    """What ``job`` reads from the ledger, away from the event loop."""
    pipeline: Pipeline = app[PIPELINE]

    def work() -> T:
        with closing(pipeline.ledger.reader()) as connection:
            return job(connection)

    async with app[_READING]:
        try:
            return await asyncio.to_thread(work)
        except sqlite3.Error as error:
            raise ProblemError(503, "try again", f"the ledger cannot be read: {error}") from error


async def runs(request: web.Request) -> web.Response:
    """A page of runs."""
    query = query_of(request, PageQuery)
    state = find(request)
    known = tuple(state.positions)
    page = await read(
        request.app,
        lambda connection: history.runs(connection, state.name, known, query.before, query.limit),
    )
    found = [run_of(item) for item in page.found]
    return reply(request, shapes.RunList(collector=state.name, runs=found, next=page.next))


def run_of(item: history.Found) -> shapes.Run:
    """A recorded run as the API shows it."""
    event = item.event
    assert isinstance(event, Outcome)  # noqa: S101  # `history.runs` finds nothing else
    records = event.records
    collected = None
    if records is not None:
        collected = records.collected if records.collected is not None else records.written
    return shapes.Run(
        id=item.place, at=rfc3339(event.at or 0.0), outcome=event.outcome, reason=event.reason,
        stage=event.stage, message=event.error.message if event.error else None,
        duration_seconds=event.duration_seconds, records=collected, run_id=event.run_id,
        attempt=event.attempt, version=event.version, source=event.source,
    )  # fmt: skip


async def incidents_of(request: web.Request) -> web.Response:
    """Incidents, newest first."""
    query = query_of(request, IncidentQuery)
    state = find(request)
    pipeline = request.app[PIPELINE]
    known = tuple(state.positions)
    now, config = pipeline.clock(), pipeline.config(state.name)

    def job(connection: sqlite3.Connection) -> shapes.IncidentList:
        return derive(connection, state.name, known, config, now)

    found = await read(request.app, job)
    found.incidents = found.incidents[: query.limit]
    return reply(request, found)


def derive(
    connection: sqlite3.Connection,
    name: str,
    known: Sequence[int],
    config: CollectorConfig,
    now: float,
) -> shapes.IncidentList:
    """All incidents of a collector in its newest `RUNS_FOLDED` runs."""
    page = history.runs(connection, name, known, None, RUNS_FOLDED)
    since = page.found[-1].position if page.next and page.found else 0
    beside = history.marked(
        connection,
        ("control", "recovery"),
        lambda event: _about(event, name),
        before=None,
        limit=RUNS_FOLDED,
        collector=name,
    )
    found = sorted(
        [*page.found, *(item for item in beside.found if item.position >= since)],
        key=lambda item: item[:2],
    )
    events = [item.event for item in found]
    return shapes.IncidentList(
        collector=name,
        incidents=incidents.derive(name, config, events, now),
        since=seen(getattr(events[0], "at", None)) if events else None,
        complete=page.next is None,
    )


def _about(event: Event, name: str) -> bool:
    """Whether a control or a recovery step belongs to the collector ``name``."""
    if isinstance(event, Recovery):
        return event.collector == name and event.kind == "collector"
    return isinstance(event, Control) and event.collector == name


async def audit(request: web.Request) -> web.Response:
    """A page of the audit log."""
    query = query_of(request, AuditQuery)
    kinds = (query.kind,) if query.kind else tuple(marks.KINDS.values())

    def wanted(event: Event) -> bool:
        return (
            marks.kind_of(event) in kinds
            and (query.collector is None or getattr(event, "collector", None) == query.collector)
            and (query.actor is None or getattr(event, "actor", None) == query.actor)
        )

    page = await read(
        request.app,
        lambda connection: history.marked(
            connection,
            kinds,
            wanted,
            before=query.before,
            limit=query.limit,
            collector=query.collector,
        ),
    )
    entries = [entry(item.place, item.event) for item in page.found]
    return reply(request, shapes.AuditList(entries=entries, next=page.next))


def entry(place: str, event: Event) -> shapes.AuditEntry:
    """One event as a line of the audit log."""
    match event:
        case Control():
            return shapes.AuditEntry(
                id=place, at=rfc3339(event.at), kind="control", actor=event.actor,
                action=event.control if event.active else f"{event.control} ended",
                collector=event.collector, until=seen(event.until), reason=event.reason or None,
            )  # fmt: skip
        case Forgotten():
            return shapes.AuditEntry(
                id=place, at=rfc3339(event.at), kind="control", actor=event.actor,
                action="forgotten", collector=event.collector, reason=event.reason or None,
            )  # fmt: skip
        case BreakGlass():
            return shapes.AuditEntry(
                id=place, at=rfc3339(event.at), kind="break_glass", actor=event.actor,
                action=event.mode if event.active else f"{event.mode} ended",
                until=seen(event.until), reason=event.reason or None,
            )  # fmt: skip
        case Recovery():
            step = f" {event.action}" if event.action else ""
            return shapes.AuditEntry(
                id=place, at=rfc3339(event.at), kind="recovery", actor=event.actor,
                action=f"{event.phase}{step}", collector=event.collector,
                until=seen(event.until), reason=event.output or event.cause or None,
                result=event.result, recovery=event.id,
            )  # fmt: skip
        case Feedback():
            return shapes.AuditEntry(
                id=place, at=rfc3339(event.at), kind="feedback", actor=event.actor,
                action=f"{event.alertname} {event.verdict}", collector=event.collector or None,
                reason=event.comment or None,
            )  # fmt: skip
    raise TypeError(f"{type(event).__name__} is not in the audit log")
