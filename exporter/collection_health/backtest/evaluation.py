"""Rules evaluated over a whole history, one at a time in order of dependency.

Each rule is a range query on its group's own grid; what it records is written back with the
stale markers that Prometheus would have written, so that the next rule reads it exactly as it
would in production.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np

from collection_health.backtest import alerts
from collection_health.backtest.alerts import Episode
from collection_health.backtest.engine import Engine, EngineError, Series
from collection_health.backtest.remote_write import NAN_BITS, STALE_BITS, Times
from collection_health.backtest.ruleset import ALERTS, Plan, Rule, RuleError

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
_WORKERS = 2


@dataclass(slots=True)
class Evaluated:
    """What the rules produced and what it took."""

    episodes: list[Episode] = field(default_factory=list)
    samples: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  # by rule name


def evaluate(engine: Engine, plan: Plan, grid: Times, progress: Progress) -> Evaluated:
    """Evaluate every rule of the plan over ``grid``, at most two at a time.

    Raises `RuleError` naming file and line of a rule the engine refuses.
    """
    result = Evaluated()
    alerts_read = any(selector.name == ALERTS for rule in plan.rules for selector in rule.selectors)
    done: set[int] = set()
    waiting = dict(enumerate(plan.waits_for))
    running: dict[Future[tuple[list[Episode], int, float]], int] = {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        while waiting or running:
            ready = [index for index, needs in waiting.items() if needs <= done]
            for index in ready[: _WORKERS - len(running)]:
                del waiting[index]
                rule = plan.rules[index]
                running[pool.submit(_evaluate, engine, rule, grid, alerts_read)] = index
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                index = running.pop(future)
                episodes, samples, seconds = future.result()
                done.add(index)
                name = plan.rules[index].name
                result.episodes += episodes
                result.samples += samples
                result.seconds[name] = result.seconds.get(name, 0.0) + seconds
                progress(len(done), len(plan.rules), name)
    result.episodes.sort(key=lambda episode: (episode.start, episode.alertname))
    return result


def group_grid(rule: Rule, grid: Times) -> Times:
    """The evaluation times of a rule's group: multiples of its interval, never below the step."""
    step = int(grid[1] - grid[0])
    every = math.ceil((rule.interval or 0.0) * 1000 / step) * step
    if every <= step:
        return grid
    first = -(-int(grid[0]) // every) * every
    return np.arange(first, int(grid[-1]) + 1, every, dtype=np.int64)


def _evaluate(
    engine: Engine, rule: Rule, grid: Times, alerts_read: bool
) -> tuple[list[Episode], int, float]:
    begun = time.monotonic()
    own = group_grid(rule, grid)
    if not len(own):
        return [], 0, 0.0
    step = int(own[1] - own[0]) if len(own) > 1 else int(grid[1] - grid[0])
    try:
        found = engine.query_range(rule.expr, int(own[0]), int(own[-1]), step)
    except EngineError as error:
        raise RuleError(f"{rule.where}: {rule.name}: {error}") from error
    episodes: list[Episode] = []
    written: list[Series] = []
    if rule.alerting:
        for series in _labelled(rule, found):
            states = alerts.states(series.times, own, rule.hold, rule.keep)
            labels = {"alertname": rule.name, **series.labels}
            episodes += alerts.episodes(rule.name, series.labels, states.firing, own)
            if alerts_read:
                written += _alert_series(labels, states, own)
    else:
        written = [
            _with_stale_markers(
                Series({**series.labels, "__name__": rule.name}, series.times, series.values), own
            )
            for series in _labelled(rule, found)
        ]
    try:
        count = engine.write(written)
    except EngineError as error:
        raise RuleError(f"{rule.where}: {rule.name}: {error}") from error
    engine.flush()
    return episodes, count, time.monotonic() - begun


def _labelled(rule: Rule, found: Sequence[Series]) -> Iterator[Series]:
    seen: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for series in found:
        labels = rule.expand_labels(series.labels)
        seen.setdefault(tuple(sorted(labels.items())), []).append(series)
    for key, group in seen.items():
        if len(group) == 1:
            yield Series(dict(key), group[0].times, group[0].values)
            continue
        # Series that differ only in a label the rule overwrites: allowed while they take turns.
        times = np.concatenate([series.times for series in group])
        order = np.argsort(times, kind="stable")
        if len(np.unique(times)) != len(times):
            raise RuleError(
                f"{rule.where}: {rule.name}: two results with the same labels {dict(key)}"
            )
        values = np.concatenate([series.values for series in group])
        yield Series(dict(key), times[order], values[order])


def _with_stale_markers(series: Series, grid: Times) -> Series:
    """The series with a stale marker at the first grid time after each of its pieces."""
    index = np.searchsorted(grid, series.times)
    ends = index[np.append(np.diff(index) > 1, True)] + 1
    ends = ends[ends < len(grid)]
    bits = series.values.view(np.uint64).copy()
    bits[np.isnan(series.values)] = NAN_BITS
    times = np.concatenate([series.times, grid[ends]])
    values = np.concatenate([bits, np.full(len(ends), STALE_BITS, dtype=np.uint64)])
    order = np.argsort(times, kind="stable")
    return Series(series.labels, times[order], values[order].view(np.float64))


def _alert_series(labels: dict[str, str], states: alerts.States, grid: Times) -> Iterator[Series]:
    for state, times in (("pending", states.pending), ("firing", states.firing)):
        if len(times):
            yield _with_stale_markers(
                Series(
                    {"__name__": ALERTS, "alertstate": state, **labels}, times, np.ones(len(times))
                ),
                grid,
            )
