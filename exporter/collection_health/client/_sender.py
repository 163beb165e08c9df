"""The background sender: memory first, then HTTP, and the spool whenever HTTP is not possible.

Whatever is put ends as delivered, rejected or dropped (see `Stats`), or is still spooled for a
later process. Every event carries an ``event_id``, so sending one twice is harmless.
"""

import atexit
import json
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from collection_health.client import _values
from collection_health.client._settings import Settings
from collection_health.client._spool import Spool
from collection_health.client._stats import Stats

if TYPE_CHECKING:
    from collection_health.client._courier import Courier

_log = logging.getLogger(__name__)

Event = dict[str, Any]

LINGER_SECONDS = 0.1  # events of one moment share a request
_TIMES = ("started_at", "finished_at")
_MAX_REPORTED = 100  # distinct problems that are logged


class _Mark:
    """A place in the queue: ``done`` is set once everything put before it was dealt with."""

    __slots__ = ("done", "force", "last")

    def __init__(self, force: bool, last: bool) -> None:
        self.done = threading.Event()
        self.force = force  # try to deliver even before the next retry is due
        self.last = last  # end the thread


class Sender:
    """Accepts events without waiting and delivers them from one daemon thread."""

    _closed: bool

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.start_over()
        _senders.add(self)

    def put(self, event: Event) -> None:
        """Take one event. Never waits for the network; disk is touched only on overflow."""
        if self._closed:
            self._keep(_encode_all([event], self._report))
            self._spool.seal()
            return
        self._queue.put(event)
        if self._thread is None:
            self._start()
        elif self._queue.qsize() > self.settings.buffer_events:
            self._spill()

    def flush(self, timeout: float) -> bool:
        """Try to deliver everything now; False if ``timeout`` seconds passed or some is kept."""
        mark = self._mark(force=True, last=False)
        return mark.done.wait(timeout) and not (self._courier is None or self._courier.away)

    def close(self, timeout: float | None = None) -> None:
        """Deliver within ``timeout`` seconds (the settings' by default) or spool what is left."""
        if self._closed:
            return
        if self._thread is not None:
            mark = self._mark(force=False, last=True)
            mark.done.wait(self.settings.exit_seconds if timeout is None else timeout)
        self._closed = True
        atexit.unregister(self.close)
        events, _ = self._collect(None)
        # What the thread may be sending right now is kept too: a repeat is counted once.
        self._keep([*self._unsent, *_encode_all(events, self._report)])
        self._spool.seal()

    def start_over(self) -> None:
        """The state of a new process: nothing queued, no thread, no segment of its own."""
        self.stats = Stats()
        self._spool = Spool(
            self.settings.spool, self.settings.spool_bytes, self.stats, self._report
        )
        self._queue: SimpleQueue[Event | _Mark] = SimpleQueue()
        self._unsent: list[bytes] = []  # taken from the queue by the thread, not yet delivered
        self._hurry = threading.Event()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._courier: Courier | None = None
        self._closed = False
        self._reported: set[str] = set()

    def after_fork(self) -> None:
        """In a forked child: the parent delivers what it had, this process starts anew."""
        self._spool.abandon()
        self.start_over()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            atexit.register(self.close)
            process = sys.modules.get("multiprocessing.util")
            if process is not None:  # its forked children leave without running atexit
                process.Finalize(None, self.close, exitpriority=0)
            thread = threading.Thread(target=self._run, name="collection-health", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down
                self.close()
            else:
                self._thread = thread

    def _mark(self, force: bool, last: bool) -> _Mark:
        mark = _Mark(force, last)
        self._queue.put(mark)
        if self._thread is None:
            self._start()
        self._hurry.set()
        return mark

    def _collect(self, first: Event | _Mark | None) -> tuple[list[Event], list[_Mark]]:
        items = [] if first is None else [first]
        with suppress(Empty):
            items.extend(self._queue.get_nowait() for _ in range(self._queue.qsize()))
        events = [item for item in items if not isinstance(item, _Mark)]
        return events, [item for item in items if isinstance(item, _Mark)]

    def _spill(self) -> None:
        """The buffer is full: its oldest tenth goes to the spool."""
        oldest: list[Event] = []
        with suppress(Empty):
            for _ in range(max(self.settings.buffer_events // 10, 1)):
                item = self._queue.get_nowait()
                if isinstance(item, _Mark):
                    self._queue.put(item)
                else:
                    oldest.append(item)
        lost = len(self._keep(_encode_all(oldest, self._report)))
        self.stats.dropped += lost  # not in one step: _keep() may count losses of its own

    def _keep(self, lines: list[bytes]) -> list[bytes]:
        """Spool events; returns those that are not on disk."""
        if not lines:
            return []
        if self._spool.keep(lines):
            self.stats.spooled += len(lines)
            return []
        if self._closed:
            self.stats.dropped += len(lines)
            self._report(f"{len(lines)} outcomes are lost at exit: there is no spool")
        return lines

    def _report(self, text: str) -> None:
        """Log a problem once; a monitoring client must not flood its host's log."""
        if text not in self._reported and len(self._reported) < _MAX_REPORTED:
            self._reported.add(text)
            _log.error("%s", text)

    # --- the thread ---

    def _run(self) -> None:
        from collection_health.client._courier import (  # HTTP loads in background
            Courier,
        )

        courier = self._courier = Courier(self.settings, self._spool, self.stats, self._report)
        last = False
        while not last:
            try:
                first: Event | _Mark | None = self._queue.get(timeout=courier.idle_seconds())
            except Empty:
                first = None
            if first is not None and not isinstance(first, _Mark):
                self._hurry.wait(LINGER_SECONDS)
            self._hurry.clear()
            events, marks = self._collect(first)
            last = any(mark.last for mark in marks)
            self._unsent += _encode_all(events, self._report)
            try:
                self._round(courier, any(mark.force for mark in marks), last)
            except Exception as error:  # noqa: BLE001  # the thread must outlive any surprise
                self._report(f"sending failed: {type(error).__name__}: {error}")
            for mark in marks:
                mark.done.set()
        courier.close()

    def _round(self, courier: "Courier", force: bool, last: bool) -> None:
        try:
            courier.deliver(self._unsent, now_or_never=force)
        finally:
            unsent = self._keep(self._unsent)
            overflow = len(unsent) - self.settings.buffer_events
            if overflow > 0:
                self.stats.dropped += overflow
                self._report("outcomes are lost: the buffer is full and there is no spool")
            self._unsent = unsent[max(overflow, 0) :]
        if not last:
            courier.deliver_leftovers(lambda: not (force or self._queue.empty()), force)


def _encode_all(events: Iterable[Event], report: Callable[[str], None]) -> list[bytes]:
    """Events as lines; one that is not JSON is reported and left out."""
    lines = []
    for event in events:
        try:
            lines.append(encode(event))
        except (TypeError, ValueError, RecursionError) as error:
            report(f"an outcome of {event.get('collector')!r} is not JSON: {error}")
    return lines


def encode(event: Event) -> bytes:
    """One event as a JSON line without its end; Unix seconds become RFC 3339."""
    for key in _TIMES:
        if isinstance(event.get(key), float):
            event[key] = _values.instant(event[key])
    text = json.dumps(
        event, separators=(",", ":"), allow_nan=False, default=str, ensure_ascii=False
    )
    return text.encode(errors="replace")  # the exporter refuses what is not Unicode: half a pair


_senders: weakref.WeakSet[Sender] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sender in list(_senders):
        sender.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
