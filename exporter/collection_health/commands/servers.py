"""JSON over HTTP with the standard library: the exporter's API, Prometheus, Alertmanager."""

import argparse
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collection_health.client import Settings

SECONDS = 15.0
ENVIRONMENT = {
    "COLLECTION_HEALTH_URL": "the exporter (default http://127.0.0.1:9036)",
    "COLLECTION_HEALTH_TOKEN_FILE": "file with the bearer token, if the exporter asks for one",
    "COLLECTION_HEALTH_CA_FILE": "PEM file with the only authorities to trust for https",
}
EXIT_CODES = {
    "0": "done",
    "1": "refused: the answer says why",
    "2": "wrong usage",
    "3": "the exporter cannot be reached",
}


class RefusedError(Exception):
    """The server answered and did not do it; the text is its reason."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class UnreachableError(Exception):
    """No (usable) answer came."""


class Server:
    """One HTTP server with a JSON API."""

    def __init__(
        self, url: str, token_file: Path | None = None, ca_file: Path | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._token_file = token_file
        self._context = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """The JSON answer of a GET; empty values of ``query`` are left out.

        Raises `RefusedError` and `UnreachableError`.
        """
        given = {key: value for key, value in (query or {}).items() if value not in (None, "")}
        return self.send("GET", path + (f"?{urllib.parse.urlencode(given)}" if given else ""))

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The JSON answer of a POST. Raises `RefusedError` and `UnreachableError`."""
        kept = {key: value for key, value in body.items() if value not in (None, "")}
        return self.send("POST", path, json.dumps(kept).encode())

    def send(self, method: str, path: str, body: bytes | None = None) -> Any:
        """One request; a text that is not JSON comes back as text."""
        headers = {"Accept": "application/json", "User-Agent": "collection-health"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        request = urllib.request.Request(  # noqa: S310  # Settings allows http(s) only
            self.url + path, body, headers, method=method
        )
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=SECONDS, context=self._context
            ) as answer:
                return _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                answer_body = _decoded(error.read())
                raise RefusedError(_reason(answer_body, error), error.code) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnreachableError(f"{self.url}: {reason}") from error

    def _token(self) -> str:
        assert self._token_file is not None  # noqa: S101  # `send` looked
        try:
            return self._token_file.read_text().strip()
        except OSError as error:
            raise UnreachableError(f"the token cannot be read: {error}") from error


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")


def _reason(body: Any, error: urllib.error.HTTPError) -> str:
    if isinstance(body, dict):
        text = body.get("detail") or body.get("error") or body.get("title")
        if text:
            return str(text)
    return f"HTTP {error.code} {error.reason}"


def add_options(parser: argparse.ArgumentParser, *, output: bool = True) -> None:
    """How to reach the exporter, and how to print."""
    parser.add_argument("--url", metavar="URL", help="the exporter")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file with the bearer token"
    )
    if output:
        parser.add_argument(
            "--output", choices=("table", "json"), default="table", metavar="FORMAT",
            help="table (default) or json",
        )  # fmt: skip


def exporter(args: argparse.Namespace) -> Server:
    """The exporter that options or environment name. Raises `ValueError` for a bad URL."""
    given: dict[str, Any] = {}
    if args.url:
        given["url"] = args.url
    if args.token_file:
        given["token_file"] = args.token_file
    settings = Settings.read(**given)
    if not settings.url:
        raise ValueError("no exporter is named: give --url or COLLECTION_HEALTH_URL")
    return Server(settings.url, settings.token_file, settings.ca_file)


def collector_path(name: str, below: str = "") -> str:
    """The API path of a collector."""
    return f"/api/v1/collectors/{urllib.parse.quote(name, safe='')}{below}"


def person() -> str:
    """Who is at the keyboard, for the audit log of an exporter without credentials."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or ""
