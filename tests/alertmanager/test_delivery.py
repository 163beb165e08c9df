"""Messages that really leave a real Alertmanager, and those that must not.

Alerts are posted to its API with the labels the rules give them; the waits of the configuration
are seconds in place of minutes.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.alertmanager.support import ALWAYS, generate
from tests.support.process import free_port, wait_for
from tests.support.services import Alertmanager, Stack, http_json, http_text
from tests.support.sinks import NotificationSink

QUICK = {"group_wait": "700ms", "group_interval": "1s", "repeat_interval": "1h"}
# Before people, but not before Alertmanager has seen which of the alerts inhibits the others.
SOONER = QUICK | {"group_wait": "200ms"}
PEOPLE = ("slack", "email", "webhook")


def section(sink: NotificationSink, directory: Path) -> dict[str, Any]:
    """`alertmanager` of a pack.yml that delivers to the sink, at any hour and within seconds."""
    people = ("critical", "warning", "info", "escalation")
    return {
        "channels": sink.channels(directory),
        "recovery": {"url": f"{sink.http_url}/recovery"},
        "when": ALWAYS,
        "throttle": dict.fromkeys(people, QUICK) | {"recovery": SOONER},
    }


@pytest.fixture
def sink() -> Iterator[NotificationSink]:
    """A place where messages arrive."""
    with NotificationSink() as running:
        yield running


class Line(NamedTuple):
    """An Alertmanager and where it delivers."""

    alertmanager: Alertmanager
    sink: NotificationSink

    def counts(self, status: str, about: str) -> dict[str, int]:
        """Messages to people by channel."""
        return {channel: len(self.sink.received(channel, status, about)) for channel in PEOPLE}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One Alertmanager with the generated configuration; each test has a collector of its own."""
    directory = tmp_path_factory.mktemp("line")
    stack = Stack(directory / "stack")
    try:
        with NotificationSink() as sink:
            config = generate(directory / "config", section(sink, directory))
            yield Line(stack.alertmanager(config), sink)
    finally:
        stack.close()


def alert(**labels: str) -> dict[str, Any]:
    """An alert as the rules send it: a critical failure of `orders` unless the labels differ."""
    merged = {
        "alertname": "CollectorFailing",
        "collector": "orders",
        "kind": "failure",
        "root_cause": f"collector:{labels.get('collector', 'orders')}",
        "severity": "critical",
        "team": "data",
        "tier": "1",
    } | labels
    return {
        "labels": {name: value for name, value in merged.items() if value},
        "annotations": {"summary": f"Summary of {merged['alertname']}."},
    }


def post(alertmanager: Alertmanager, *alerts: dict[str, Any], resolved: bool = False) -> None:
    """Send alerts as Prometheus does: firing for some minutes unless sent again, or ended."""
    now = datetime.now(UTC)
    ends = {"endsAt": (now if resolved else now + timedelta(minutes=5)).isoformat()}
    # An older start would skip group_wait; Alertmanager keeps the first start it was told.
    body = [
        {"startsAt": (now - timedelta(seconds=0.1)).isoformat(), **one, **ends} for one in alerts
    ]
    http_json(f"{alertmanager.url}/api/v2/alerts", body)


def settle(seconds: float = 2.5) -> None:
    """Let one wait and one interval pass, in which nothing more may arrive."""
    time.sleep(seconds)


ONE_EACH = dict.fromkeys(PEOPLE, 1)


def test_each_channel_hears_once_that_it_broke_and_once_that_it_ended(line: Line) -> None:
    """One firing and one resolved message a channel, recovery first, the pager not at all."""
    sink = line.sink
    post(line.alertmanager, alert())
    for channel in PEOPLE:
        sink.wait_for(channel, "firing", "orders")
    assert sink.received()[0].channel == "recovery"
    post(line.alertmanager, alert(), resolved=True)
    for channel in (*PEOPLE, "recovery"):
        sink.wait_for(channel, "resolved", "orders")
    settle()
    assert line.counts("firing", "orders") == line.counts("resolved", "orders") == ONE_EACH
    assert not sink.received("pager")
    mail = sink.received("email", "firing", "orders")[0]
    assert mail.title == "[CRITICAL] orders: Summary of CollectorFailing."
    assert "<!DOCTYPE html>" in mail.html
    assert "/collectors/orders/ack" in mail.text


