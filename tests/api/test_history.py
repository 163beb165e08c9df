"""Reading the ledger backwards: marks lead to rare events, scans are bounded, pruning holds."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from collection_health import jobs, marks
from collection_health.api import history
from collection_health.api.bodies import ProblemError
from collection_health.events import Control, Event, Outcome
from collection_health.pipeline import Pipeline


async def recorded(folder: Path, groups: list[list[Event]]) -> Pipeline:
    """A pipeline with each group committed by itself."""
    pipeline = Pipeline(folder)
    await pipeline.start()
    for group in groups:
        await pipeline.submit(group, "control" if isinstance(group[0], Control) else "json")
    return pipeline


def everything(pipeline: Pipeline, name: str, limit: int) -> list[str]:
    """Places of all runs of ``name``, read page after page with nothing known."""
    places: list[str] = []
    before: str | None = None
    with closing(pipeline.ledger.reader()) as connection:
        while True:
            page = history.runs(connection, name, (), before, limit)
            places += [item.place for item in page.found]
            before = page.next
            if before is None:
                return places


async def test_a_scan_finds_each_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across groups, chunks, pages and interrupted scans, also where names contain each other."""
    monkeypatch.setattr(history, "_CHUNK", 3)
    names = ["a", "aa", "b/a"]
    pipeline = await recorded(
        tmp_path, [[Outcome(name, "success") for name in names * 3] for _ in range(10)]
    )
    try:
        whole = everything(pipeline, "a", 1000)
        assert len(whole) == 30
        assert everything(pipeline, "a", 4) == whole
        monkeypatch.setattr(history, "SCAN_SECONDS", -1.0)  # every scan is out of time at once
        assert everything(pipeline, "a", 1000) == whole
    finally:
        await pipeline.stop()


async def test_rare_events_are_found_without_a_scan(tmp_path: Path) -> None:
    """A control among many outcomes is marked; outcomes of collectors are not."""
    control = Control("a", "paused", True, time.time(), None, "kim", "why")
    pipeline = await recorded(tmp_path, [[Outcome("a", "success")], [control],
                                         [Outcome("a", "failure")]])  # fmt: skip
    try:
        with closing(pipeline.ledger.reader()) as connection:
            rows = connection.execute("SELECT collector, kind FROM marks").fetchall()
            assert rows == [("a", "control")]
            (place,) = marks.positions(connection, ("control",), before=2**62, limit=9)
            found = history.marked(connection, ("control",), lambda _: True, before=None, limit=9)
            assert [(item.position, item.event) for item in found.found] == [(place, control)]
    finally:
        await pipeline.stop()


async def test_marks_go_with_what_they_mark(tmp_path: Path) -> None:
    """Pruning the ledger leaves no mark that leads nowhere."""
    control = Control("a", "paused", True, time.time())
    pipeline = await recorded(tmp_path, [[control], [Outcome("a", "success")]])
    pipeline.save_snapshot()
    last = pipeline.ledger.position
    pipeline.ledger.run_in_writer(jobs.prune(time.time() + 60, 0))
    await pipeline.submit([Outcome("a", "success")])
    await pipeline.stop()
    with closing(pipeline.ledger.reader()) as connection:
        assert connection.execute("SELECT min(position) FROM events").fetchone()[0] == last + 1
        assert connection.execute("SELECT count(*) FROM marks").fetchone()[0] == 0


@pytest.mark.parametrize("text", ["", "1", "1.", "x.1", "1.2.3", "9" * 30 + ".0"])
def test_a_place_is_checked(text: str) -> None:
    """Only what a page gave as `next` leads on."""
    with pytest.raises(ProblemError, match="is not a place"):
        history.parse_place(text)
