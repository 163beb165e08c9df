"""The ladder as a state machine: whatever arrives in whatever order, limits hold."""

import itertools
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collection_health.events import BreakGlass, Control, Event, Outcome, Recovery, prepare
from collection_health.inventory import parse
from collection_health.pipeline import Pipeline
from collection_health.recovery import ladder, targets
from collection_health.recovery.engine import Engine
from collection_health.recovery.guard import Guard
from collection_health.recovery.ladder import Change, Start
from collection_health.recovery.records import event_of, recorded
from collection_health.recovery.requests import Request, judge
from collection_health.recovery.targets import Key, Target
from collection_health.state import RECOVERY_OVER

T0 = 1_770_000_000.0
KEY: Key = ("collector", "orders")
INVENTORY = """
actions:
  rerun: {command: [run]}
  restart: {command: [restart], safe: true}
dependencies:
  warehouse: {recovery: {mode: auto, steps: [{action: restart}]}}
collectors:
- name: orders
  schedule: {every: 1m}
  depends_on: [warehouse]
  recovery:
    mode: MODE
    steps: [{action: rerun, attempts: 2}, {action: restart}]
    on_prediction: [{action: restart}]
    backoff: {initial: 30s, jitter: 0.2}
    verify_within: 5m
    limits: {per_hour: 5, per_day: 8}
    breaker: {failures: 2, open_for: 2h}
"""


