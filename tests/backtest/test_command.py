"""The commands as a user runs them: files in, files out, clear errors."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from collection_health import cli
from collection_health.decoding import decode_lines
from collection_health.events import prepare
from collection_health.ledger import Ledger
from tests.backtest import fleet
from tests.backtest.support import MONDAY, outcome, prometheus, write_history

RULES = Path(__file__).parent / "rules_three_in_a_row.yml"
ANY = Path(__file__).parent / "rules_any_failure.yml"


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """The command makes SIGTERM an orderly exit; of the tests it ends with them."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a small fleet."""
    directory = tmp_path_factory.mktemp("fleet")
    fleet.write(
        fleet.generate(6, mix={"15m": 3, "1h": 3}, warm_days=1, scored_days=3, incident_share=1.5),
        directory,
    )
    return directory


def run(made: Path, output: Path, *more: str) -> int:
    """`collection-health backtest` on these files."""
    return cli.main(
        ["backtest", "--history", str(made / "outcomes.ndjson"), "--config.file",
         str(made / "collectors.yml"), "--rules", str(RULES), "--output", str(output),
         "--prometheus", prometheus(), *more]
    )  # fmt: skip


def test_a_back_test_writes_episodes_and_reports(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Episodes, figures and page agree with each other, for one rule set and for two."""
    incidents = ("--incidents", str(made / "incidents.csv"))
    assert run(made, tmp_path, *incidents, "--compare", str(ANY)) == 0
    lines = (tmp_path / "episodes.ndjson").read_text().splitlines()
    episodes = [json.loads(line) for line in lines]
    assert set(episodes[0]) == {"alertname", "labels", "start", "end"}
    assert episodes[0]["start"].endswith("Z")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["history"]["step_seconds"] == 300
    rows = (made / "incidents.csv").read_text().splitlines()[1:]
    assert sum(kind["incidents"] for kind in report["kinds"].values()) == len(rows)
    assert sum(alert["episodes"] for alert in report["alerts"].values()) == len(episodes)
    score = report["score"]
    assert score["right"] + score["false"] == score["notifications"] == len(report["notifications"])
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert page.count("ThreeFailures (") == sum(e["alertname"] == "ThreeFailures" for e in episodes)
    assert "http" not in page.replace("http-equiv", "")
    assert "AnyFailure" in (tmp_path / "compare" / "report.html").read_text()
    assert "false a collector-week" in (tmp_path / "compare.txt").read_text()
    assert "precision" in capsys.readouterr().out


def test_without_incidents_it_says_what_would_have_fired(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No labels, no claims of right or wrong."""
    assert run(made, tmp_path, "--step", "10m") == 0
    assert "notifications would have been sent" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["history"]["step_seconds"] == 600
    assert report["score"]["precision"] is None
    assert report["incidents"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rules", "nowhere"], "nowhere: no such file"),
        (["--step", "soon"], "--step: 'soon' is not a duration"),
        (["--score-from", "2026-03-02"], "--score-from: '2026-03-02' has no time zone"),
        (["--incidents", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--prometheus", "/nonexistent"], "/nonexistent: not an executable file"),
    ],
)
def test_wrong_options_are_explained(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """Exit code 2 and a sentence that names the option, its value and what is allowed."""
    assert run(made, tmp_path, *options) == 2
    assert message in capsys.readouterr().err


def test_an_exported_ledger_replays_as_it_was(tmp_path: Path) -> None:
    """export-history writes what the exporter accepted, with a time for every outcome."""
    sent = [
        outcome("a", MONDAY, records={"collected": 3}, quality={"score": 0.5}),
        outcome("a", MONDAY + 60, "failure", reason="auth", error={"type": "E", "message": "no"}),
        {"collector": "b", "outcome": "success"},
    ]
    lines = write_history(tmp_path / "sent", sent).read_bytes()
    events = [event for event in decode_lines(lines) if not isinstance(event, str)]
    for event in events:
        assert prepare(event, MONDAY + 120, 1e9) is None
    events.append(type(events[0])("a", "failure", reason="missed", source="exporter", at=MONDAY))

    async def record() -> None:
        ledger = Ledger(tmp_path / "data")
        ledger.open()
        ledger.start(asyncio.get_running_loop(), lambda *_: None)
        await ledger.record(events)  # type: ignore[arg-type]
        await asyncio.to_thread(ledger.close)

    asyncio.run(record())
    target = tmp_path / "out.ndjson"
    arguments = [
        "export-history",
        "--storage.path",
        str(tmp_path / "data"),
        "--output",
        str(target),
    ]
    assert cli.main(arguments) == 0
    written = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(written) == 3
    assert written[0]["records"] == {"collected": 3}
    assert written[1]["error"] == {"type": "E", "message": "no"}
    assert written[2]["occurred_at"].startswith("2026-03-02T00:02:00")
    assert cli.main(["export-history", "--storage.path", str(tmp_path / "none")]) == 2
