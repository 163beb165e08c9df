"""The one table of API routes: what is served is what ``/openapi.json`` describes.

A plug-in lists its routes as `Route` and calls `add`; scope, errors and description follow.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from collection_health import webconfig
from collection_health.api.bodies import ProblemError, complaint
from collection_health.incoming import unavailable
from collection_health.pipeline import Overloaded, StorageUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Q = TypeVar("Q", bound=Struct)


@dataclass(frozen=True)
class Route:
    """One operation.

    ``query``, ``body`` and ``answer`` are msgspec types; ``answer`` None stands for ``media``
    that is not JSON. ``others`` are further statuses with their meaning; those in ``alike``
    may carry an ``answer`` too.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Any = None
    scope: webconfig.Scope = "read"
    query: type[Struct] | None = None
    body: Any = None
    status: int = 200
    media: str = "application/json"
    others: Mapping[int, str] = field(default_factory=dict)
    alike: tuple[int, ...] = ()


# Of a collector, with slashes and whatever else a stranger may send; handlers answer 404.
NAME = "{name:(?s:.+)}"
ROUTES: web.AppKey[list[Route]] = web.AppKey("api_routes")


def add(app: web.Application, routes: Sequence[Route]) -> None:
    """Serve and describe ``routes``; the more specific ones first, as names may hold slashes."""
    app.setdefault(ROUTES, []).extend(routes)
    for route in routes:
        app.router.add_route(route.method, route.path, _guarded(route))
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, _guarded(route))


def describe(app: web.Application, routes: Sequence[Route]) -> None:
    """Describe ``routes`` that another plug-in serves in its own way."""
    app.setdefault(ROUTES, []).extend(routes)


def _guarded(route: Route) -> Handler:
    @functools.wraps(route.handler)
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            return await route.handler(request)
        except ProblemError as error:
            return error.response
        except (Overloaded, StorageUnavailable) as error:
            return unavailable(error)

    return webconfig.require(route.scope)(handler)


def query_of(request: web.Request, kind: type[Q]) -> Q:
    """The query string as ``kind``. Raises `ProblemError` (400) naming the parameter."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "invalid query", complaint(error, kind)) from error
