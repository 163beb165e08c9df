"""What the ledger's writer does beside commits: saving snapshots, pruning old outcomes."""

import sqlite3

from collection_health.ledger import Job


def save_states(states: list[tuple[str, int, bytes]], gone: list[str], position: int) -> Job:
    """A job that saves snapshots, drops those of what is ``gone``, and notes that all states up
    to ``position`` are saved."""

    def job(connection: sqlite3.Connection) -> None:
        connection.executemany("DELETE FROM states WHERE name = ?", [(name,) for name in gone])
        connection.executemany("INSERT OR REPLACE INTO states VALUES (?, ?, ?)", states)
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('snapshot_position', ?)", (position,)
        )

    return job


def prune(oldest: float, max_bytes: int) -> Job:
    """A job that deletes outcomes received before ``oldest`` (Unix seconds) and, beyond
    ``max_bytes``, the oldest tenth; never what no snapshot holds yet. Freed pages are reused."""

    def job(connection: sqlite3.Connection) -> None:
        row = connection.execute(
            "SELECT value FROM meta WHERE key = 'snapshot_position'"
        ).fetchone()
        saved = row[0] if row else 0
        connection.execute(
            "DELETE FROM events WHERE position <= ? AND received_at < ?", (saved, oldest)
        )
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if max_bytes and (pages - free) * size > max_bytes:
            first, last = connection.execute(
                "SELECT min(position), max(position) FROM events"
            ).fetchone()
            cut = min(saved, first + (last - first) // 10)
            connection.execute("DELETE FROM events WHERE position <= ?", (cut,))
        connection.execute("DELETE FROM marks WHERE position < (SELECT min(position) FROM events)")

    return job
