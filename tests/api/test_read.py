"""The read side of the API: facts of a real exporter without Prometheus."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.support import ask
from tests.support.process import wait_for
from tests.support.services import Exporter, Stack

INVENTORY = """
collectors:
  - {name: orders, team: shop, schedule: {every: 1h}, depends_on: [warehouse],
     impact: {weight: 5, consumers: [billing], cost_per_hour: 100}}
  - {name: prod/prices, team: shop, schedule: {every: 1h}}
  - {name: stock, team: store, slo: {freshness: 10m, quality: 0.9}}
  - {name: never, schedule: {every: 1h}}
"""
NOW = datetime.now(UTC)


def run(collector: str, minutes: float, outcome: str = "success", **fields: Any) -> dict[str, Any]:
    """An outcome that ended ``minutes`` ago."""
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    return {"collector": collector, "outcome": outcome, "finished_at": at, **fields}


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Four collectors: one fails, one is well, one is stale, one never ran."""
    stack = Stack(tmp_path_factory.mktemp("read"))
    exporter = stack.exporter(INVENTORY, arguments=["--timers.settle=1h"])
    for minutes in range(30, 10, -1):  # a group of the ledger each
        exporter.post(run("orders", minutes, records={"collected": minutes}))
    exporter.post([run("orders", 9, "failure", reason="timeout"), run("orders", 8)])
    exporter.post([run("prod/prices", 5), run("stock", 20)])
    ask(exporter, "/api/v1/collectors/orders/maintenance", {"duration": "1h", "actor": "lee"})
    exporter.post(run("orders", 2, "failure", reason="auth", error={"message": "401"}))
    ask(exporter, "/api/v1/collectors/orders/ack", {"reason": "on it", "actor": "kim"})
    yield exporter
    stack.close()


def names(exporter: Exporter, query: str) -> list[str]:
    """Names of the collectors a query lists."""
    answer = ask(exporter, f"/api/v1/collectors?{query}")
    assert answer.status == 200
    return [item["name"] for item in answer.body["collectors"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["never", "orders", "prod/prices", "stock"]),
        ("team=shop", ["orders", "prod/prices"]),
        ("state=failing", ["orders"]),
        ("state=healthy&team=shop", ["prod/prices"]),
        ("dependency=warehouse", ["orders"]),
        ("team=nobody", []),
    ],
)
def test_collectors_are_selected(exporter: Exporter, query: str, found: list[str]) -> None:
    """By team, state and dependency, alone or together."""
    assert names(exporter, query) == found