def test_a_dependency_speaks_for_its_collectors(line: Line) -> None:
    """Forty collectors below a dead dependency are one message a channel, and one when it ends."""
    root = "dependency:warehouse"
    below = [
        alert(collector=f"feed-{number}", root_cause=root, tier=str(1 + number % 3))
        for number in range(40)
    ]
    dependency = alert(
        alertname="DependencyFailing",
        kind="dependency",
        dependency="warehouse",
        root_cause=root,
        collector="",
        team="",
    )
    post(line.alertmanager, dependency, *below)
    for channel in PEOPLE:
        line.sink.wait_for(channel, "firing", "warehouse")
    settle()
    assert line.counts("firing", "warehouse") == ONE_EACH
    # Only the dependency is repaired; restarting forty collectors would not help.
    assert line.sink.received("recovery", "firing", "warehouse")
    post(line.alertmanager, dependency, *below, resolved=True)
    for channel in PEOPLE:
        line.sink.wait_for(channel, "resolved", "warehouse")
    settle()
    assert line.counts("resolved", "warehouse") == ONE_EACH
    assert not line.sink.received(containing="feed-")


def test_several_alerts_of_a_collector_are_one_message(line: Line) -> None:
    """What follows from a failure, at the same or a lower severity, is not told beside it."""
    consequences = [
        alert(alertname="CollectorDataStale", kind="freshness", collector="customers"),
        alert(
            alertname="CollectorBudgetBurn", kind="slo", severity="warning", collector="customers"
        ),
        alert(alertname="CollectorSlow", kind="latency", severity="info", collector="customers"),
    ]
    post(line.alertmanager, alert(collector="customers"), *consequences)
    for channel in PEOPLE:
        line.sink.wait_for(channel, "firing", "customers")
    settle()
    assert line.counts("firing", "customers") == ONE_EACH
    told = line.sink.received("webhook", "firing", "customers")[0].alerts
    assert [one["labels"]["alertname"] for one in told] == ["CollectorFailing"]


def test_levels_climb_and_the_higher_silences_the_lower(line: Line) -> None:
    """Each level tells its channels once; only the third reaches the pager; it ends once."""
    sink = line.sink
    base = alert(collector="payments")
    levels = [
        alert(
            alertname="CollectorUnacknowledged",
            kind="escalation",
            level=level,
            collector="payments",
        )
        for level in "123"
    ]
    post(line.alertmanager, base, levels[0])
    sink.wait_for("slack", "firing", "[CRITICAL] payments")
    post(line.alertmanager, levels[1])
    sink.wait_for("slack", "firing", "[LEVEL 2] payments")
    assert not sink.received("pager")
    post(line.alertmanager, levels[2])
    sink.wait_for("slack", "firing", "[LEVEL 3] payments")
    sink.wait_for("pager", "firing", "payments")
    settle()
    assert line.counts("firing", "payments") == dict.fromkeys(PEOPLE, 3)
    post(line.alertmanager, base, *levels, resolved=True)
    sink.wait_for("slack", "resolved", "payments")
    sink.wait_for("pager", "resolved", "payments")
    settle()
    assert len(sink.received("slack", "resolved", "payments")) == 1
    assert len(sink.received("email", "resolved", "payments")) == 1


def test_flapping_is_one_message(line: Line) -> None:
    """A collector that fails and recovers twenty times is told at most twice."""
    failing = alert(collector="stock")
    flapping = alert(alertname="CollectorFlapping", kind="flapping", collector="stock")
    for round_ in range(20):
        post(line.alertmanager, failing, resolved=round_ % 2 == 1)
        if round_ > 2:
            post(line.alertmanager, flapping)
        time.sleep(0.2)
    settle()
    told = line.sink.received("slack", containing="stock")
    assert 1 <= len(told) <= 2, [message.title for message in told]


