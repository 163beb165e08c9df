"""Outcomes in, messages out: real exporter, Prometheus with the generated rules, Alertmanager.

Rules run every second and waits are seconds; the logic is that of the shipped configuration.
"""

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alertmanager.support import ALWAYS, generate
from tests.support.services import Alertmanager, Exporter, Prometheus, Stack, http_json, http_text
from tests.support.sinks import NotificationSink

PEOPLE = ("slack", "email", "webhook")
BELOW = [f"feed-{number:02d}" for number in range(40)]
HOURLY = {"every": "1h"}
INVENTORY = {
    "defaults": {"tier": 3, "team": "data"},
    "collectors": [
        {"name": "orders", "tier": 1, "schedule": HOURLY, "impact": {"consumers": ["billing"]}},
        {"name": "payments", "tier": 1, "schedule": HOURLY},
        {"name": "invoices", "tier": 2, "schedule": HOURLY},
        *({"name": name, "depends_on": ["warehouse"], "schedule": HOURLY} for name in BELOW),
    ],
}
# Seconds in place of minutes; everything else as shipped.
KNOBS: dict[str, Any] = {
    "fastInterval": "1s",
    "slowInterval": "2s",
    "baselineInterval": "2s",
    "historyInterval": "2s",
    "longInterval": "5s",
    "scrapeGuard": "10s",
    "failing": {"minStreak": "1s", "minSpan": "1s"},
    "dependency": {"minSpan": "1s"},
    # Between the first message and the second level there is time to answer and to be heard.
    "escalation": {"1": ["0s", "15s", "21s"]},
}
THROTTLE = {"group_wait": "3s", "group_interval": "2s", "repeat_interval": "1h"}


class Line:
    """The whole line from outcome to message."""

    def __init__(self, stack: Stack, sink: NotificationSink, directory: Path) -> None:
        self.sink = sink
        self.exporter: Exporter = stack.exporter(yaml.safe_dump(INVENTORY))
        config = generate(
            directory / "config",
            self._section(directory),
            rules=True,
            exporterUrl=self.exporter.url,
            **KNOBS,
        )
        self.alertmanager: Alertmanager = stack.alertmanager(config)
        self.history()
        self.prometheus: Prometheus = stack.prometheus(
            {
                "collection-health": [self.exporter.address],
                "alertmanager": [self.alertmanager.address],
            },
            rules=[config.with_name(f"{name}.yml") for name in ("rules", "alerts")],
            alertmanagers=[self.alertmanager.address],
        )

    def _section(self, directory: Path) -> dict[str, Any]:
        people = ("critical", "warning", "info", "escalation")
        return {
            "channels": self.sink.channels(directory),
            "when": ALWAYS,
            "recovery": {"url": f"{self.sink.http_url}/recovery"},
            "throttle": {
                **dict.fromkeys(people, THROTTLE),
                "recovery": {**THROTTLE, "group_wait": "100ms"},
            },
        }

    def history(self) -> None:
        """A day of good hourly runs, so that the first failure is one."""
        now = datetime.now(UTC)
        self.exporter.post(
            [
                outcome(name, "success", now - timedelta(hours=hours))
                for hours in range(24, 0, -1)
                for name in ("orders", "payments", "invoices", *BELOW)
            ]
        )

    def report(self, names: Sequence[str], ended: str, runs: int = 1) -> None:
        """The newest runs of each collector, a second apart, the last one now."""
        now = datetime.now(UTC)
        self.exporter.post(
            [
                outcome(name, ended, now - timedelta(seconds=back))
                for back in range(runs - 1, -1, -1)
                for name in names
            ]
        )

    def counts(self, status: str, containing: str) -> dict[str, int]:
        """Messages by channel."""
        return {channel: len(self.sink.received(channel, status, containing)) for channel in PEOPLE}

    def settle(self) -> None:
        """Let several waits pass, in which nothing more may arrive."""
        time.sleep(5)


