"""Every query of every panel, variable and annotation runs on a real Prometheus and finds data."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from collection_health.backtest.engine import Engine, EngineError, Series
from tests.dashboards import dataset
from tests.dashboards.support import (
    Json,
    Query,
    alert_groups,
    evaluate,
    panels,
    promql,
    queries,
    rule_groups,
)
from tests.tools import tool

# What the fleet of the data set does not do, and why that is right. Everything else must find data.
EMPTY: Mapping[str, str] = {
    "Collection Health / Scorecard / Alerts on trial / A": "no alert is on trial by default",
    **{
        f"Collection Health / Trends and seasonality / {title} / C": "no conclusions that old"
        for title in (
            "Failed runs, share",
            "Runs a day",
            "Health of the fleet",
            "Records, same hour of earlier weeks",
            "Duration, same hour of earlier weeks",
        )
    },
}

# A collector page is looked at for each of these; one of them must fill the panel.
COLLECTORS = ("orders", "ledger", "prices", "shop", "weather", "payouts", "nightly", "stopped")
POINTS = 100  # of a graph


def _macros(dashboard: Json) -> dict[str, str]:
    """What Grafana fills in for the dashboard's own time range, scraped as the data set is."""
    number, unit = re.fullmatch(r"now-(\d+)([hd])", dashboard["time"]["from"]).groups()  # type: ignore[union-attr]
    seconds = min(int(number) * {"h": 3600, "d": 86_400}[unit], 7 * 86_400)
    step = max(int(dataset.STEP), seconds // POINTS // 300 * 300)
    return {
        "__range": f"{seconds}s",
        "__range_s": str(seconds),
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + dataset.STEP, 4 * dataset.STEP):.0f}s",
        "team": ".*",
        "tier": ".*",
        "datasource": "prometheus",
    }


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real Prometheus with fifteen days of a fleet and what the rules concluded of it."""
    rules = tmp_path_factory.mktemp("rules") / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [*rule_groups(), *alert_groups()]}))
    span = dataset.END - dataset.START
    with Engine(tool("prometheus"), engine="prometheus", span_seconds=span) as engine:
        dataset.load(engine, rules)
        yield engine


def _run(engine: Engine, query: Query, variables: Mapping[str, str]) -> list[Series]:
    end = int(dataset.END * 1000)
    step = int(variables["__interval"][:-1]) * 1000
    start = end if query.instant else end - int(variables["__range_s"]) * 1000
    return engine.query_range(promql(query, variables), start, end, step)


def _results(engine: Engine, dashboard: Json) -> Iterator[tuple[Query, list[Series]]]:
    macros = _macros(dashboard)
    for query in queries(dashboard):
        found: list[Series] = []
        for collector in COLLECTORS if "$collector" in query.expr else COLLECTORS[:1]:
            found += _run(engine, query, {**macros, "collector": collector})
            if found:
                break
        yield query, found


@pytest.mark.parametrize("name", sorted(evaluate()))
def test_every_query_finds_data(prometheus: Engine, name: str) -> None:
    """Each query runs, its legend names labels that exist, and it is empty only knowingly."""
    problems: list[str] = []
    dashboard = evaluate()[name]
    legends = {
        (panel["title"], target["refId"]): target["legendFormat"]
        for panel in panels(dashboard)
        for target in panel.get("targets", [])
    }
    try:
        for query, found in _results(prometheus, dashboard):
            if not found and str(query) not in EMPTY:
                problems.append(f"{query}: empty: {query.expr}")
            if found and str(query) in EMPTY:
                problems.append(f"{query}: not empty any more, take it off the list")
            wanted = set(re.findall(r"{{(\w+)}}", legends.get((query.place, query.ref), "")))
            missing = wanted - {label for series in found for label in series.labels}
            if found and missing:
                problems.append(f"{query}: its legend names {missing}, which no series has")
    except EngineError as error:
        pytest.fail(f"{query}: {error}\n{query.expr}")
    assert problems == []


def test_table_columns_exist(prometheus: Engine) -> None:
    """Each label that is a column of a table is a label of what one of its queries returns."""
    missing: list[str] = []
    for dashboard in evaluate().values():
        macros = {**_macros(dashboard), "collector": "ledger"}
        for panel in panels(dashboard):
            if panel["type"] != "table":
                continue
            fields: dict[str, Any] = panel["transformations"][1]["options"]["renameByName"]
            wanted = {field for field in fields if not field.startswith("Value")}
            for target in panel["targets"]:
                query = Query(dashboard["title"], panel["title"], target["expr"], instant=True)
                for collector in COLLECTORS:
                    for series in _run(prometheus, query, {**macros, "collector": collector}):
                        wanted -= series.labels.keys()
            missing += [f"{dashboard['title']} / {panel['title']}: {field}" for field in wanted]
    assert missing == []