class World:
    """Fold, judge and ladder under a clock of our own; no process, no ledger."""

    def __init__(self, folder: Path, mode: str = "auto") -> None:
        self.now = T0
        inventory = parse(INVENTORY.replace("MODE", mode))
        self.pipeline = Pipeline(folder, inventory, clock=lambda: self.now)
        self.engine = Engine(self.pipeline, Guard(None, 1))
        self.history: list[Event] = []
        self.running: Start | None = None

    def fold(self, *events: Event) -> None:
        self.history += events
        self.pipeline._fold(list(events), len(self.history))

    @property
    def target(self) -> Target:
        found = targets.find(self.pipeline, KEY)
        assert found is not None
        return found

    @property
    def phase(self) -> str:
        record = self.target.state.current
        return record.phase if record is not None else ""

    def run(self, outcome: str, reason: str = "connection") -> None:
        item = Outcome(
            "orders", outcome, occurred_at=datetime.fromtimestamp(self.now, UTC),  # type: ignore[arg-type]
            duration_seconds=1, reason=None if outcome == "success" else reason,  # type: ignore[arg-type]
        )  # fmt: skip
        assert prepare(item, self.now, 1e9) is None
        self.fold(item)

    def ask(self, trigger: str = "alert", **fields: Any) -> str:
        """A request; what was answered."""
        request = Request(KEY, trigger, "CollectorFailing", "am", "failure", **fields)  # type: ignore[arg-type]
        engine = self.engine
        verdict = judge(request, self.target, self.now, engine.forced, engine.stopped)
        if verdict.phase is not None:
            self.fold(recorded(request, self.target, verdict, self.now))
        return verdict.said

    def step(self) -> None:
        """What the engine would do now, once."""
        if self.running is not None:
            return
        move = ladder.decide(self.target.state, self.engine._situation(self.target))
        record = self.target.state.current
        if record is None or move is None:
            return
        if isinstance(move, Start):
            self.running = move
            self.fold(event_of(KEY, record, Change("started", ""), self.now, start=move))
        elif isinstance(move, Change):
            state, policy = self.target.state, self.target.policy
            opened = ladder.opened_breaker(state, policy, move, self.now)
            self.fold(
                *(event_of(KEY, record, c, self.now) for c in (move, opened) if c is not None)
            )

    def end(self, result: str) -> None:
        """The running attempt ends."""
        record = self.target.state.current
        if self.running is not None and record is not None:
            change = Change("finished", "", result)  # type: ignore[arg-type]
            self.fold(event_of(KEY, record, change, self.now, start=self.running))
            self.running = None

    def crash(self) -> None:
        """The process is gone: what ran has nobody to report its end."""
        self.running = None

    def settle(self, limit: int = 20) -> None:
        """Let the engine do all it can without time passing."""
        for _ in range(limit):
            before = len(self.history)
            self.step()
            if len(self.history) == before:
                return

    def starts(self) -> list[Recovery]:
        return [e for e in self.history if isinstance(e, Recovery) and e.phase == "started"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A failing collector in mode auto."""
    world = World(tmp_path)
    world.run("failure")
    return world


def test_ladder_is_climbed_until_every_step_was_tried(world: World) -> None:
    """Failing attempts lead to the next after a backoff, then to a person."""
    world.ask()
    tried = []
    for _ in range(40):
        world.settle()
        if world.running:
            tried.append((world.running.action, world.running.attempt))
            world.end("failed")
        world.now += 10
    assert tried == [("rerun", 1), ("rerun", 2), ("restart", 1)]
    assert world.phase == "exhausted"
    state = world.pipeline.collectors["orders"]
    assert state.recovery_exhausted
    assert world.target.state.results == {"failed": 1}


@pytest.mark.parametrize(
    ("runs", "result"), [(["success"], "recovered"), (["failure"], "ineffective"), ([], None)]
)
def test_only_good_data_verifies(world: World, runs: list[str], result: str | None) -> None:
    """Exit 0 is not recovery: a good run is; a bad one that began later disproves at once."""
    world.ask()
    world.settle()
    world.end("succeeded")
    world.now += 20
    for run in runs:
        world.run(run)
    world.settle()
    if result == "recovered":
        assert (world.phase, world.target.state.results) == ("verified", {"recovered": 1})
    else:
        assert world.phase == "finished"
        world.now += 40  # past the backoff, within verify_within
        world.settle()
        assert (world.phase == "started") == (result == "ineffective")
        world.now += 300
        world.settle()
        assert world.phase == "started"


def test_run_that_began_before_the_step_proves_nothing(world: World) -> None:
    """The run that was under way when the step began says nothing about the step."""
    world.ask()
    world.settle()
    world.now += 0.5
    world.run("failure")  # took a second: began before the step
    world.end("succeeded")
    world.now += 60
    world.settle()
    assert world.phase == "finished"


def test_unknown_outcome_is_left_to_verification(world: World) -> None:
    """A step that ran when the process died is not run again; a good run may verify it."""
    world.ask()
    world.settle()
    world.crash()
    world.settle()
    assert world.phase == "finished"
    assert world.target.state.current is not None
    assert world.target.state.current.tries[-1].result == "unknown"
    world.now += 100
    world.settle()
    assert len(world.starts()) == 1
    world.run("success")
    world.settle()
    assert world.phase == "verified"


def test_repeats_change_nothing(world: World) -> None:
    """Alerts sent again — while it runs, is verified, is over — start nothing."""
    world.ask()
    assert "already" in world.ask()
    world.settle()
    assert "already" in world.ask()
    world.end("succeeded")
    assert "already" in world.ask()
    world.run("success")
    world.settle()
    assert "no incident" in world.ask()
    assert len(world.starts()) == 1


def test_person_needed_for_access_and_data(tmp_path: Path) -> None:
    """Reasons that no step can mend go straight to a person, and raise the alert's level."""
    for reason in ("auth", "schema", "storage"):
        world = World(tmp_path / reason)
        world.run("failure", reason)
        assert "needs a person" in world.ask()
        assert world.phase == "exhausted"
        assert world.pipeline.collectors["orders"].recovery_exhausted
        assert "is exhausted" in world.ask()
        world.settle()
        assert not world.starts()
        world.run("success")
        assert not world.pipeline.collectors["orders"].recovery_exhausted


def test_dry_run_says_what_it_would_do(tmp_path: Path) -> None:
    """The default mode acts never, says so once, and raises nobody's level."""
    world = World(tmp_path, "dry_run")
    world.run("failure")
    assert world.ask() == "dry run: would run rerun (up to 2 times), then restart"
    assert "already" in world.ask()
    world.settle()
    assert world.target.state.results == {"skipped": 1}
    assert not world.pipeline.collectors["orders"].recovery_exhausted
    world.ask("manual")
    world.settle()
    assert len(world.starts()) == 1


def test_approval_expires(tmp_path: Path) -> None:
    """Without a click in time nothing runs, and the alert does not propose it again."""
    world = World(tmp_path, "approve")
    world.run("failure")
    world.ask()
    world.settle()
    assert world.phase == "proposed"
    world.now += 3601
    world.settle()
    assert world.phase == "cancelled"
    assert "is cancelled" in world.ask()
    assert not world.starts()


@pytest.mark.parametrize("control", ["paused", "maintenance"])
def test_no_automation_while_paused(world: World, control: str) -> None:
    """A paused collector waits; it goes on when the pause ends."""
    world.fold(Control("orders", control, True, world.now))  # type: ignore[arg-type]
    world.ask()
    world.settle()
    assert world.phase == "held"
    assert not world.starts()
    world.fold(Control("orders", control, False, world.now))  # type: ignore[arg-type]
    world.settle()
    assert world.phase == "started"


def test_break_glass_stops_people_and_machines_and_force_lifts_modes(tmp_path: Path) -> None:
    """Stop holds everything until it expires; force runs what would only be proposed."""
    world = World(tmp_path, "approve")
    world.run("failure")
    world.fold(BreakGlass("stop", True, world.now, world.now + 60, "kim", "storm"))
    assert "stopped all recovery: storm" in world.ask("manual")
    world.ask()
    world.settle()
    assert world.phase == "held"
    world.fold(BreakGlass("force", True, world.now, world.now + 600, "kim", "now"))
    world.settle()
    assert world.phase == "held"
    world.now += 61
    world.settle()
    assert world.phase == "started"


def test_breaker_opens_on_successes_that_do_not_help(world: World) -> None:
    """Recoveries whose steps exit 0 without good data count as failures."""
    for _ in range(2):
        world.ask()
        while world.phase not in RECOVERY_OVER:
            world.settle()
            world.end("succeeded")
            world.now += 301
        world.now += 2400
        world.run("success")
        world.now += 60
        world.run("failure")
    assert world.target.state.results == {"not_verified": 2}
    attempts = len(world.starts())
    world.ask()
    world.settle()
    assert world.target.state.current is not None
    assert "circuit breaker is open" in world.target.state.current.output
    assert world.phase == "exhausted"
    world.now += 7300
    world.run("success")
    world.run("failure")
    world.ask()
    world.settle()
    assert len(world.starts()) == attempts + 1


def test_caps_hold_over_incidents(world: World) -> None:
    """Five attempts an hour, eight a day, however often it breaks anew; then a person."""

    def incidents(count: int) -> int:
        before = len(world.starts())
        for _ in range(count):
            world.run("failure")
            world.ask()
            world.settle()
            world.end("succeeded")
            world.now += 5
            world.run("success")
            world.settle()
        return len(world.starts()) - before

    assert incidents(7) == 5
    assert world.target.state.current is not None
    assert "cap of 5 attempts an hour" in world.target.state.current.output
    world.now += 3600
    assert incidents(5) == 3
    assert "cap of 8 attempts a day" in world.target.state.current.output
    world.now += 86_400
    assert incidents(1) == 1


def test_failing_dependency_explains_its_collector(world: World) -> None:
    """A collector's own ladder is not climbed, or ends, when its dependency is the cause."""
    world.ask()
    world.settle()
    world.end("failed")
    assert world.ask(explained_by="warehouse") == "explained by dependency warehouse"
    assert world.phase == "cancelled"
    world.run("success")
    world.now += 60
    world.run("failure")
    world.ask(explained_by="warehouse")
    assert world.phase == "skipped"
    assert "already" in world.ask(explained_by="warehouse")
    world.ask()  # the dependency is back, the collector is not: now it is its own fault
    assert world.phase == "queued"


def test_prediction_runs_safe_steps_once_a_day(tmp_path: Path) -> None:
    """What was predicted is prevented once; nothing is exhausted, nobody is woken."""
    world = World(tmp_path)
    world.run("success")
    world.ask("prediction")
    world.settle()
    assert world.running == Start(1, 1, "restart")
    world.end("failed")
    world.settle()
    assert world.phase == "prevented"
    assert "was acted on" in world.ask("prediction")
    assert not world.pipeline.collectors["orders"].recovery_exhausted
    assert world.target.state.results == {}
    world.now += 90_000
    assert "run restart" in world.ask("prediction")


MOVES = (
    "alert", "alert", "alert", "manual", "prediction", "explained", "good", "bad", "bad", "auth",
    "step", "step", "step", "step", "succeeded", "failed", "timed_out", "crash",
    "stop", "unstop", "force", "unforce", "pause", "resume", "second", "minute", "hour",
)  # fmt: skip
PASSED = {"second": 1.0, "minute": 45.0, "hour": 1900.0}


def make(world: World, move: str) -> None:
    """One of `MOVES`."""
    if move in ("alert", "manual", "prediction"):
        world.ask(move)
    elif move == "explained":
        world.ask(explained_by="warehouse")
    elif move in ("good", "bad", "auth"):
        world.run(
            "success" if move == "good" else "failure", "auth" if move == "auth" else "upstream"
        )
    elif move == "step":
        world.step()
    elif move in ("succeeded", "failed", "timed_out"):
        world.end(move)
    elif move == "crash":
        world.crash()
    elif move in ("stop", "unstop", "force", "unforce"):
        mode = "stop" if "stop" in move else "force"
        active = not move.startswith("un")
        world.fold(BreakGlass(mode, active, world.now, world.now + 3600, "kim", "because"))  # type: ignore[arg-type]
    elif move in ("pause", "resume"):
        world.fold(Control("orders", "paused", move == "pause", world.now))
    else:
        world.now += PASSED[move]


def violations(world: World) -> list[str]:
    """What must never happen, found in the events alone."""
    found: list[str] = []
    starts = world.starts()
    twice = Counter((e.id, e.step, e.attempt) for e in starts)
    found += [f"{key} ran {n} times" for key, n in twice.items() if n > 1]
    for first, second in itertools.product(starts, starts):
        same = first.trigger == second.trigger == "alert" and first.incident == second.incident
        if same and first.id != second.id and "cancelled" not in phases(world, first.id):
            found.append(f"incident {first.incident} had two ladders")
    times = [e.at for e in starts]
    for at in times:
        if (
            sum(at - 3600 < t <= at for t in times) > 5
            or sum(at - 86400 < t <= at for t in times) > 8
        ):
            found.append(f"caps exceeded at {at}")
    stopped = 0.0
    paused = False
    for event in world.history:
        if isinstance(event, BreakGlass) and event.mode == "stop":
            stopped = event.at + 3600 if event.active else 0.0
        elif isinstance(event, Control):
            paused = event.active
        elif isinstance(event, Recovery) and event.phase == "started":
            if event.at < stopped:
                found.append(f"started while stopped at {event.at}")
            if paused and event.trigger != "manual":
                found.append(f"started while paused at {event.at}")
    return found


def phases(world: World, identity: str) -> list[str]:
    """The phases of one recovery."""
    return [e.phase for e in world.history if isinstance(e, Recovery) and e.id == identity]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(MOVES), max_size=120), st.sampled_from(("auto", "approve")))
def test_no_order_of_events_breaks_a_limit(
    tmp_path_factory: pytest.TempPathFactory, moves: list[str], mode: str
) -> None:
    """Duplicates, disorder, crashes and people: no step twice, no cap exceeded, no stop ignored."""
    world = World(tmp_path_factory.getbasetemp() / "never-written", mode)
    world.run("failure")
    for move in moves:
        make(world, move)
        assert violations(world) == []


def test_long_random_histories_keep_limits_too(tmp_path: Path) -> None:
    """The same over thousands of events, where hypothesis would be slow."""
    generator = random.Random(6)
    started = 0
    for number in range(12):
        world = World(tmp_path, "auto")
        world.run("failure")
        for _ in range(600):
            make(world, generator.choice(MOVES))
        assert violations(world) == [], number
        started += len(world.starts())
    assert started > 50
