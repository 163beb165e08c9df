"""Where in the ledger the rare events are: what people and the exporter itself did.

Outcomes come in millions; controls, recovery steps, feedback, missed runs and the like are few
and asked for by name months later. The table ``marks(position, collector, kind)`` leads to them
without reading what lies between; it is written in the transaction that records the events.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from collection_health.events import (
    BreakGlass,
    Control,
    Event,
    Feedback,
    Forgotten,
    Outcome,
    Recovery,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS marks (
    position INTEGER NOT NULL, collector TEXT NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY (collector, position, kind)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS marks_by_position ON marks (position);
"""
KINDS = {
    Control: "control", Forgotten: "control", Recovery: "recovery", BreakGlass: "break_glass",
    Feedback: "feedback",
}  # fmt: skip


def kind_of(event: Event) -> str | None:
    """The kind under which an event is marked; None for one that is not."""
    if isinstance(event, Outcome):
        return event.reason if event.source == "exporter" else None
    return KINDS.get(type(event))


def rows(position: int, events: Iterable[Event]) -> set[tuple[int, str, str]]:
    """The marks of a group recorded at ``position``."""
    return {
        (position, getattr(event, "collector", ""), kind)
        for event in events
        if (kind := kind_of(event)) is not None
    }


def write(connection: sqlite3.Connection, position: int, events: Iterable[Event]) -> None:
    """Mark the rare events of a group in the transaction under way."""
    found = rows(position, events)
    if found:
        connection.executemany("INSERT OR IGNORE INTO marks VALUES (?, ?, ?)", found)


def positions(
    connection: sqlite3.Connection,
    kinds: Sequence[str],
    *,
    before: int,
    limit: int,
    collector: str | None = None,
) -> list[int]:
    """Positions of groups with events of ``kinds``, newest first, at most at ``before``."""
    where = "AND collector = ? " if collector is not None else ""
    names = (collector,) if collector is not None else ()
    query = (
        "SELECT DISTINCT position FROM marks WHERE position <= ? "  # noqa: S608  # only marks
        f"AND kind IN ({','.join('?' * len(kinds))}) {where}ORDER BY position DESC LIMIT ?"
    )
    return [row[0] for row in connection.execute(query, (before, *kinds, *names, limit))]
