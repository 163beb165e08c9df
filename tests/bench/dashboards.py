"""How long the queries of every panel take at a thousand collectors (part of `make bench`).

The small fleet of tests/dashboards/dataset.py, with everything the rules concluded of it, is copied
until there are enough collectors; then each query runs as Grafana sends it to a screen of 1,920
pixels, over the dashboard's own time range. Times are set beside one reference query of the same
run and beside Prometheus' CPU time for the same query, which waits for nobody, so that they can be
compared between machines and between quiet and busy ones:

    python -m tests.bench.dashboards [--collectors 1000] [--suite trixie] [--days 8]
"""

import argparse
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from collection_health.backtest import ruleset
from collection_health.backtest.engine import Engine, Series
from tests.bench.load import cpu_seconds
from tests.dashboards import dataset
from tests.dashboards.support import (
    Json,
    Query,
    alert_groups,
    evaluate,
    promql,
    queries,
    rule_groups,
)
from tests.tools import tool

REPEATS = 3
LIMIT_MS = 500
REFERENCE = "sum(collector:health:state)"  # over six hours: the simplest fleet-wide graph
COPIED = ("collector", "dependency", "root_cause")  # labels that tell one copy from another
# Grafana rounds the step: (below these seconds, it becomes this).
STEPS = (
    (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120), (450, 300), (750, 600), (1050, 900),
    (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200), (float("inf"), 10_800),
)  # fmt: skip
COLLECTORS = 14  # of the data set


def _range_seconds(dashboard: Json) -> int:
    number, unit = re.fullmatch(r"now-(\d+)([hd])", dashboard["time"]["from"]).groups()  # type: ignore[union-attr]
    return int(number) * {"h": 3600, "d": 86_400}[unit]


def _variables(query: Query, seconds: int) -> dict[str, str]:
    rounded = next(step for below, step in STEPS if seconds / query.points < below)
    step = max(rounded, {"15s": 15, "1m": 60, "2m": 120, "20m": 1200}[query.interval])
    return {
        "__range": f"{seconds}s",
        "__range_s": str(seconds),
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + 15, 60)}s",
        "team": ".*",
        "tier": ".*",
        "collector": "orders-0",
        "datasource": "prometheus",
    }


def _wanted() -> dict[str, int]:
    """Every metric the dashboards read, and the longest time range it is read over, in seconds."""
    wanted: dict[str, int] = {}
    for dashboard in evaluate().values():
        seconds = _range_seconds(dashboard)
        for query in queries(dashboard):
            expr = promql(query, _variables(query, seconds))
            rule = ruleset.Rule("", alerting=False, expr=expr, group="", interval=None, where="")
            for selector in rule.selectors:
                wanted[selector.name] = max(seconds, wanted.get(selector.name, 0))
    return wanted


def _copies(series: Series, count: int) -> Iterator[Series]:
    if not any(label in series.labels for label in COPIED):
        yield series
        return
    for copy in range(count):
        labels = {
            name: f"{value}-{copy}" if name in COPIED else value
            for name, value in series.labels.items()
        }
        yield Series(labels, series.times, series.values)


def fill(engine: Engine, small: Engine, copies: int, days: float) -> int:
    """Copy what the dashboards read from the small fleet; returns the number of samples."""
    end, step = int(dataset.END * 1000), int(dataset.STEP * 1000)
    samples = 0
    for name, seconds in _wanted().items():
        # A day more than shown: comparisons with an hour, a day before the first point.
        start = end - min(seconds + 86_400, int(days * 86_400)) * 1000
        found = small.query_range(f"{{__name__='{name}'}}", start, end, step)
        samples += engine.write(copy for series in found for copy in _copies(series, copies))
    return samples


def _run(engine: Engine, query: Query, seconds: int) -> float:
    """Milliseconds of one query as Grafana sends it."""
    variables = _variables(query, seconds)
    end = int(dataset.END * 1000)
    step = int(variables["__interval"][:-1]) * 1000
    start = end if query.instant else end - seconds * 1000
    expr = promql(query, variables)
    begun = time.perf_counter()
    engine.query_range(expr, start, end, step)
    return (time.perf_counter() - begun) * 1000


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """Milliseconds of one query: what a person waits, and the CPU time that Prometheus used."""

    wait: float
    cpu: float


def _measure(engine: Engine, query: Query, seconds: int) -> Cost:
    before = cpu_seconds(engine.pid)
    waits = [_run(engine, query, seconds) for _ in range(REPEATS)]
    return Cost(statistics.median(waits), 1000 * (cpu_seconds(engine.pid) - before) / REPEATS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collectors", type=int, default=1000)
    parser.add_argument("--days", type=float, default=8, help="of history, as far as it is read")
    parser.add_argument("--suite", help="Debian release whose Prometheus is measured")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engine ends with us
    copies = -(-arguments.collectors // COLLECTORS)
    span = dataset.END - dataset.START
    binary = tool("prometheus", suite=arguments.suite)
    with (
        tempfile.TemporaryDirectory() as directory,
        Engine(binary, engine="prometheus", span_seconds=span) as engine,
    ):
        with Engine(binary, engine="prometheus", span_seconds=span) as small:
            rules = Path(directory) / "rules.yml"
            rules.write_text(yaml.safe_dump({"groups": [*rule_groups(), *alert_groups()]}))
            dataset.load(small, rules)
            samples = fill(engine, small, copies, arguments.days)
        print(f"{copies * COLLECTORS} collectors, {samples / 1e6:.0f} million samples")
        report(engine)


def report(engine: Engine) -> None:
    """Print a Markdown table of dashboards, then every query beyond the limit."""
    reference = _measure(engine, Query("", "", REFERENCE, instant=False, points=360), 6 * 3600)
    print(f"\nreference `{REFERENCE}` over 6 h: {reference.wait:.0f} ms", end=", ")
    print(f"{reference.cpu:.0f} ms CPU\n")
    print("| dashboard | queries | median ms | slowest ms | its CPU ms | slowest panel |")
    print("|---|---|---|---|---|---|")
    beyond: list[str] = []
    hungry = 0
    for dashboard in evaluate().values():
        seconds = _range_seconds(dashboard)
        timed = [(_measure(engine, query, seconds), query) for query in queries(dashboard)]
        slowest, where = max(timed, key=lambda item: item[0])
        middle = statistics.median(cost.wait for cost, _ in timed)
        title = dashboard["title"].removeprefix("Collection Health / ")
        print(
            f"| {title} | {len(timed)} | {middle:.0f} | {slowest.wait:.0f} | "
            f"{slowest.cpu:.0f} | {where.place} |",
            flush=True,
        )
        hungry += sum(cost.cpu > LIMIT_MS for cost, _ in timed)
        beyond += [
            f"{cost.wait:.0f} ms, {cost.cpu:.0f} ms CPU: {query}\n    {query.expr}"
            for cost, query in timed
            if cost.wait > LIMIT_MS
        ]
    print(f"\n{hungry} queries use more than {LIMIT_MS} ms of CPU time")
    print(f"{len(beyond)} queries take longer than {LIMIT_MS} ms", *beyond, sep="\n")


if __name__ == "__main__":
    main()
