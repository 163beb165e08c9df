"""Controls: acknowledge, pause, maintain — and end that — or forget, one collector at a time.

``POST /api/v1/collectors/{name}/{ack,unack,pause,resume,maintenance}`` with a JSON object or a
form of ``duration`` (or ``until``), ``reason`` and ``actor``. Every control is an event in the
ledger: the audit trail names who, when, why and for how long.
"""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from aiohttp import web
from msgspec import Meta, Struct

from collection_health.api import shapes
from collection_health.api.bodies import ProblemError, Text, actor_of, decode, wants_html
from collection_health.api.table import NAME, Route, add
from collection_health.api.view import controls as describe
from collection_health.api.view import reply
from collection_health.events import Control, Forgotten
from collection_health.inventory_schema import Duration
from collection_health.pipeline import Pipeline
from collection_health.server import PIPELINE
from collection_health.state import RECOVERY_OVER, CollectorState

MAX_SECONDS = 90 * 86400.0  # nothing is silenced for ever by mistake
ACK_SECONDS = 4 * 3600.0  # an acknowledgement expires: who took it on may have gone home
# verb -> control, switched on?, seconds when nothing is said (None: until ended)
VERBS: dict[str, tuple[str, bool, float | None]] = {
    "ack": ("acknowledged", True, ACK_SECONDS),
    "unack": ("acknowledged", False, None),
    "pause": ("paused", True, None),
    "resume": ("paused", False, None),
    "maintenance": ("maintenance", True, 3600.0),
}


class ControlBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a control request may say."""

    duration: Duration | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    reason: Text = ""
    actor: Text = ""
    active: bool = True  # `maintenance` with active=false ends it


class ForgetBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a collector is forgotten, and by whom."""

    reason: Text = ""
    actor: Text = ""


def setup(app: web.Application) -> None:
    """Add the routes."""
    verbs = "|".join(VERBS)
    add(app, [
        Route("POST", f"/api/v1/collectors/{NAME}/{{verb:{verbs}}}", control,
              "Record the control; answers the controls that hold.", shapes.ControlAnswer,
              scope="control", body=ControlBody,
              others={404: "No such collector.", 413: "The body is too large."}),
        Route("POST", f"/api/v1/collectors/{NAME}/forget", forget,
              "Drop a collector that the inventory lacks; what was recorded of it stays.",
              shapes.ForgetAnswer, scope="control", body=ForgetBody,
              others={404: "No such collector.", 413: "The body is too large.",
                      409: "The inventory names it, or a recovery of it is under way."}),
    ])  # fmt: skip


async def control(request: web.Request) -> web.Response:
    """Record the control; answers the collector's controls."""
    body = await decode(request, ControlBody, "control")
    state = find(request)
    event = _event(request, state.name, body)
    await request.app[PIPELINE].submit([event], "control")
    if wants_html(request):
        raise web.HTTPSeeOther(f"/collectors/{quote(state.name, safe='')}")
    return reply(request, shapes.ControlAnswer(collector=state.name, controls=describe(state)))


async def forget(request: web.Request) -> web.Response:
    """Drop a collector's state and series, as its silence would after a while."""
    body = await decode(request, ForgetBody, "control")
    name, pipeline = find(request).name, request.app[PIPELINE]
    refusal = _still_needed(pipeline, pipeline.collectors[name])
    if refusal:
        raise ProblemError(409, "not forgotten", f"collector: {name} {refusal}")
    actor = actor_of(request, body.actor)
    await pipeline.submit([Forgotten(name, pipeline.clock(), actor, body.reason)], "control")
    if wants_html(request):
        raise web.HTTPSeeOther("/")
    return reply(request, shapes.ForgetAnswer(collector=name, forgotten=True))


def _still_needed(pipeline: Pipeline, state: CollectorState) -> str:
    if state.name in pipeline.inventory.registered:
        return "is in the inventory; take it out there and reload first"
    record = state.recoveries.current if state.recoveries is not None else None
    if record is not None and record.phase not in RECOVERY_OVER:
        return f"has a recovery under way; cancel {record.id} first"
    return ""


def find(request: web.Request) -> CollectorState:
    """The collector the path names. Raises `ProblemError` (404)."""
    name = request.match_info["name"]
    state = request.app[PIPELINE].collectors.get(name)
    if state is None:
        raise ProblemError(
            404, "unknown collector", f"collector: {name[:200]!r} never reported nor is registered"
        )
    return state


def _event(request: web.Request, name: str, body: ControlBody) -> Control:
    kind, active, usual = VERBS[request.match_info["verb"]]
    active = active and body.active
    now = request.app[PIPELINE].clock()
    until: float | None = None
    if active:
        if body.until is not None:
            until = body.until.timestamp()
        elif body.duration is not None:
            until = now + body.duration
        elif usual is not None:
            until = now + usual
        if until is not None and not now < until <= now + MAX_SECONDS:
            raise ProblemError(
                400, "invalid body",
                f"{'until' if body.until else 'duration'}: ends "
                f"{'in the past' if until <= now else 'too late'}; allowed: up to "
                f"{MAX_SECONDS / 86400:g} days ahead",
            )  # fmt: skip
    actor = actor_of(request, body.actor)
    return Control(name, kind, active, now, until, actor, body.reason)  # type: ignore[arg-type]
