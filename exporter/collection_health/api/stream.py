"""``GET /api/v1/stream``: what is recorded, as server-sent events, as it is recorded.

Optional work: under pressure nobody is admitted, and a client that reads too slowly is
disconnected (browsers come back by themselves) rather than slowing anything down.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from collection_health import pressure
from collection_health.api.bodies import ProblemError
from collection_health.api.conclusions import ORACLE
from collection_health.api.table import Route, add, query_of
from collection_health.events import (
    BreakGlass,
    Control,
    Event,
    Feedback,
    Forgotten,
    Outcome,
    Recovery,
)
from collection_health.server import PIPELINE

MAX_CLIENTS = 100
MAX_WAITING = 500  # events a client may lag behind
BEAT_SECONDS = 15.0  # a comment, so that proxies keep the connection
ALERT_SECONDS = 10.0  # how often alerts are compared while anybody listens
Kind = Literal["outcome", "control", "recovery", "break_glass", "feedback", "alert"]
_KINDS: dict[type, Kind] = {
    Outcome: "outcome", Control: "control", Forgotten: "control", Recovery: "recovery",
    BreakGlass: "break_glass", Feedback: "feedback",
}  # fmt: skip
_encode = msgspec.json.Encoder().encode


class StreamQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Only what concerns one collector, or one kind of event."""

    collector: str | None = None
    kind: Kind | None = None


class Client:
    """One listener."""

    def __init__(self, query: StreamQuery) -> None:
        self.query = query
        self.waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)

    def offer(self, kind: Kind, collector: str | None, message: bytes) -> None:
        """Queue a message; a client that lags behind gets no more."""
        query = self.query
        if query.kind not in (None, kind) or query.collector not in (None, collector):
            return
        try:
            self.waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Drop what waits and disconnect."""
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(None)


class Hub:
    """Who listens, and what goes to all of them."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self.clients: set[Client] = set()
        self._alerts: set[tuple[str, str, str]] | None = None

    def publish(self, kind: Kind, collector: str | None, data: object) -> None:
        """Send ``data`` to everybody who wants it."""
        if self.clients:
            message = b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode(data))
            for client in self.clients:
                client.offer(kind, collector, message)

    def on_event(self, event: Event) -> None:
        """A recorded event."""
        kind = _KINDS.get(type(event))
        if kind is not None and self.clients:
            self.publish(kind, getattr(event, "collector", None), event)

    async def watch_alerts(self) -> None:
        """While anybody listens: tell which alerts began to fire and which ended."""
        while True:
            await asyncio.sleep(ALERT_SECONDS)
            if not self.clients:
                self._alerts = None
                continue
            if self._app[PIPELINE].shedding:
                continue
            verdicts = await self._app[ORACLE].verdicts()
            if not verdicts.known:
                continue
            before, self._alerts = self._alerts, verdicts.alerts
            if before is not None:
                self._tell(verdicts.alerts - before, "firing")
                self._tell(before - verdicts.alerts, "resolved")

    def _tell(self, alerts: set[tuple[str, str, str]], status: str) -> None:
        for name, severity, about in sorted(alerts):
            data = {
                "alertname": name, "severity": severity, "collector": about, "status": status
            }  # fmt: skip
            self.publish("alert", about, data)

    def close(self) -> None:
        """End every stream."""
        for client in self.clients:
            client.end()


HUB = web.AppKey("hub", Hub)


def setup(app: web.Application) -> None:
    """Add the route and listen to the pipeline while the application runs."""
    app[HUB] = hub = Hub(app)
    add(app, [
        Route("GET", "/api/v1/stream", stream,
              "Outcomes, controls, recoveries and alerts as they happen (server-sent events).",
              query=StreamQuery, media="text/event-stream",
              others={503: "Too many clients, or the exporter is under pressure."}),
    ])  # fmt: skip

    async def life(_: web.Application) -> AsyncIterator[None]:
        unsubscribe = app[PIPELINE].subscribe(hub.on_event)
        task = asyncio.create_task(hub.watch_alerts(), name="alerts")
        yield
        unsubscribe()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def end_streams(_: web.Application) -> None:
        hub.close()

    app.cleanup_ctx.append(life)
    app.on_shutdown.append(end_streams)


async def stream(request: web.Request) -> web.StreamResponse:
    """Events until the client leaves, lags behind or the exporter stops."""
    query = query_of(request, StreamQuery)
    hub = request.app[HUB]
    if pressure.sheds(request.app, "streams") or len(hub.clients) >= MAX_CLIENTS:
        error = ProblemError(503, "busy", f"streams are shed, or {MAX_CLIENTS} are open already")
        error.response.headers["Retry-After"] = "10"
        raise error
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream", "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )  # fmt: skip
    client = Client(query)
    hub.clients.add(client)
    try:
        await response.prepare(request)
        await response.write(b"retry: 5000\n: connected\n\n")
        while request.method != "HEAD" and not request.app[PIPELINE].shedding:
            message = await _next(client)
            if message is None:
                break
            await response.write(message)
    except ConnectionError:
        pass
    finally:
        hub.clients.discard(client)
    return response


async def _next(client: Client) -> bytes | None:
    try:
        async with asyncio.timeout(BEAT_SECONDS):
            return await client.waiting.get()
    except TimeoutError:
        return b": beat\n\n"
