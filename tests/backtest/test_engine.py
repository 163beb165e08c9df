"""The engine and the alert state machine, held against Prometheus itself."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from collection_health.backtest import alerts, evaluation, ruleset, session
from collection_health.backtest.engine import Engine, EngineError, Series, find_binary
from collection_health.backtest.remote_write import STALE_BITS
from tests.backtest.support import (
    MONDAY,
    outcome,
    prometheus,
    promtool_agrees,
    write_history,
)
from tests.tools import tool

STEP = 60_000
START = int(MONDAY * 1000)


def grid_of(count: int) -> np.ndarray:
    """Evaluation times one minute apart."""
    return np.arange(START, START + count * STEP, STEP, dtype=np.int64)


def test_written_samples_are_read_back_exactly() -> None:
    """Queries see what was written: infinities, NaN, and the gap after a stale marker."""
    grid = grid_of(9)
    values = np.array([1.5, -0.1, np.inf, -np.inf, np.nan, 1e-300, 3e300, 0.0, 7.0])
    ended = np.array([1.0, STALE_BITS, 2.0])
    ended.view(np.uint64)[1] = STALE_BITS
    with Engine(Path(prometheus()), engine="prometheus", span_seconds=3600) as engine:
        engine.write(
            [
                Series({"__name__": "m", "case": "values", "odd": 'a"\\\nb'}, grid, values),
                Series({"__name__": "m", "case": "ended"}, grid[[0, 2, 6]], ended),
            ]
        )
        found = {
            series.labels["case"]: series
            for series in engine.query_range("m", int(grid[0]), int(grid[-1]), STEP)
        }
    assert found["values"].labels["odd"] == 'a"\\\nb'
    np.testing.assert_array_equal(found["values"].values, values)
    # Minutes 2 to 5 are missing; before, the lookback of five minutes bridges minute 1.
    assert ((found["ended"].times - START) // STEP).tolist() == [0, 1, 6, 7, 8]


def test_a_query_longer_than_the_points_limit_is_joined() -> None:
    """More steps than Prometheus allows in one query come back as one gapless series."""
    grid = grid_of(12_345)
    with Engine(Path(prometheus()), engine="prometheus", span_seconds=12_345 * 60) as engine:
        engine.write([Series({"__name__": "m"}, grid, np.arange(12_345.0))])
        [series] = engine.query_range("m * 2", int(grid[0]), int(grid[-1]), STEP)
    np.testing.assert_array_equal(series.times, grid)
    np.testing.assert_array_equal(series.values, np.arange(12_345.0) * 2)


def test_an_engine_that_is_missing_or_broken_says_so(tmp_path: Path) -> None:
    """The error names the executable, or repeats what it said when it ended at once."""
    with pytest.raises(EngineError, match="nowhere: not an executable file"):
        find_binary("prometheus", str(tmp_path / "nowhere"))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho cannot start here\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(EngineError, match="cannot start here"):
        Engine(broken, engine="prometheus", span_seconds=60)


@pytest.mark.parametrize("seed", range(4))
def test_for_and_keep_firing_for_agree_with_promtool(tmp_path: Path, seed: int) -> None:
    """Random conditions fire and resolve at the very evaluations at which Prometheus says so."""
    random_source = random.Random(seed)
    grid = grid_of(240)
    rules, inputs, expected = [], [], {}
    for index in range(12):
        hold, keep = random_source.choice([0, 1, 3, 7]), random_source.choice([0, 0, 1, 2, 6])
        active, values = False, []
        for _ in grid:
            if random_source.random() < random_source.choice([0.05, 0.3]):
                active = not active
            values.append(float(active))
        labels = {"collector": f"c{index}"}
        inputs.append(Series({"__name__": f"condition_{index}", **labels}, grid, np.array(values)))
        rule = {"alert": f"A{index}", "expr": f"condition_{index} > 0", "for": f"{hold}m"}
        if keep:
            rule["keep_firing_for"] = f"{keep}m"
        rules.append(rule)
        times = grid[np.array(values) > 0]
        expected[tuple({"alertname": f"A{index}", **labels}.items())] = alerts.states(
            times, grid, hold * 60.0, keep * 60.0
        )
    assert any(len(states.firing) for states in expected.values())
    promtool_agrees(tmp_path, {"groups": [{"name": "g", "rules": rules}]}, inputs, grid, expected)


RULES = """
groups:
  - name: first
    rules:
      - record: c:level
        expr: max by (collector) (raw) > 0
        labels: {window: w}
  - name: second
    rules:
      - record: c:flag
        expr: c:level > 5 or last_over_time(c:level[4m]) > 8
      - alert: High
        expr: c:flag > 5
        for: 2m
        keep_firing_for: 3m
        labels: {severity: warning, who: "of {{ $labels.collector }}"}
      - alert: Often
        expr: count by (collector) (ALERTS{alertname="High", alertstate="firing"}) > 0
