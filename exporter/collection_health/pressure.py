"""Under pressure the exporter sheds optional work: probes, streams, pages; never ingest or scrapes.

Pressure is the process's own: its share of one core, how late its event loop runs, and its memory
against the limit it lives under. `pipeline.shedding` turns on when one of them is high and off
when all of them are low again; the gap between the two keeps it from flapping.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web
from msgspec import Struct
from prometheus_client import Counter

from collection_health.pipeline import Pipeline
from collection_health.server import ARGS, PIPELINE

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WORK = ("probes", "streams", "pages")
INTERVAL = 1.0
SMOOTHING = 0.3
"""Weight of the newest second in the moving averages: a burst of a second or two sheds nothing."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Mark(Struct, frozen=True):
    """Pressure begins at `high` and ends below `low`."""

    high: float
    low: float


CPU = Mark(0.90, 0.70)
"""Share of one core: the exporter computes on one, so near 1 every request waits."""
LAG = Mark(0.25, 0.05)
"""Seconds the event loop runs late."""
MEMORY = Mark(0.90, 0.80)
"""Resident memory as a share of the limit."""


class Pressure:
    """Watches the process and sets `pipeline.shedding`."""

    def __init__(self, pipeline: Pipeline, max_memory: int = 0, interval: float = INTERVAL) -> None:
        """`max_memory` is in bytes; 0 means the limit of the control group, if there is one."""
        self._pipeline = pipeline
        self._interval = interval
        self._max_memory = max_memory or memory_limit()
        self.cpu_share = self.lag_seconds = self.memory_share = 0.0
        self._shed = Counter(
            "collection_health_shed",
            "Optional work put off under pressure.",
            ["work"],
            registry=pipeline.registry,
        )
        for work in WORK:
            self._shed.labels(work)

    def sheds(self, work: str, amount: int = 1) -> bool:
        """Return whether optional `work` must wait, and count it if so."""
        if not self._pipeline.shedding:
            return False
        self._shed.labels(work).inc(amount)
        return True

    async def run(self) -> None:
        """Watch until cancelled."""
        cpu, wall = time.process_time(), time.monotonic()
        while True:
            await asyncio.sleep(self._interval)
            cpu_now, wall_now = time.process_time(), time.monotonic()
            elapsed = wall_now - wall
            self.observe((cpu_now - cpu) / elapsed, elapsed - self._interval, resident_bytes())
            cpu, wall = cpu_now, wall_now

    def observe(self, cpu_share: float, lag_seconds: float, resident: int) -> None:
        """Take one sample into account."""
        self.cpu_share += SMOOTHING * (cpu_share - self.cpu_share)
        self.lag_seconds += SMOOTHING * (max(lag_seconds, 0.0) - self.lag_seconds)
        self.memory_share = resident / self._max_memory if self._max_memory else 0.0
        levels = (
            (self.cpu_share, CPU, "CPU share {:.0%}"),
            (self.lag_seconds, LAG, "event loop {:.2f} s late"),
            (self.memory_share, MEMORY, "memory {:.0%} of the limit"),
        )
        high = [text.format(level) for level, mark, text in levels if level >= mark.high]
        calm = all(level < mark.low for level, mark, _ in levels)
        if high and not self._pipeline.shedding:
            self._pipeline.shedding = True
            log.warning("probes, streams and pages pause: %s", ", ".join(high))
        elif calm and self._pipeline.shedding:
            self._pipeline.shedding = False
            log.warning("probes, streams and pages resume")


PRESSURE = web.AppKey("pressure", Pressure)


def sheds(app: web.Application, work: str, amount: int = 1) -> bool:
    """Return whether optional `work` must wait, and count it if so; False if nobody watches."""
    return PRESSURE in app and app[PRESSURE].sheds(work, amount)


def optional(work: str) -> Callable[[Handler], Handler]:
    """Decorate a handler of a page or stream: 503 with `Retry-After` under pressure."""

    def decorate(handler: Handler) -> Handler:
        async def shedding(request: web.Request) -> web.StreamResponse:
            if sheds(request.app, work):
                return web.Response(
                    status=503, text="busy: try again soon\n", headers={"Retry-After": "10"}
                )
            return await handler(request)

        return shedding

    return decorate


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes (0 where the system does not say)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def memory_limit(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the lowest memory limit of the control groups this process is in, 0 without one."""
    limits = []
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = root / controllers
            group = top / path.lstrip("/")
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            while group.is_relative_to(top):
                with contextlib.suppress(OSError, ValueError):
                    limits.append(int((group / name).read_text()))
                if group == top:
                    break
                group = group.parent
    return min((limit for limit in limits if limit < 1 << 60), default=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flag of this plug-in to the parser of `serve`."""
    parser.add_argument(
        "--pressure.max-memory",
        dest="pressure_max_memory",
        type=int,
        default=0,
        metavar="BYTES",
        help="memory this process should stay under (default: the limit of its control group)",
    )


def setup(app: web.Application) -> None:
    """Watch while the application runs."""
    pressure = Pressure(app[PIPELINE], app[ARGS].pressure_max_memory)
    app[PRESSURE] = pressure

    async def background(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(pressure.run(), name="pressure")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app.cleanup_ctx.append(background)
