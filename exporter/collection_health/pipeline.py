"""The one way data flows: receive -> validate -> record -> fold -> expose.

`Pipeline` joins the parts; receivers, probes, recovery and the API talk to nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from collection_health import fold, jobs, metrics
from collection_health.events import (
    NAME_PATTERN,
    Event,
    Forgotten,
    Outcome,
    Registered,
    clean_name,
    prepare,
    valid_name,
)
from collection_health.exposition import Exposition
from collection_health.fleet import FleetMetrics
from collection_health.inventory import CollectorConfig, Inventory
from collection_health.ledger import Ledger, Overloaded, StorageUnavailable
from collection_health.repeats import Repeats, key_of
from collection_health.state import CollectorState, FleetState, encode_state
from collection_health.timers import Timers
from collection_health.timing import timing
from collection_health.upkeep import Upkeep

log = logging.getLogger(__name__)

__all__ = ["Overloaded", "Pipeline", "StorageUnavailable"]

_FLEET = ""  # the fleet's name among the saved states; no collector can have it


class Pipeline:
    """State of the exporter: inventory, ledger, folded collectors and their exposition."""

    def __init__(
        self,
        storage: Path,
        inventory: Inventory | None = None,
        *,
        clock: Callable[[], float] = time.time,
        retention: float = 400 * 86400.0,
        max_bytes: int = 0,
        max_collectors: int = 10_000,
        forget_after: float = 30 * 86400.0,
        dedup_window: int = 500_000,
        settle: float = 60.0,
    ) -> None:
        self.inventory = inventory or Inventory()
        self.clock = clock
        self.retention = retention
        self.max_bytes = max_bytes
        self.max_collectors = max_collectors
        self.collectors: dict[str, CollectorState] = {}
        self.fleet = FleetState()
        self.registry = CollectorRegistry()
        self.ledger = Ledger(storage, self.registry)
        self.exposition = Exposition()
        self.timers = Timers()
        self.shedding = False
        self.ready = False
        self._subscribers: list[Callable[[Event], None]] = []
        self._stale: set[str] = set()  # to be rendered before the next scrape
        self._unsaved: set[str] = set()  # changed since their snapshot
        self._saving: set[str] = set()  # in a snapshot not yet known to be on disk
        self.unsaved_events = 0  # since the last snapshot
        self._position = 0  # of the newest folded group
        self._dedup_window = dedup_window
        self._repeats = Repeats(dedup_window)
        self._newcomers: set[str] = set()
        self.upkeep = Upkeep(self, settle, forget_after)
        self._self_metrics()

    def _self_metrics(self) -> None:
        registry = self.registry
        self._events_total = Counter(
            "collection_health_events", "Events by protocol and what became of them.",
            ["protocol", "result"], registry=registry,
        )  # fmt: skip
        self._counted: dict[tuple[str, str], Counter] = {}  # `labels` costs more than `inc`
        self._unknown = Counter(
            "collection_health_unknown_collectors", "Collectors seen that the inventory lacks.",
            registry=registry,
        )  # fmt: skip
        self._refused = Counter(
            "collection_health_collectors_refused", "Outcomes refused by the collector cap.",
            registry=registry,
        )  # fmt: skip
        Gauge(
            "collection_health_shedding", "1 while optional work is shed.", registry=registry
        ).set_function(lambda: float(self.shedding))
        registry.register(FleetMetrics(self))

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the ledger, restore the state and start timers. Raises `LedgerError`."""
        self.ledger.open()
        await asyncio.to_thread(self._restore)
        self.ledger.start(asyncio.get_running_loop(), self._committed)
        await self._register()
        self.upkeep.start()
        self.ready = True

    async def stop(self) -> None:
        """Save a snapshot, commit what waits and release the ledger."""
        self.ready = False
        await self.upkeep.stop()
        self.save_snapshot()
        await asyncio.to_thread(self.ledger.close)

    def _restore(self) -> None:
        position, rows = self.ledger.snapshot()
        decoder = msgspec.msgpack.Decoder(CollectorState)
        for name, _, body in rows:
            if name == _FLEET:
                self.fleet = msgspec.msgpack.decode(body, type=FleetState)
            else:
                self.collectors[name] = decoder.decode(body)
        self._position = position
        for tail_position, events in self.ledger.tail(position):
            self._fold(events, tail_position)
        for events in self.ledger.newest(self._dedup_window // 2):
            self._repeats.update(events)
        self._stale.update(self.collectors)

    async def reload(self, inventory: Inventory) -> None:
        """Replace the inventory; every collector is judged and shown by the new one."""
        gone = set(self.inventory.registered) - set(inventory.registered)
        self.inventory = inventory
        for name in gone & set(self.collectors):
            state = self.collectors[name]
            if not state.runs and not state.last_started:  # never reported: nothing to keep
                del self.collectors[name]
                self.exposition.remove(name)
        self._stale.update(self.collectors)
        await self._register()

    async def _register(self) -> None:
        now = self.clock()
        new: list[Event] = [
            Registered(name, now)
            for name in self.inventory.registered
            if name not in self.collectors or not self.collectors[name].registered_at
        ]
        if new:
            try:
                await self.ledger.record(new)
            except (StorageUnavailable, Overloaded) as error:
                log.error("collectors of the inventory are not registered yet: %s", error)
        for state in self.collectors.values():
            self.timers.watch(state, self.config(state.name))

    # --- receive, validate, record ---------------------------------------------------------------

    def config(self, name: str) -> CollectorConfig:
        """What the inventory says of ``name``."""
        return self.inventory.collector(name)

    def resolve(self, protocol: str, name: str) -> str:
        """The collector behind a protocol's own name: its alias, else the name made valid."""
        return self.inventory.alias(protocol, name) or clean_name(name)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``callback`` with every event once it is folded; the result ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def submit(
        self, events: Sequence[Event | str], protocol: str = "json"
    ) -> list[str | None]:
        """Validate, record durably and fold; return per event None or what is wrong with it.

        A repeat (same idempotency key) is acknowledged and not counted again. A text in an
        event's place is a decoding error and is passed through. Raises `Overloaded` or
        `StorageUnavailable`; then nothing of the call was recorded and it may be repeated.
        """
        results: list[str | None] = [None] * len(events)
        accepted: list[Event] = []
        keys: list[int] = []
        repeated: list[int] = []
        rejected = 0
        now = self.clock()
        known, repeats = self.collectors, self._repeats
        for index, event in enumerate(events):
            if isinstance(event, str):
                results[index] = event
                rejected += 1
                continue
            if isinstance(event, Outcome):
                problem = prepare(event, now, self.retention)
                if problem is None and event.collector not in known:
                    problem = self._admit(event.collector)
                if problem is None and event.source is not None and event.source != protocol:
                    problem = "source: unknown field; it is set by the receiver"
                if problem is not None:
                    results[index] = problem
                    rejected += 1
                    continue
                event.source = protocol
                key = key_of(event)
                if key is not None:
                    if key in repeats:
                        repeated.append(key)
                        continue
                    repeats.add(key)
                    keys.append(key)
            accepted.append(event)
        try:
            if accepted or repeated:
                await self._record(accepted, keys, repeated)
        except (StorageUnavailable, Overloaded):
            self._count(protocol, "unavailable", len(events))
            raise
        self._count(protocol, "accepted", len(accepted))
        self._count(protocol, "duplicate", len(repeated))
        self._count(protocol, "rejected", rejected)
        return results

    async def _record(self, accepted: list[Event], keys: list[int], repeated: list[int]) -> None:
        try:
            await self.ledger.record(accepted)
        except (StorageUnavailable, Overloaded):
            self._repeats.forget(keys)
            self._newcomers.clear()
            raise
        for key in repeated:  # its first copy may have been in a commit that failed meanwhile
            if key not in self._repeats:
                raise StorageUnavailable("an earlier copy of the event could not be recorded")
        self._repeats.rotate()

    def _admit(self, name: str) -> str | None:
        """Whether a collector without a state may have one."""
        if not valid_name(name):
            return f"collector: {name[:200]!r} is not a name; allowed: {NAME_PATTERN}"
        if name in self._newcomers:
            return None
        if name not in self.inventory.registered:
            if len(self.collectors) + len(self._newcomers) >= self.max_collectors:
                self._refused.inc()
                return (
                    f"collector: {name!r} is unknown and the cap of {self.max_collectors} "
                    "collectors is reached; allowed: collectors of the inventory"
                )
            self._unknown.inc()
        self._newcomers.add(name)
        return None

    def _count(self, protocol: str, result: str, amount: int) -> None:
        if amount:
            counted = self._counted.get((protocol, result))
            if counted is None:
                counted = self._events_total.labels(protocol, result)
                self._counted[protocol, result] = counted
            counted.inc(amount)

    # --- fold, expose -------------------------------------------------------------------------

    def _committed(self, events: list[Event], position: int) -> None:
        self._fold(events, position)
        for callback in self._subscribers:
            for event in events:
                try:
                    callback(event)
                except Exception:  # a listener's fault must not undo what is recorded
                    log.exception("a subscriber failed on %s", type(event).__name__)

    def _fold(self, events: list[Event], position: int) -> None:
        states, stale, unsaved = self.collectors, self._stale, self._unsaved
        configs = self.inventory.configs
        for event in events:
            name = event.collector if isinstance(event, Outcome) else fold.collector_of(event)
            if name is None:
                fold.apply_fleet(self.fleet, event, position)
                unsaved.add(_FLEET)
                continue
            if isinstance(event, Forgotten):
                self._forget(name)
                continue
            state = states.get(name)
            if state is None:
                state = states[name] = CollectorState(name)
                self._newcomers.discard(name)
                fresh = True
            else:
                fresh = not state.first_seen
            config = configs.get(name) or self.config(name)
            stale.add(name)
            unsaved.add(name)
            if isinstance(event, Outcome):
                fold.apply_outcome(state, event, config, position)
                if not fresh and event.outcome != "started":
                    continue  # an end only moves the next deadline further away
            else:
                fold.apply(state, event, config, position)
            self.timers.watch(state, config)
        self.unsaved_events += len(events)
        self._position = position

    def _forget(self, name: str) -> None:
        """Drop a collector; should it report again, it starts anew."""
        if self.collectors.pop(name, None) is not None:
            self.exposition.remove(name)
            self._unsaved.add(name)

    def refresh(self) -> None:
        """Render again what changed since the last scrape."""
        now = self.clock()
        stale, self._stale = self._stale, set()
        for name in stale:
            state = self.collectors.get(name)
            if state is not None:
                self.exposition.update(state, self.config(name), now)

    def contexts(self) -> Iterator[metrics.Context]:
        """Every collector as the exposition sees it."""
        now = self.clock()
        for name, state in self.collectors.items():
            config = self.config(name)
            yield metrics.Context(state, config, timing(state, config), now)

    async def submit_own(self, events: list[Event]) -> None:
        """Record and fold events the exporter itself wrote; repeats count once."""
        new: list[Event] = []
        keys: list[int] = []
        for event in events:
            key = key_of(event)
            if key is not None:
                if key in self._repeats:
                    continue
                self._repeats.add(key)
                keys.append(key)
            new.append(event)
        if new:
            await self._record(new, keys, [])
            self._count("exporter", "accepted", len(new))

    def save_snapshot(self) -> None:
        """Hand the changed states to the writer; positions let a restart skip what they hold."""
        position = self._position
        # What an earlier snapshot did not confirm goes along: its position must not be passed by.
        names = self._saving = self._saving | self._unsaved
        self._unsaved, self.unsaved_events = set(), 0
        rows: list[tuple[str, int, bytes]] = []
        gone: list[str] = []
        for name in names:
            state = self.fleet if name == _FLEET else self.collectors.get(name)
            if state is None:
                gone.append(name)
            else:
                rows.append((name, state.position, encode_state(state)))

        def saved() -> None:
            if self._saving is names:
                self._saving = set()

        self.ledger.run_in_writer(jobs.save_states(rows, gone, position), saved)
