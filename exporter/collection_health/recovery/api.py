"""Recovery by hand: start, approve, cancel, in bulk, break-glass, and what was done.

Every request that changes something needs the scope ``recovery`` and is an event in the
ledger with its actor and reason.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from aiohttp import web

from collection_health.api.bodies import ProblemError, actor_of, decode, wants_html
from collection_health.api.shapes import ActiveControl
from collection_health.api.table import NAME, Route, add, query_of
from collection_health.api.view import reply
from collection_health.events import BreakGlass
from collection_health.pipeline import Pipeline
from collection_health.recovery import targets
from collection_health.recovery.engine import RefusedError
from collection_health.recovery.keys import ENGINE
from collection_health.recovery.requests import Request
from collection_health.recovery.shapes import (
    Asked,
    BreakGlassAnswer,
    BreakGlassBody,
    BulkAnswer,
    BulkBody,
    RecoverBody,
    RecoveryItem,
    RecoveryList,
    RecoveryQuery,
    TryItem,
    about,
)
from collection_health.recovery.targets import Kind, Target
from collection_health.server import PIPELINE
from collection_health.state import RECOVERY_OVER, RecoveryRecord, RecoveryState
from collection_health.times import rfc3339

MAX_BREAK_GLASS_SECONDS = 7 * 86400.0
_LARGE = {413: "The body is too large."}
_REFUSED = {404: "Not known.", 409: "Not now; `detail` says why."} | _LARGE


def setup(app: web.Application) -> None:
    """Add the routes."""
    scope: Any = {"scope": "recovery"}
    ask: Any = scope | {"body": RecoverBody, "others": _REFUSED}
    add(app, [
        Route("GET", "/api/v1/recoveries", recoveries, "Recoveries and what they tried.",
              RecoveryList, query=RecoveryQuery),
        Route("GET", f"/api/v1/collectors/{NAME}/recoveries", recoveries,
              "A collector's recoveries and what they tried.", RecoveryList, query=RecoveryQuery),
        Route("POST", f"/api/v1/collectors/{NAME}/recover", recover_collector,
              "Start a collector's ladder now, in any mode; caps hold.", Asked, status=202, **ask),
        Route("POST", f"/api/v1/dependencies/{NAME}/recover", recover_dependency,
              "Start a dependency's ladder now, in any mode; caps hold.", Asked, status=202,
              **ask),
        Route("POST", "/api/v1/recoveries/{id}/{verb:approve|cancel}", settle,
              "Settle one recovery.", RecoveryItem, **ask),
        Route("POST", "/api/v1/recover", recover_many,
              "Start the ladders of all failing collectors that match; caps hold for each.",
              BulkAnswer, status=202, body=BulkBody, others=_LARGE, **scope),
        Route("POST", "/api/v1/break-glass", break_glass,
              "Stop or force all recovery until a given time.", BreakGlassAnswer,
              body=BreakGlassBody, others=_LARGE, **scope),
    ])  # fmt: skip


async def recover_collector(request: web.Request) -> web.StreamResponse:
    """Start a collector's ladder now."""
    return await _recover(request, "collector")


async def recover_dependency(request: web.Request) -> web.StreamResponse:
    """Start a dependency's ladder now."""
    return await _recover(request, "dependency")


async def _recover(request: web.Request, kind: Kind) -> web.StreamResponse:
    body = await decode(request, RecoverBody, "recovery")
    name = request.match_info["name"]
    if targets.find(request.app[PIPELINE], (kind, name)) is None:
        raise ProblemError(404, f"unknown {kind}", f"{kind}: {name[:200]!r} is not known")
    wish = Request((kind, name), "manual", body.reason, actor_of(request, body.actor))
    (answer,) = await request.app[ENGINE].request([wish])
    if answer.id is None:
        raise ProblemError(409, "no recovery", answer.said)
    if wants_html(request):
        raise web.HTTPSeeOther(f"/collectors/{quote(name, safe='')}")
    return reply(request, Asked(**about(kind, name), id=answer.id, plan=answer.said), 202)


async def recover_many(request: web.Request) -> web.StreamResponse:
    """Start the ladders of all failing collectors that match; caps hold for each."""
    body = await decode(request, BulkBody, "recovery")
    if not (body.team or body.dependency or body.failure_reason):
        raise ProblemError(
            400, "invalid body", "nothing selected; allowed: team, dependency, failure_reason"
        )
    pipeline = request.app[PIPELINE]
    actor = actor_of(request, body.actor)
    names = list(_selected(pipeline, body))
    wishes = [Request(("collector", name), "manual", body.reason, actor) for name in names]
    answers = await request.app[ENGINE].request(wishes)
    queued: list[Asked] = []
    refused: list[Asked] = []
    for name, answer in zip(names, answers, strict=True):
        if answer.id is not None:
            queued.append(Asked(collector=name, id=answer.id, plan=answer.said))
        else:
            refused.append(Asked(collector=name, reason=answer.said))
    return reply(request, BulkAnswer(queued=queued, refused=refused), 202)


