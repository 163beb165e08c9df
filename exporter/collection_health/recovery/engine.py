"""The engine: takes requests, drives each open recovery move by move, records every one.

One task a recovery; `ladder.decide` says what happens next. A move is durable before it takes
effect, so after a crash the record tells what was done and what may have been done.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from collection_health.events import (
    BreakGlass,
    Control,
    Event,
    Outcome,
)
from collection_health.pipeline import Overloaded, Pipeline, StorageUnavailable
from collection_health.recovery import ladder, targets
from collection_health.recovery.actions import Actions, Finished, Subject
from collection_health.recovery.guard import Guard
from collection_health.recovery.ladder import Change, Situation, Start, Wait
from collection_health.recovery.records import AUTOMATION, event_of, recorded
from collection_health.recovery.requests import Request, judge
from collection_health.recovery.targets import Key, Target
from collection_health.state import RECOVERY_OVER, ControlState, RecoveryRecord, RecoveryState

log = logging.getLogger(__name__)

CIRCUIT_SECONDS = 2.0  # how late a circuit breaker may be seen to have closed
LOOK_SECONDS = 30.0  # longest sleep: the inventory or the clock may have changed
RETRY_SECONDS = 1.0  # while the ledger cannot be written


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: the recovery's id, or why there is none."""

    id: str | None
    said: str


class RefusedError(Exception):
    """An approval or a cancellation that does not fit the recovery's phase."""


