"""Under pressure optional work stops; it resumes when the pressure is gone."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from collection_health import pressure
from collection_health.pipeline import Pipeline
from collection_health.pressure import CPU, LAG, MEMORY, Pressure


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A started pipeline."""
    started = Pipeline(tmp_path)
    await started.start()
    yield started
    await started.stop()


def shedding(pipeline: Pipeline) -> float | None:
    """Return the gauge as Prometheus sees it."""
    return pipeline.registry.get_sample_value("collection_health_shedding")


@contextlib.asynccontextmanager
async def watching(watch: Pressure) -> AsyncIterator[None]:
    """Let `watch` run."""
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_late_event_loop_sheds_and_recovers(pipeline: Pipeline) -> None:
    """When requests wait for the event loop, optional work stops until it is quick again."""
    assert shedding(pipeline) == 0
    async with watching(Pressure(pipeline, interval=0.05)), asyncio.timeout(60):
        while not pipeline.shedding:
            time.sleep(0.5)  # noqa: ASYNC251 the very thing to be noticed
            await asyncio.sleep(0.06)
        assert shedding(pipeline) == 1
        while pipeline.shedding:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert shedding(pipeline) == 0


async def test_memory_near_its_limit_sheds(pipeline: Pipeline) -> None:
    """The process's real memory counts against the limit given."""
    resident = pressure.resident_bytes()
    assert resident > 10_000_000
    async with watching(Pressure(pipeline, max_memory=int(resident * 1.05), interval=0.02)):
        async with asyncio.timeout(60):
            while not pipeline.shedding:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_marks_do_not_flap(pipeline: Pipeline) -> None:
    """Between the two marks the state stays what it was, in both directions."""
    for level, mark in ((0, CPU), (1, LAG), (2, MEMORY)):
        watch = Pressure.__new__(Pressure)
        watch._pipeline, watch._max_memory = pipeline, 1_000_000
        watch.cpu_share = watch.lag_seconds = watch.memory_share = 0.0
        between, sample = (mark.high + mark.low) / 2, [0.0, 0.0, 0.0]

        def settle(value: float, level: int = level, watch: Pressure = watch) -> bool:
            sample = [0.0, 0.0, 0.0]
            sample[level] = value
            for _ in range(40):
                watch.observe(sample[0], sample[1], int(sample[2] * 1_000_000))
            return pipeline.shedding

        assert not settle(between)
        assert settle(mark.high * 1.1)
        assert settle(between)
        assert not settle(mark.low * 0.5)
        assert sample == [0.0, 0.0, 0.0]


async def test_one_busy_second_sheds_nothing(pipeline: Pipeline) -> None:
    """A burst of computing, such as rendering a large scrape, is not pressure."""
    watch = Pressure(pipeline)
    watch.observe(1.0, 0.3, 0)
    watch.observe(1.0, 0.1, 0)
    assert not pipeline.shedding


async def test_shed_work_is_counted_and_answered(pipeline: Pipeline) -> None:
    """Pages answer 503 with Retry-After while shedding; what was shed is counted by kind."""
    app = web.Application()
    app[pressure.PRESSURE] = Pressure(pipeline)

    @pressure.optional("pages")
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="page")

    app.router.add_get("/", page)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/")).status == 200
        pipeline.shedding = True
        answer = await client.get("/")
        assert answer.status == 503
        assert "Retry-After" in answer.headers

    def shed(work: str) -> float | None:
        return pipeline.registry.get_sample_value("collection_health_shed_total", {"work": work})

    assert (shed("pages"), shed("probes"), shed("streams")) == (1, 0, 0)


def test_the_lowest_control_group_limit_counts(tmp_path: Path) -> None:
    """Limits of version 1 and 2 control groups are found, `max` and absence mean none."""
    group = tmp_path / "system.slice" / "exporter.service"
    group.mkdir(parents=True)
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/exporter.service\n")
    assert pressure.memory_limit(tmp_path, own) == 0
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("500000000\n")
    (tmp_path / "memory.max").write_text("900000000\n")
    assert pressure.memory_limit(tmp_path, own) == 500_000_000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    own.write_text("4:memory:/\n")
    assert pressure.memory_limit(tmp_path, own) == 0
    assert pressure.memory_limit(tmp_path, tmp_path / "gone") == 0
