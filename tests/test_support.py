"""The helpers that start real programs keep their promises, or every other test is in doubt."""

import sys
from pathlib import Path

import pytest

from tests.support.process import Process, wait_for
from tests.support.services import Stack

FAMILY = "import subprocess,sys; subprocess.run([sys.executable, '-c', '{}'])".format(
    "import os,signal,time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True);"
    " time.sleep(60)"
)


def runs(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_stop_ends_the_whole_family(tmp_path: Path) -> None:
    """A grandchild that ignores SIGTERM is gone too once stop() returns."""
    with Process([sys.executable, "-c", FAMILY], tmp_path / "log") as process:
        child = int(wait_for(process.tail, "the child's id"))
    wait_for(lambda: not runs(child), "the kernel to end it")


def test_a_program_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    """Waiting for a server that died fails at once and shows what it said."""
    process = Process([sys.executable, "-c", "print('no space'); exit(3)"], tmp_path / "log")
    process.start()
    with pytest.raises(AssertionError, match="ended with 3\nno space"):
        process.wait_http("http://127.0.0.1:9/")


def test_prometheus_and_alertmanager_work_together(stack: Stack, tmp_path: Path) -> None:
    """A rule given to the started Prometheus reaches the started Alertmanager."""
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: [{alert: Always, expr: vector(1), labels: {severity: info}}]}]"
    )
    alertmanager = stack.alertmanager(config)
    prometheus = stack.prometheus({}, rules=[rules], alertmanagers=[alertmanager.address])
    wait_for(lambda: alertmanager.alerts(alertname="Always"), "the alert")
    assert prometheus.alerts(severity="info")
    assert prometheus.query("vector(1)")[0]["value"][1] == "1"
