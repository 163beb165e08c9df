"""doctor and silence against a real Prometheus and Alertmanager, well and unwell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collection_health.cli import main
from tests.support.process import wait_for
from tests.support.services import Alertmanager, Exporter, Prometheus, Stack

Services = tuple[Exporter, Prometheus, Alertmanager]


def alertmanager_config(folder: Path, port: int) -> Path:
    """A configuration whose one receiver listens on ``port``."""
    path = folder / "alertmanager.yml"
    receiver = {"name": "team", "email_configs": [{
        "to": "a@example", "from": "b@example", "smarthost": f"127.0.0.1:{port}"}]}  # fmt: skip
    path.write_text(yaml.safe_dump({"route": {"receiver": "team"}, "receivers": [receiver]}))
    return path


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Services]:
    """Everything in place, with the shipped rules."""
    stack = Stack(tmp_path_factory.mktemp("doctor"))
    exporter = stack.exporter()
    config = alertmanager_config(stack.directory, exporter.port)  # something that listens
    alertmanager = stack.alertmanager(config)
    prometheus = stack.prometheus(
        {"collection-health": [exporter.address]},
        rules=sorted((root / "rules" / "generated").glob("*.yml")),
        alertmanagers=[alertmanager.address],
        interval="5s",
    )
    prometheus.wait_for('up{job="collection-health"} == 1')
    yield exporter, prometheus, alertmanager
    stack.close()


def doctor(
    capsys: pytest.CaptureFixture[str], exporter: Exporter, prometheus: str, alertmanager: str,
    *more: str,
) -> tuple[int, dict[str, dict[str, tuple[str, str]]]]:  # fmt: skip
    """Exit code, and level and text by part and check."""
    capsys.readouterr()
    code = main(["doctor", "--url", exporter.url, "--prometheus.url", prometheus,
                 "--alertmanager.url", alertmanager, "--output", "json", *more])  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = json.loads(capsys.readouterr().out)
    return code, {
        part: {item["about"]: (item["level"], item["text"]) for item in items}
        for part, items in found.items()
    }


def test_everything_in_place(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """No error: scraped, rules loaded and evaluated, no collisions, alerts go somewhere."""
    exporter, prometheus, alertmanager = services

    def well() -> Any:
        code, found = doctor(capsys, exporter, prometheus.url, alertmanager.url)
        return found if code == 0 else None

    found = wait_for(well, "a clean bill of health")
    assert {level for level, _ in found["prometheus"].values()} == {"ok"}
    assert found["exporter"]["conclusions"][0] == "warning"
    assert "known address(es) reached" in found["alertmanager"]["receivers"][1]


def test_a_silence_begins_and_ends(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """Alertmanager has it, with matcher, author, reason and an end; it can be ended."""
    alertmanager = services[2]
    address = ["--alertmanager.url", alertmanager.url]
    assert main(["silence", *address, "--collector", "orders", "--for", "30m", "--actor", "kim",
                 "--reason", "vendor is at it", "--output", "json"]) == 0  # fmt: skip
    identity = json.loads(capsys.readouterr().out)["id"]
    assert main(["silence", *address, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "collector=orders" in listed
    assert "vendor is at it" in listed
    assert main(["silence", *address, "--expire", identity]) == 0
    capsys.readouterr()
    assert main(["silence", *address, "--list", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_everything_wrong_is_named(
    stack: Stack, tmp_path: Path, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong job, no rules, names taken, short retention, nobody to notify, dead receivers."""
    exporter = services[0]
    taken = tmp_path / "taken.yml"
    taken.write_text(yaml.safe_dump({"groups": [{"name": "theirs", "rules": [
        {"record": "collector:health:state", "expr": "vector(1)"},
        {"record": "broken", "expr": "vector(1)"}]}]}))  # fmt: skip
    prometheus = stack.prometheus(
        {"exporters": [exporter.address]},
        rules=[taken],
        arguments=["--storage.tsdb.retention.time=2d"],
    )
    prometheus.wait_for("collection_health_build_info")
    alertmanager = stack.alertmanager(alertmanager_config(tmp_path, 1))
    code, found = doctor(capsys, exporter, prometheus.url, alertmanager.url)
    assert code == 1
    errors = {about: text for about, (level, text) in found["prometheus"].items()
              if level == "error"}  # fmt: skip
    assert "scraped as job exporters" in errors["scrape"]
    assert "are not loaded" in errors["rules"]
    assert "collector:health:state (group theirs)" in errors["rule names"]
    assert "2d is kept" in errors["retention"]
    assert "reach nobody" in errors["alertmanagers"]
    level, text = found["alertmanager"]["receivers"]
    assert (level, "127.0.0.1:1" in text) == ("error", True)


def test_nobody_there(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be reached is an error of its own; the rest is checked all the same."""
    exporter = services[0]
    code, found = doctor(capsys, exporter, "http://127.0.0.1:1", "http://127.0.0.1:1")
    assert code == 1
    assert found["exporter"]["recording"][0] == "ok"
    assert found["prometheus"]["reachable"][0] == "error"
    assert found["alertmanager"]["reachable"][0] == "error"
