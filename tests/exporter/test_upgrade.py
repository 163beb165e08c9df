"""Ledgers of other versions: older ones are read to the last event, newer ones are left alone."""

import hashlib
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from collection_health.ledger import SCHEMA_VERSION
from tests.exporter.data.make_ledger import facts
from tests.support.process import Process, free_port
from tests.support.services import COMMAND, Exporter

DATA = Path(__file__).parent / "data"
VERSIONS = range(1, SCHEMA_VERSION + 1)


def storage_with(ledger: Path, directory: Path) -> Path:
    """A storage directory that holds a copy of ``ledger``; the copy's path."""
    directory.mkdir()
    return Path(shutil.copy(ledger, directory / "ledger.db"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ledger_of_each_schema_is_committed(version: int) -> None:
    """The file holds a snapshot and events after it, so both ways of reading are tried."""
    file = DATA / f"ledger-{version}.db"
    with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
        (saved,) = db.execute("SELECT value FROM meta WHERE key = 'snapshot_position'").fetchone()
        assert db.execute("SELECT count(*) FROM states").fetchone()[0] > 0
        assert db.execute("SELECT max(position) FROM events").fetchone()[0] > saved > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_counters_go_on_where_an_older_version_left_them(version: int, tmp_path: Path) -> None:
    """What a ledger says is the same in today's program, and it records on from there."""
    ledger = storage_with(DATA / f"ledger-{version}.db", tmp_path / "data")
    port = free_port()
    arguments = (f"--storage.path={ledger.parent}", f"--web.listen-address=127.0.0.1:{port}")
    with Process([*COMMAND, "serve", *arguments], tmp_path / "log") as process:
        exporter = Exporter(process, port)
        process.wait_http(f"{exporter.url}/-/ready")
        expected = (DATA / f"ledger-{version}.prom").read_text().splitlines()
        assert set(expected) <= set(facts(exporter.metrics()))
        before = exporter.sample('collection_runs_total{collector="orders"}')
        exporter.post({"collector": "orders", "outcome": "success"})
        assert exporter.sample('collection_runs_total{collector="orders"}') == (before or 0) + 1


def test_a_newer_ledger_is_refused_and_left_untouched(tmp_path: Path) -> None:
    """The message names both versions; not one byte of the file changes."""
    ledger = storage_with(DATA / f"ledger-{SCHEMA_VERSION}.db", tmp_path / "data")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = hashlib.sha256(ledger.read_bytes()).hexdigest()
    started = subprocess.run(
        [*COMMAND, "serve", f"--storage.path={ledger.parent}", "--web.listen-address=127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert started.returncode == 1
    newer = f"schema {SCHEMA_VERSION + 1} is newer than this program's {SCHEMA_VERSION}"
    assert re.search(rf"ledger\.db: {newer}", started.stderr)
    assert hashlib.sha256(ledger.read_bytes()).hexdigest() == before
    assert {path.name for path in ledger.parent.iterdir()} <= {"ledger.db", "ledger.lock"}
