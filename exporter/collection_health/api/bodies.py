"""Request bodies of the API: JSON or an HTML form, decoded into one typed shape."""

from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from msgspec import Meta

from collection_health import webconfig
from collection_health.decoding import explain
from collection_health.inventory_schema import Duration, parse_duration
from collection_health.server import problem, read_body

T = TypeVar("T")
MAX_BODY = 64 * 1024
Text = Annotated[str, Meta(max_length=500)]
FORM = "application/x-www-form-urlencoded"


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.response = problem(status, title, detail)


async def decode(request: web.Request, kind: type[T], scope: webconfig.Scope) -> T:
    """The body as ``kind``; an empty one is all defaults.

    Raises `ProblemError` (400) that names the field, the problem and what is allowed; the
    sender must hold ``scope``.
    """
    body = await read_body(request, MAX_BODY, scope)
    try:
        if request.content_type == FORM:
            fields = {name: value for name, value in parse_qsl(body.decode()) if name != "csrf"}
            return msgspec.convert(fields, kind, strict=False, dec_hook=_duration)
        if not body.strip():
            return msgspec.convert({}, kind)
        return msgspec.json.decode(body, type=kind, dec_hook=_duration)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "invalid body", explain(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "malformed body", f"body: not valid JSON: {error}") from error


def _duration(kind: type, value: object) -> object:
    if kind is Duration:
        return parse_duration(value)
    raise NotImplementedError(kind)


def actor_of(request: web.Request, claimed: str) -> str:
    """Who acts: the authenticated name, else what an anonymous local person says."""
    actor = webconfig.actor(request)
    if actor is webconfig.ANONYMOUS:
        return f"{claimed} (unverified)" if claimed else "anonymous"
    return actor.name


def wants_html(request: web.Request) -> bool:
    """Whether the request came from a form of ours rather than from a program."""
    return request.content_type == FORM
