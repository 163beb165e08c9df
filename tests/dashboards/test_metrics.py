"""Dashboards only read what exists: the exporter's catalogue, recorded rules, known neighbours."""

import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collection_health.backtest import replay, ruleset
from tests.dashboards.dataset import INVENTORY
from tests.dashboards.support import evaluate, promql, queries, rule_groups
from tests.support.process import wait_for
from tests.support.services import Stack, http_text

# Written by Prometheus itself, about its targets and alerts.
BY_PROMETHEUS = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "ALERTS",
    "ALERTS_FOR_STATE",
}
VARIABLES = {"collector": "orders", "team": ".*", "tier": ".*", "datasource": "x"}
LOOKBACK = 240  # seconds: Prometheus' five minutes less a late evaluation


def _seconds(duration: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def _selectors(expr: object) -> Iterator[tuple[str, bool]]:
    """Metric name of every selector, and whether it reads a range of time."""
    for node in ruleset.nodes(expr):
        if isinstance(node, promql_parser.VectorSelector):
            yield str(node.name), False
        elif isinstance(node, promql_parser.MatrixSelector):
            yield str(node.vector_selector.name), True


def _used() -> dict[str, set[str]]:
    """Where each metric is used."""
    used: dict[str, set[str]] = {}
    for dashboard in evaluate().values():
        for query in queries(dashboard):
            for name, _ in _selectors(promql_parser.parse(promql(query, VARIABLES))):
                used.setdefault(name, set()).add(str(query))
    return used


def _names(text: str) -> set[str]:
    families = list(text_string_to_metric_families(text))
    return {sample.name for family in families for sample in family.samples} | {
        # A labelled metric without samples yet shows only its type.
        family.name + suffix
        for family in families
        for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
            family.type, ("",)
        )
    }


@pytest.fixture
def neighbours(stack: Stack, tmp_path: Path) -> set[str]:
    """Every metric that a real exporter, Prometheus and Alertmanager expose."""
    alertmanager = tmp_path / "alertmanager.yml"
    alertmanager.write_text("{route: {receiver: nobody}, receivers: [{name: nobody}]}\n")
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n")
    told = stack.alertmanager(alertmanager)
    prometheus = stack.prometheus({}, rules=[rules], alertmanagers=[told.address])
    wait_for(lambda: told.alerts(alertname="Always"), "an alert: only then it is counted")
    services = [stack.exporter(INVENTORY), prometheus, told]
    return {name for service in services for name in _names(http_text(service.url + "/metrics"))}


def test_every_metric_exists(neighbours: set[str]) -> None:
    """No panel waits for a series that nobody writes."""
    recorded = {rule["record"] for group in rule_groups() for rule in group["rules"]}
    known = replay.metric_names() | neighbours | recorded | BY_PROMETHEUS
    unknown = {name: sorted(where) for name, where in _used().items() if name not in known}
    assert unknown == {}


def test_slow_conclusions_are_remembered() -> None:
    """What is recorded every few minutes is read with a memory, or panels would blink."""
    slow = {
        rule["record"]
        for group in rule_groups()
        if _seconds(group.get("interval", "1m")) > LOOKBACK
        for rule in group["rules"]
    }
    blinking = {
        f"{query}: {name}"
        for dashboard in evaluate().values()
        for query in queries(dashboard)
        for name, ranged in _selectors(promql_parser.parse(promql(query, VARIABLES)))
        if name in slow and not ranged
    }
    assert blinking == set()


def test_every_conclusion_is_shown() -> None:
    """The dashboards show most of what the rules conclude, on every level."""
    used = _used().keys()
    shown = [name for name in used if ":" in name]
    assert len(shown) >= 40
    assert {name.split(":")[0] for name in shown} >= {"collector", "dependency", "fleet", "team"}
