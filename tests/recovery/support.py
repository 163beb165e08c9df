"""What the recovery tests share: rules for the fleet guard, alerts as Alertmanager sends them."""

import itertools
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.process import wait_for
from tests.support.services import Exporter, Prometheus, Stack, http_json

# The names of the pack's fleet rules, evaluated every second over what tests post.
GUARD_RULES = """
groups:
- name: fleet
  interval: 1s
  rules:
  - record: fleet:failing:count
    expr: sum(collection_consecutive_failures > bool 0)
  - record: fleet:unexplained_failing:ratio
    expr: avg(collection_consecutive_failures > bool 0)
"""
_serial = itertools.count()


def guarded(
    stack: Stack, inventory: str, *, arguments: list[str], name: str = "exporter"
) -> tuple[Exporter, Prometheus]:
    """An exporter that asks the Prometheus that scrapes it."""
    exporter = stack.exporter(inventory, arguments=["--timers.settle=1h", *arguments], name=name)
    rules = stack.directory / f"{name}-rules.yml"
    rules.write_text(GUARD_RULES)
    prometheus = stack.prometheus(
        {"collection-health": [exporter.address]}, rules=[rules], name=f"{name}-prometheus"
    )
    exporter.process.stop()
    exporter.process.command.append(f"--prometheus.url={prometheus.url}")
    exporter.start()
    prometheus.wait_for("fleet:unexplained_failing:ratio")
    return exporter, prometheus


def alert(collector: str = "", status: str = "firing", **labels: str) -> dict[str, Any]:
    """One alert of a webhook; each copy has a fingerprint and a start time of its own."""
    number = next(_serial)
    given = {"alertname": "CollectorFailing", "kind": "failure", "severity": "critical"}
    if collector:
        given |= {"collector": collector, "root_cause": f"collector:{collector}"}
    return {
        "status": status,
        "labels": given | labels,
        "annotations": {"summary": "A collector fails."},
        "startsAt": f"2026-01-01T00:00:{number % 60:02}Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{number:016x}",
    }


def webhook(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A webhook of Alertmanager as it is on the wire."""
    return {
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "recovery", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager", "alerts": list(alerts),
    } | fields  # fmt: skip


def send(
    exporter: Exporter, path: str, body: object = None, token: str = ""
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a POST of JSON (or of raw bytes)."""
    data = (
        body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    )
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{exporter.url}/api/v1/{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def tell(exporter: Exporter, *alerts: dict[str, Any]) -> dict[str, Any]:
    """Send a webhook that must be accepted."""
    status, answer = send(exporter, "alertmanager/webhook", webhook(*alerts))
    assert status == 202, answer
    return answer


def fail(exporter: Exporter, *names: str, reason: str = "connection") -> None:
    """A bad run of each collector."""
    exporter.post([run(name, "failure", reason=reason) for name in names])


def good(exporter: Exporter, *names: str) -> None:
    """A good run of each collector."""
    exporter.post([run(name, "success") for name in names])


def run(name: str, outcome: str, **fields: Any) -> dict[str, Any]:
    """A run that took no time: it began when it ended."""
    return {"collector": name, "outcome": outcome, "duration_seconds": 0, **fields}


def recoveries(exporter: Exporter, name: str) -> list[dict[str, Any]]:
    """The recoveries of a collector or a dependency, newest first."""
    found: list[dict[str, Any]] = http_json(
        f"{exporter.url}/api/v1/recoveries?collector={urllib.parse.quote(name)}"
    )["recoveries"]
    return found


def newest(exporter: Exporter, name: str) -> dict[str, Any]:
    """The newest recovery, {} when there was none."""
    return next(iter(recoveries(exporter, name)), {})


def reached(exporter: Exporter, name: str, *phases: str) -> dict[str, Any]:
    """Wait until the newest recovery is in one of ``phases``."""

    def there() -> dict[str, Any] | None:
        record = newest(exporter, name)
        return record if record.get("phase") in phases else None

    try:
        found = wait_for(there, f"{name} to be {phases}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {newest(exporter, name)}") from None
    assert found is not None
    return found


def actions_done(log: Path) -> list[str]:
    """What the actions of a test wrote, a line each time one ran."""
    return log.read_text().splitlines() if log.exists() else []