def counted(alertmanager: Alertmanager, counter: str, integration: str) -> bool:
    """Whether a counter of Alertmanager's about a kind of channel is above zero."""
    return any(
        line.startswith(counter + "{")
        and f'integration="{integration}"' in line
        and not line.endswith(" 0")
        for line in http_text(f"{alertmanager.url}/metrics").splitlines()
    )


def test_a_failing_channel_does_not_hold_up_the_others(
    stack: Stack, sink: NotificationSink, tmp_path: Path
) -> None:
    """With Slack down, the mail server refusing or a secret missing the rest still delivers."""
    config = section(sink, tmp_path)
    config["channels"]["pager"]["credentials_file"] = str(tmp_path / "missing")
    config["notify"] = {"critical": ["slack", "email", "webhook", "pager"]}
    alertmanager = stack.alertmanager(generate(tmp_path / "config", config))
    sink.fail = {"slack": 500, "email": 550}
    post(alertmanager, alert())
    sink.wait_for("webhook", "firing")
    wait_for(lambda: {"slack", "email"} <= set(sink.refused), "Slack and mail to be tried")
    # The alert about the monitoring itself is fed by this counter.
    counter = "alertmanager_notifications_failed_total"
    wait_for(lambda: counted(alertmanager, counter, "slack"), "the counter of failed notifications")
    sink.fail = {}
    sink.wait_for("slack", "firing")
    assert not sink.received("pager")


def test_a_restart_forgets_nothing_and_repeats_nothing(
    stack: Stack, sink: NotificationSink, tmp_path: Path
) -> None:
    """What was told before a restart is not told again; what ended meanwhile is told after it."""
    alertmanager = stack.alertmanager(generate(tmp_path / "config", section(sink, tmp_path)))
    post(alertmanager, alert())
    for channel in PEOPLE:
        sink.wait_for(channel, "firing")
        # Stopped between sending and noting that it was sent, it would rightly send again.
        noted = partial(counted, alertmanager, "alertmanager_notification_requests_total", channel)
        wait_for(noted, f"Alertmanager to know of the message to {channel}")
    alertmanager.process.stop()
    alertmanager.start()
    post(alertmanager, alert(), alert(collector="invoices"))
    sink.wait_for("slack", "firing", "invoices")
    settle()
    assert len(sink.received("slack", "firing", "orders")) == 1
    post(alertmanager, alert(), resolved=True)
    sink.wait_for("slack", "resolved", "orders")


def test_a_cluster_survives_the_loss_of_a_node(
    stack: Stack, sink: NotificationSink, tmp_path: Path
) -> None:
    """Three Alertmanagers tell once; with one killed the others still tell, at most once more."""
    config = generate(tmp_path / "config", section(sink, tmp_path))
    nodes = cluster(stack, config)
    for node in nodes:
        post(node, alert())
    sink.wait_for("slack", "firing", "orders")
    nodes[0].process.kill()
    for node in nodes[1:]:
        post(node, alert(), alert(collector="invoices"))
    sink.wait_for("slack", "firing", "invoices")
    settle()
    assert len(sink.received("slack", "firing", "orders")) <= 2
    assert len(sink.received("slack", "firing", "invoices")) <= 2


def cluster(stack: Stack, config: Path) -> list[Alertmanager]:
    """Three Alertmanagers that know each other."""
    gossip = [free_port() for _ in range(3)]
    peers = [f"--cluster.peer=127.0.0.1:{port}" for port in gossip]
    return [
        stack.alertmanager(
            config,
            name=f"alertmanager-{number}",
            gossip=f"127.0.0.1:{port}",
            arguments=[
                "--cluster.peer-timeout=2s",
                "--cluster.settle-timeout=2s",
                "--cluster.gossip-interval=50ms",
                *peers,
            ],
        )
        for number, port in enumerate(gossip)
    ]
