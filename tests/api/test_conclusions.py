"""Conclusions come from a real Prometheus, with their age; when it leaves, facts remain."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.support import ask
from tests.support.process import wait_for
from tests.support.services import Stack, http_text

# What the shipped rules record, as constants: the API reads names and labels, not formulas.
RECORDS = [
    ("collector:health:state", {"collector": "orders"}, 1),
    ("collector:health:score", {"collector": "orders"}, 0.7),
    ("collector:problem:value", {"collector": "orders", "problem": "stale",
                                 "severity": "critical"}, 9),
    ("collector:prediction:value", {"collector": "orders", "prediction": "quota"}, 7200),
    ("collector:explained_by:info", {"collector": "orders", "dependency": "warehouse"}, 1),
    ("collector:impact:cost", {"collector": "orders"}, 12.5),
    ("collector:error_budget:remaining_ratio", {"collector": "orders", "sli": "latency"}, 0.25),
    ("collector:health:state", {"collector": "prices"}, 0),
    ("collector:problem:value", {"collector": "prices", "problem": "slow",
                                 "severity": "warning"}, 3),
    ("fleet:health:score", {}, 0.8),
]  # fmt: skip


def rules(directory: Path) -> Path:
    """A rule file of constants, and one alert."""
    entries: list[dict[str, Any]] = [
        {"record": name, "labels": labels, "expr": f"vector({value})"}
        for name, labels, value in RECORDS
    ]
    entries.append({"alert": "CollectorDataStale", "expr": "vector(1)",
                    "labels": {"collector": "orders", "severity": "critical"}})  # fmt: skip
    path = directory / "constants.yml"
    path.write_text(json.dumps({"groups": [{"name": "constants", "rules": entries}]}))
    return path


def test_conclusions_of_a_real_prometheus(stack: Stack, tmp_path: Path) -> None:
    """State, problems, predictions and readiness are the rules'; without them the facts'."""
    prometheus = stack.prometheus({}, rules=[rules(tmp_path)])
    exporter = stack.exporter(arguments=[f"--prometheus.url={prometheus.url}"])
    exporter.post([{"collector": "orders", "outcome": "success"},
                   {"collector": "prices", "outcome": "failure"}])  # fmt: skip
    prometheus.wait_for("collector:health:state and on () ALERTS{alertstate='firing'}")

    def by_rules() -> Any:
        answer = ask(exporter, "/api/v1/collectors/orders").body
        found = answer["collector"]["conclusions"]
        return answer if found and found["alerts"] and found["score"] else None

    answer = wait_for(by_rules, "conclusions")
    item, source = answer["collector"], answer["sources"]["conclusions"]
    assert (item["state"], item["basis"]) == ("degraded", "rules")
    assert item["conclusions"]["error_budget"] == {"latency": 0.25}
    assert item["conclusions"]["cost"] == 12.5
    assert item["conclusions"]["alerts"] == ["CollectorDataStale"]
    assert item["why"] == [
        "explained by warehouse, which fails too", "rules: stale", "predicted: quota in 2 h",
    ]  # fmt: skip
    assert source["source"] == "prometheus"
    assert source["problem"] is None
    assert 0 <= source["age_seconds"] < 60
    ready = ask(exporter, "/api/v1/collectors/orders/ready-for-consumers")
    assert (ready.status, ready.body["basis"]) == (409, "rules")
    assert ready.body["reasons"] == ["the rules find it stale"]
    # One failure that the rules know to be a flake, and being slow, hold nobody up.
    assert ask(exporter, "/api/v1/collectors/prices/ready-for-consumers").status == 200
    assert ask(exporter, "/api/v1/health").body["score"] == 0.8
    assert "by the rules in Prometheus" in http_text(f"{exporter.url}/")

    prometheus.process.stop()

    def by_facts() -> Any:
        answer = ask(exporter, "/api/v1/collectors/prices").body
        return answer if answer["collector"]["basis"] == "facts" else None

    answer = wait_for(by_facts, "the conclusions to go")
    assert answer["collector"]["conclusions"] is None
    assert answer["collector"]["state"] == "failing"
    assert "cannot be asked" in answer["sources"]["conclusions"]["problem"]


def test_prometheus_without_the_rules(stack: Stack) -> None:
    """A Prometheus that has no rules concludes nothing, and the answer says why."""
    prometheus = stack.prometheus({})
    exporter = stack.exporter(arguments=[f"--prometheus.url={prometheus.url}"])

    def answered() -> Any:
        body = ask(exporter, "/api/v1/health").body
        assert body["basis"] == "facts"
        return "are the rules loaded" in body["sources"]["conclusions"]["problem"]

    wait_for(answered, "the answer of a Prometheus that has no rules")


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://x"])
def test_a_wrong_url_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    """The message names the flag, the value and what is allowed."""
    from collection_health.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["serve", f"--prometheus.url={url}", f"--storage.path={tmp_path}"])
    assert caught.value.code == 2
