"""What the exporter does by the clock: missed runs, snapshots, pruning, forgetting."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from collection_health import jobs
from collection_health.events import Event, Forgotten
from collection_health.ledger import Overloaded, StorageUnavailable
from collection_health.timers import due

if TYPE_CHECKING:
    from collection_health.pipeline import Pipeline

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS = 60.0
SNAPSHOT_EVENTS = 100_000
CLOCK_STEP_SECONDS = 30.0


class Upkeep:
    """Background work of a pipeline.

    ``settle`` (seconds): after a start or a clock step, what was spooled may arrive first;
    ``forget_after`` (seconds): how long a collector that nobody registered may be silent.
    """

    def __init__(self, pipeline: "Pipeline", settle: float, forget_after: float) -> None:
        self._pipeline = pipeline
        self._settle, self._forget_after = settle, forget_after
        self._settled_at = 0.0
        self._skew: float | None = None
        self._saved_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._settled_at = self._pipeline.clock() + self._settle
        self._tasks = [
            asyncio.create_task(_forever(0.5, self.tick), name="timers"),
            asyncio.create_task(_forever(1.0, self.maintain), name="snapshots"),
        ]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def tick(self) -> None:
        """Write the events that only the clock can tell (see timers.py)."""
        pipeline = self._pipeline
        now = pipeline.clock()
        skew = now - time.monotonic()
        if self._skew is not None and abs(skew - self._skew) > CLOCK_STEP_SECONDS:
            log.warning(
                "the clock moved by %.0f s; missed runs are judged after a pause",
                skew - self._skew,
            )
            self._settled_at = now + self._settle
        self._skew = skew
        if now < self._settled_at:
            return
        names = [name for name in pipeline.timers.ready(now) if name in pipeline.collectors]
        try:
            events: list[Event] = []
            for name in names:
                events.extend(due(pipeline.collectors[name], pipeline.config(name), now))
            if events:
                await pipeline.submit_own(events)
        finally:
            for name in names:
                if name in pipeline.collectors:
                    pipeline.timers.watch(pipeline.collectors[name], pipeline.config(name))

    async def maintain(self) -> None:
        """Now and then: save a snapshot, forget who left, prune what is too old."""
        pipeline = self._pipeline
        elapsed = time.monotonic() - self._saved_at
        fresh = pipeline.unsaved_events
        if fresh >= SNAPSHOT_EVENTS or (fresh and elapsed > SNAPSHOT_SECONDS):
            self._saved_at = time.monotonic()
            pipeline.save_snapshot()
            await self.forget_silent()
            oldest = pipeline.clock() - pipeline.retention
            pipeline.ledger.run_in_writer(jobs.prune(oldest, pipeline.max_bytes))

    async def forget_silent(self) -> None:
        """Collectors that only reported by themselves and stopped long ago leave the fleet."""
        pipeline = self._pipeline
        now = pipeline.clock()
        silent: list[Event] = [
            Forgotten(name, now, "exporter", "silent")
            for name, state in pipeline.collectors.items()
            if name not in pipeline.inventory.registered
            and max(state.last_run, state.last_started, state.first_seen) < now - self._forget_after
        ]
        if silent:
            await pipeline.submit_own(silent)


async def _forever(pause: float, work: Callable[[], Awaitable[None]]) -> None:
    """Repeat ``work``; a fault is told and does not end it."""
    while True:
        await asyncio.sleep(pause)
        try:
            await work()
        except (StorageUnavailable, Overloaded) as error:
            log.warning("to be repeated: %s", error)
        except Exception:  # one bad collector must not stop the clock for all others
            log.exception("background work failed")