"""


def test_a_chain_of_rules_agrees_with_promtool(tmp_path: Path) -> None:
    """Recorded gaps, labels and alerts on alerts come out as promtool computes them."""
    grid = grid_of(180)
    source = random.Random(7)
    inputs = []
    for name in "ab":
        values = np.array([float(source.choice([-1, 1, 1, 3, 7, 9])) for _ in range(30)])
        inputs.append(Series({"__name__": "raw", "collector": name}, grid, np.repeat(values, 6)))
    (tmp_path / "r.yml").write_text(RULES)
    plan = ruleset.plan(ruleset.load([tmp_path / "r.yml"]), frozenset({"raw"}))
    with Engine(Path(prometheus()), engine="prometheus", span_seconds=180 * 60) as engine:
        engine.write(inputs)
        evaluated = evaluation.evaluate(engine, plan, grid, lambda *_: None)
        alerts_seen = engine.query_range("ALERTS", int(grid[0]), int(grid[-1]), STEP)
    assert {episode.alertname for episode in evaluated.episodes} == {"High", "Often"}
    assert {episode.labels.get("who") for episode in evaluated.episodes} >= {"of a", "of b"}
    expected: dict[tuple[tuple[str, str], ...], alerts.States] = {}
    nothing = np.array([], dtype=np.int64)
    for series in alerts_seen:
        labels = dict(series.labels)
        labels.pop("__name__")
        state = labels.pop("alertstate")
        key = tuple(sorted(labels.items()))
        before = expected.get(key, alerts.States(nothing, nothing))
        expected[key] = (
            alerts.States(series.times, before.firing)
            if state == "pending"
            else alerts.States(before.pending, series.times)
        )
    promtool_agrees(tmp_path, yaml.safe_load(RULES), inputs, grid, expected)


def test_a_slow_group_is_evaluated_and_seen_as_rarely_as_in_production(tmp_path: Path) -> None:
    """A result recorded every 15 minutes is visible for five, as Prometheus' lookback has it."""
    (tmp_path / "r.yml").write_text(
        "groups:\n  - name: slow\n    interval: 15m\n    rules:\n"
        "      - {record: 'c:slow', expr: raw}\n"
        "  - name: fast\n    rules:\n      - {record: 'c:seen', expr: 'c:slow'}\n"
        "      - {record: 'c:held', expr: 'last_over_time(c:slow[20m])'}\n"
        "      - {alert: Never, expr: 'c:seen > c:held'}\n"
    )
    grid = grid_of(61)
    plan = ruleset.plan(ruleset.load([tmp_path / "r.yml"]), frozenset({"raw"}))
    with Engine(Path(prometheus()), engine="prometheus", span_seconds=3600) as engine:
        engine.write([Series({"__name__": "raw"}, grid, np.ones(61))])
        evaluation.evaluate(engine, plan, grid, lambda *_: None)
        ends = (int(grid[0]) + STEP, int(grid[-1]), STEP)
        [seen] = engine.query_range("c:seen", *ends)
        [held] = engine.query_range("c:held", *ends)
    minutes = {int(moment - START) // STEP % 15 for moment in seen.times}
    assert 0 in minutes
    assert minutes <= set(range(6))
    assert len(held.times) == 60


def test_a_rule_the_engine_refuses_is_named_with_its_line(tmp_path: Path) -> None:
    """An expression that fails only when it is run still points to file and line."""
    (tmp_path / "r.yml").write_text(
        "groups:\n  - name: g\n    rules:\n      - alert: Bad\n        expr: raw * on () raw\n"
    )
    grid = grid_of(5)
    plan = ruleset.plan(ruleset.load([tmp_path / "r.yml"]), frozenset({"raw"}))
    with Engine(Path(prometheus()), engine="prometheus", span_seconds=600) as engine:
        engine.write([Series({"__name__": "raw", "c": c}, grid, np.ones(5)) for c in "ab"])
        with pytest.raises(ruleset.RuleError, match=r"r\.yml:4: Bad: .*many-to-many"):
            evaluation.evaluate(engine, plan, grid, lambda *_: None)


def test_victoriametrics_shows_all_that_was_written() -> None:
    """Large writes of two threads are complete as soon as they are flushed, NaN among them."""
    grid = grid_of(10_000)
    values = np.ones(len(grid))
    values[[5, 500]] = np.nan  # dropped by VictoriaMetrics
    binary = Path(tool("victoria-metrics"))
    with Engine(binary, engine="victoriametrics", span_seconds=7 * 86_400) as engine:

        def seen(name: str) -> float:
            engine.write(Series({"__name__": name, "n": str(n)}, grid, values) for n in range(40))
            engine.flush()
            return sum(
                float(series.values.sum())
                for series in engine.query_range(
                    f"sum(count_over_time({name}[1m]))", int(grid[0]), int(grid[-1]), STEP
                )
            )

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(seen, [f"m{number}" for number in range(16)]))
    assert found == [40.0 * (len(grid) - 2)] * 16


