"""Commands against a real exporter: what they print, do and return."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from collection_health.cli import main
from tests.support.process import Process, wait_for
from tests.support.services import COMMAND, Exporter, Stack

INVENTORY = """
collectors:
  - {name: prod/orders, team: shop, depends_on: [warehouse]}
  - {name: prices, team: shop}
  - {name: stock, team: store}
"""


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """One failing collector of team shop, two that are well."""
    stack = Stack(tmp_path_factory.mktemp("commands"))
    exporter = stack.exporter(INVENTORY)
    exporter.post([
        {"collector": "prices", "outcome": "success", "duration_seconds": 2,
         "records": {"collected": 7}},
        {"collector": "stock", "outcome": "partial"},
        {"collector": "prod/orders", "outcome": "success"},
        {"collector": "prod/orders", "outcome": "failure", "reason": "auth", "stage": "fetch",
         "error": {"message": "401\x1b[31m denied"}},
    ])  # fmt: skip
    yield exporter
    stack.close()


@pytest.fixture(autouse=True)
def _environment(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find the exporter by the environment; who acts is kim."""
    monkeypatch.setenv("COLLECTION_HEALTH_URL", exporter.url)
    monkeypatch.setenv("USER", "kim")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed."""
    return capsys.readouterr().out.splitlines()


def test_status_shows_the_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    """A table without colours where nobody sees them; 1 because one fails."""
    assert main(["status"]) == 1
    printed = lines(capsys)
    assert printed[0] == "✖ failing 1  ● healthy 2"
    assert printed[3].split()[:4] == ["✖", "failing", "prod/orders", "shop"]
    assert "auth at fetch: 401 [31m denied" in printed[3]
    assert "▂█" in printed[3]
    assert "\x1b" not in "".join(printed)
    assert printed[-1].startswith("from facts alone")


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        (["--team", "store"], 0, ["stock"]),
        (["--dependency", "warehouse"], 1, ["prod/orders"]),
        (["--state", "healthy"], 0, ["prices", "stock"]),
        (["prod/orders"], 1, ["prod/orders"]),
    ],
)
def test_status_for_scripts(
    capsys: pytest.CaptureFixture[str], options: list[str], code: int, names: list[str]
) -> None:
    """Selections as JSON, and an exit code that says whether any of them fails."""
    assert main(["status", "--output", "json", *options]) == code
    answer = json.loads(capsys.readouterr().out)
    found = answer.get("collectors") or [answer["collector"]]
    assert [item["name"] for item in found] == names


def test_one_collector_in_detail(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, state, runs, reason and times."""
    assert main(["status", "prices"]) == 0
    text = "\n".join(lines(capsys))
    assert text.startswith("prices  ● healthy")
    assert "last good run  0 s ago" in text or "last good run" in text


def test_forgetting_is_for_those_who_left(
    exporter: Exporter, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error goes; what the inventory names stays, and the refusal says what to do."""
    exporter.post({"collector": "pirces", "outcome": "success"})
    assert main(["forget", "pirces", "--reason", "typing error"]) == 0
    assert lines(capsys) == ["pirces: forgotten"]
    assert main(["forget", "stock"]) == 1
    assert "stock is in the inventory; take it out there" in capsys.readouterr().err
    assert main(["status", "stock"]) == 0


def test_controls_and_their_audit(capsys: pytest.CaptureFixture[str]) -> None:
    """Each control is switched on and off and leaves its line in the audit log."""
    assert main(["ack", "prod/orders", "--for", "2h", "--reason", "on it"]) == 0
    assert lines(capsys)[0].startswith("prod/orders: acknowledged until ")
    assert main(["unack", "prod/orders"]) == 0
    assert lines(capsys) == ["prod/orders: no control holds"]
    assert main(["pause", "prices", "stock"]) == 0
    assert lines(capsys) == ["prices: paused", "stock: paused"]
    assert main(["resume", "prices", "stock"]) == 0
    assert main(["maintenance", "stock", "--for", "10m"]) == 0
    assert main(["maintenance", "stock", "--end"]) == 0
    capsys.readouterr()
    assert main(["audit", "--collector", "prod/orders"]) == 0
    printed = lines(capsys)
    assert [line.split()[5] for line in printed[1:]] == ["acknowledged", "acknowledged"]
    assert "kim (unverified)" in printed[1]
    assert printed[2].endswith("on it")


def test_runs_and_incidents(capsys: pytest.CaptureFixture[str]) -> None:
    """What was recorded, with a way to go on."""
    assert main(["runs", "prod/orders", "--limit", "1"]) == 0
    head, run, _, older = lines(capsys)
    assert head.split()[:2] == ["ENDED", "(UTC)"]
    assert run.split()[2:4] == ["failure", "auth"]
    assert main(["runs", "prod/orders", "--before", older.split()[-1]]) == 0
    assert len(lines(capsys)) == 2
    assert main(["incidents", "prod/orders"]) == 0
    assert "auth 1×" in lines(capsys)[1]


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["status", "nobody"], 1, "never reported"),
        (["ack", "prices", "nobody"], 1, "never reported"),
        (["ack", "prices", "--for", "5x"], 1, "is not a duration"),
        (["status", "--url", "http://127.0.0.1:1"], 3, "refused"),
        (["status", "--url", "ftp://x"], 2, "http(s)://host:port"),
        (["status", "--token-file", "/nowhere/token"], 3, "the token cannot be read"),
        (["recover", "prices", "--team", "shop"], 2, "give one of"),
        (["recover", "prod/orders"], 1, "no recovery"),
        (["silence", "--reason", "x"], 2, "nothing to silence"),
        (["silence", "--team", "x"], 2, "--reason: missing"),
    ],
)
def test_what_went_wrong_is_said(
    capsys: pytest.CaptureFixture[str], command: list[str], code: int, text: str
) -> None:
    """On standard error, in a line, with an exit code that tells the kinds apart."""
    assert main(command) == code
    assert text in capsys.readouterr().err


def test_watch_prints_again(tmp_path: Path) -> None:
    """The table is printed anew until interrupted; into a file without terminal codes."""
    log = tmp_path / "log"
    with Process([*COMMAND, "status", "--watch", "0.5"], log) as watching:
        wait_for(lambda: log.read_text().count("STATE") >= 2, "the second table")
        watching.signal(signal.SIGINT)
        wait_for(lambda: watching.returncode is not None, "its end")
    assert watching.returncode == 1, "one fails, as without --watch"
    assert "\x1b" not in log.read_text()
    assert "Traceback" not in log.read_text()