def outcome(collector: str, ended: str, moment: datetime) -> dict[str, Any]:
    """A run of a minute."""
    result = {
        "collector": collector,
        "outcome": ended,
        "started_at": (moment - timedelta(minutes=1)).isoformat(),
        "finished_at": moment.isoformat(),
        "records": {"collected": 100},
    }
    if ended == "failure":
        result |= {"reason": "connection", "stage": "load", "records": {"collected": 0}}
    return result


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The whole line, with a day of history that the rules have read."""
    directory = tmp_path_factory.mktemp("line")
    stack = Stack(directory / "stack")
    try:
        with NotificationSink() as sink:
            running = Line(stack, sink, directory)
            running.prometheus.wait_for("count(collector:flake:start_ratio) > 40")
            yield running
    finally:
        stack.close()


def test_a_dead_dependency_under_forty_collectors_is_one_message(line: Line) -> None:
    """Forty collectors fail with their warehouse: one message a channel, one when it ends."""
    line.report(BELOW, "failure", runs=12)
    for channel in PEOPLE:
        line.sink.wait_for(channel, "firing", "warehouse")
    failing = 'count(ALERTS{alertname="CollectorFailing",root_cause="dependency:warehouse"}) >= 40'
    line.prometheus.wait_for(failing)
    line.settle()
    told = [one for one in line.sink.received(None, "firing", "warehouse") if one.channel in PEOPLE]
    assert sorted(one.channel for one in told) == sorted(PEOPLE), told
    line.report(BELOW, "success")
    for channel in PEOPLE:
        line.sink.wait_for(channel, "resolved", "warehouse")
    line.settle()
    assert line.counts("resolved", "warehouse") == dict.fromkeys(PEOPLE, 1)
    assert not [m for m in line.sink.received("slack") if "feed-" in m.title]


def test_tier_one_climbs_until_somebody_answers(line: Line) -> None:
    """An unanswered tier-1 failure climbs to the pager; one acknowledged from its message stays."""
    line.report(["orders", "payments"], "failure", runs=12)
    answered = line.sink.wait_for("slack", "firing", "[CRITICAL] payments")
    page = re.search(r"<([^|>]+)\|Acknowledge>", answered.text)
    assert page
    assert "<form" in http_text(page[1]), "a click shows a form"
    control = 'collection_control_active{collector="payments",control="acknowledged"}'
    assert line.exporter.sample(control) == 0, "and changes nothing"
    http_json(f"{line.exporter.url}/api/v1/collectors/payments/ack", {"reason": "on it"})
    first = line.sink.wait_for("slack", "firing", "[CRITICAL] orders")
    assert "connection" in first.text, "says why"
    second = line.sink.wait_for("slack", "firing", "[LEVEL 2] orders")
    third = line.sink.wait_for("slack", "firing", "[LEVEL 3] orders")
    paged = line.sink.wait_for("pager", "firing")
    assert first.at < second.at < min(third.at, paged.at)
    line.report(["orders", "payments"], "success")
    for name in ("orders", "payments"):
        line.sink.wait_for("slack", "resolved", name)
    line.sink.wait_for("pager", "resolved")
    line.settle()
    for channel in ("slack", "email"):
        told = [one.title + one.text for one in line.sink.received(channel, "firing", "orders")]
        assert len(told) == 3, "\n".join(told)
        assert line.counts("firing", "payments")[channel] == 1
        assert line.counts("resolved", "orders")[channel] == 1


@pytest.mark.soak
def test_flapping_is_at_most_two_messages(line: Line) -> None:
    """A collector whose runs fail and succeed in turns twenty times is told at most twice."""
    for _ in range(20):
        line.report(["invoices"], "failure")
        time.sleep(0.4)
        line.report(["invoices"], "success")
        time.sleep(0.4)
    line.settle()
    assert len(line.sink.received("slack", containing="invoices")) <= 2
