"""Dagster with its daemon: the sensors of the example report what the daemon runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.receivers.conftest import Exporter
from tests.receivers.integrations.conftest import EXAMPLES, Environment
from tests.support.process import Process, wait_for

pytestmark = [pytest.mark.integrations, pytest.mark.timeout(1800)]
DEFINITIONS = str(EXAMPLES / "dagster/definitions.py")


def test_jobs_report_themselves(
    exporter: Exporter, environment: Callable[[str], Environment], tmp_path: Path
) -> None:
    """Runs launched as a user launches them arrive with rows, quality and the reason."""
    exporter.start()
    dagster = environment("dagster")
    home = tmp_path / "home"
    home.mkdir()
    variables = {
        "DAGSTER_HOME": str(home), "COLLECTION_HEALTH_URL": exporter.url,
        "COLLECTION_HEALTH_SPOOL": str(tmp_path / "spool"),
    }  # fmt: skip
    log = tmp_path / "daemon.log"
    command = dagster.command("dagster-daemon", "run", "-f", DEFINITIONS)
    with Process(command, log, env=dagster.variables(**variables), cwd=tmp_path):
        # a status sensor reports what comes after its first look
        wait_for(lambda: log.read_text().count("Initiating collection_health_") == 4,
                 "the sensors' first look", 120)  # fmt: skip
        for job in ("load_orders", "broken"):
            dagster.run("dagster", "job", "launch", "-f", DEFINITIONS, "-j", job,
                        cwd=tmp_path, **variables)  # fmt: skip
        wait_for(
            lambda: {"load_orders", "broken"}
            <= {event.collector for event in exporter.recorded if event.outcome != "started"},
            "both runs to be reported", 180,
        )  # fmt: skip
    loaded = exporter.state("load_orders")
    assert (loaded.runs, loaded.last_records, loaded.last_quality) == (1, 42, 1.0)
    assert exporter.state("broken").failures == {"connection": 1}
    assert exporter.state("broken").failure_message.startswith("ConnectionRefusedError: ")
