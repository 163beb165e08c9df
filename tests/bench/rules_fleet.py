"""The collectors that the rules bench judges: what is scraped of them, and their past."""
# ruff: noqa: E501  # table rows read better unwrapped

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from collection_health import fold, inventory, metrics
from collection_health.backtest import remote_write
from collection_health.backtest.remote_write import Values
from collection_health.events import Outcome, Quality, Records
from collection_health.state import CollectorState
from tests.bench.sloth import sloth_ids

SCRAPE = 30
DAY = 86_400.0
SLICE = 3000.0  # seconds of history written at once
DEPENDENCIES = 20
RUNS = 1000  # behind each collector
PHASES = 100  # of the collectors' failures: one in a hundred is failing, two have just flaked
SLO = {"availability": 0.95}
OBJECTIVES = {**SLO, "latency": "60s", "freshness": "1h", "quality": 0.9, "min_records": 10}

Samples = list[tuple[str, dict[str, str], float]]


def collector_samples(now: float, phase: int, slo: dict[str, Any]) -> Samples:
    """The samples of one collector one in fifty of whose runs failed.

    The phase says which. The last runs of phase 0 all failed. Runs end in two hours, so that
    nothing is overdue while the bench lasts.
    """
    now += 7200.0
    text = yaml.safe_dump({
        "dependencies": {"d": None},
        "collectors": [{
            "name": "c", "team": "data", "tier": 2, "schedule": {"every": "5m"}, "timeout": "2m",
            "depends_on": ["d"], "slo": slo,
            "impact": {"weight": 3, "consumers": ["billing"], "cost_per_hour": 40},
        }],
    })  # fmt: skip
    config = inventory.parse(text).collector("c")
    state = CollectorState("c")
    for run in range(RUNS):
        failed = run % 50 == phase % 50 or (phase == 0 and run >= RUNS - 6)
        event = Outcome(
            "c", "failure" if failed else "success", at=now - 300.0 * (RUNS - run), run_id=str(run),
            duration_seconds=11.0 + run % 3, reason="timeout" if failed else None,
            records=Records(collected=500 + run % 13), quality=Quality(score=0.98), version="1",
        )  # fmt: skip
        fold.apply(state, event, config, run)
    return [
        (name, dict(labels), value) for name, labels, value in metrics.samples(state, config, now)
    ]


def named(samples: Samples, number: int) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples under the name of that collector, and of its dependency."""
    names = {"collector": f"c{number:05d}", "dependency": f"d{number // 50 % DEPENDENCIES}"}
    for name, labels, value in samples:
        yield name, {key: names.get(key, text) for key, text in labels.items()}, value


def exposition(count: int, templates: list[Samples]) -> bytes:
    """`/metrics` of that many collectors."""
    lines: list[str] = []
    for number in range(count):
        for name, labels, value in named(templates[number % PHASES], number):
            braced = ",".join(f'{key}="{text}"' for key, text in labels.items())
            lines.append(f"{name}{{{braced}}} {value}")
    return ("\n".join(sorted(lines)) + "\n").encode()


@dataclass(frozen=True)
class Past:
    """One series of a collector's past: a sample every so often, a function of time."""

    labels: dict[str, str]
    every: float
    value: Callable[[Values], Values]
    days: float = 1e9  # before the end


def past(samples: Samples, target: dict[str, str], end: float) -> list[Past]:
    """A collector's counters as scraped, and what either rule set recorded of it.

    All rule sets get the same, so that what storing it costs can be taken off.
    """

    def grown(name: str, newest: float) -> Callable[[Values], Values]:
        share = 1 / 50 if "error" in name or "fail" in name else 1.0
        return lambda times: np.maximum(
            np.ceil(newest - np.maximum(end - times, 0.0) / 300 * share), 0.0
        )

    def constant(value: float) -> Callable[[Values], Values]:
        return lambda times: np.full(len(times), value, dtype=np.float64)

    def wave(times: Values) -> Values:
        return 500.0 + 100.0 * np.sin(times / DAY * 2 * np.pi)

    found = [
        Past({"__name__": name, **target, **labels}, SCRAPE if name.startswith("collection_sli_") else 300, grown(name, value))
        for name, labels, value in samples
        if name.endswith("_total")
    ]  # fmt: skip
    (collector,) = {labels["collector"] for _, labels, _ in samples if "collector" in labels}

    def recorded(
        name: str, every: float, value: Callable[[Values], Values], days: float = 1e9, **labels: str
    ) -> None:
        found.append(Past({"__name__": name, "collector": collector, **labels}, every, value, days))

    for window in ("3", "10"):
        recorded("collector:records:level", 60, wave, window=window)
        recorded("collector:records:hourly", 3600, wave, window=window)
        recorded("collector:records:quarter_low", 900, wave, window=window)
        for model in ("flat", "daily", "weekly"):
            recorded(
                "collector:records:error_hourly", 3600, constant(0.1), window=window, model=model
            )
    recorded("collector:failing:bool", 30, constant(0), days=1)
    recorded("collector:own_failing:bool", 120, constant(0), days=1)
    recorded("collector:duration:hourly_seconds", 3600, constant(12))
    recorded("collector:runs:hourly", 3600, constant(RUNS))
    recorded("collector:quality:hourly_ratio", 3600, constant(0.98))
    # What Sloth's 30-day window is built from.
    sloth = {"__name__": "slo:sli_error:ratio_rate5m", **sloth_ids(collector), "sloth_window": "5m"}
    found.append(Past(sloth, SCRAPE, constant(0)))
    return found


def history(
    templates: list[Samples],
    count: int,
    begin: float,
    end: float,
    now: float,
    target: dict[str, str],
) -> Iterator[bytes]:
    """Encoded series of a time, in slices as they would have been scraped. From ``now`` on nothing moves.

    (Prometheus takes what is more than an hour older than the newest sample out of order, and
    whatever reads that later pays for it many times over.)
    """
    heads = [
        [remote_write.encode_labels(series.labels) for series in past(list(named(templates[number % PHASES], number)), target, now)]
        for number in range(count)
    ]  # fmt: skip
    shapes = [past(list(named(samples, 0)), target, now) for samples in templates]
    for opening in np.arange(begin, end - SCRAPE, SLICE):
        close = min(opening + SLICE, end - SCRAPE)
        grids = {
            every: (np.arange(np.ceil(opening / every), np.ceil(close / every)) * every).astype(
                np.float64
            )
            for every in {series.every for series in shapes[0]}
        }
        for phase in range(min(PHASES, count)):
            bodies = []
            for series in shapes[phase]:
                times = grids[series.every]
                times = times[times > now - series.days * DAY]
                milliseconds = (times * 1000).astype(np.int64)
                bodies.append(remote_write.encode_samples(milliseconds, series.value(times)))
            for number in range(phase, count, PHASES):
                for head, body in zip(heads[number], bodies, strict=True):
                    if body:
                        yield remote_write.frame(head, body)
