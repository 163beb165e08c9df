"""The pipeline in process: snapshots that fail, collectors that leave, repeats under failure."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from collection_health.events import Forgotten, Outcome, Records
from collection_health.inventory import parse
from collection_health.pipeline import Pipeline, StorageUnavailable


def success(name: str, event_id: str | None = None) -> Outcome:
    """A good run."""
    return Outcome(name, "success", event_id=event_id)


async def limit_pages(pipeline: Pipeline, more: int) -> None:
    """Allow the database file to grow by so many pages (a full disk, to SQLite)."""
    done = asyncio.Event()

    def job(connection: sqlite3.Connection) -> None:
        used = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {used + more}")

    pipeline.ledger.run_in_writer(job, done.set)
    await done.wait()


async def crash(pipeline: Pipeline) -> None:
    """End without a snapshot, as a kill would."""
    await pipeline.upkeep.stop()
    await asyncio.to_thread(pipeline.ledger.close)


async def test_snapshot_that_failed_loses_nothing(tmp_path: Path) -> None:
    """States of a failed snapshot go into the next one; a restart finds every count."""
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    for number in range(300):
        await pipeline.submit([success(f"early{number}")])
    await limit_pages(pipeline, 0)
    pipeline.save_snapshot()  # too large for the pages that are left
    await limit_pages(pipeline, 100_000)
    await pipeline.submit([success("late")])
    pipeline.save_snapshot()
    await crash(pipeline)
    restarted = Pipeline(tmp_path)
    await restarted.start()
    assert {name: state.runs for name, state in restarted.collectors.items()} == (
        {f"early{number}": 1 for number in range(300)} | {"late": 1}
    )
    await restarted.stop()


async def test_refused_event_may_be_repeated(tmp_path: Path) -> None:
    """What could not be recorded is not remembered as a repeat."""
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    await pipeline.submit([success("a", "0")])
    await limit_pages(pipeline, 0)
    number = 0

    async def fill() -> None:
        nonlocal number
        while True:
            number += 1
            await pipeline.submit([success("a", str(number))])

    with pytest.raises(StorageUnavailable):
        await fill()
    refused = str(number)
    await limit_pages(pipeline, 100_000)
    before = pipeline.collectors["a"].runs
    assert await pipeline.submit([success("a", refused), success("a", refused)]) == [None, None]
    assert pipeline.collectors["a"].runs == before + 1
    await pipeline.stop()


async def test_event_that_cannot_be_stored_does_not_end_the_writer(tmp_path: Path) -> None:
    """Whatever slips through validation costs its own group, never those that follow."""
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    with pytest.raises(StorageUnavailable):
        await pipeline.submit([success("a", "half a pair: \ud800")])
    assert await pipeline.submit([success("a", "whole")]) == [None]
    assert pipeline.ledger.writable
    await pipeline.stop()


async def test_totals_beyond_64_bits_end_no_snapshot(tmp_path: Path) -> None:
    """Three runs that claim the most that is allowed are saved, and so is everybody else."""
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    most = 2**63 - 1
    claims = [
        Outcome("a", "success", records=Records(collected=most), bytes=most) for _ in range(3)
    ]
    await pipeline.submit([*claims, success("b")])
    await pipeline.stop()
    restarted = Pipeline(tmp_path)
    await restarted.start()
    state = restarted.collectors["a"]
    assert (state.runs, state.records[1], state.bytes) == (3, 2**64 - 1, 2**64 - 1)
    assert restarted.collectors["b"].runs == 1
    await restarted.stop()


async def test_forgotten_collector_leaves_and_stays_away(tmp_path: Path) -> None:
    """Its series and state go, also after a restart, until it reports again."""
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    await pipeline.submit([success("a"), success("b")])
    pipeline.refresh()
    pipeline.save_snapshot()
    await pipeline.submit([Forgotten("a", 5.0, "kim", "retired")])
    assert b'"a"' not in pipeline.exposition.render(open_metrics=False)
    await crash(pipeline)
    restarted = Pipeline(tmp_path)
    await restarted.start()
    assert list(restarted.collectors) == ["b"]
    await restarted.submit([success("a")])
    assert restarted.collectors["a"].runs == 1
    await restarted.stop()
    again = Pipeline(tmp_path)
    await again.start()
    assert {name: state.runs for name, state in again.collectors.items()} == {"a": 1, "b": 1}
    await again.stop()


async def test_silent_discovered_collectors_are_forgotten(tmp_path: Path) -> None:
    """A collector nobody registered leaves after its time; a registered one never does."""
    moment = 1_770_000_000.0
    pipeline = Pipeline(
        tmp_path, parse("collectors: [{name: kept}]"), clock=lambda: moment, forget_after=100.0
    )
    await pipeline.start()
    await pipeline.submit([success("kept"), success("gone")])
    moment += 99
    await pipeline.upkeep.forget_silent()
    assert set(pipeline.collectors) == {"kept", "gone"}
    moment += 2
    await pipeline.upkeep.forget_silent()
    assert set(pipeline.collectors) == {"kept"}
    await pipeline.stop()
