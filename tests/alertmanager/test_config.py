"""The generated configuration: what Alertmanager accepts, and what is refused before it sees it."""

import re
from pathlib import Path
from typing import Any

import pytest

from collection_health.pack.errors import PackError
from tests.alertmanager.support import EVERYTHING, SUITES, amtool, generate, load
from tests.tools import TOOLS, ensure, version_of

SLACK = {"api_url_file": "/etc/alertmanager/slack_url", "channel": "#collectors"}


def test_the_default_configuration_is_valid_and_reaches_nobody(default: Path) -> None:
    """Without a pack.yml the file loads and only the exporter's own recovery is told anything."""
    amtool("check-config", default)
    telling = [one for one in load(default)["receivers"] if len(one) > 1]
    assert [one["name"] for one in telling] == ["recovery"]
    url = telling[0]["webhook_configs"][0]["url"]
    assert url == "http://localhost:9036/api/v1/alertmanager/webhook"


def test_a_full_configuration_is_valid_for_the_oldest_alertmanager(everything: Path) -> None:
    """Every channel, team and switch together load without a field that 0.25 does not know."""
    amtool("check-config", everything)


@pytest.mark.compat
@pytest.mark.parametrize(("suite", "version"), SUITES.items())
def test_each_target_version_is_accepted_by_that_alertmanager(
    tmp_path: Path, suite: str, version: str
) -> None:
    """What `alertmanager.version` allows is understood by the Alertmanager of that version."""
    found = version_of(ensure("alertmanager", suite=suite), TOOLS["alertmanager"])
    assert found >= tuple(map(int, version.split(".")))
    amtool("check-config", generate(tmp_path, NEWER[version]), suite=suite)
    amtool("check-config", generate(tmp_path / "old", EVERYTHING), suite=suite)


_BOT = {"bot_token_file": "/etc/alertmanager/slack_token", "channel": "#collectors"}
_MAIL = EVERYTHING["channels"]["email"]
NEWER: dict[str, dict[str, Any]] = {
    "0.25": EVERYTHING,
    "0.28": {
        "version": "0.28",
        "channels": {
            "slack": _BOT,
            "webhook": {"url_file": "/etc/alertmanager/webhook_url", "timeout": "5s"},
        },
    },
    "0.32": {
        "version": "0.32",
        "channels": {
            "slack": {**_BOT, "update_message": True},
            "email": {**_MAIL, "threading": {"enabled": True, "thread_by_date": "daily"}},
            "webhook": {"url": "http://chatops/", "payload": {"why": "{{ .NotificationReason }}"}},
        },
    },
}