def _selected(pipeline: Pipeline, body: BulkBody) -> Iterator[str]:
    for name, state in pipeline.collectors.items():
        config = pipeline.config(name)
        if (
            state.failing_since
            and config.recovery is not None
            and body.team in ("", config.team)
            and (not body.dependency or body.dependency in config.depends_on)
            and body.failure_reason in ("", state.failure_reason)
        ):
            yield name


async def settle(request: web.Request) -> web.StreamResponse:
    """Approve or cancel one recovery."""
    body = await decode(request, RecoverBody, "recovery")
    engine, identity = request.app[ENGINE], request.match_info["id"]
    actor = actor_of(request, body.actor)
    try:
        if request.match_info["verb"] == "approve":
            target = await engine.approve(identity, actor)
        else:
            said = f"cancelled by {actor}" + (f": {body.reason}" if body.reason else "")
            target = await engine.cancel(identity, actor, said)
    except KeyError:
        raise ProblemError(
            404, "unknown recovery", f"id: {identity[:100]!r} is not a current recovery"
        ) from None
    except RefusedError as error:
        raise ProblemError(409, "wrong phase", str(error)) from error
    if wants_html(request):
        raise web.HTTPSeeOther(f"/collectors/{quote(target.name, safe='')}")
    record = target.state.current
    if record is None:
        raise ProblemError(404, "unknown recovery", "the collector is gone")
    return reply(request, describe(target, record))


async def break_glass(request: web.Request) -> web.StreamResponse:
    """Stop or force all recovery until a given time."""
    body = await decode(request, BreakGlassBody, "recovery")
    engine, now = request.app[ENGINE], request.app[PIPELINE].clock()
    if not body.reason.strip():
        raise ProblemError(400, "invalid body", "reason: missing; it is required")
    until = _expiry(body, now) if body.active else None
    actor = actor_of(request, body.actor)
    await engine.break_glass(BreakGlass(body.mode, body.active, now, until, actor, body.reason))
    return reply(request, BreakGlassAnswer(break_glass=_break_glass(request.app[PIPELINE])))


def _expiry(body: BreakGlassBody, now: float) -> float:
    if body.until is not None:
        until = body.until.timestamp()
    elif body.duration is not None:
        until = now + body.duration
    else:
        raise ProblemError(400, "invalid body", "duration: missing; or give until (RFC 3339)")
    if not now < until <= now + MAX_BREAK_GLASS_SECONDS:
        raise ProblemError(400, "invalid body", "duration: must end in the future, within 7 days")
    return until


# --- reading ----------------------------------------------------------------------------------


async def recoveries(request: web.Request) -> web.StreamResponse:
    """Recoveries, newest first."""
    pipeline, query = request.app[PIPELINE], query_of(request, RecoveryQuery)
    name = request.match_info.get("name", query.collector)
    found = [
        (record.queued_at, describe(target, record))
        for target in _all(pipeline)
        if name in ("", target.name)
        for record in _records(target.state)
        if query.phase in (None, record.phase)
        and not (query.open and record.phase in RECOVERY_OVER)
    ]
    found.sort(key=lambda item: item[0], reverse=True)
    page = [item for _, item in found[query.offset : query.offset + query.limit]]
    answer = RecoveryList(recoveries=page, total=len(found), break_glass=_break_glass(pipeline))
    return reply(request, answer)


def _all(pipeline: Pipeline) -> Iterator[Target]:
    for name, state in pipeline.collectors.items():
        if state.recoveries is not None:
            target = targets.find(pipeline, ("collector", name))
            if target is not None:
                yield target
    for name in pipeline.fleet.recoveries:
        target = targets.find(pipeline, ("dependency", name))
        if target is not None:
            yield target


def _records(state: RecoveryState) -> list[RecoveryRecord]:
    return [*state.earlier, *([state.current] if state.current is not None else [])]


def describe(target: Target, record: RecoveryRecord) -> RecoveryItem:
    """One recovery for the API."""
    return RecoveryItem(
        id=record.id,
        **about(target.kind, target.name),
        phase=record.phase,
        since=rfc3339(record.at),
        result=record.result,
        said=record.output,
        trigger=record.trigger,
        cause=record.cause,
        actor=record.actor,
        failing_since=rfc3339(record.incident),
        queued_at=rfc3339(record.queued_at),
        expires_at=None if record.until is None else rfc3339(record.until),
        tries=[
            TryItem(
                step=attempt.step, attempt=attempt.attempt, action=attempt.action,
                started_at=rfc3339(attempt.at),
                ended_at=None if attempt.ended is None else rfc3339(attempt.ended),
                result=attempt.result, output=attempt.output or "",
            )
            for attempt in record.tries
        ],
    )  # fmt: skip


def _break_glass(pipeline: Pipeline) -> dict[str, ActiveControl]:
    now = pipeline.clock()
    return {
        mode: ActiveControl(
            since=rfc3339(state.since),
            until=None if state.until is None else rfc3339(state.until),
            actor=state.actor,
            reason=state.reason,
        )
        for mode, state in pipeline.fleet.break_glass.items()
        if state.until is None or state.until > now
    }
