"""Who hears which alert: every route, asked of the real amtool."""

from pathlib import Path

import pytest

from tests.alertmanager.support import SUITES, generate, load, receivers_for

# What an alert carries beside what the case says, and the receivers it must reach, in order.
BASE = {"alertname": "CollectorFailing", "collector": "orders", "root_cause": "collector:orders"}
ROUTES: dict[str, tuple[dict[str, str], list[str]]] = {
    "a failure is told to recovery first, then to people": (
        {"kind": "failure", "severity": "critical", "tier": "1"},
        ["recovery", "default/critical"],
    ),
    "tier 2 in its own hours": (
        {"kind": "failure", "severity": "critical", "tier": "2"},
        ["recovery", "default/critical"],
    ),
    "tier 3 in its own hours": (
        {"kind": "failure", "severity": "critical", "tier": "3"},
        ["recovery", "default/critical"],
    ),
    "a warning": (
        {"kind": "freshness", "severity": "warning", "tier": "3"},
        ["recovery", "default/warning"],
    ),
    "what recovery cannot help with goes to people alone": (
        {"kind": "volume", "severity": "warning", "tier": "1"},
        ["default/warning"],
    ),
    "a prediction is information for people, and for recovery, which may prevent it": (
        {"kind": "prediction", "severity": "info", "tier": "1"},
        ["recovery", "default/info"],
    ),
    "recovery is not told what is only information": (
        {"kind": "failure", "severity": "info", "tier": "1"},
        ["default/info"],
    ),
    "a team hears of its own": (
        {"kind": "slo", "severity": "critical", "tier": "1", "team": "data"},
        ["data/critical"],
    ),
    "a team without channels of its own shares": (
        {"kind": "slo", "severity": "warning", "tier": "2", "team": "finance"},
        ["default/warning"],
    ),
    "first level": (
        {"kind": "escalation", "severity": "critical", "level": "1", "tier": "1"},
        ["default/level-1"],
    ),
    "second level of a team": (
        {"kind": "escalation", "severity": "critical", "level": "2", "team": "data"},
        ["data/level-2"],
    ),
    "third level of a team": (
        {"kind": "escalation", "severity": "critical", "level": "3", "team": "web"},
        ["web/level-3"],
    ),
    "a dependency with an owner": (
        {
            "kind": "dependency",
            "severity": "critical",
            "collector": "",
            "dependency": "warehouse",
            "root_cause": "dependency:warehouse",
        },
        ["recovery", "data/critical"],
    ),
    "an owner's dependency is a name, not a pattern": (
        {
            "kind": "dependency",
            "severity": "warning",
            "collector": "",
            "dependency": "ordersXapi",
            "root_cause": "dependency:ordersXapi",
        },
        ["recovery", "default/warning"],
    ),
    "collectors below it stay with their team": (
        {
            "kind": "volume",
            "severity": "warning",
            "team": "web",
            "root_cause": "dependency:warehouse",
        },
        ["web/warning"],
    ),
    "the fleet": (
        {"kind": "fleet", "severity": "critical", "collector": "", "root_cause": "fleet"},
        ["default/critical"],
    ),
    "the monitoring itself": (
        {"kind": "monitoring", "severity": "critical", "root_cause": "monitoring"},
        ["default/critical"],
    ),
    "an alert on trial is told to nobody, recovery included": (
        {"kind": "failure", "severity": "critical", "tier": "1", "shadow": "true"},
        ["nobody"],
    ),
    "the watchdog": (
        {"alertname": "CollectionHealthWatchdog", "severity": "info", "kind": "monitoring"},
        ["dead-mans-switch"],
    ),
    "somebody else's alert": (
        {"alertname": "DiskFull", "collector": "", "root_cause": "", "severity": "page"},
        ["default/warning"],
    ),
}


@pytest.mark.parametrize("case", ROUTES)
def test_route(everything: Path, case: str) -> None:
    """An alert reaches exactly the receivers that are meant for it."""
    labels, wanted = ROUTES[case]
    assert receivers_for(everything, BASE | labels) == wanted


@pytest.mark.compat
@pytest.mark.parametrize("suite", SUITES)
def test_routes_on_every_release(everything: Path, suite: str) -> None:
    """Every supported Alertmanager reads the routes the same way."""
    for case, (labels, wanted) in ROUTES.items():
        assert receivers_for(everything, BASE | labels, suite) == wanted, case


def test_every_receiver_is_reached_by_a_case_above_or_is_a_variation(everything: Path) -> None:
    """No receiver is generated that nothing routes to."""
    config = load(everything)
    routed = set(_receivers(config["route"]))
    assert {receiver["name"] for receiver in config["receivers"]} == routed


def test_without_recovery_and_switch_nothing_is_told_to_them(tmp_path: Path) -> None:
    """Both machines can be switched off; the watchdog then disturbs nobody."""
    config = generate(tmp_path, {"recovery": None})
    failure = BASE | {"kind": "failure", "severity": "critical"}
    assert receivers_for(config, failure) == ["default/critical"]
    watchdog = {"alertname": "CollectionHealthWatchdog", "severity": "info"}
    assert receivers_for(config, watchdog) == ["nobody"]


def test_hours_follow_severity_tier_and_team(everything: Path) -> None:
    """Tier 1 critical is never held back; lower tiers wait; a team may keep its own time zone."""
    config = load(everything)
    critical = _route(config, "default/critical")
    assert not {"mute_time_intervals", "active_time_intervals"} & set(critical)
    by_tier = {child["matchers"][0]: child for child in critical["routes"]}
    assert by_tier['tier="2"']["mute_time_intervals"] == ["quiet-hours"]
    assert by_tier['tier="3"']["active_time_intervals"] == ["business-hours"]
    web = _route(config, "web/warning")
    assert web["mute_time_intervals"] == ["quiet-hours/web"]
    zones = {one["name"]: one["time_intervals"][0]["location"] for one in config["time_intervals"]}
    assert zones == {
        "business-hours": "Local",
        "quiet-hours": "Local",
        "business-hours/web": "Europe/Berlin",
        "quiet-hours/web": "Europe/Berlin",
    }
    for level in ("1", "2", "3"):
        route = _route(config, f"data/level-{level}")
        assert not {"mute_time_intervals", "active_time_intervals"} & set(route)


def test_each_severity_is_throttled_in_its_own_way(tmp_path: Path) -> None:
    """Waits and repetitions are those of the knobs; recovery is told quickly and in full."""
    knobs = {"group_wait": "1s", "group_interval": "2s", "repeat_interval": "3s"}
    config = load(generate(tmp_path, {"throttle": {"critical": knobs}, "groupBy": ["team"]}))
    critical = _route(config, "default/critical")
    assert {name: critical[name] for name in knobs} == knobs
    assert critical["group_by"] == ["team"]
    recovery = _route(config, "recovery")
    assert recovery["continue"] is True
    assert recovery["group_by"] == ["alertname", "collector", "dependency"]
    assert recovery["group_wait"] == "5s"
    assert config["receivers"][1]["webhook_configs"][0]["max_alerts"] == 0


def _receivers(route: dict) -> list[str]:
    below = [name for child in route.get("routes", []) for name in _receivers(child)]
    return [route["receiver"], *below]


def _route(config: dict, receiver: str) -> dict:
    """The route that names a receiver and its waits, wherever it is in the tree."""

    def search(route: dict) -> dict | None:
        if route["receiver"] == receiver and "group_wait" in route and "matchers" in route:
            return route
        return next(filter(None, map(search, route.get("routes", []))), None)

    found = search(config["route"])
    assert found, receiver
    return found