REFUSED = {
    "unknown channel in notify": (
        {"notify": {"critical": ["slak"]}},
        "alertmanager.notify.critical: unknown channel slak; known are email, pager, slack,",
    ),
    "a team without a channel": (
        {"teams": {"data": {}}},
        "alertmanager.teams.data: has no channel",
    ),
    "a team that switched off its only channel": (
        {"channels": {"slack": SLACK}, "teams": {"data": {"slack": None}}},
        "alertmanager.teams.data: has no channel",
    ),
    "a team's channel without the rest it needs": (
        {"teams": {"data": {"slack": "#data"}}},
        "alertmanager.teams.data.slack: needs exactly one of api_url_file or bot_token_file",
    ),
    "a team with a channel nobody knows": (
        {"teams": {"data": {"sms": "+49"}}},
        "alertmanager.teams.data: unknown sms; known are",
    ),
    "a misspelt field": (
        {"channels": {"slack": {**SLACK, "chanel": "#x"}}},
        "alertmanager.channels.slack: unknown chanel; known are",
    ),
    "email without a server": (
        {"channels": {"email": {"to": "a@example.org", "from": "b@example.org"}}},
        "alertmanager.channels.email: needs exactly one of smarthost",
    ),
    "a field newer than the target": (
        {"channels": {"webhook": {"url_file": "/etc/alertmanager/url"}}},
        "alertmanager.channels.webhook: url_file needs Alertmanager 0.26",
    ),
    "an Alertmanager older than the oldest supported": (
        {"version": "0.24"},
        "alertmanager.version: 0.24 is older than 0.25",
    ),
    "a version that is not one": (
        {"version": "latest"},
        "alertmanager.version: latest is not a version such as 0.25",
    ),
    "an inline Slack URL": (
        {"channels": {"slack": {"api_url": "https://hooks.slack.com/x", "channel": "#x"}}},
        "alertmanager.channels.slack.api_url: secrets are read from files only",
    ),
    "a Slack URL as a webhook": (
        {"channels": {"webhook": "https://hooks.slack.com/services/T/B/X"}},
        "alertmanager.channels.webhook.url: this URL is a secret",
    ),
    "an inline password": (
        {"channels": {"email": {**_MAIL, "auth_password": "hunter2"}}},
        "alertmanager.channels.email.auth_password: secrets are read from files only",
    ),
    "a password in a URL": (
        {"channels": {"pager": {"url": "https://user:hunter2@pager/"}}},
        "alertmanager.channels.pager.url: holds a password",
    ),
    "a secret in a receiver of one's own": (
        {
            "channels": {
                "pagerduty": {"receiver": {"pagerduty_configs": [{"routing_key": "hunter2"}]}}
            }
        },
        "alertmanager.channels.pagerduty.receiver.pagerduty_configs[0].routing_key: secrets",
    ),
    "a time of day nobody knows": (
        {"when": {"critical": {"3": "never"}}},
        "alertmanager.when.critical.3: never is not one of always, waking, business",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_the_path_of_the_knob(tmp_path: Path, case: str) -> None:
    """A wrong pack.yml is refused: the knob, the problem and what is allowed."""
    section, complaint = REFUSED[case]
    with pytest.raises(PackError) as refused:
        generate(tmp_path, section)
    assert complaint in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_channel_of_ones_own_is_passed_on(tmp_path: Path) -> None:
    """Whatever else Alertmanager can talk to works under a name of the user's choice."""
    config = generate(
        tmp_path,
        {
            "channels": {
                "opsgenie": {"receiver": {"opsgenie_configs": [{"api_key_file": "/etc/key"}]}}
            },
            "notify": {"level-3": ["opsgenie"]},
        },
    )
    amtool("check-config", config)
    named = {one["name"]: one for one in load(config)["receivers"]}
    assert named["default/level-3"]["opsgenie_configs"] == [{"api_key_file": "/etc/key"}]


def test_teams_share_what_they_do_not_name(everything: Path) -> None:
    """A team's Slack channel replaces the default one; the rest is inherited."""
    named = {one["name"]: one for one in load(everything)["receivers"]}
    data = named["data/critical"]
    assert data["slack_configs"][0]["channel"] == "#data"
    assert data["slack_configs"][0]["api_url_file"] == "/etc/alertmanager/slack_url"
    assert data["email_configs"][0]["to"] == "data@example.org"
    assert data["email_configs"][0]["smarthost"] == "mail:587"
    assert data["webhook_configs"][0]["url"] == "http://chatops:8080/alerts"
    assert "email_configs" not in named["web/critical"]


def test_only_the_third_level_reaches_the_pager(everything: Path) -> None:
    """Nothing but an alert that climbed to the top gets a person out of bed."""
    config = load(everything)
    paged = {
        one["name"]
        for one in config["receivers"]
        for webhook in one.get("webhook_configs", [])
        if webhook["url"] == "http://pager:8080/"
    }
    assert paged == {"default/level-3", "data/level-3", "web/level-3"}


def test_inhibition_is_a_strict_order(everything: Path) -> None:
    """No two alerts can silence each other, and a missing root cause never counts as equal."""
    rules = load(everything)["inhibit_rules"]
    below = dict.fromkeys(
        [
            "flapping",
            "failure",
            "hanging",
            "freshness",
            "latency",
            "slo",
            "recovery",
            "escalation",
            "",
        ],
        ("collector", "dependency", ""),
    )
    alerts = [
        _alert(kind, severity, level, where, root_cause)
        for kind, places in {
            **below,
            "fleet": ("fleet",),
            "dependency": ("dependency",),
            "monitoring": ("monitoring",),
        }.items()
        for severity in ("critical", "warning", "info")
        for level in (("1", "2", "3") if kind == "escalation" else ("",))
        for where in places
        for root_cause in ("dependency:x", f"{where}:x" if where else "")
    ]
    silenced = {
        (one, other)
        for rule in rules
        for one in _indices(rule["source_matchers"], alerts)
        for other in _indices(rule["target_matchers"], alerts)
        if all(alerts[one].get(name) == alerts[other].get(name) for name in rule["equal"])
    }
    assert len(silenced) > 1000
    for one, other in silenced:
        assert (other, one) not in silenced, (alerts[one], alerts[other])
        assert alerts[other].get("root_cause"), alerts[other]


def _alert(kind: str, severity: str, level: str, where: str, root_cause: str) -> dict[str, str]:
    labels = {"kind": kind, "severity": severity, "level": level, "root_cause": root_cause}
    if where in {"collector", "dependency"}:
        labels[where] = "x"
    if where == "monitoring":
        labels |= {"alertname": "CollectionHealthDown", "root_cause": "monitoring"}
    if where == "fleet":
        labels["root_cause"] = "fleet"
    return {name: value for name, value in labels.items() if value}


def _indices(matchers: list[str], alerts: list[dict[str, str]]) -> list[int]:
    return [index for index, labels in enumerate(alerts) if _matches(matchers, labels)]


def _matches(matchers: list[str], labels: dict[str, str]) -> bool:
    return all(_holds(matcher, labels) for matcher in matchers)


def _holds(matcher: str, labels: dict[str, str]) -> bool:
    parsed = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert parsed, matcher
    name, operator, wanted = parsed.groups()
    value = labels.get(name, "")
    equal = bool(re.fullmatch(wanted, value)) if "~" in operator else value == wanted
    return equal is not operator.startswith("!")
