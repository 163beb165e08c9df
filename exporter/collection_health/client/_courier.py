"""What the sender thread does with encoded events: deliver in order, back off, try again."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from collection_health.client._settings import Settings
from collection_health.client._spool import Spool, claim
from collection_health.client._stats import Stats
from collection_health.client._transport import Transport, UnavailableError

_log = logging.getLogger(__name__)

BATCH_EVENTS = 500
SCAN_SECONDS = 60.0  # how often other processes' leftovers are looked for
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0


class Courier:
    """Delivers events and spooled segments; used by one thread at a time."""

    def __init__(
        self, settings: Settings, spool: Spool, stats: Stats, report: Callable[[str], None]
    ) -> None:
        self.away = False
        self._settings = settings
        self._spool = spool
        self._stats = stats
        self._report = report
        self._transport = Transport(settings)
        self._failures = 0
        self._retry_at = 0.0
        self._scan_at = 0.0

    def idle_seconds(self) -> float:
        """How long there is nothing to do unless new events come."""
        return max((self._retry_at if self.away else self._scan_at) - time.monotonic(), 0.01)

    def deliver(self, unsent: list[bytes], now_or_never: bool) -> None:
        """Deliver in the order in which things happened, taking from ``unsent`` what arrived.

        Before the next retry is due nothing is tried, unless ``now_or_never``. What is left in
        ``unsent`` has to be kept.
        """
        if self.away and not now_or_never and time.monotonic() < self._retry_at:
            return
        try:
            self._deliver_own_segments()
            while unsent:
                batch = unsent[:BATCH_EVENTS]
                self._post(batch)
                del unsent[: len(batch)]
            self.away = False  # nothing waits here, even if somebody else delivered it
        except UnavailableError as error:
            self._back_off(error)

    def deliver_leftovers(self, interrupted: Callable[[], bool], force: bool) -> None:
        """Deliver what other processes left behind, until ``interrupted`` or done."""
        if self.away or not (force or time.monotonic() >= self._scan_at):
            return
        try:
            for path in self._spool.leftovers():
                self._deliver_segment(path)
                if interrupted():
                    return
        except UnavailableError as error:
            self._back_off(error)
        self._scan_at = time.monotonic() + SCAN_SECONDS

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _deliver_own_segments(self) -> None:
        try:
            for path in self._spool.take_own():
                self._deliver_segment(path)
        except UnavailableError:
            self._spool.give_back()
            raise

    def _deliver_segment(self, path: Path) -> None:
        with claim(path) as content:
            if content is None:
                return
            # Text after the last newline was being written when its process was killed.
            lines = [line for line in content.split(b"\n")[:-1] if line]
            for start in range(0, len(lines), BATCH_EVENTS):
                self._post(lines[start : start + BATCH_EVENTS])
            path.unlink(missing_ok=True)

    def _post(self, lines: Sequence[bytes]) -> None:
        rejections = self._transport.post(lines)
        self._failures = 0
        if self.away:
            self.away = False
            self._scan_at = 0.0
            _log.info("the exporter at %s answers again", self._settings.url)
        self._stats.delivered += len(lines) - len(rejections)
        self._stats.rejected += len(rejections)
        for _, words in rejections:
            self._stats.last_rejection = words
            self._report(f"the exporter refused an outcome: {words}")
        if rejections:
            self._spool.reject(
                [
                    b'{"error":' + json.dumps(words).encode() + b',"event":' + lines[index] + b"}"
                    for index, words in rejections
                ]
            )

    def _back_off(self, error: UnavailableError) -> None:
        if not self.away:
            self.away = True
            _log.log(
                logging.ERROR if error.refused else logging.WARNING,
                "the exporter at %s does not take outcomes (%s); they are kept and sent later",
                self._settings.url,
                error,
            )
        delay = min(FIRST_RETRY_SECONDS * 2**self._failures, MAX_RETRY_SECONDS)
        self._failures = min(self._failures + 1, 10)
        # The clock's last digits spread the retries of many processes over ±25 %.
        delay *= 0.75 + time.monotonic_ns() // 1000 % 1000 / 2000
        if error.retry_after is not None:
            delay = max(delay, error.retry_after)
        self._retry_at = time.monotonic() + delay
