"""Requests to a real exporter, with everything that came back."""

import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from tests.support.services import Exporter


class Answer(NamedTuple):
    """Status, headers, and the body as JSON or text."""

    status: int
    headers: dict[str, str]
    body: Any


def ask(exporter: Exporter, path: str, body: object = None, **headers: str) -> Answer:
    """A GET, or a POST of ``body`` as JSON (bytes as they are)."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    if data is not None:
        given.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(exporter.url + path, data, given)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return _answer(answer.status, answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)


def _answer(status: int, response: Any) -> Answer:
    text = response.read().decode()
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return Answer(status, dict(response.headers), body)
