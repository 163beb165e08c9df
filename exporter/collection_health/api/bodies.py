"""Request bodies of the API: JSON or an HTML form, decoded into one typed shape."""

import re
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from msgspec import Meta, inspect

from collection_health import webconfig
from collection_health.decoding import explain
from collection_health.incoming import problem, read_body
from collection_health.inventory_schema import Duration, parse_duration

T = TypeVar("T")
MAX_BODY = 64 * 1024
Text = Annotated[str, Meta(max_length=500)]
FORM = "application/x-www-form-urlencoded"


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.response = problem(status, title, detail)


async def decode(request: web.Request, kind: type[T], scope: webconfig.Scope) -> T:
    """The body as ``kind``; an empty one is all defaults.

    Raises `ProblemError` (400) that names the field, the problem and what is allowed; the
    sender must hold ``scope``.
    """
    body = await read_body(request, MAX_BODY, scope)
    try:
        if request.content_type == FORM and not body.lstrip().startswith(b"{"):  # curl -d '{…}'
            fields = {name: value for name, value in parse_qsl(body.decode()) if name != "csrf"}
            return msgspec.convert(fields, kind, strict=False, dec_hook=_duration)
        if not body.strip():
            return msgspec.convert({}, kind)
        return msgspec.json.decode(body, type=kind, dec_hook=_duration)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "invalid body", complaint(error, kind)) from error
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
    """Whether the answer is for a person's browser rather than for a program."""
    return "text/html" in request.headers.get("Accept", "")


def complaint(error: msgspec.ValidationError, kind: type) -> str:
    """What is wrong with a value of ``kind``, as ``field: problem; allowed: …``."""
    unknown = re.search(r"unknown field `([^`]*)`", str(error))
    fields = {field.name: field.type for field in inspect.type_info(kind).fields}  # type: ignore[attr-defined]  # of structs
    if unknown:
        return f"{unknown[1]}: unknown field; allowed: {', '.join(fields)}"
    text = explain(error)
    allowed = _choices(fields.get(text.partition(":")[0]))
    return f"{text}; allowed: {', '.join(allowed)}" if allowed else text


def _choices(kind: object) -> list[str]:
    if isinstance(kind, inspect.UnionType):
        return [choice for part in kind.types for choice in _choices(part)]
    return [str(value) for value in kind.values] if isinstance(kind, inspect.LiteralType) else []
