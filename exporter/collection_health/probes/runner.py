"""When probes run: spread by jitter, few at once, within a share of one core."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from collection_health.events import ProbeResult
from collection_health.inventory import Inventory
from collection_health.inventory_schema import Probe
from collection_health.ledger import Overloaded, StorageUnavailable
from collection_health.pipeline import Pipeline
from collection_health.probes.checks import Checker, Finding, open_session
from collection_health.probes.judge import Judge

log = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT = 900.0
"""An unchanged result is recorded this often, in seconds; changes are recorded at once."""

JITTER = 0.1
FIRST_SPREAD = 30.0
"""After a start or reload first runs are spread over this many seconds at most."""

OVERHEAD = 1.8
"""CPU time of a probe in this process per CPU time of its own steps.

Its connection's callbacks run outside its task. Measured with 500 HTTP probes on uvloop: 1.7.
"""

CPU_BURST = 0.25
"""Seconds of waiting the CPU share may be owed before the next probe is delayed."""


class Budget:
    """Keeps the CPU time of probes under a share of one core by delaying the next ones."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._paid_at = 0.0

    def spend(self, cpu_seconds: float, now: float) -> None:
        """Note that probes used `cpu_seconds`."""
        self._paid_at = max(self._paid_at, now) + cpu_seconds / self._share

    def wait(self, now: float) -> float:
        """Return how many seconds the next probe has to wait."""
        return max(0.0, self._paid_at - CPU_BURST - now)


class Job(Struct, eq=False):
    """One probe of one target and when it runs next (monotonic seconds)."""

    kind: Literal["collector", "dependency"]
    target: str
    name: str
    probe: Probe
    due: float
    running: bool = False
    last: ProbeResult | None = None

    def result(self, finding: Finding, at: float, took: float) -> ProbeResult:
        """Return the event for a finding."""
        return ProbeResult(
            self.kind, self.target, self.name, finding.success, at, took,
            finding.message, finding.reason, finding.expires_at,  # type: ignore[arg-type]
        )  # fmt: skip

    def worth_recording(self, result: ProbeResult) -> bool:
        """Return whether `result` tells something new, or the heartbeat is due."""
        last = self.last
        if last is None or result.at - last.at >= HEARTBEAT or result.at < last.at:
            return True
        if (result.success, result.reason, result.expires_at) != (
            last.success, last.reason, last.expires_at,
        ):  # fmt: skip
            return True
        longer, shorter = sorted((result.duration_seconds, last.duration_seconds), reverse=True)
        return longer > 2 * shorter and longer - shorter > 0.25


class ProbeRunner:
    """Runs the probes of the current inventory until stopped."""

    def __init__(
        self,
        pipeline: Pipeline,
        concurrency: int = 10,
        max_cpu_share: float = 0.1,
        sheds: Callable[[str, int], bool] = lambda *_: False,
    ) -> None:
        """At most `concurrency` probes at once, using at most `max_cpu_share` of one core.

        `sheds("probes", n)` says whether n due probes must be left out under pressure.
        """
        self._sheds = sheds
        self._pipeline = pipeline
        self._concurrency = concurrency
        self._budget = Budget(max_cpu_share)
        self._inventory: Inventory | None = None
        self._jobs: list[Job] = []
        self._tasks: set[asyncio.Task[ProbeResult]] = set()
        self._judge = Judge()
        self._charged = 0.0

    async def run(self) -> None:
        """Run probes when they are due, until cancelled."""
        async with open_session(self._concurrency) as session:
            self._session = session
            try:
                while True:
                    self._follow_inventory()
                    await asyncio.sleep(self._start_due())
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._judge.close()

    async def run_now(self, kind: str, target: str) -> list[ProbeResult]:
        """Run all probes of a collector or dependency now and return their results."""
        self._follow_inventory()
        jobs = [job for job in self._jobs if (job.kind, job.target) == (kind, target)]
        return list(await asyncio.gather(*(self._execute(job) for job in jobs)))

    def _follow_inventory(self) -> None:
        """Take over a new inventory; unchanged probes keep their rhythm."""
        inventory = self._pipeline.inventory
        if inventory is self._inventory:
            return
        folder = inventory.path.parent if inventory.path is not None else Path()
        self._checker = Checker(folder, self._session, self._judge)
        self._inventory = inventory
        old = {(job.kind, job.target, job.name): job for job in self._jobs}
        now = time.monotonic()
        self._jobs = []
        for kind, target, probe in _probes(inventory):
            name = probe.name or probe.type
            job = old.get((kind, target, name))
            if job is None or job.probe != probe:
                spread = min(float(probe.every), FIRST_SPREAD)
                job = Job(kind, target, name, probe, now + random.uniform(0, spread))  # noqa: S311
            self._jobs.append(job)

    def _start_due(self) -> float:
        """Start what is due, as far as limits allow; returns seconds until the next look."""
        now = time.monotonic()
        due = sorted((job for job in self._jobs if job.due <= now and not job.running), key=_due)
        if due and self._sheds("probes", len(due)):
            for job in due:
                job.due = now + _jittered(float(job.probe.every))
            return 1.0
        free = self._concurrency - len(self._tasks)
        owed = self._budget.wait(now)
        if due and (owed or free <= 0):
            return min(max(owed, 0.05), 1.0)
        for job in due[:free]:
            job.running = True
            task = asyncio.create_task(self._execute(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waiting = [job.due for job in self._jobs if not job.running]
        return min(max(min(waiting, default=now + 1.0) - now, 0.05), 1.0)

    async def _execute(self, job: Job) -> ProbeResult:
        job.running = True
        began = time.monotonic()
        meter = Meter(self._checker.check(job.probe))
        try:
            finding = await meter
        finally:
            now = time.monotonic()
            judged, self._charged = self._judge.cpu_seconds - self._charged, self._judge.cpu_seconds
            self._budget.spend(OVERHEAD * meter.cpu_seconds + judged, now)
            job.running = False
            job.due = now + _jittered(float(job.probe.every))
        result = job.result(finding, self._pipeline.clock(), now - began)
        if job.worth_recording(result):
            await self._record(job, result)
        return result

    async def _record(self, job: Job, result: ProbeResult) -> None:
        try:
            (refused,) = await self._pipeline.submit([result], "probe")
        except (Overloaded, StorageUnavailable) as error:
            log.warning("probe %s of %s is not recorded: %s", job.name, job.target, error)
            return
        if refused:
            log.error("probe %s of %s is not recorded: %s", job.name, job.target, refused)
            return
        job.last = result


class Meter(Generic[T]):
    """Awaits a coroutine and adds up the CPU time its steps take on the event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.cpu_seconds = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        step, value = self._coroutine.send, None
        while True:
            began = time.thread_time()
            try:
                waiting = step(value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                self.cpu_seconds += time.thread_time() - began
            try:
                value = yield waiting
                step = self._coroutine.send
            except BaseException as error:  # noqa: BLE001 cancellation has to reach the coroutine
                value, step = error, self._coroutine.throw


def _probes(inventory: Inventory) -> list[tuple[Literal["collector", "dependency"], str, Probe]]:
    found: list[tuple[Literal["collector", "dependency"], str, Probe]] = []
    for name, collector in inventory.registered.items():
        found += (("collector", name, probe) for probe in collector.probes)
    for name, dependency in inventory.dependencies.items():
        found += (("dependency", name, probe) for probe in dependency.probes)
    return found


def _due(job: Job) -> float:
    return job.due


def _jittered(every: float) -> float:
    return every * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
