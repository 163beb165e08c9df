"""Fixtures of the `generate` tests: the command, and a miniature mixin to feed it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collection_health.cli import main

MIXIN = Path(__file__).parent / "mixin"
Generate = Callable[..., int]


@pytest.fixture
def generate(tmp_path: Path) -> Generate:
    """Run `generate` on the miniature mixin, with this pack.yml, into `tmp_path / "out"`."""

    def run(pack: str | None = None, *options: str) -> int:
        arguments = ["generate", "--sources", str(MIXIN), "--output", str(tmp_path / "out")]
        if pack is not None:
            config = tmp_path / "pack.yml"
            config.write_text(pack)
            arguments += ["--config", str(config)]
        return main([*arguments, *options])

    return run
