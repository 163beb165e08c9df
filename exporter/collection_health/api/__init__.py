"""The API, the status page and the pages that links in messages lead to."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from collection_health.api import (
    badges,
    conclusions,
    controls,
    feedback,
    fleet,
    openapi,
    pages,
    records,
    shapes,
    status,
    stream,
)
from collection_health.api.table import Route, describe
from collection_health.events import Outcome
from collection_health.incoming import problem
from collection_health.receivers.json import receive
from collection_health.server import ARGS

# Served by receivers/json.py, whose answers cost more in a hurry than a table may.
INGEST = Route(
    "POST", "/api/v1/outcomes", receive, "Record outcomes: one, an array, NDJSON or CloudEvents.",
    shapes.Accepted, scope="write", body=Outcome | list[Outcome], alike=(207, 400),
    others={207: "Some items were refused.", 408: "The body came too slowly.",
            413: "The body is too large.", 415: "The body's encoding is not known."},
)  # fmt: skip


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What does not exist under ``/api`` is refused in the form of everything else there."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        if not request.path.startswith("/api/") or error.content_type != "text/plain":
            raise
        detail = f"{request.method} {request.path}: not here; /api/v1/openapi.json has what is"
        answer = problem(error.status, error.reason.lower(), detail)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


def setup(app: web.Application) -> None:
    """Add all routes; those that take any name come last, because names may hold slashes."""
    app.middlewares.append(_problems)
    conclusions.setup(app)
    for part in (controls, feedback, records, fleet, badges, stream, openapi, status, pages):
        part.setup(app)
    fleet.setup_last(app)
    if "json" not in app[ARGS].disable:
        describe(app, [INGEST])