class Engine:
    """All recoveries of one exporter."""

    def __init__(
        self,
        pipeline: Pipeline,
        guard: Guard,
        *,
        concurrency: int = 4,
        approval_seconds: float = 3600.0,
    ) -> None:
        self._pipeline, self._guard = pipeline, guard
        self._approval_seconds = approval_seconds
        self._actions = Actions()
        self._slots = asyncio.Semaphore(concurrency)
        self._lock = asyncio.Lock()  # between judging a request and folding what it led to
        self._drivers: dict[Key, asyncio.Task[None]] = {}
        self._wakes: dict[Key, asyncio.Event] = {}
        self._watched: dict[str, set[Key]] = {}  # collector -> targets its outcomes matter to
        self._running: dict[Key, asyncio.Task[Finished]] = {}

    async def run(self) -> None:
        """Continue what a restart interrupted and serve until cancelled."""
        unsubscribe = self._pipeline.subscribe(self._seen)
        try:
            for key, _ in self._recoveries():
                self._drive(key)
            while True:
                await asyncio.sleep(CIRCUIT_SECONDS)
                await self._close_circuits()
        finally:
            unsubscribe()
            drivers = list(self._drivers.values())
            for task in drivers:
                task.cancel()
            await asyncio.gather(*drivers, return_exceptions=True)
            await self._actions.close()

    # --- requests ---------------------------------------------------------------------------

    async def request(self, requests: Sequence[Request]) -> list[Answer]:
        """Judge requests and durably queue what may run; one answer each.

        Raises `Overloaded` or `StorageUnavailable`: then nothing was queued.
        """
        answers: list[Answer] = []
        events: list[Event] = []
        queued: list[Key] = []
        async with self._lock:
            now = self._pipeline.clock()
            for request in requests:
                if request.key in queued:
                    answers.append(Answer(None, "already asked for in the same request"))
                    continue
                target = targets.find(self._pipeline, request.key)
                verdict = judge(request, target, now, self.forced, self.stopped)
                if verdict.phase is None or target is None:
                    log.info(
                        "no recovery of %s, asked by %s: %s",
                        request.key[1],
                        request.actor,
                        verdict.said,
                    )
                    answers.append(Answer(None, verdict.said))
                    continue
                event = recorded(request, target, verdict, now)
                events.append(event)
                queued.append(request.key)
                accepted = verdict.phase == "queued"
                answers.append(Answer(event.id if accepted else None, verdict.said))
            if events:
                await self._pipeline.submit(events, "recovery")
        for key in queued:
            self._drive(key)
        return answers

    async def approve(self, identity: str, actor: str) -> Target:
        """A person allows a proposed recovery. Raises `KeyError` or `RefusedError`."""
        async with self._lock:
            key, target, record = self._find(identity)
            if record.phase != "proposed":
                raise RefusedError(f"it is {record.phase}; only a proposed recovery is approved")
            await self._submit(key, record, Change("approved", ""), actor=actor)
        self._drive(key)
        return targets.find(self._pipeline, key) or target

    async def cancel(self, identity: str, actor: str, reason: str) -> Target:
        """A person ends a recovery; a running step is ended too. Raises as `approve` does."""
        async with self._lock:
            key, target, record = self._find(identity)
            if record.phase in RECOVERY_OVER:
                raise RefusedError(f"it is {record.phase} already")
            await self._stop_driver(key)
            if record.tries and record.tries[-1].ended is None:
                ended = Change("finished", "cancelled while it ran", "unknown")
                await self._submit(key, record, ended, actor=actor)
            await self._submit(key, record, Change("cancelled", reason), actor=actor)
        return targets.find(self._pipeline, key) or target

    async def break_glass(self, event: BreakGlass) -> None:
        """Stop or force everything; no step starts between this and its return."""
        async with self._lock:
            await self._pipeline.submit([event], "recovery")

    @property
    def stopped(self) -> str:
        """Why break-glass forbids everything now, or ""."""
        state = self._break_glass("stop")
        if state is None:
            return ""
        return f"break-glass: {state.actor or 'somebody'} stopped all recovery: {state.reason}"

    @property
    def forced(self) -> bool:
        """Whether break-glass lifts modes, breakers and the fleet guard now."""
        return self._break_glass("force") is not None

    def _break_glass(self, mode: str) -> ControlState | None:
        state = self._pipeline.fleet.break_glass.get(mode)
        if state is None or (state.until is not None and state.until <= self._pipeline.clock()):
            return None
        return state

    # --- driving ------------------------------------------------------------------------------

    def _recoveries(self) -> Iterator[tuple[Key, RecoveryState]]:
        for name, collector in self._pipeline.collectors.items():
            if collector.recoveries is not None:
                yield ("collector", name), collector.recoveries
        for name, state in self._pipeline.fleet.recoveries.items():
            yield ("dependency", name), state

    def _drive(self, key: Key) -> None:
        """Make sure that somebody drives the target's recovery, and looks at it now."""
        wake = self._wakes.get(key)
        if wake is not None:
            wake.set()
            return
        target = targets.find(self._pipeline, key)
        if target is None or target.state.current is None:
            return
        if target.state.current.phase in RECOVERY_OVER:
            return
        self._wakes[key] = asyncio.Event()
        for collector in self._dependents(key):
            self._watched.setdefault(collector, set()).add(key)
        self._drivers[key] = asyncio.create_task(self._driver(key), name=f"recovery {key[1]}")

    def _dependents(self, key: Key) -> list[str]:
        kind, name = key
        if kind == "collector":
            return [name]
        registered = self._pipeline.inventory.registered
        return [other for other, config in registered.items() if name in config.depends_on]

    async def _driver(self, key: Key) -> None:
        wake = self._wakes[key]
        try:
            while (move := self._decide(key)) is not None:
                wake.clear()
                try:
                    await self._make(key, move, wake)
                except (StorageUnavailable, Overloaded) as error:
                    log.warning("recovery of %s waits for the ledger: %s", key[1], error)
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:  # a defect must neither disturb the others nor end this one
                    log.exception("the recovery of %s failed and is taken up again", key[1])
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        self._wakes.pop(key, None)
        self._drivers.pop(key, None)
        for collector, keys in list(self._watched.items()):
            keys.discard(key)
            if not keys:
                del self._watched[collector]

    async def _stop_driver(self, key: Key) -> None:
        task = self._drivers.get(key)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _situation(self, target: Target) -> Situation:
        return Situation(
            self._pipeline.clock(), target.policy, target.reason, target.over, target.quiet,
            self.stopped, self.forced, self._approval_seconds,
        )  # fmt: skip

    def _decide(self, key: Key) -> ladder.Move | None:
        target = targets.find(self._pipeline, key)
        return None if target is None else ladder.decide(target.state, self._situation(target))

    async def _make(self, key: Key, move: ladder.Move, wake: asyncio.Event) -> None:
        if isinstance(move, Start):
            await self._attempt(key, move, wake)
        elif isinstance(move, Change):
            await self._change(key)
        else:
            await self._sleep(move, wake)

    async def _sleep(self, wait: Wait, wake: asyncio.Event) -> None:
        seconds = min(max(wait.until - self._pipeline.clock(), 0.01), LOOK_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), seconds)

    async def _change(self, key: Key) -> None:
        """Record the phase that is due now, if no request has changed that meanwhile."""
        async with self._lock:
            change = self._decide(key)
            if not isinstance(change, Change):
                return
            record, target = self._current(key)
            now = self._pipeline.clock()
            events: list[Event] = [event_of(key, record, change, now)]
            opened = ladder.opened_breaker(target.state, target.policy, change, now)
            if opened is not None:
                events.append(event_of(key, record, opened, now))
            await self._pipeline.submit(events, "recovery")
        log.info("recovery of %s: %s: %s", key[1], change.phase, change.output)

    async def _close_circuits(self) -> None:
        """Record which breakers' time is over: an end that nobody else would notice."""
        now = self._pipeline.clock()
        closed = Change("circuit_closed", "")
        events: list[Event] = [
            event_of(key, state.current, closed, now)
            for key, state in self._recoveries()
            if state.current is not None and 0 < state.circuit_open_until <= now
        ]
        if events:
            with contextlib.suppress(StorageUnavailable, Overloaded):  # the next look will do
                await self._pipeline.submit(events, "recovery")

    # --- one attempt ----------------------------------------------------------------------------

    async def _attempt(self, key: Key, start: Start, wake: asyncio.Event) -> None:
        refusal = await self._refusal(key)
        if refusal:
            await self._hold(key, refusal, wake)
            return
        async with self._slots:
            # While it waited for its turn something may have changed.
            if await self._refusal(key):
                return
            async with self._lock:
                record, _ = self._current(key)
                if self._decide(key) != start:
                    return
                await self._submit(key, record, Change("started", ""), start=start)
            finished = await self._perform(key, start)
        await self._record_end(key, start, finished)

    async def _refusal(self, key: Key) -> str:
        """Why the state of the fleet forbids an attempt, or ""."""
        record, target = self._current(key)
        guarded = ladder.needs_guard(record, self._situation(target))
        return await self._guard.refusal() if guarded else ""

    async def _hold(self, key: Key, refusal: str, wake: asyncio.Event) -> None:
        async with self._lock:
            record, _ = self._current(key)
            if not isinstance(self._decide(key), Start):
                return
            if record.phase != "held" or record.output != refusal:
                await self._submit(key, record, Change("held", refusal))
        await self._sleep(Wait(self._pipeline.clock() + ladder.HELD_SECONDS), wake)

    async def _perform(self, key: Key, start: Start) -> Change:
        record, target = self._current(key)
        log.info("recovery of %s: %s, attempt %d", key[1], start.action, start.attempt)
        inventory = self._pipeline.inventory
        action = inventory.actions.get(start.action)
        if action is None:
            said = f"action {start.action!r} is not in the inventory any more"
            return Change("finished", said, "failed")
        folder = inventory.path.parent if inventory.path is not None else Path()
        subject = Subject(
            record.id, key[1], key[0], target.reason, record.incident, start.step, start.attempt
        )
        task = asyncio.create_task(self._actions.run(action, folder, subject))
        self._running[key] = task
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            del self._running[key]
        if task.cancelled():
            return Change("finished", "interrupted: all recovery was stopped", "unknown")
        finished = task.result()
        return Change("finished", finished.output, finished.result)

    async def _record_end(self, key: Key, start: Start, end: Change) -> None:
        """Record how the attempt ended, however long the ledger takes."""
        while True:
            record, _ = self._current(key)
            try:
                await self._submit(key, record, end, start=start)
            except (StorageUnavailable, Overloaded) as error:
                log.warning("the end of a step of %s is not recorded yet: %s", key[1], error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    # --- records ------------------------------------------------------------------------------

    def _current(self, key: Key) -> tuple[RecoveryRecord, Target]:
        target = targets.find(self._pipeline, key)
        if target is None or target.state.current is None:
            raise LookupError(f"{key[1]} has no recovery")
        return target.state.current, target

    def _find(self, identity: str) -> tuple[Key, Target, RecoveryRecord]:
        for key, state in self._recoveries():
            target = targets.find(self._pipeline, key)
            if target is not None and state.current is not None and state.current.id == identity:
                return key, target, state.current
        raise KeyError(identity)

    async def _submit(
        self,
        key: Key,
        record: RecoveryRecord,
        change: Change,
        *,
        actor: str = AUTOMATION,
        start: Start | None = None,
    ) -> None:
        event = event_of(key, record, change, self._pipeline.clock(), actor=actor, start=start)
        await self._pipeline.submit([event], "recovery")

    def _seen(self, event: Event) -> None:
        """An event was folded: wake those it may concern. Called for every outcome."""
        if isinstance(event, Outcome | Control):
            for key in self._watched.get(event.collector, ()):
                self._wakes[key].set()
        elif isinstance(event, BreakGlass):
            for wake in self._wakes.values():
                wake.set()
            if event.mode == "stop" and event.active:
                for task in self._running.values():
                    task.cancel()
