"""The ledger: every event, durable before it is acknowledged, in one SQLite file.

One writer thread commits whatever arrived while the previous commit was under way (natural
group commit): one row a commit, one ``fsync`` a row. Readers use connections of their own.
The schema:

- ``events(position, received_at, count, body)``: a group of events, `encode_events` form;
- ``states(name, position, body)``: snapshots of the fold, so that a start reads the tail only;
- ``meta(key, value)``: ``snapshot_position``, up to which all states are saved;
- ``marks``: where the rare events are (marks.py).
"""

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collection_health import marks
from collection_health.events import Event, decode_events, encode_events

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
MAX_GROUP = 20_000  # events in one row; bounds the memory a reader needs
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY, received_at REAL NOT NULL, count INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS states (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class LedgerError(Exception):
    """The ledger cannot be opened: in use, newer than this program, or damaged."""


class StorageUnavailable(Exception):  # noqa: N818  # read as a state, as http.HTTPStatus does
    """The commit failed (disk full, I/O error): nothing of the request was recorded."""


class Overloaded(Exception):  # noqa: N818
    """Too many events wait for their commit; try again shortly."""


@dataclass(slots=True)
class _Group:
    """Events that will share a commit, and who waits for it."""

    events: list[Event] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


Job = Callable[[sqlite3.Connection], None]
OnCommit = Callable[[list[Event], int], None]


class Ledger:
    """Durable, ordered storage of events and of snapshots of what was folded from them."""

    def __init__(
        self,
        directory: Path,
        registry: CollectorRegistry | None = None,
        *,
        max_queue: int = 100_000,
    ) -> None:
        self.path = directory / "ledger.db"
        self.position = 0
        self.writable = False
        self._max_queue = max_queue
        self._group = _Group()
        self._queued = 0  # events accepted and not yet committed
        self._wake: queue.SimpleQueue[tuple[Job, Callable[[], None] | None] | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._lock_file: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_commit: OnCommit | None = None
        self._metrics(registry or CollectorRegistry())

    def _metrics(self, registry: CollectorRegistry) -> None:
        name = "collection_health_ledger"
        self._commit_seconds = Histogram(
            f"{name}_commit_duration_seconds", "Time of one group commit.", registry=registry,
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
        )  # fmt: skip
        self._failures = Counter(
            f"{name}_failures", "Commits that failed (disk full, I/O).", registry=registry
        )
        self._events = Counter(f"{name}_events", "Events committed.", registry=registry)
        Gauge(f"{name}_writable", "1 while commits succeed.", registry=registry).set_function(
            lambda: float(self.writable)
        )
        Gauge(
            f"{name}_queue_events", "Events waiting for their commit.", registry=registry
        ).set_function(lambda: float(self._queued))
        Gauge(f"{name}_bytes", "Size of the ledger's files.", registry=registry).set_function(
            self._size
        )

    def _size(self) -> float:
        total = 0
        for suffix in ("", "-wal"):
            try:
                total += Path(f"{self.path}{suffix}").stat().st_size
            except OSError:
                continue
        return float(total)

    # --- opening and reading ------------------------------------------------------------------

    def open(self) -> None:
        """Create or open the file and take its lock. Raises `LedgerError`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._lock_file = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o640)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerError(f"{self.path}: in use by another exporter") from error
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be opened: {error}") from error
        try:
            self._refuse_newer()
            connection = self._connect()
            connection.executescript(_SCHEMA + marks.SCHEMA)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            row = connection.execute("SELECT max(position) FROM events").fetchone()
            self.position = max(row[0] or 0, self._meta(connection, "snapshot_position"))
            connection.close()
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: cannot be opened: {error}") from error
        self.writable = True

    def _refuse_newer(self) -> None:
        """Look at the schema version before anything, the journal mode included, is written."""
        if not self.path.exists():
            return
        with closing(self.reader()) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path}: schema {found} is newer than this program's {SCHEMA_VERSION}; "
                "it is left as it is: install the version that wrote it, or name another directory"
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    def reader(self) -> sqlite3.Connection:
        """A read-only connection for one reader (thread)."""
        return open_reader(self.path)

    @staticmethod
    def _meta(connection: sqlite3.Connection, key: str) -> int:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def snapshot(self) -> tuple[int, list[tuple[str, int, bytes]]]:
        """The snapshot's position and every saved ``(name, position, body)``."""
        connection = self.reader()
        try:
            position = self._meta(connection, "snapshot_position")
            rows = connection.execute("SELECT name, position, body FROM states").fetchall()
        finally:
            connection.close()
        return position, rows

    def tail(self, after: int) -> Iterator[tuple[int, list[Event]]]:
        """``(position, events)`` of every group recorded after position ``after``, in order."""
        connection = self.reader()
        try:
            for position, body in connection.execute(
                "SELECT position, body FROM events WHERE position > ? ORDER BY position", (after,)
            ):
                yield position, self._decode(position, body)
        finally:
            connection.close()

    def _decode(self, position: int, body: bytes) -> list[Event]:
        try:
            return decode_events(body)
        except msgspec.MsgspecError as error:
            raise LedgerError(f"{self.path}: group {position} is unreadable: {error}") from error

    def newest(self, limit: int) -> Iterator[list[Event]]:
        """Groups from the newest back until ``limit`` events were given."""
        connection = self.reader()
        try:
            for count, body in connection.execute(
                "SELECT count, body FROM events ORDER BY position DESC"
            ):
                yield decode_events(body)
                limit -= count
                if limit <= 0:
                    return
        finally:
            connection.close()

    def at_positions(self, positions: Iterable[int]) -> Iterator[tuple[int, list[Event]]]:
        """The groups recorded at ``positions`` (those still kept)."""
        connection = self.reader()
        try:
            for position in positions:
                row = connection.execute(
                    "SELECT body FROM events WHERE position = ?", (position,)
                ).fetchone()
                if row:
                    yield position, decode_events(row[0])
        finally:
            connection.close()

    # --- writing --------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop, on_commit: OnCommit) -> None:
        """Start the writer; ``on_commit(events, position)`` runs on ``loop`` before waiters."""
        self._loop, self._on_commit = loop, on_commit
        self._thread = threading.Thread(target=self._write_forever, name="ledger", daemon=True)
        self._thread.start()

    async def record(self, events: list[Event]) -> None:
        """Return once ``events`` are durable and folded (an empty list waits for its turn).

        Raises `Overloaded` at once, or `StorageUnavailable` when the commit fails.
        """
        if self._queued + len(events) > self._max_queue:
            raise Overloaded(f"{self._queued} events wait for their commit")
        waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            group = self._group
            first = not group.waiters
            group.events.extend(events)
            group.waiters.append(waiter)
            self._queued += len(events)
        if first:
            self._wake.put(None)
        await waiter

    def run_in_writer(self, job: Job, done: Callable[[], None] | None = None) -> None:
        """Let the writer thread run ``job`` in a transaction of its own (snapshots, pruning).

        ``done`` is called on the loop once it is committed; not when it failed.
        """
        self._wake.put((job, done))

    def close(self) -> None:
        """Commit what waits, then stop the writer and release the file."""
        if self._thread is not None:
            self._closing = True
            self._wake.put(None)
            self._thread.join()
            self._thread = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        self.writable = False

    def _write_forever(self) -> None:
        connection = self._connect()
        while True:
            try:
                work = self._wake.get(timeout=None if self.writable else 1.0)
            except queue.Empty:
                self._probe(connection)
                continue
            if work is not None:
                self._run_job(connection, *work)
            self._commit_group(connection)
            if self._closing and self._wake.empty():
                break
        connection.close()

    def _commit_group(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            group, self._group = self._group, _Group()
        if not group.waiters:
            return
        started = time.perf_counter()
        problem: StorageUnavailable | None = None
        position = self.position
        if group.events:
            try:
                position = self._insert(connection, group.events)
            except Exception as error:  # noqa: BLE001  # whatever it is, the writer must outlive it
                self._failed(connection, error)
                problem = StorageUnavailable(f"the ledger cannot be written: {error}")
            else:
                self.writable = True
                self._commit_seconds.observe(time.perf_counter() - started)
                self._events.inc(len(group.events))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._finish, group, position, problem)

    def _insert(self, connection: sqlite3.Connection, events: list[Event]) -> int:
        now = time.time()
        position = self.position
        connection.execute("BEGIN IMMEDIATE")
        for start in range(0, len(events), MAX_GROUP):
            part = events[start : start + MAX_GROUP]
            position += 1
            connection.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?)",
                (position, now, len(part), encode_events(part)),
            )
            marks.write(connection, position, part)
        connection.execute("COMMIT")
        self.position = position
        return position

    def _finish(self, group: _Group, position: int, problem: StorageUnavailable | None) -> None:
        self._queued -= len(group.events)
        if problem is None and group.events and self._on_commit is not None:
            first = position - (len(group.events) - 1) // MAX_GROUP
            for row, start in enumerate(range(0, len(group.events), MAX_GROUP)):
                self._on_commit(group.events[start : start + MAX_GROUP], first + row)
        for waiter in group.waiters:
            if waiter.done():
                continue
            if problem is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(problem)

    def _failed(self, connection: sqlite3.Connection, error: Exception) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                log.exception("rolling back a failed commit")
        if self.writable:
            log.error("the ledger cannot be written: %s", error)
        self.writable = False
        self._failures.inc()

    def _run_job(
        self, connection: sqlite3.Connection, job: Job, done: Callable[[], None] | None
    ) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            job(connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # whatever it is, the writer must outlive it
            self._failed(connection, error)
        else:
            if done is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(done)

    def _probe(self, connection: sqlite3.Connection) -> None:
        """While unwritable: try a page-sized write, so that recovery needs no traffic."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT OR REPLACE INTO states VALUES ('-probe', 0, zeroblob(65536))"
            )
            connection.execute("DELETE FROM states WHERE name = '-probe'")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._failed(connection, error)
        else:
            self.writable = True
            log.info("the ledger can be written again")


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection to a ledger file, also while an exporter writes it."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
