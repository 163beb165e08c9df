"""One keep-alive HTTP connection to the exporter, and what its answers mean."""

import contextlib
import http.client
import json
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from collection_health.client._settings import Settings

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
_MAX_RETRY_AFTER = 300.0
_MAX_ANSWER = 4 * 2**20
# These refuse the request as a whole and are mended by a person or by time: events are kept.
_REFUSED = (401, 403, 404, 405, 407, 408, 421, 425, 429)

Rejection = tuple[int, str]  # index of the event within the batch, the exporter's words


class UnavailableError(Exception):
    """Nothing was accepted; ``retry_after`` seconds from now it may be (None: not said).

    ``refused`` tells a wrong token or address, which a person has to mend, from an outage.
    """

    def __init__(
        self, message: str, retry_after: float | None = None, refused: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.refused = refused


class Transport:
    """Posts batches of encoded events. Not thread-safe: the sender thread owns it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = urlsplit(settings.url)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, lines: Sequence[bytes]) -> list[Rejection]:
        """Deliver a batch; returns the events the exporter refused for good.

        Raises `UnavailableError` when the batch has to be sent again later.
        """
        status, retry_after, body = self._request(b"\n".join(lines) + b"\n")
        if 200 <= status < 300:
            return _rejections(body, len(lines))
        words = _words(body)
        if status < 400 or status in _REFUSED or status >= 500:
            refused = status in _REFUSED
            raise UnavailableError(f"HTTP {status} {words}".strip(), retry_after, refused)
        rejections = _rejections(body, len(lines))
        if rejections:
            return rejections
        if len(lines) == 1:
            return [(0, f"HTTP {status} {words}".strip())]
        half = len(lines) // 2  # one of them spoils the batch: find it
        first = self.post(lines[:half])
        return first + [(half + index, text) for index, text in self.post(lines[half:])]

    def close(self) -> None:
        """Close the connection; the next post opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, body: bytes) -> tuple[int, float | None, bytes]:
        """Status, Retry-After in seconds and body; one silent retry on a stale connection."""
        fresh = self._connection is None
        try:
            try:
                return self._exchange(body)
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
                if fresh:
                    raise
                return self._exchange(body)
        except (OSError, http.client.HTTPException, ValueError) as error:  # a token with newlines
            self.close()
            raise UnavailableError(f"{type(error).__name__}: {error}") from error

    def _exchange(self, body: bytes) -> tuple[int, float | None, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        path = f"{self._address.path}/api/v1/outcomes"
        self._connection.request("POST", path, body, self._headers())
        answer = self._connection.getresponse()
        content = answer.read(_MAX_ANSWER)
        if answer.will_close or not answer.isclosed():
            self.close()
        retry_after = None
        with contextlib.suppress(ValueError):
            retry_after = min(
                max(float(answer.headers.get("Retry-After", "")), 0), _MAX_RETRY_AFTER
            )
        return answer.status, retry_after, content

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        connection: http.client.HTTPConnection
        if self._address.scheme == "https":
            context = ssl.create_default_context(cafile=self._settings.ca_file)
            connection = http.client.HTTPSConnection(
                host, port, timeout=CONNECT_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/x-ndjson", "User-Agent": "collection-health-client"}
        if self._settings.token_file is not None:  # read each time: tokens are rotated
            headers["Authorization"] = f"Bearer {self._settings.token_file.read_text().strip()}"
        return headers


def _rejections(body: bytes, sent: int) -> list[Rejection]:
    """The ``errors`` of an answer: ``[{"index": 0, "error": "…"}]``."""
    errors = _object(body).get("errors")
    return [
        (entry["index"], str(entry.get("error") or entry.get("detail") or "refused"))
        for entry in (errors if isinstance(errors, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("index"), int)
        and 0 <= entry["index"] < sent
    ]


def _words(body: bytes) -> str:
    """What a problem+json body (or any other) says, on one line."""
    problem = _object(body)
    text = problem.get("detail") or problem.get("title") or body.decode("utf-8", "replace")
    return " ".join(str(text).split())[:300]


def _object(body: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
