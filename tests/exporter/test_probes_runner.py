"""When probes run: rhythm, limits, shedding and what reaches the ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from collection_health import inventory
from collection_health.events import Event, ProbeResult
from collection_health.inventory_schema import Probe
from collection_health.pipeline import Pipeline
from collection_health.probes import runner as runner_module
from collection_health.probes.runner import Budget, Job, Meter, ProbeRunner


class Upstream:
    """A server whose answer can be changed, and which notes how many requests it holds at once."""

    def __init__(self) -> None:
        self.status, self.delay, self.now, self.most, self.count = 200, 0.0, 0, 0, 0
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        """Answer as told."""
        self.now, self.count = self.now + 1, self.count + 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.delay)
        self.now -= 1
        return web.json_response([1], status=self.status)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A local server."""
    server = Upstream()
    app = web.Application()
    app.router.add_get("/", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield server
    await runner.cleanup()


@contextlib.asynccontextmanager
async def probing(
    folder: Path, text: str, **limits: object
) -> AsyncIterator[tuple[Pipeline, ProbeRunner, list[ProbeResult]]]:
    """Run the probes of an inventory; yields pipeline, runner and the results recorded."""
    pipeline = Pipeline(folder, inventory.parse(text, folder / "collectors.yml"))
    recorded: list[ProbeResult] = []

    def note(event: Event) -> None:
        if isinstance(event, ProbeResult):
            recorded.append(event)

    pipeline.subscribe(note)
    await pipeline.start()
    runner = ProbeRunner(pipeline, **limits)  # type: ignore[arg-type]
    task = asyncio.create_task(runner.run())
    try:
        yield pipeline, runner, recorded
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await pipeline.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 conditions of many kinds
            await asyncio.sleep(0.02)


def one(url: str, kind: str = "connectivity", count: int = 1) -> str:
    """Return an inventory with `count` collectors, each with a probe a second."""
    lines = (
        f"- {{name: c{n}, probes: [{{type: {kind}, url: '{url}', every: 1s, timeout: 1m}}]}}"
        for n in range(count)
    )
    return "collectors:\n" + "\n".join(lines)


def verdicts(recorded: list[ProbeResult]) -> list[tuple[bool, str | None]]:
    """Successes and reasons, without what was recorded because a busy machine changed its pace."""
    return [(result.success, result.reason) for result in recorded[:1]] + [
        (result.success, result.reason)
        for before, result in pairwise(recorded)
        if result.success != before.success
        or abs(result.duration_seconds - before.duration_seconds) <= 0.25
    ]


async def test_only_changes_are_recorded(tmp_path: Path, upstream: Upstream) -> None:
    """Runs of an unchanged probe leave one event; a failure is recorded at once, with reason."""
    async with probing(tmp_path, one(upstream.url)) as (pipeline, _, recorded):
        await until(lambda: upstream.count >= 3)
        assert verdicts(recorded) == [(True, None)]
        upstream.status = 503
        await until(lambda: len(verdicts(recorded)) == 2)
        assert verdicts(recorded)[1] == (False, "upstream")
        assert not pipeline.collectors["c0"].probes["connectivity"].success
        pipeline.refresh()
        text = pipeline.exposition.render(False).decode()
        assert 'collection_probe_success{collector="c0",probe="connectivity"} 0' in text
        upstream.status = 200
        await until(lambda: len(verdicts(recorded)) == 3)
        assert verdicts(recorded)[2] == (True, None)


async def test_dependencies_are_probed(tmp_path: Path, upstream: Upstream) -> None:
    """A dependency's probe becomes a series of its own."""
    text = (
        "dependencies:\n  api: {probes: [{type: parsing, name: list, "
        f"url: '{upstream.url}', every: 1s, timeout: 1m}}]}}"
    )
    async with probing(tmp_path, text) as (pipeline, _, recorded):
        await until(lambda: bool(recorded))
        assert (recorded[0].target_kind, recorded[0].target) == ("dependency", "api")
        sample = "collection_dependency_probe_success"
        labels = {"dependency": "api", "probe": "list"}
        assert pipeline.registry.get_sample_value(sample, labels) == 1


async def test_few_run_at_once(tmp_path: Path, upstream: Upstream) -> None:
    """However many probes are due, no more than allowed are under way."""
    upstream.delay = 0.05
    async with probing(tmp_path, one(upstream.url, count=40), concurrency=3, max_cpu_share=1.0) as (
        *_,
        recorded,
    ):
        await until(lambda: len(recorded) >= 40)
    assert upstream.most <= 3


async def test_pressure_stops_probes(tmp_path: Path, upstream: Upstream) -> None:
    """Under pressure due probes are left out and counted; afterwards they go on."""
    left_out = 0
    pressed = True

    def sheds(work: str, amount: int) -> bool:
        nonlocal left_out
        assert work == "probes"
        left_out += amount if pressed else 0
        return pressed

    async with probing(tmp_path, one(upstream.url), sheds=sheds) as (*_, recorded):
        await until(lambda: left_out >= 2)
        assert upstream.count == 0
        pressed = False
        await until(lambda: bool(recorded))


async def test_a_new_inventory_replaces_the_probes(tmp_path: Path, upstream: Upstream) -> None:
    """After a reload removed probes stop and new ones run; a broken probe harms no other."""
    async with probing(tmp_path, one(upstream.url)) as (pipeline, runner, recorded):
        await until(lambda: bool(recorded))
        text = one(upstream.url).replace("c0", "c9") + (
            "\n- {name: c8, probes: [{type: connectivity, url_file: gone, every: 1s}]}"
        )
        await pipeline.reload(inventory.parse(text, tmp_path / "collectors.yml"))
        await until(lambda: {"c8", "c9"} <= {result.target for result in recorded})
        assert {job.target for job in runner._jobs} == {"c8", "c9"}
        broken = next(result for result in recorded if result.target == "c8")
        assert broken.reason == "config"
        await pipeline.reload(inventory.parse("collectors: [{name: c9}]"))
        pipeline.refresh()
        assert "collection_probe_success{" not in pipeline.exposition.render(False).decode()


async def test_probes_run_on_demand(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person can have a collector's probes run now and sees the results."""
    # The first run by itself comes as late as it may, not at random while we ask.
    monkeypatch.setattr(runner_module.random, "uniform", lambda _, latest: latest)
    async with probing(tmp_path, one(upstream.url).replace("1s", "1h")) as (_, runner, recorded):
        await until(lambda: bool(runner._jobs))
        (result,) = await runner.run_now("collector", "c0")
        assert result.success
        assert recorded == [result]
        assert await runner.run_now("collector", "unknown") == []


def test_cpu_time_delays_the_next_probes() -> None:
    """At a tenth of a core a probe that cost 0.1 s buys a second of rest, less a small burst."""
    budget = Budget(0.1)
    assert budget.wait(100.0) == 0
    budget.spend(0.1, 100.0)
    assert budget.wait(100.0) == pytest.approx(1.0 - runner_module.CPU_BURST)
    assert budget.wait(101.0) == 0
    for _ in range(10):
        budget.spend(0.1, 200.0)
    assert budget.wait(200.0) == pytest.approx(10.0 - runner_module.CPU_BURST)


async def test_the_share_of_a_core_holds(tmp_path: Path, upstream: Upstream) -> None:
    """Fifty probes due at once wait for each other when their share of a core is tiny."""
    text = one(upstream.url, "parsing", count=50)
    async with probing(tmp_path, text, concurrency=5, max_cpu_share=0.001) as (_, runner, recorded):
        await until(lambda: bool(recorded))
        await asyncio.sleep(2)
        assert upstream.count < 25, "without the budget all fifty have run by now"
        assert runner._budget.wait(0.0) > 0


async def test_the_meter_counts_steps_and_passes_everything_on() -> None:
    """CPU time of a coroutine is counted, waiting is not; results and cancellation pass through."""

    async def work() -> str:
        await asyncio.sleep(0.05)
        sum(range(2_000_000))
        await asyncio.sleep(0)
        return "done"

    meter = Meter(work())
    assert await meter == "done"
    assert meter.cpu_seconds > 0.005
    waiting = Meter(asyncio.sleep(0.2, "slept"))
    assert await waiting == "slept"
    assert waiting.cpu_seconds < meter.cpu_seconds

    async def cancelled() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await Meter(cancelled())


def test_what_is_worth_recording() -> None:
    """Changes of result, reason, expiry or speed, and a heartbeat; nothing else."""

    def result(**changes: object) -> ProbeResult:
        values = {"success": True, "at": 1000.0, "duration_seconds": 0.1, **changes}
        return ProbeResult("collector", "c", "p", **values)  # type: ignore[arg-type]

    job = Job("collector", "c", "p", Probe(type="connectivity"), 0.0)
    assert job.worth_recording(result())
    job.last = result()
    assert not job.worth_recording(result(at=1010.0, message="other words", duration_seconds=0.3))
    for changes in (
        {"success": False},
        {"reason": "auth"},
        {"expires_at": 5.0},
        {"duration_seconds": 0.9},
        {"at": 1000.0 + runner_module.HEARTBEAT},
        {"at": 900.0},
    ):
        assert job.worth_recording(result(**changes)), changes
