"""Fixtures shared by the tests of the Alertmanager configuration."""

from pathlib import Path

import pytest

from tests.alertmanager.support import EVERYTHING, generate


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """alertmanager.yml with every channel, two teams and a dead man's switch."""
    return generate(tmp_path_factory.mktemp("everything"), EVERYTHING)


@pytest.fixture(scope="session")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """alertmanager.yml without a pack.yml."""
    return generate(tmp_path_factory.mktemp("default"), {})
