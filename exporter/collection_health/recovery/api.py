"""Recovery by hand: start, approve, cancel, in bulk, break-glass, and what was done.

Every request that changes something needs the scope ``recovery`` and is an event in the
ledger with its actor and reason.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta, Struct

from collection_health import webconfig
from collection_health.api.bodies import ProblemError, Text, actor_of, decode, wants_html
from collection_health.events import BreakGlass
from collection_health.inventory_schema import Duration
from collection_health.pipeline import Overloaded, Pipeline, StorageUnavailable
from collection_health.recovery import targets
from collection_health.recovery.engine import RefusedError
from collection_health.recovery.keys import ENGINE
from collection_health.recovery.requests import Request
from collection_health.recovery.targets import Kind, Target
from collection_health.server import PIPELINE, unavailable
from collection_health.state import RECOVERY_OVER, RecoveryRecord, RecoveryState
from collection_health.times import rfc3339

MAX_LIMIT = 1_000
MAX_BREAK_GLASS_SECONDS = 7 * 86400.0


class RecoverBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a person recovers, approves or cancels."""

    reason: Text = ""
    actor: Text = ""


class BulkBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which failing collectors to recover: those that match every selector given."""

    team: Text = ""
    dependency: Text = ""
    failure_reason: Text = ""
    reason: Text = ""
    actor: Text = ""


class BreakGlassBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Stop or force everything; ``active`` false ends it."""

    mode: Literal["stop", "force"]
    reason: Text = ""
    duration: Duration | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    actor: Text = ""
    active: bool = True


Handler = Callable[[web.Request], Any]


def setup(app: web.Application) -> None:
    """Add the routes."""
    router = app.router
    router.add_get("/api/v1/recoveries", recoveries)
    router.add_get("/api/v1/collectors/{name:.+}/recoveries", recoveries)
    router.add_post("/api/v1/collectors/{name:.+}/recover", recover_collector)
    router.add_post("/api/v1/dependencies/{name:.+}/recover", recover_dependency)
    router.add_post("/api/v1/recoveries/{id}/{verb:approve|cancel}", settle)
    router.add_post("/api/v1/recover", recover_many)
    router.add_post("/api/v1/break-glass", break_glass)


def answering(handler: Handler) -> Handler:
    """Turn what ends a request into the answer for it."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except ProblemError as error:
            return error.response
        except (Overloaded, StorageUnavailable) as error:
            return unavailable(error)
        return response

    return answered


@webconfig.require("recovery")
@answering
async def recover_collector(request: web.Request) -> web.StreamResponse:
    """Start a collector's ladder now."""
    return await _recover(request, "collector")


@webconfig.require("recovery")
@answering
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
        raise web.HTTPSeeOther(f"/{kind}s/{name}")
    return web.json_response({"id": answer.id, kind: name, "plan": answer.said}, status=202)


@webconfig.require("recovery")
@answering
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
    queued, refused = [], []
    for name, answer in zip(names, answers, strict=True):
        if answer.id is not None:
            queued.append({"collector": name, "id": answer.id})
        else:
            refused.append({"collector": name, "reason": answer.said})
    return web.json_response({"queued": queued, "refused": refused}, status=202)


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


@webconfig.require("recovery")
@answering
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
        raise web.HTTPSeeOther(f"/{target.kind}s/{target.name}")
    record = target.state.current
    return web.json_response(describe(target, record) if record is not None else {})


@webconfig.require("recovery")
@answering
async def break_glass(request: web.Request) -> web.StreamResponse:
    """Stop or force all recovery until a given time."""
    body = await decode(request, BreakGlassBody, "recovery")
    engine, now = request.app[ENGINE], request.app[PIPELINE].clock()
    if not body.reason.strip():
        raise ProblemError(400, "invalid body", "reason: missing; it is required")
    until = _expiry(body, now) if body.active else None
    actor = actor_of(request, body.actor)
    await engine.break_glass(BreakGlass(body.mode, body.active, now, until, actor, body.reason))
    return web.json_response({"break_glass": _break_glass(request.app[PIPELINE])})


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


@webconfig.require("read")
@answering
async def recoveries(request: web.Request) -> web.StreamResponse:
    """Recoveries, newest first; ``?collector= &phase= &open=true &limit= &offset=``."""
    pipeline, query = request.app[PIPELINE], request.query
    name = request.match_info.get("name", query.get("collector", ""))
    phase, only_open = query.get("phase", ""), query.get("open") == "true"
    limit, offset = (
        _number(query.get("limit", "100"), "limit"),
        _number(query.get("offset", "0"), "offset"),
    )
    found = [
        (record.queued_at, describe(target, record))
        for target in _all(pipeline)
        if name in ("", target.name)
        for record in _records(target.state)
        if phase in ("", record.phase) and not (only_open and record.phase in RECOVERY_OVER)
    ]
    found.sort(key=lambda item: item[0], reverse=True)
    page = [item for _, item in found[offset : offset + limit]]
    return web.json_response(
        {"recoveries": page, "total": len(found), "break_glass": _break_glass(pipeline)}
    )


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ProblemError(400, "invalid query", f"{name}: {text[:20]!r}; allowed: 0 and more")
    return min(int(text), MAX_LIMIT) if name == "limit" else int(text)


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


def describe(target: Target, record: RecoveryRecord) -> dict[str, Any]:
    """One recovery as JSON; times are RFC 3339."""
    return {
        "id": record.id,
        target.kind: target.name,
        "phase": record.phase,
        "since": rfc3339(record.at),
        "result": record.result,
        "said": record.output,
        "trigger": record.trigger,
        "cause": record.cause,
        "actor": record.actor,
        "failing_since": rfc3339(record.incident),
        "queued_at": rfc3339(record.queued_at),
        "expires_at": rfc3339(record.until) if record.until is not None else None,
        "tries": [
            {
                "step": attempt.step,
                "attempt": attempt.attempt,
                "action": attempt.action,
                "started_at": rfc3339(attempt.at),
                "ended_at": None if attempt.ended is None else rfc3339(attempt.ended),
                "result": attempt.result,
                "output": attempt.output or "",
            }
            for attempt in record.tries
        ],
    }


def _break_glass(pipeline: Pipeline) -> dict[str, Any]:
    now = pipeline.clock()
    return {
        mode: {
            "since": rfc3339(state.since),
            "until": None if state.until is None else rfc3339(state.until),
            "actor": state.actor,
            "reason": state.reason,
        }
        for mode, state in pipeline.fleet.break_glass.items()
        if state.until is None or state.until > now
    }
