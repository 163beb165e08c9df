"""One run of a collector: what it tells about itself, and the events made of that."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, SupportsFloat, SupportsIndex

from collection_health import reasons
from collection_health.client import _values
from collection_health.client._values import Instant

_log = logging.getLogger(__name__)

Event = dict[str, Any]
_current: ContextVar["Run | None"] = ContextVar("collection_health_run", default=None)
_adding = threading.Lock()  # counts may be added from worker threads
_warned: set[str] = set()


class _Ids:
    """Unique ids without a system call each: random per process, then counted."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start a series of ids that no other process uses."""
        self._prefix = os.urandom(9).hex()
        self._next = itertools.count(1).__next__  # one step, so threads need no lock

    def __call__(self) -> str:
        return f"{self._prefix}-{self._next()}"


def _after_fork_in_child() -> None:
    global _adding  # noqa: PLW0603  # another thread may have held it when the process forked
    _adding = threading.Lock()
    new_id.renew()


new_id = _Ids()
os.register_at_fork(after_in_child=_after_fork_in_child)


class Run:
    """A run in a ``with`` or ``async with`` block; its end is reported when the block ends.

    Counts add up over calls, so a paging collector may report each page. Everything else
    replaces what was said before. A wrong value is logged and left out; nothing here raises.
    """

    __slots__ = (
        "_collector", "_ended_as", "_event_id", "_fields", "_given", "_pid", "_previous", "_report",
        "_stage", "_started", "_started_at", "run_id",
    )  # fmt: skip

    def __init__(
        self,
        collector: str,
        report: Callable[[Event], None],
        *,
        run_id: str | None = None,
        version: str | None = None,
        attempt: int | None = None,
        parent: Mapping[str, str] | None = None,
        scheduled_for: Instant | None = None,
    ) -> None:
        self._collector = _values.collector_name(str(collector))
        if self._collector != collector:
            _warn(f"collector name {collector!r} is reported as {self._collector!r}")
        self._report = report
        self._given: Event = {}
        self._fields: Event = {}
        self._ended_as = "success"
        self._stage: str | None = None
        self.run_id = str(run_id)[: _values.MAX_ID] if run_id else None
        if version is not None:
            self._given["version"] = str(version)[: _values.MAX_NAME]
        if attempt is not None:
            self._set(self._given, "attempt", attempt, _values.count)
        if parent is not None:
            self._set(self._given, "parent", parent, _values.parent)
        if scheduled_for is not None:
            self._set(self._given, "scheduled_for", scheduled_for, _values.instant)

    # --- what happened ---

    def records(
        self,
        *,
        expected: SupportsIndex | None = None,
        collected: SupportsIndex | None = None,
        written: SupportsIndex | None = None,
        rejected: SupportsIndex | None = None,
        duplicate: SupportsIndex | None = None,
    ) -> None:
        """Add to the run's record counts."""
        self._add("records", expected=expected, collected=collected, written=written,
                  rejected=rejected, duplicate=duplicate)  # fmt: skip

    def requests(
        self,
        *,
        total: SupportsIndex | None = None,
        failed: SupportsIndex | None = None,
        retried: SupportsIndex | None = None,
    ) -> None:
        """Add to the counts of requests made to the upstream."""
        self._add("requests", total=total, failed=failed, retried=retried)

    def bytes(self, count: SupportsIndex) -> None:
        """Add to the bytes collected."""
        self._add(None, bytes=count)

    def quality(
        self,
        score: SupportsFloat | None = None,
        *,
        completeness: SupportsFloat | None = None,
        validity: SupportsFloat | None = None,
        uniqueness: SupportsFloat | None = None,
        consistency: SupportsFloat | None = None,
    ) -> None:
        """State the data's quality as ratios from 0 (worst) to 1."""
        ratios = {"score": score, "completeness": completeness, "validity": validity,
                  "uniqueness": uniqueness, "consistency": consistency}  # fmt: skip
        quality: Event = self._fields.setdefault("quality", {})
        for name, value in ratios.items():
            if value is not None:
                self._set(quality, name, value, _values.ratio)

    def quota(
        self,
        *,
        limit: SupportsFloat | None = None,
        remaining: SupportsFloat | None = None,
        resets_at: Instant | None = None,
    ) -> None:
        """State the upstream's quota after the run; lets its exhaustion be predicted."""
        quota: Event = self._fields.setdefault("quota", {})
        if limit is not None:
            self._set(quota, "limit", limit, _values.amount)
        if remaining is not None:
            self._set(quota, "remaining", remaining, _values.amount)
        if resets_at is not None:
            self._set(quota, "resets_at", resets_at, _values.instant)

    def version(self, version: str) -> None:
        """State the collector's version, so that alerts can say "failing since 1.4"."""
        self._fields["version"] = str(version)[: _values.MAX_NAME]

    def data_time(self, newest: Instant) -> None:
        """State the time of the newest record collected."""
        self._set(self._fields, "data_time", newest, _values.instant)

    def credential_expires_at(self, expiry: Instant) -> None:
        """State when the credential in use expires; lets that be predicted."""
        self._set(self._fields, "credential_expires_at", expiry, _values.instant)

    def stage(self, stage: str) -> None:
        """Say what the run does from here on: connect, auth, fetch, parse, validate or load."""
        if stage in reasons.STAGES:
            self._stage = stage
        else:
            _warn(f"stage {stage!r} is left out; allowed: {', '.join(reasons.STAGES)}")

    # --- how it ended ---

    def partial(self, reason: str | None = None, message: str | None = None) -> None:
        """End as partial: useful data came, but not all of it."""
        self._end_as("partial", reason, message)

    def skip(self, message: str | None = None) -> None:
        """End as skipped: nothing was due."""
        self._end_as("skipped", None, message)

    def fail(self, reason: str = "unknown", message: str | None = None) -> None:
        """End as failure without raising; ``reason`` is one of ``reasons.REASONS``."""
        self._end_as("failure", reason, message)

    # --- the block ---

    def __enter__(self) -> Self:
        self._fields = {}
        self._ended_as = "success"
        self._stage = None
        self._event_id = new_id()
        if self.run_id is None:
            self.run_id = self._event_id
        self._pid = os.getpid()
        self._previous = _current.get()
        _current.set(self)
        self._started_at = time.time()
        self._started = time.perf_counter()
        self._send("started", "s", {"started_at": self._started_at})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._started
        _current.set(self._previous)
        if os.getpid() != self._pid:  # a forked child leaves the block: the run is its parent's
            return
        outcome, fields = self._ended_as, self._fields
        if error is not None:
            outcome = _describe(error, outcome, fields)
        if self._stage is not None and outcome not in ("success", "skipped"):
            fields["stage"] = self._stage
        fields["started_at"] = self._started_at
        fields["finished_at"] = self._started_at + seconds
        fields["duration_seconds"] = seconds
        self._send(outcome, "e", fields)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    # --- helpers ---

    def _send(self, outcome: str, suffix: str, fields: Event) -> None:
        self._report(
            {
                "collector": self._collector,
                "outcome": outcome,
                "event_id": f"{self._event_id}{suffix}",
                "run_id": self.run_id,
                **self._given,
                **fields,
            }
        )

    def _end_as(self, outcome: str, reason: str | None, message: str | None) -> None:
        self._ended_as = outcome
        self._fields.pop("reason", None)
        self._fields.pop("error", None)
        if reason in reasons.REASONS:
            self._fields["reason"] = reason
        elif reason is not None:
            _warn(f"reason {reason!r} is left out; allowed: {', '.join(reasons.REASONS)}")
        if message is not None:
            self._fields["error"] = {"message": str(message)[: _values.MAX_TEXT]}

    def _add(self, group: str | None, **counts: SupportsIndex | None) -> None:
        target = self._fields if group is None else self._fields.setdefault(group, {})
        for name, value in counts.items():
            if value is None:
                continue
            try:
                number = _values.count(value)
            except (TypeError, ValueError) as error:
                _warn(f"{group or 'count'}.{name} {value!r} is left out: {error}")
                continue
            with _adding:
                target[name] = target.get(name, 0) + number

    @staticmethod
    def _set(target: Event, name: str, value: Any, convert: Callable[[Any], Any]) -> None:
        try:
            target[name] = convert(value)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            _warn(f"{name} {value!r} is left out: {error}")


