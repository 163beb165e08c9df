"""One back-test from inputs to result: read, fold, write, evaluate, score."""

import os
import resource
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collection_health.backtest import evaluation, history, replay, ruleset, score
from collection_health.backtest.alerts import Episode
from collection_health.backtest.engine import Engine, EngineName, find_binary
from collection_health.backtest.history import History, Incidents
from collection_health.backtest.remote_write import Times
from collection_health.backtest.ruleset import Plan, RuleError
from collection_health.backtest.score import Score
from collection_health.events import Outcome
from collection_health.inventory import Inventory
from collection_health.inventory import load as load_inventory

MIN_STEP, MAX_STEP = 60.0, 300.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a back-test is asked to do; times in Unix seconds, ``step`` in seconds."""

    history: Path
    rules: Sequence[Path]
    config: Path | None = None
    incidents: Path | None = None
    step: float | None = None
    score_from: float | None = None
    engine: EngineName = "prometheus"
    binary: str | None = None


@dataclass(slots=True)
class Result:
    """Everything the reports are made of."""

    history: History
    incidents: Incidents | None
    plan: Plan
    step: float
    span: tuple[float, float]
    intervals: dict[str, float | None]
    declared: frozenset[str]
    episodes: list[Episode]
    score: Score
    derived_events: int = 0
    samples_written: int = 0
    samples_recorded: int = 0
    rule_seconds: dict[str, float] = field(default_factory=dict)
    phase_seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


def run(options: Options, say: Say) -> Result:
    """Run one back-test.

    Raises `InputError`, `InventoryError`, `RuleError` or `EngineError`; each text says which
    file, which line and what is allowed.
    """
    rules = ruleset.load(options.rules)
    plan = ruleset.plan(rules, replay.metric_names())
    if options.engine == "victoriametrics":
        _check_victoriametrics(plan)
    inventory = load_inventory(options.config) if options.config else Inventory()
    binary = find_binary(options.engine, options.binary)
    clock = _Clock()
    say(f"reading {options.history}")
    past = history.read(options.history)
    names = sorted(past.outcomes.keys() | inventory.registered.keys())
    span = (past.start, past.end)
    found = None
    if options.incidents:
        dependencies = set(inventory.dependencies)
        for config in inventory.registered.values():
            dependencies.update(config.depends_on)
        found = history.read_incidents(options.incidents, [*names, *dependencies], span)
    clock.lap("read")
    step = options.step or _default_step(past, inventory)
    times = replay.grid(*span, step)
    if len(times) < 2:
        raise history.InputError(f"{options.history}: shorter than one step of {step:g} s")
    say(
        f"{past.accepted} outcomes of {len(names)} collectors over "
        f"{(span[1] - span[0]) / 86400:.1f} days; {len(plan.rules)} rules at {step:g} s steps"
    )
    result = Result(
        past, found, plan, step, span, {}, frozenset(inventory.registered), [],
        Score([], [], {}, 0.0),
    )  # fmt: skip
    with Engine(binary, engine=options.engine, span_seconds=span[1] - span[0]) as engine:
        _write_series(engine, result, inventory, names=names, times=times, say=say)
        clock.lap("fold and write")
        progress = _Progress(say)
        evaluated = evaluation.evaluate(engine, plan, times, progress)
        result.peak_bytes["engine"] = _peak(engine.pid)
        result.cpu_seconds["engine"] = _cpu(engine.pid)
        clock.lap("evaluate")
    own = resource.getrusage(resource.RUSAGE_SELF)
    result.peak_bytes["backtest"] = own.ru_maxrss * 1024
    result.cpu_seconds["backtest"] = own.ru_utime + own.ru_stime
    result.episodes = evaluated.episodes
    result.samples_recorded = evaluated.samples
    result.rule_seconds = evaluated.seconds
    judged = (span[0] if options.score_from is None else options.score_from, span[1])
    result.score = score.score(
        result.episodes,
        found.incidents if found else [],
        result.intervals,
        runs_between(past.outcomes),
        judged,
    )
    clock.lap("score")
    result.phase_seconds = clock.laps
    return result


def _check_victoriametrics(plan: Plan) -> None:
    """What VictoriaMetrics gets wrong when it evaluates a range is refused, not silently wrong.

    What comes from the right side of ``a or ignoring (x) b`` gets the labels of the left side;
    ``bottomk`` takes series that do not exist for the least.
    """
    for rule in plan.rules:
        if rule.or_with_matching:
            raise RuleError(
                f"{rule.where}: {rule.name}: VictoriaMetrics mixes up the labels of 'or' with 'on' "
                "or 'ignoring' in a back-test; allowed: a or (b unless ignoring (x) a), or "
                "--engine prometheus"
            )
        if rule.bottomk:
            raise RuleError(
                f"{rule.where}: {rule.name}: VictoriaMetrics takes what does not exist for the "
                "least of 'bottomk' in a back-test; allowed: -topk(k, -x), or --engine prometheus"
            )


def runs_between(outcomes: Mapping[str, Sequence[Outcome]]) -> score.RunsBetween:
    """A counter of a collector's runs that ended in ``(from, to]``."""
    ends = {
        name: [event.at or 0.0 for event in events if event.outcome not in ("started", "skipped")]
        for name, events in outcomes.items()
    }

    def count(collector: str, start: float, end: float) -> int:
        times = ends.get(collector, [])
        return bisect_right(times, end) - bisect_right(times, start)

    return count


def _write_series(
    engine: Engine,
    result: Result,
    inventory: Inventory,
    *,
    names: Sequence[str],
    times: Times,
    say: Say,
) -> None:
    result.samples_written += engine.write([replay.up(times)])
    progress = _Progress(say)
    for index, name in enumerate(names, 1):
        replayed = replay.replay(
            result.history.outcomes.get(name, []), inventory.collector(name), times,
            result.plan.inputs,
        )  # fmt: skip
        result.derived_events += replayed.derived
        result.intervals[name] = replayed.interval
        result.samples_written += engine.write(replayed.series)
        progress(index, len(names), f"fold {name}")
    engine.flush()


def _default_step(past: History, inventory: Inventory) -> float:
    """The shortest expected interval, between one and five minutes."""
    from collection_health.schedule import infer

    intervals = []
    for name, events in past.outcomes.items():
        declared = inventory.collector(name).interval
        inferred = infer([event.at or 0.0 for event in events if event.outcome != "started"])
        if declared or inferred:
            intervals.append(declared or inferred[0])  # type: ignore[index]
    shortest = round(min(intervals, default=MAX_STEP) / MIN_STEP) * MIN_STEP
    return min(max(shortest, MIN_STEP), MAX_STEP)


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = now - self._last
        self._last = now


class _Progress:
    """One changing line on a terminal; ten lines in all elsewhere."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._tenth = 0

    def __call__(self, done: int, total: int, what: str) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r\x1b[K  {done}/{total} {what[:60]}{end}")
            sys.stderr.flush()
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            self._say(f"  {done}/{total} {what}")
