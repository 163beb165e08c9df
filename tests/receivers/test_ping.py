"""Ping URLs, driven by curl as cron jobs do."""

import http.client
import socket
import subprocess
import uuid
from pathlib import Path

import pytest

from collection_health.receivers.ping import BODY_LIMIT, Ping, parse_path, to_outcomes
from collection_health.webconfig import Security
from tests.receivers.conftest import Exporter

CURL = ("curl", "-fsS", "-m", "10", "--retry", "5")


def curl(*arguments: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers (names in lower case) of one request by curl."""
    done = subprocess.run(
        ["curl", "-sS", "-m", "10", "-D", "-", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, _, body = done.stdout.replace("\r", "").partition("\n\n")
    while body.startswith("HTTP/"):  # after `100 Continue`
        head, _, body = body.partition("\n\n")
    lines = head.splitlines()
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    return int(lines[0].split()[1]), body, headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("backup", Ping(None, "backup", "success")),
        ("backup/start", Ping(None, "backup", "start")),
        ("backup/fail", Ping(None, "backup", "fail")),
        ("backup/log", Ping(None, "backup", "log")),
        ("backup/0", Ping(None, "backup", "success", 0)),
        ("backup/255", Ping(None, "backup", "fail", 255)),
        ("k3y/backup", Ping("k3y", "backup", "success")),
        ("k3y/backup/fail", Ping("k3y", "backup", "fail")),
        ("k3y/backup/7", Ping("k3y", "backup", "fail", 7)),
        ("k3y/start/fail", Ping("k3y", "start", "fail")),
    ],
)
def test_every_form_of_the_url_is_understood(path: str, expected: Ping) -> None:
    """All URL forms of healthchecks.io, and the short one without a key, have one meaning."""
    assert parse_path(path.split("/")) == expected


@pytest.mark.parametrize(
    "path", ["", "a/256", "a/9999999999", "k/a/b", "k/a/-1", "k/a/start/x", "a/", "a b", "x" * 151]
)
def test_other_urls_are_refused(path: str) -> None:
    """A URL that is none of the forms is an error, never a guess."""
    with pytest.raises(ValueError, match="invalid url format"):
        parse_path(path.split("/"))


def test_curl_reports_a_run_from_start_to_end(exporter: Exporter) -> None:
    """The command line of the healthchecks documentation works with only the host changed."""
    exporter.start()
    rid = str(uuid.uuid4())
    for path in (f"backup/start?rid={rid}", f"backup?rid={rid}", f"backup?rid={rid}"):
        subprocess.run([*CURL, "-o", "/dev/null", f"{exporter.url}/ping/{path}"], check=True)
    assert exporter.kinds("backup") == ["started", "success"]
    assert exporter.recorded[-1].run_id == rid
    assert exporter.recorded[-1].duration_seconds is not None
    assert exporter.counted("ping", "accepted") == 2
    assert exporter.counted("ping", "duplicate") == 1


def test_the_first_ping_creates_and_later_ones_are_ok(exporter: Exporter) -> None:
    """An unknown slug becomes a collector with 201 Created; after that the answer is 200 OK."""
    exporter.start()
    status, body, headers = curl(f"{exporter.url}/ping/new-job?create=1")
    assert (status, body) == (201, "Created")
    assert headers["ping-body-limit"] == str(BODY_LIMIT)
    for method in ("GET", "POST"):
        assert curl("-X", method, f"{exporter.url}/ping/new-job")[:2] == (200, "OK")
    subprocess.run([*CURL, "--head", f"{exporter.url}/ping/new-job"], check=True)
    assert exporter.kinds("new-job") == ["success"] * 4


def test_an_exit_status_becomes_a_reason(exporter: Exporter) -> None:
    """124 is what timeout(1) exits with, so the failure says timeout."""
    exporter.start()
    curl(f"{exporter.url}/ping/backup/124")
    state = exporter.state("backup")
    assert state.failures == {"timeout": 1}


def test_the_end_of_a_long_body_is_kept(exporter: Exporter) -> None:
    """A body is never refused; its end is kept, where the reason of a failure stands."""
    exporter.start()
    log = "line\n" * 100_000 + "psycopg.OperationalError: connection refused"
    body = subprocess.run(
        [*CURL, "--data-binary", "@-", f"{exporter.url}/ping/backup/fail"],
        input=log, text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert body == "Created"
    error = exporter.recorded[0].error
    assert error is not None
    assert error.message is not None
    assert error.message.endswith("connection refused")
    assert len(error.message) <= BODY_LIMIT
    assert exporter.state("backup").failures == {"connection": 1}


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_a_damaged_body_costs_neither_its_ping_nor_the_next(
    exporter: Exporter, encoding: str
) -> None:
    """A client that keeps its connection is answered after it, on a new one."""
    exporter.start()
    client = http.client.HTTPConnection(exporter.url.removeprefix("http://"), timeout=10)
    for path, body, headers in (
        ("damaged", b"\xac\x83", {"Content-Encoding": encoding}),
        ("whole", b"{}", {}),
    ):
        client.request("POST", f"/ping/{path}", body, headers)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (201, b"Created")
    client.close()
    assert exporter.kinds("damaged") == exporter.kinds("whole") == ["success"]


def test_a_body_that_never_ends_is_cut(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stalls is answered in time, and what it said until then is kept."""
    monkeypatch.setattr("collection_health.receivers.ping.BODY_SECONDS", 0.2)
    exporter.start()
    port = int(exporter.url.rpartition(":")[2])
    head = b"POST /ping/backup/fail HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + b"disk full")
        assert connection.recv(1000).startswith(b"HTTP/1.1 201 Created")
    error = exporter.recorded[0].error
    assert error is not None
    assert error.message == "disk full"


def test_a_log_ping_leaves_the_state_alone(
    exporter: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    """``/log`` is heard, goes to the exporter's log without secrets, and changes nothing."""
    exporter.start()
    curl(f"{exporter.url}/ping/backup")
    with caplog.at_level("INFO"):
        status, body, _ = curl(
            "-d", "half way, token=abcdef123456", f"{exporter.url}/ping/backup/log"
        )
    assert (status, body) == (200, "OK")
    assert "half way, token=[redacted]" in caplog.text
    assert exporter.kinds("backup") == ["success"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("backup/300", 400, "invalid url format"),
        ("backup?rid=42", 400, "invalid uuid format"),
        ("other?create=0", 404, "not found"),
        ("other/log", 404, "not found"),
        ("twice", 409, "ambiguous slug"),
    ],
)
def test_errors_have_the_status_that_clients_know(
    exporter: Exporter, path: str, status: int, text: str
) -> None:
    """400, 404 and 409 mean what they mean to healthchecks.io's clients; nothing is recorded."""
    exporter.start("""
        collectors:
          - {name: twice}
          - {name: nightly, aliases: {ping: twice}}
    """)
    assert curl(f"{exporter.url}/ping/{path}")[:2] == (status, text)
    assert exporter.recorded == []


def test_an_unknown_slug_is_404_where_discovery_is_off(exporter: Exporter) -> None:
    """With ``--collectors.max 0`` only collectors of the inventory have a ping URL."""
    exporter.start("collectors: [{name: backup}]", max_collectors=0)
    assert curl(f"{exporter.url}/ping/backup")[0] == 200
    assert curl(f"{exporter.url}/ping/bakcup?create=1")[0] == 404


def test_an_alias_leads_to_its_collector(exporter: Exporter) -> None:
    """A UUID of healthchecks.io may stay in the crontab: the inventory says whose it is."""
    check = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
    exporter.start(f"collectors: [{{name: orders, aliases: {{ping: {check}}}}}]")
    assert curl(f"{exporter.url}/ping/{check}")[0] == 200
    assert exporter.kinds("orders") == ["success"]


def test_a_ping_key_is_a_token_and_stays_secret(
    exporter: Exporter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where writes need a token, the key in the URL is one; it is neither logged nor exposed."""
    key = "a-very-secret-ping-key"
    (tmp_path / "key").write_text(key)
    tokens = tmp_path / "tokens.yml"
    tokens.write_text("tokens: [{name: cron, token_file: key, scopes: [write]}]")
    caplog.set_level("DEBUG")
    exporter.start(security=Security(None, tokens))
    assert curl(f"{exporter.url}/ping/{key}/backup")[0] == 201
    assert curl(f"{exporter.url}/ping/wrong-key-wrong-key/backup")[0] == 401
    assert curl(f"{exporter.url}/ping/backup")[0] == 401
    assert curl(f"{exporter.url}/ping/{key}/fail")[0] == 401  # reads as the slug, not the key
    assert list(exporter.pipeline.collectors) == ["backup"]
    assert key not in caplog.text


def test_any_key_will_do_where_writes_are_open(exporter: Exporter) -> None:
    """A healthchecks.io URL with its key works after changing the host; the key is dropped."""
    exporter.start()
    assert curl(f"{exporter.url}/ping/fqOOd6-F4MMNuCEnzTU01w/db-backups/1")[0] == 201
    assert list(exporter.pipeline.collectors) == ["db-backups"]


def test_success_keeps_what_the_job_said() -> None:
    """The body of a successful ping is kept as the run's message and never makes it a failure."""
    (outcome,) = to_outcomes(Ping(None, "a", "success"), "a", None, "42 rows copied")
    assert outcome.outcome == "success"
    assert outcome.error is not None
    assert outcome.error.message == "42 rows copied"
