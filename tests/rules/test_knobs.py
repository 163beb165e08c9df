"""Knobs whose value cannot work are refused with the knob's name, not with an arithmetic error."""

from pathlib import Path

import pytest

from collection_health.cli import main


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        ("falseAlertShares: {volume: 0}", "falseAlertShares.volume: must be above 0"),
        ("falseAlertShares: {failing: -0.1}", "falseAlertShares.failing: must be above 0"),
        ("falseAlertsPerCollectorWeek: 0", "falseAlertsPerCollectorWeek: must be above 0"),
    ],
)
def test_a_dial_that_asks_for_certainty_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pack: str, message: str
) -> None:
    """No false alert ever would need infinite evidence; nothing is written."""
    (tmp_path / "pack.yml").write_text(pack)
    arguments = ["--config", str(tmp_path / "pack.yml"), "--output", str(tmp_path / "out")]
    assert main(["generate", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[0]
    assert not (tmp_path / "out").exists()
