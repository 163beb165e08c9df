"""Fixtures for every test folder."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.documents import blocks, documents
from tests.support.services import Stack

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no defect: no test asserts a time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Under nohup, or in the background of a shell, signals are ignored, and a program inherits that. A
# handler that does nothing is not inherited: the tests go on, what they start is ended as usual.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root directory."""
    return ROOT


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Starts real exporters, Prometheus and Alertmanager; all end with the test."""
    running = Stack(tmp_path / "stack")
    try:
        yield running
    finally:
        running.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the commands of the documentation that no test runs, with the reason for each."""
    left_out = [
        block for path in documents(ROOT) for block in blocks(path) if block.mark == "not run"
    ]
    if left_out:
        terminalreporter.section("commands in documents that are not run")
        for block in left_out:
            terminalreporter.line(
                f"{block.document.relative_to(ROOT)}:{block.line} {block.argument}"
            )
