"""``collection-health record``: one line in a shell script is one outcome."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from collection_health import decoding, events
from collection_health.client import Settings
from tests.support.process import free_port
from tests.support.recorder import ACCEPTED, Recorder
from tests.support.services import COMMAND, Stack

Record = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Runs ``record`` against an address with a spool of its own."""

    def execute(url: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "record", *words],
            env={
                **os.environ,
                "COLLECTION_HEALTH_URL": url,
                "COLLECTION_HEALTH_SPOOL": str(tmp_path / "spool"),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return execute


def test_every_option_becomes_its_field(record: Record) -> None:
    """The exporter accepts what all options together say, in its own field names."""
    with Recorder() as recorder:
        done = record(
            recorder.url, "orders", "failure", "--records", "120", "--records-expected", "150",
            "--records-rejected", "3", "--duration", "1.5m", "--reason", "upstream",
            "--stage", "fetch", "--message", "two pages were missing", "--exit-code", "3",
            "--http-status", "503", "--bytes", "1024", "--quality", "0.8", "--quota-limit", "100",
            "--quota-remaining", "7", "--data-time", "2026-01-02T03:04:05Z",
            "--credential-expires-at", "1900000000", "--scheduled-for", "2026-01-02T03:00:00Z",
            "--version", "1.4", "--run-id", "r1", "--attempt", "2", "--event-id", "e1",
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (event,) = recorder.events
    (outcome,) = decoding.decode_lines(json.dumps(event).encode())
    assert isinstance(outcome, events.Outcome)
    assert outcome.records == events.Records(expected=150, collected=120, rejected=3)
    assert outcome.duration_seconds == 90
    assert (outcome.reason, outcome.stage, outcome.exit_code) == ("upstream", "fetch", 3)
    assert (outcome.http_status, outcome.bytes, outcome.version) == (503, 1024, "1.4")
    assert outcome.error == events.Error(message="two pages were missing")
    assert outcome.quality == events.Quality(score=0.8)
    assert outcome.quota == events.Quota(limit=100, remaining=7)
    assert (outcome.run_id, outcome.attempt, outcome.event_id) == ("r1", 2, "e1")
    assert None not in (outcome.data_time, outcome.credential_expires_at, outcome.scheduled_for)
    assert outcome.finished_at is not None


def test_start_and_end_belong_together(record: Record, stack: Stack) -> None:
    """With one run id a script shows up as running in between; a repeated event id counts once."""
    exporter = stack.exporter()
    assert record(exporter.url, "orders", "started", "--run-id", "7").returncode == 0
    assert exporter.sample('collection_running_runs{collector="orders"}') == 1
    for _ in range(2):
        words = ("orders", "success", "--run-id", "7", "--event-id", "night-7", "--records", "9")
        assert record(exporter.url, *words).returncode == 0
    assert exporter.sample('collection_running_runs{collector="orders"}') == 0
    assert exporter.sample('collection_runs_total{collector="orders"}') == 1
    assert exporter.sample('collection_last_run_records{collector="orders"}') == 9


def test_outcomes_wait_for_the_exporter_and_keep_their_time(record: Record, tmp_path: Path) -> None:
    """Spooled is success for the script; --flush delivers and says how much."""
    away = f"http://127.0.0.1:{free_port()}"
    assert record(away, "orders", "success").returncode == 0
    assert record(away, "orders", "failure").returncode == 0
    flush = record(away, "--flush")
    assert flush.returncode == 1
    assert "still spooled" in flush.stderr
    with Recorder() as recorder:
        flush = record(recorder.url, "--flush")
        assert (flush.returncode, flush.stdout) == (0, "2 delivered, 0 refused\n")
        assert [event["outcome"] for event in recorder.events] == ["success", "failure"]
        assert all("finished_at" in event for event in recorder.events)
    assert list((tmp_path / "spool").glob("0*")) == []


def test_what_the_exporter_refuses_fails_the_command(record: Record) -> None:
    """A script that reports nonsense learns it at once, in the exporter's words."""
    with Recorder() as recorder:
        error = {"errors": [{"index": 0, "error": "collector: not in the inventory"}]}
        recorder.answer = lambda events: (400, {}, error) if events else ACCEPTED
        done = record(recorder.url, "orders", "success")
    assert done.returncode == 1
    assert "refused: collector: not in the inventory" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "NAME and OUTCOME are required"),
        (("orders",), "OUTCOME is required; allowed: started, success"),
        (("my orders", "success"), "NAME 'my orders': allowed: at most 150"),
        (("orders", "done"), "invalid choice: 'done'"),
        (("orders", "failure", "--reason", "tuesday"), "invalid choice: 'tuesday'"),
        (("orders", "success", "--records", "-1"), "'-1': allowed: an integer from 0"),
        (("orders", "success", "--quality", "nan"), "'nan': allowed: a ratio from 0 to 1"),
        (("orders", "success", "--duration", "1w"), "'1w' is not a duration; allowed: 250ms"),
        (("orders", "success", "--data-time", "noon"), "--data-time: 'noon'"),
    ],
)
def test_wrong_usage_names_the_option_and_what_is_allowed(
    record: Record, words: tuple[str, ...], problem: str
) -> None:
    """Exit code 2, nothing sent."""
    with Recorder() as recorder:
        done = record(recorder.url, *words)
        assert recorder.requests == []
    assert done.returncode == 2
    assert problem in done.stderr


def test_the_default_spool_is_below_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every user has a spool without configuring one."""
    monkeypatch.delenv("COLLECTION_HEALTH_SPOOL", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.read().spool == tmp_path / ".local/state/collection-health/spool"
