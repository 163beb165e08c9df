"""Reading recorded events backwards, in bounded steps; runs in a thread, never in the event loop.

A place in the ledger is ``position.index``; a page ends before such a place and names the next.
"""

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from collection_health import marks
from collection_health.api.bodies import ProblemError
from collection_health.events import Event, Outcome, decode_events

SCAN_SECONDS = 0.5  # one request reads no longer than this
_CHUNK = 2_000  # groups looked through at once for a name
_END = 2**62
_PLACE = re.compile(r"^(\d{1,18})\.(\d{1,9})$")


class Found(NamedTuple):
    """An event and its place."""

    position: int
    offset: int
    event: Event

    @property
    def place(self) -> str:
        """The place as clients see it."""
        return f"{self.position}.{self.offset}"


class Page(NamedTuple):
    """What was found, newest first, and where to go on; None at the beginning of the record."""

    found: list[Found]
    next: str | None


Groups = Iterator[tuple[int, list[Event]]]
Wanted = Callable[[Event], bool]


def parse_place(text: str | None) -> tuple[int, int]:
    """The place a client names; the end without one. Raises `ProblemError` (400)."""
    if text is None:
        return _END, 0
    match = _PLACE.match(text)
    if match is None:
        raise ProblemError(
            400, "invalid query", f"before: {text[:50]!r} is not a place; allowed: a page's `next`"
        )
    return int(match[1]), int(match[2])


def _newest(place: tuple[int, int]) -> int:
    """The newest group with anything before ``place``: a scan must always get further back."""
    position, offset = place
    return position if offset else position - 1


def runs(
    connection: sqlite3.Connection, name: str, known: Iterable[int], before: str | None, limit: int
) -> Page:
    """Ended and missed runs of ``name`` before a place; ``known`` are positions of the newest."""

    def wanted(event: Event) -> bool:
        return isinstance(event, Outcome) and event.collector == name and event.outcome != "started"

    place = parse_place(before)
    newest = set(known)
    if newest:  # missed runs moved no window, so their positions are marked instead
        oldest = min(newest)
        missed = marks.positions(
            connection, ("missed", "overrun"), before=place[0], limit=limit + 1, collector=name
        )
        newest.update(position for position in missed if position > oldest)
    return _page(_backwards(connection, name, newest, _newest(place)), wanted, place, limit)


def marked(
    connection: sqlite3.Connection,
    kinds: Sequence[str],
    wanted: Wanted,
    *,
    before: str | None,
    limit: int,
    collector: str | None = None,
) -> Page:
    """Rare events of ``kinds`` before a place."""
    place = parse_place(before)

    def groups() -> Groups:
        below = _newest(place)
        while batch := marks.positions(
            connection, kinds, before=below, limit=100, collector=collector
        ):
            yield from _at(connection, batch)
            below = batch[-1] - 1

    return _page(groups(), wanted, place, limit)


def _page(groups: Groups, wanted: Wanted, before: tuple[int, int], limit: int) -> Page:
    deadline = time.monotonic() + SCAN_SECONDS
    found: list[Found] = []
    for position, events in groups:
        for index in range(len(events) - 1, -1, -1):
            if (position, index) < before and wanted(events[index]):
                if len(found) == limit:
                    return Page(found, found[-1].place)
                found.append(Found(position, index, events[index]))
        if time.monotonic() > deadline:
            return Page(found, f"{position}.0")
    return Page(found, None)


def _backwards(connection: sqlite3.Connection, name: str, newest: set[int], below: int) -> Groups:
    """Groups that may concern ``name``: those known, then whatever lies before the oldest known."""
    order = sorted((position for position in newest if position <= below), reverse=True)
    yield from _at(connection, order)
    low, high = connection.execute("SELECT min(position), max(position) FROM events").fetchone()
    if low is None:
        return
    end = min([*order[-1:], below + 1, high + 1])
    needle = name.encode()
    while end > low:
        start = max(low, end - _CHUNK)
        for position, body in connection.execute(
            "SELECT position, body FROM events WHERE position >= ? AND position < ? "
            "AND instr(body, ?) ORDER BY position DESC",
            (start, end, needle),
        ):
            yield position, decode_events(body)
        yield start, []
        end = start


def _at(connection: sqlite3.Connection, positions: Iterable[int]) -> Groups:
    for position in positions:
        row = connection.execute(
            "SELECT body FROM events WHERE position = ?", (position,)
        ).fetchone()
        if row:
            yield position, decode_events(row[0])
