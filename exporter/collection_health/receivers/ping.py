"""Ping URLs: the simplest report a cron job can make, compatible with healthchecks.io.

    curl -fsS -m 10 --retry 5 http://exporter:9036/ping/backup            it succeeded
    curl … http://exporter:9036/ping/backup/start                         it started
    curl … http://exporter:9036/ping/backup/$?                            it ended with this status
    curl … --data-raw "$output" http://exporter:9036/ping/backup/fail     it failed, and said this

In ``/ping/<key>/<slug>`` the key is a token of ``--web.token-file`` with the scope ``write``.
Where writes need no token, any key will do and means nothing: a healthchecks.io URL works after
changing its host. A key is a secret; it is neither stored nor logged.
"""

import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from aiohttp import web

from collection_health import reasons
from collection_health.events import MAX_NAME, MAX_TEXT, Error, Outcome, redact

log = logging.getLogger(__name__)

PROTOCOL = "ping"
BODY_LIMIT = MAX_TEXT  # bytes of a body that are kept: its end, where scripts print errors

Action = Literal["success", "start", "fail", "log"]
_ACTIONS: Mapping[str, Action] = {"start": "start", "fail": "fail", "log": "log"}
_SLUG = re.compile(r"^[^\x00-\x20\x7f]{1,%d}$" % MAX_NAME)
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
