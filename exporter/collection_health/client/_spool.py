"""Outcomes on disk while the exporter is away: append-only NDJSON segments in one directory.

A process appends to a segment of its own (``….open``) and holds an exclusive lock on it; a
full or finished segment is renamed to ``….ndjson`` and unlocked. Whoever gets the lock of a
segment delivers and deletes it, so the outcomes of a killed process reach the exporter through
any later one, and no two processes deliver a segment at the same time.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from collection_health.client._stats import Stats

_log = logging.getLogger(__name__)

SEGMENT_BYTES = 2**20
REJECTED_NAME = "rejected.jsonl"
_OPEN, _SEALED = ".open", ".ndjson"


class Spool:
    """One process's way into the spool directory; never raises, says so when it fails.

    ``directory`` None means there is none. ``report`` receives what a person should know.
    """

    def __init__(
        self,
        directory: Path | None,
        limit_bytes: int,
        stats: Stats,
        report: Callable[[str], None],
    ) -> None:
        self.directory = directory
        self._stats = stats
        self._limit = limit_bytes
        self._report = report
        self._lock = threading.RLock()
        self._segment: tuple[int, Path] | None = None
        self._written = 0
        self._owner = f"{os.getpid()}-{os.urandom(4).hex()}"  # part of this process's names
        self._pending = False

    def keep(self, lines: Sequence[bytes]) -> bool:
        """Append events, all or none; False when they are not on disk."""
        if self.directory is None:
            return False
        with self._lock:
            try:
                self._append(b"".join(line + b"\n" for line in lines))
            except OSError as error:
                self._failed(error)
                return False
            self._pending = True
            return True

    def seal(self) -> None:
        """Finish the current segment, so that this or any other process may deliver it."""
        with self._lock:
            if self._segment is None:
                return
            descriptor, path = self._segment
            self._segment = None
            try:
                path.rename(path.with_suffix(_SEALED))
            except OSError as error:
                self._failed(error)
            finally:
                os.close(descriptor)

    def abandon(self) -> None:
        """Close, in a forked child, the parent's segment; the parent still holds its lock."""
        if self._segment is not None:
            os.close(self._segment[0])
            self._segment = None

    def take_own(self) -> list[Path]:
        """This process's segments, oldest first; empty when nothing was kept since."""
        if not self._pending:
            return []
        with self._lock:
            self.seal()
            self._pending = False
            return [path for path in self._segments() if self._owner in path.name]

    def give_back(self) -> None:
        """Have `take_own` return again what could not be delivered."""
        self._pending = True

    def leftovers(self) -> list[Path]:
        """All segments, oldest first; those in use cannot be claimed."""
        return self._segments()

    def reject(self, entries: Sequence[bytes]) -> None:
        """Keep what the exporter refused for a person to read, a few megabytes at most."""
        if self.directory is None:
            return
        path = self.directory / REJECTED_NAME
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > SEGMENT_BYTES:
                path.replace(path.with_suffix(".old"))
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                _write(descriptor, b"".join(entry + b"\n" for entry in entries))
            finally:
                os.close(descriptor)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._report(f"the spool {self.directory} cannot be used: {error}")

    def _append(self, data: bytes) -> None:
        if self._segment is None:
            self._segment = self._create()
        descriptor, _ = self._segment
        try:
            _write(descriptor, data)
        except OSError:  # a full disk must not leave half a line
            os.ftruncate(descriptor, self._written)
            raise
        self._written += len(data)
        if self._written >= SEGMENT_BYTES:
            self.seal()

    def _create(self) -> tuple[int, Path]:
        assert self.directory is not None  # noqa: S101  # keep() returned before
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        segments = self._segments()
        adopted = self._adopt(segments[-1]) if segments else None
        if adopted is not None:
            return adopted
        self._trim()
        path = self.directory / f"{time.time_ns():020d}-{self._owner}{_OPEN}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(path, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._written = 0
        return descriptor, path

    def _adopt(self, path: Path) -> tuple[int, Path] | None:
        """Continue the newest segment if nobody holds it: short jobs do not leave a file each."""
        descriptor = _lock(path)
        if descriptor is None:
            return None
        try:
            content = _read(descriptor)
            if len(content) < SEGMENT_BYTES:
                self._written = content.rfind(b"\n") + 1  # without what a killed writer began
                os.ftruncate(descriptor, self._written)
                taken = path.with_name(f"{path.name.partition('-')[0]}-{self._owner}{_OPEN}")
                path.rename(taken)
                return descriptor, taken
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _segments(self) -> list[Path]:
        if self.directory is None or not self.directory.is_dir():
            return []
        try:
            return sorted(p for p in self.directory.iterdir() if p.suffix in (_SEALED, _OPEN))
        except OSError as error:
            self._failed(error)
            return []

    def _trim(self) -> None:
        """Delete the oldest segments until the directory has room for another."""
        sizes = {path: path.stat().st_size for path in self._segments() if path.exists()}
        excess = sum(sizes.values()) + SEGMENT_BYTES - max(self._limit, SEGMENT_BYTES)
        for path, size in sizes.items():
            if excess <= 0:
                return
            with claim(path) as content:
                if content is None:
                    continue
                path.unlink()
            lost = content.count(b"\n")
            self._stats.dropped += lost
            excess -= size
            _log.error("the spool %s is full: its oldest %d outcomes are lost", path.parent, lost)


@contextmanager
def claim(path: Path) -> Iterator[bytes | None]:
    """Hold a segment and yield its content, or yield None where somebody else holds it.

    The holder deletes the segment within the block once its events are delivered.
    """
    descriptor = _lock(path)
    if descriptor is None:
        yield None
        return
    try:
        yield _read(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    """An exclusively locked descriptor of a segment, or None where somebody else holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking, another process may have delivered or renamed it.
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _read(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, SEGMENT_BYTES):
        chunks.append(chunk)
    return b"".join(chunks)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
