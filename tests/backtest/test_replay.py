"""The replayed series are what scraping the exporter would have recorded."""

from pathlib import Path

import numpy as np
import pytest

from collection_health import fold, metrics, timers
from collection_health.backtest import history, replay
from collection_health.events import Registered
from collection_health.inventory import Inventory, load
from collection_health.state import CollectorState
from tests.backtest import fleet
from tests.backtest.support import MONDAY, outcome, write_history

MIX = {"5m": 2, "15m": 2, "1h": 3}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of a small fleet with plenty of incidents."""
    directory = tmp_path_factory.mktemp("fleet")
    made = fleet.generate(5, mix=MIX, warm_days=1, scored_days=3, incident_share=2)
    assert {incident.kind for incident in made.incidents} & {"stall", "hard_failure", "quota"}
    fleet.write(made, directory)
    return directory


def test_every_sample_is_what_a_scrape_would_have_seen(small: Path) -> None:
    """Folding step by step, with the exporter's timers asked every step, gives the same values."""
    past = history.read(small / "outcomes.ndjson")
    inventory = load(small / "collectors.yml")
    times = replay.grid(past.start, past.end, 300)
    derived = 0
    for name, events in past.outcomes.items():
        config = inventory.collector(name)
        replayed = replay.replay(events, config, times, replay.metric_names())
        derived += replayed.derived
        series = {
            tuple(sorted(item.labels.items())): dict(
                zip(item.times.tolist(), item.values.tolist(), strict=True)
            )
            for item in replayed.series
        }
        past = history.read(small / "outcomes.ndjson")  # the fold completes events in place
        _compare(series, past.outcomes[name], config, times.tolist())
    assert derived > 0


def _compare(series, events, config, times) -> None:  # type: ignore[no-untyped-def]
    state, waiting = CollectorState(config.name), list(events)
    if config.registered:
        fold.apply(state, Registered(config.name, times[0] / 1000), config, 0)
    for moment in times:
        now = moment / 1000
        while waiting and waiting[0].at <= now:
            _settle(state, config, waiting[0].at)
            fold.apply(state, waiting.pop(0), config, 0)
        _settle(state, config, now)
        if not (config.registered or state.first_seen):
            continue
        expected = {
            tuple(sorted({"__name__": name, **replay.TARGET_LABELS, **dict(labels)}.items())): value
            for name, labels, value in metrics.samples(state, config, now)
        }
        seen = {
            key: values[moment]
            for key, values in series.items()
            if moment in values and not np.isnan(values[moment])
        }
        assert seen == expected


def _settle(state, config, now) -> None:  # type: ignore[no-untyped-def]
    for event in sorted(timers.due(state, config, now), key=lambda event: event.at or 0.0):
        fold.apply(state, event, config, 0)


def test_a_collector_outside_of_the_inventory_starts_with_its_first_outcome(
    tmp_path: Path,
) -> None:
    """Nothing is made up about the time before, and its interval is inferred."""
    times = replay.grid(MONDAY, MONDAY + 7200, 300)
    events = [outcome("a", MONDAY + 3600 + 600 * n) for n in range(6)]
    past = history.read(write_history(tmp_path / "h", events))
    replayed = replay.replay(
        past.outcomes["a"], Inventory().collector("a"), times,
        frozenset({"collection_runs_total"}),
    )  # fmt: skip
    [series] = replayed.series
    assert series.times[0] == (MONDAY + 3600) * 1000
    assert series.values.tolist()[:3] == [1, 1, 2]
    assert replayed.interval == 600


def test_only_what_the_rules_read_is_written(small: Path) -> None:
    """Sixty collectors fit in memory because nothing else is kept."""
    past = history.read(small / "outcomes.ndjson")
    name = min(past.outcomes)
    wanted = frozenset({"collection_window_runs", "collection_runs_total"})
    times = replay.grid(past.start, past.end, 300)
    replayed = replay.replay(past.outcomes[name], Inventory().collector(name), times, wanted)
    assert {series.labels["__name__"] for series in replayed.series} == wanted