def test_pages_follow_each_other(exporter: Exporter) -> None:
    """The link to the next page leads through every collector once."""
    seen, path = [], "/api/v1/collectors?limit=3"
    while path:
        answer = ask(exporter, path)
        seen += [item["name"] for item in answer.body["collectors"]]
        link = re.match(r'<(.*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    assert seen == ["never", "orders", "prod/prices", "stock"]


def test_a_collector_shows_facts_and_no_guess(exporter: Exporter) -> None:
    """Without Prometheus there are no conclusions, and the answer says so."""
    answer = ask(exporter, "/api/v1/collectors/orders").body
    item, sources = answer["collector"], answer["sources"]
    assert item["facts"]["reason"] == "auth"
    assert item["facts"]["runs"][-1] == "bad"
    assert item["conclusions"] is None
    assert (item["state"], item["basis"]) == ("failing", "facts")
    assert item["why"] == ["auth: 401"]
    assert "acknowledged by kim (unverified)" in item["doing"][-1]
    assert sources["facts"]["source"] == "exporter"
    assert "--prometheus.url" in sources["conclusions"]["problem"]


def test_a_client_that_is_up_to_date_gets_no_body(exporter: Exporter) -> None:
    """If-None-Match is answered with 304 until something changes."""
    path = "/api/v1/collectors/prod%2Fprices"
    tag = ask(exporter, path).headers["ETag"]
    assert ask(exporter, path, If_None_Match=tag).status == 304
    exporter.post(run("prod/prices", 1))
    assert ask(exporter, path, If_None_Match=tag).status == 200


def test_runs_are_read_back_page_by_page(exporter: Exporter) -> None:
    """Every run once, the newest first, whatever groups the ledger keeps them in."""
    seen: list[dict[str, Any]] = []
    before = ""
    while before is not None:
        answer = ask(exporter, f"/api/v1/collectors/orders/runs?limit=5{before}").body
        seen += answer["runs"]
        before = f"&before={answer['next']}" if answer["next"] else None
    assert len(seen) == 23
    assert [item.get("records") for item in seen[3:]] == list(range(11, 31))
    assert [item["outcome"] for item in seen[:3]] == ["failure", "success", "failure"]
    assert len({item["id"] for item in seen}) == 23


def test_incidents_tell_what_was_done(exporter: Exporter) -> None:
    """Folding the record gives each incident with its reasons, end and controls."""
    answer = ask(exporter, "/api/v1/collectors/orders/incidents").body
    open_one, ended = answer["incidents"]
    assert answer["complete"]
    assert (open_one["ended_at"], open_one["reasons"], open_one["message"]) == (
        None, {"auth": 1}, "401",
    )  # fmt: skip
    assert any("acknowledged by kim" in line for line in open_one["done"])
    assert (ended["ended_by"], ended["duration_seconds"], ended["bad_runs"]) == ("self", 60.0, 1)


def test_audit_names_who_did_what(exporter: Exporter) -> None:
    """Every control is there with actor and reason; filters and pages hold."""
    entries = ask(exporter, "/api/v1/audit").body["entries"]
    assert [(item["action"], item["actor"]) for item in entries] == [
        ("acknowledged", "kim (unverified)"), ("maintenance", "lee (unverified)"),
    ]  # fmt: skip
    first = ask(exporter, "/api/v1/audit?limit=1").body
    second = ask(exporter, f"/api/v1/audit?limit=1&before={first['next']}").body
    assert [*first["entries"], *second["entries"]] == entries
    assert ask(exporter, "/api/v1/audit?kind=recovery").body["entries"] == []
    assert ask(exporter, "/api/v1/audit?collector=stock").body["entries"] == []


@pytest.mark.parametrize(
    ("name", "status", "fresh", "healthy", "reason"),
    [
        ("prod%2Fprices", 200, True, True, None),
        ("orders", 409, True, False, "failing for"),
        ("stock", 409, False, True, "the last good run ended 2"),
        ("never", 409, False, None, "no good run"),
    ],
)
def test_readiness_says_why_not(
    exporter: Exporter, name: str, status: int, fresh: bool, healthy: bool, reason: str | None
) -> None:
    """A downstream job may start when data is fresh and healthy; the status code says it too."""
    answer = ask(exporter, f"/api/v1/collectors/{name}/ready-for-consumers")
    assert (answer.status, answer.body["basis"]) == (status, "facts")
    assert (answer.body["fresh"], answer.body["healthy"]) == (fresh, healthy)
    assert answer.body["ready"] is (status == 200)
    told = answer.body["reasons"]
    assert told == [] if reason is None else told[0].startswith(reason)


def test_health_is_a_status_for_load_balancers(exporter: Exporter) -> None:
    """One word and counts; 409 from the status asked for on, of the part asked for."""
    body = ask(exporter, "/api/v1/health").body
    assert (body["status"], body["failing"], body["recording"]) == ("degraded", ["orders"], True)
    assert body["collectors"]["failing"] == 1
    assert ask(exporter, "/api/v1/health?fail_on=degraded").status == 409
    assert ask(exporter, "/api/v1/health?fail_on=failing").status == 200
    assert ask(exporter, "/api/v1/health?fail_on=degraded&team=store").status == 200
    assert ask(exporter, "/api/v1/health?team=typo").status == 404


def test_impact_names_consumers(exporter: Exporter) -> None:
    """Open incidents with weight and cost per hour, and who is affected."""
    body = ask(exporter, "/api/v1/impact").body
    (incident,) = body["incidents"]
    assert (incident["collector"], incident["weight"], incident["cost_per_hour"]) == (
        "orders", 5.0, 100.0,
    )  # fmt: skip
    assert body["consumers"] == {"billing": ["orders"]}
    assert body["cost"] is None


def test_badges_show_the_state(exporter: Exporter) -> None:
    """As a picture and as data, also for names with slashes."""
    picture = ask(exporter, "/badges/prod%2Fprices.svg")
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert "prod/prices: healthy" in picture.body
    data = ask(exporter, "/badges/orders.json").body
    assert (data["schemaVersion"], data["message"]) == (1, "maintenance")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("collectors/nobody", 404, "never reported"),
        ("collectors/nobody/runs", 404, "never reported"),
        ("collectors?state=bad", 400, "allowed: degraded, failing, healthy, unknown"),
        ("collectors?limit=0", 400, "limit: "),
        ("collectors?who=me", 400, "allowed: team, state, dependency, limit, after"),
        ("audit?before=x", 400, "allowed: a page's `next`"),
    ],
)
def test_errors_name_what_is_allowed(exporter: Exporter, path: str, status: int, text: str) -> None:
    """A problem document that says which parameter and what is allowed."""
    answer = ask(exporter, f"/api/v1/{path}")
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert text in answer.body["detail"]


def test_missed_runs_are_runs_too(stack: Stack) -> None:
    """A run that never came is listed and opens an incident that the next good run ends."""
    inventory = "collectors: [{name: hourly, schedule: {every: 1s}, grace: 1s}]"
    exporter = stack.exporter(inventory, arguments=["--timers.settle=0s"])
    path = "/api/v1/collectors/hourly"
    wait_for(lambda: ask(exporter, f"{path}/runs").body["runs"], "a missed run", 20)
    exporter.post({"collector": "hourly", "outcome": "success"})
    runs = ask(exporter, f"{path}/runs?limit=100").body["runs"]
    assert {item.get("reason") for item in runs} >= {"missed", None}
    incident = ask(exporter, f"{path}/incidents").body["incidents"][-1]
    assert incident["ended_by"] == "self"
    assert incident["reasons"].keys() == {"missed"}
