"""Fixtures for every test folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services import Stack

ROOT = Path(__file__).resolve().parents[1]


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