def current_run() -> Run:
    """The run around this call; outside of any, one that takes everything and reports nothing."""
    run = _current.get()
    return Run("none", lambda _: None) if run is None else run


def _describe(error: BaseException, outcome: str, fields: Event) -> str:
    """Put an exception into the fields and return the outcome it makes."""
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return outcome
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    fields["error"] = {"type": _type_name(error), "message": _text(error)}
    if isinstance(error, Exception):
        fields["reason"] = _reason(error)
        return "failure"
    fields.pop("reason", None)
    if isinstance(error, SystemExit) and isinstance(error.code, int) and 0 < error.code < 256:
        fields["exit_code"] = error.code
    return "aborted"


def _reason(error: BaseException) -> str:
    """The first reason known along the chain of causes."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            break
        reason = reasons.from_exception(seen)
        if reason != "unknown":
            return reason
        seen = seen.__cause__
    return "unknown"


def _type_name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return name[-_values.MAX_NAME :]


def _text(error: BaseException) -> str:
    try:
        return str(error)[: _values.MAX_TEXT]
    except Exception:  # noqa: BLE001  # a broken __str__ must not replace the collector's exception
        return "(its message cannot be shown)"


def _warn(text: str) -> None:
    if text not in _warned and len(_warned) < 1000:  # once each, bounded
        _warned.add(text)
        _log.warning("%s", text)
