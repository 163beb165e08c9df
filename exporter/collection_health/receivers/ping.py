"""Ping URLs: the simplest report a cron job can make, compatible with healthchecks.io.

    curl -fsS -m 10 --retry 5 http://exporter:9036/ping/backup            it succeeded
    curl … http://exporter:9036/ping/backup/start                         it started
    curl … http://exporter:9036/ping/backup/$?                            it ended with this status
    curl … --data-raw "$output" http://exporter:9036/ping/backup/fail     it failed, and said this

In ``/ping/<key>/<slug>`` the key is a token of ``--web.token-file`` with the scope ``write``.
Where writes need no token, any key will do and means nothing: a healthchecks.io URL works after
changing its host. A key is a secret; it is neither stored nor logged.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import unquote

from aiohttp import web

from collection_health import reasons
from collection_health.events import MAX_NAME, MAX_TEXT, Error, Outcome, redact
from collection_health.incoming import BODY_SECONDS, abandon
from collection_health.pipeline import Overloaded, Pipeline, StorageUnavailable
from collection_health.server import PIPELINE
from collection_health.webconfig import authorize, guards_itself

log = logging.getLogger(__name__)

PROTOCOL = "ping"
BODY_LIMIT = MAX_TEXT  # bytes of a body that are kept: its end, where scripts print errors

_HEADERS = {"Ping-Body-Limit": str(BODY_LIMIT)}

Action = Literal["success", "start", "fail", "log"]
_ACTIONS: Mapping[str, Action] = {"start": "start", "fail": "fail", "log": "log"}
_SLUG = re.compile(rf"^[^\x00-\x20\x7f]{{1,{MAX_NAME}}}$")
# The last line of a Python traceback: `package.SomeError: what happened`.
_EXCEPTION_LINE = re.compile(r"^([A-Za-z_][\w.]{0,150}):(?:\s|$)")


class Ping(NamedTuple):
    """What one ping URL says; ``exit_code`` is given by ``/<exit-status>`` alone."""

    key: str | None
    slug: str
    action: Action
    exit_code: int | None = None


def parse_path(segments: Sequence[str]) -> Ping:
    """The segments after ``/ping/`` as a `Ping`. Raises `ValueError` for any other shape.

    ``a/b`` is a slug and its action where ``b`` is one (``start``, ``fail``, ``log``, a number)
    and a key and a slug otherwise; a slug that is such a word needs its action spelled out.
    """
    parts = list(segments)
    if not 1 <= len(parts) <= 3 or not all(_SLUG.match(part) for part in parts):
        raise ValueError("invalid url format")
    action: Action = "success"
    exit_code = None
    if len(parts) == 3 or (len(parts) == 2 and _is_action(parts[1])):
        word = parts.pop()
        if word in _ACTIONS:
            action = _ACTIONS[word]
        elif _is_action(word) and len(word) <= 3 and int(word) <= 255:
            exit_code = int(word)
            action = "fail" if exit_code else "success"
        else:
            raise ValueError("invalid url format")
    slug = parts.pop()
    return Ping(parts.pop() if parts else None, slug, action, exit_code)


def _is_action(word: str) -> bool:
    return word in _ACTIONS or (word.isascii() and word.isdigit())


def to_outcomes(ping: Ping, collector: str, run_id: str | None, body: str) -> list[Outcome]:
    """The outcome a ping reports (none for ``/log``, which leaves a collector's state alone).

    ``body`` becomes the error message: the last words of a failed job are why it failed.
    """
    if ping.action == "log":
        return []
    outcome = Outcome(
        collector=collector,
        outcome={"start": "started", "success": "success", "fail": "failure"}[ping.action],  # type: ignore[arg-type]
        run_id=run_id,
        exit_code=ping.exit_code,
        source=PROTOCOL,
    )
    if body:
        outcome.error = Error(type=_exception_name(body), message=body)
    return [outcome]


def _exception_name(body: str) -> str | None:
    """The exception's name, where the body ends like a Python traceback does."""
    match = _EXCEPTION_LINE.match(body.rstrip().rpartition("\n")[2])
    return match[1] if match and reasons.from_exception_name(match[1]) else None


# --- HTTP ---------------------------------------------------------------------------------------


def setup(app: web.Application) -> None:
    """Add the routes: HEAD, GET and POST, because a cron job uses what it has."""
    app.router.add_get("/ping/{rest:.+}", receive)  # answers HEAD as well
    app.router.add_post("/ping/{rest:.+}", receive)


@guards_itself
async def receive(request: web.Request) -> web.Response:
    """Record one ping: 200 ``OK``, 201 ``Created`` for a collector's first, else why not."""
    try:
        ping = parse_path([unquote(part) for part in request.rel_url.raw_parts[2:]])
        run_id = _run_id(request.query.get("rid"))
    except ValueError as error:
        return _answer(400, str(error))
    authorize(request, "write", token=ping.key)
    pipeline = request.app[PIPELINE]
    collector = pipeline.resolve(PROTOCOL, ping.slug)
    if collector != ping.slug and ping.slug in pipeline.inventory.registered:
        return _answer(409, "ambiguous slug")  # the name of one collector, the alias of another
    known = collector in pipeline.collectors or collector in pipeline.inventory.registered
    if not known and (request.query.get("create") == "0" or ping.action == "log"):
        return _answer(404, "not found")
    body, damaged = await _read_end(request)
    if ping.action == "log":
        log.info("%s says: %s", collector, redact(body))
        answer = _answer(200, "OK")
    else:
        answer = await _submit(pipeline, to_outcomes(ping, collector, run_id, body), known)
    if damaged:  # where the next request begins on this connection is lost with the body
        answer.force_close()
    return answer


async def _submit(pipeline: Pipeline, outcomes: list[Outcome], known: bool) -> web.Response:
    try:
        (problem,) = await pipeline.submit(outcomes, PROTOCOL)
    except (Overloaded, StorageUnavailable) as error:
        return _answer(503, str(error))
    if problem is not None:
        return _answer(400 if known else 404, problem)
    return _answer(200, "OK") if known else _answer(201, "Created")


async def _read_end(request: web.Request) -> tuple[str, bool]:
    """The last `BODY_LIMIT` bytes of a body of any size, or of what arrived in time and whole; and
    whether its content encoding was damaged, which costs the text, never the ping."""
    end, damaged = b"", False
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                end = (end + chunk)[-BODY_LIMIT:]
    except TimeoutError:
        pass
    except web.RequestPayloadError:
        damaged = True
        abandon(request)
    return end.decode(errors="replace").replace("\0", ""), damaged


def _run_id(rid: str | None) -> str | None:
    if rid is None:
        return None
    try:
        return str(uuid.UUID(rid))
    except ValueError:
        raise ValueError("invalid uuid format") from None


def _answer(status: int, text: str) -> web.Response:
    headers = {"Ping-Body-Limit": str(BODY_LIMIT)}
    if status == 503:
        headers["Retry-After"] = "1"
    return web.Response(status=status, text=text, headers=headers)