def test_victoriametrics_gives_the_same_episodes(tmp_path: Path) -> None:
    """The faster engine, where it is installed, finds what Prometheus finds."""
    grid = grid_of(240)
    source = random.Random(3)
    inputs = [
        Series(
            {"__name__": "raw", "collector": name},
            grid,
            np.repeat([float(source.choice([1, 3, 7, 9])) for _ in range(40)], 6),
        )
        for name in "abc"
    ]
    (tmp_path / "r.yml").write_text(RULES)
    plan = ruleset.plan(ruleset.load([tmp_path / "r.yml"]), frozenset({"raw"}))
    episodes = []
    for name, program in (
        ("prometheus", Path(prometheus())),
        ("victoriametrics", tool("victoria-metrics")),
    ):
        with Engine(program, engine=name, span_seconds=240 * 60) as engine:  # type: ignore[arg-type]
            engine.write(inputs)
            engine.flush()
            episodes.append(evaluation.evaluate(engine, plan, grid, lambda *_: None).episodes)
    assert episodes[0]
    assert episodes[0] == episodes[1]


@pytest.mark.parametrize(
    ("expr", "allowed"),
    [
        (
            "sum by (c) (collection_min_records or ignoring (c) collection_min_records)",
            r"a or \(b unless",
        ),
        ("max(bottomk(2, collection_min_records))", r"-topk\(k, -x\)"),
    ],
)
def test_what_victoriametrics_would_misread_is_refused(
    tmp_path: Path, expr: str, allowed: str
) -> None:
    """Its range queries mix up the labels of an ``or``, and take what does not exist for the least
    of a ``bottomk``: an error, not a wrong answer."""
    rules = tmp_path / "r.yml"
    rules.write_text(
        f"groups:\n  - name: g\n    rules:\n      - alert: Misread\n        expr: {expr}\n"
    )
    past = write_history(tmp_path / "h", [outcome("a", MONDAY), outcome("a", MONDAY + 900)])
    options = session.Options(
        history=past, rules=[rules], engine="victoriametrics",
        binary=str(tool("victoria-metrics")),
    )  # fmt: skip
    with pytest.raises(ruleset.RuleError, match=rf"r\.yml:4: Misread: .* allowed: {allowed}"):
        session.run(options, lambda _: None)
