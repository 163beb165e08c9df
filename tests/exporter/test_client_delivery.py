"""Delivery: whatever happens to the exporter or the collector, outcomes arrive, once."""

import json
import multiprocessing
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from collection_health.client import Client, Settings, _spool
from tests.support.process import free_port, wait_for
from tests.support.recorder import ACCEPTED, Recorder
from tests.support.services import Stack

Make = Callable[..., Client]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool directory that does not exist yet."""
    return tmp_path / "spool"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server that keeps what it is sent."""
    with Recorder() as running:
        yield running


@pytest.fixture
def make(spool: Path) -> Iterator[Make]:
    """Makes clients that are closed with the test."""
    clients: list[Client] = []

    def client(url: str, **settings: object) -> Client:
        values = {"url": url, "spool": spool, **settings}
        clients.append(Client(Settings(**values)))  # type: ignore[arg-type]
        return clients[-1]

    yield client
    for each in clients:
        each.close(0.1)


def track(client: Client, count: int, name: str = "orders") -> None:
    """``count`` successful runs of one record each."""
    for _ in range(count):
        with client.track(name) as run:
            run.records(collected=1)


def segments(spool: Path) -> list[Path]:
    """What waits in the spool."""
    return sorted(path for path in spool.glob("0*"))


def nowhere() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


RUNS = 'collection_runs_total{collector="orders"}'
RECORDS = 'collection_records_total{collector="orders",kind="collected"}'


def test_ten_thousand_runs_lose_none(stack: Stack, make: Make) -> None:
    """A tight loop outruns the sender; the exporter still counts every run."""
    exporter = stack.exporter()
    client = make(exporter.url, buffer_events=2_000)
    track(client, 10_000)
    assert client.flush(60)
    assert exporter.sample(RUNS) == exporter.sample(RECORDS) == 10_000
    assert client.stats.dropped == 0
    assert client.stats.delivered >= 20_000  # resent ones are acknowledged again


def test_killed_exporter_gets_the_outcomes_later(stack: Stack, make: Make, spool: Path) -> None:
    """Runs during an outage wait on disk and arrive once the exporter is back, each once."""
    exporter = stack.exporter()
    client = make(exporter.url)
    track(client, 50)
    assert client.flush(60)
    exporter.process.kill()
    track(client, 50)
    assert not client.flush()
    assert segments(spool)
    exporter.start()
    track(client, 50)
    wait_for(lambda: exporter.sample(RUNS) == 150, "150 runs without a flush")
    assert client.flush(60)
    assert segments(spool) == []
    assert exporter.sample(RECORDS) == 150


def test_a_full_buffer_goes_to_disk_and_is_delivered(
    recorder: Recorder, make: Make, spool: Path
) -> None:
    """A hanging exporter bounds neither the collector nor what it may report."""
    recorder.release.clear()
    client = make(recorder.url, buffer_events=100)
    track(client, 500)
    assert client.stats.spooled > 0
    recorder.release.set()
    assert client.flush(60)
    assert len({event["event_id"] for event in recorder.events}) == 1000
    assert client.stats.dropped == 0
    assert segments(spool) == []


def test_without_a_spool_the_newest_are_kept_and_the_loss_is_counted(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory stays bounded; a loss is never silent."""
    client = make(nowhere(), spool=None, buffer_events=100)
    track(client, 1_000)
    assert not client.flush()
    client.close()
    assert client.stats.dropped == 2_000
    assert "lost" in caplog.text


def test_an_unwritable_spool_is_reported_and_nothing_raises(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong spool path costs a log line, not the collector."""
    (tmp_path / "file").write_text("")
    client = make(nowhere(), spool=tmp_path / "file" / "spool")
    track(client, 3)
    assert not client.flush()
    assert "cannot be used" in caplog.text


SCRIPT = """
import sys
from collection_health.client import track
with track("script") as run:
    run.records(collected=3)
{then}
"""


def run_script(url: str, spool: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    """A collector in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(then=then)],
        env={**os.environ, "COLLECTION_HEALTH_URL": url, "COLLECTION_HEALTH_SPOOL": str(spool)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("then", ["", "sys.exit(3)", "raise RuntimeError", "import threading"])
def test_a_script_delivers_at_its_exit(recorder: Recorder, spool: Path, then: str) -> None:
    """However a short script ends, its runs have arrived when it is gone."""
    run_script(recorder.url, spool, then)
    assert [event["outcome"] for event in recorder.events] == ["started", "success"]
    assert segments(spool) == []


def test_a_later_process_delivers_what_an_earlier_one_left(recorder: Recorder, spool: Path) -> None:
    """A cron job's outcomes reach the exporter with the next job that finds it."""
    run_script(nowhere(), spool)
    assert len(segments(spool)) == 1
    until_empty = "\n".join(
        [
            "import pathlib, time",
            f"while list(pathlib.Path({str(spool)!r}).glob('0*')): time.sleep(0.01)",
        ]
    )
    run_script(recorder.url, spool, until_empty)
    assert len(recorder.wait(4)) == 4
    assert segments(spool) == []


def test_a_hanging_exporter_holds_no_process_at_its_exit(recorder: Recorder, spool: Path) -> None:
    """The exit is bounded; what was being sent is on disk, and a repeat counts once by its id."""
    recorder.release.clear()
    run_script(recorder.url, spool)
    (left,) = segments(spool)
    assert len(left.read_text().splitlines()) == 2


def test_a_killed_collector_leaves_nothing_undelivered(
    recorder: Recorder, make: Make, spool: Path
) -> None:
    """kill -9 leaves an open segment without a holder: others take it, half a line excepted."""
    then = "\n".join(
        [
            "import os, pathlib, signal, time",
            f"spool = pathlib.Path({str(spool)!r})",
            "while not list(spool.glob('0*.open')): time.sleep(0.01)",
            "with list(spool.glob('0*.open'))[0].open('a') as half: half.write('{\"collec')",
            "os.kill(os.getpid(), signal.SIGKILL)",
        ]
    )
    assert run_script(nowhere(), spool, then).returncode == -signal.SIGKILL
    assert [path.suffix for path in segments(spool)] == [".open"]
    assert make(recorder.url).flush(60)
    assert [event["outcome"] for event in recorder.events] == ["started", "success"]
    assert segments(spool) == []


def test_many_short_processes_share_a_segment(recorder: Recorder, make: Make, spool: Path) -> None:
    """A long outage leaves few files, and half a line of a killed process spoils no other."""
    away = nowhere()
    for number in range(5):
        client = make(away)
        track(client, 1, f"job{number}")
        client.close()
        (segment,) = segments(spool)
        with segment.open("a") as half:
            half.write('{"collec')
    assert make(recorder.url).flush(60)
    assert [event["collector"] for event in recorder.ends()] == [f"job{n}" for n in range(5)]


def test_what_another_process_delivered_ends_the_outage(
    recorder: Recorder, make: Make, spool: Path
) -> None:
    """A process whose segments are gone neither waits for them nor spins."""
    recorder.answer = lambda _: (503, {}, {})
    client = make(recorder.url)
    track(client, 1)
    assert not client.flush()
    for path in segments(spool):
        path.unlink()
    courier = client._sender._courier  # type: ignore[union-attr]
    wait_for(lambda: not courier.away, "the end of the outage")  # type: ignore[union-attr]
    wait_for(lambda: courier.idle_seconds() > 1, "the sender to rest")  # type: ignore[union-attr]


def test_two_processes_never_deliver_the_same_segment_at_once(
    recorder: Recorder, make: Make, spool: Path
) -> None:
    """A segment somebody holds is left alone; whoever holds it delivers it once."""
    spool.mkdir()
    for number in range(20):
        event = {"collector": "orders", "outcome": "success", "event_id": f"e{number}"}
        (spool / f"{number:020d}-1-x.ndjson").write_text(json.dumps(event) + "\n")
    clients = [make(recorder.url) for _ in range(4)]
    threads = [threading.Thread(target=client.flush, args=(60,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.events) == 20
    assert segments(spool) == []
    with _spool.claim(spool / "gone") as content:
        assert content is None


@pytest.mark.filterwarnings("ignore:This process .* multi-threaded")
def test_forked_children_report_for_themselves(recorder: Recorder, make: Make) -> None:
    """The child neither repeats the parent's events nor ends the parent's run."""
    client = make(recorder.url)
    with client.track("parent"):
        child = os.fork()
        if child == 0:
            try:
                with client.track("child"):
                    pass
                client.close(60)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    with client.track("open") as run:
        child = os.fork()
        if child == 0:
            try:
                run.__exit__(None, None, None)  # as unwinding in the child does
                client.close(60)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    assert client.flush(60)
    ends = [event["collector"] for event in recorder.ends()]
    assert sorted(ends) == ["child", "open", "parent"]
    assert len({event["event_id"] for event in recorder.events}) == 6


@pytest.mark.filterwarnings("ignore:This process .* multi-threaded")
def test_multiprocessing_children_deliver_before_they_end(recorder: Recorder, make: Make) -> None:
    """Forked workers leave without atexit; their last runs arrive all the same."""
    client = make(recorder.url)
    track(client, 1, "parent")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=track, args=(client, 5, f"worker{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert client.flush(60)
    assert len(recorder.ends()) == 16


def test_refused_items_are_set_aside_and_the_others_arrive(
    stack: Stack, make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An event that can never be accepted is logged, kept for a person, and not sent again."""
    exporter = stack.exporter()
    client = make(exporter.url)
    client.send({"collector": "orders", "outcome": "success", "records": {"collected": -4}})
    track(client, 2)
    assert client.flush(60)
    assert exporter.sample(RUNS) == 2
    assert (client.stats.rejected, client.stats.delivered) == (1, 4)
    (line,) = (spool / _spool.REJECTED_NAME).read_text().splitlines()
    assert json.loads(line)["event"]["records"] == {"collected": -4}
    assert "records.collected" in json.loads(line)["error"]
    assert "refused an outcome: records.collected" in caplog.text
    assert segments(spool) == []


def test_one_event_that_spoils_a_batch_is_found(recorder: Recorder, make: Make) -> None:
    """A 4xx that names no item splits the batch until the culprit stands alone."""
    recorder.answer = lambda events: (
        (400, {}, {"detail": "no"}) if any(e["collector"] == "bad" for e in events) else ACCEPTED
    )
    client = make(recorder.url)
    track(client, 10)
    client.send({"collector": "bad", "outcome": "success"})
    track(client, 10)
    assert client.flush(60)
    assert client.stats.rejected == 1
    assert len(recorder.events) == 40


def test_overload_is_waited_out(recorder: Recorder, make: Make, spool: Path) -> None:
    """503 with Retry-After keeps events and sends them again by itself, in order."""
    answers = iter([(503, {"Retry-After": "1"}, {"detail": "busy"})])
    recorder.answer = lambda _: next(answers, ACCEPTED)
    client = make(recorder.url)
    track(client, 3)
    assert len(recorder.wait(6)) == 6
    assert [event["outcome"] for event in recorder.events] == ["started", "success"] * 3
    first, second, *_ = recorder.requests
    assert second[: len(first)] == first
    wait_for(lambda: not segments(spool), "an empty spool")


def test_a_wrong_token_keeps_events_until_it_is_right(
    recorder: Recorder, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """401 is a person's mistake: said once, nothing lost, and the token file is read again."""
    token = tmp_path / "token"
    token.write_text("old\n")
    recorder.answer = lambda _: (
        ACCEPTED
        if recorder.headers[-1].get("Authorization") == "Bearer new"
        else (401, {}, {"detail": "unknown token"})
    )
    client = make(recorder.url, token_file=token)
    track(client, 1)
    assert not client.flush()
    assert not client.flush()
    assert caplog.text.count("HTTP 401 unknown token") == 1
    token.write_text("new\n")
    assert client.flush(60)
    assert len(recorder.events) == 2


def test_the_exporters_own_tokens(stack: Stack, make: Make, tmp_path: Path) -> None:
    """A writer's token is accepted by a guarded exporter; without it outcomes wait."""
    (tmp_path / "writer").write_text("a-secret-of-some-length\n")
    tokens = tmp_path / "tokens.yml"
    tokens.write_text("tokens: [{name: orders, token_file: writer, scopes: [write]}]\n")
    exporter = stack.exporter(arguments=[f"--web.token-file={tokens}"])
    stranger = make(exporter.url, spool=None)
    track(stranger, 1)
    assert not stranger.flush()
    client = make(exporter.url, token_file=tmp_path / "writer")
    track(client, 1)
    assert client.flush(60)
    assert client.stats.delivered == 2


def test_a_missing_token_file_keeps_events(recorder: Recorder, make: Make, spool: Path) -> None:
    """A secret that is mounted late delays the outcomes, nothing more."""
    client = make(recorder.url, token_file=spool / "nope")
    track(client, 1)
    assert not client.flush()
    assert segments(spool)


def test_a_closed_keep_alive_connection_is_opened_again(make: Make) -> None:
    """A server that went and came back between two batches goes unnoticed."""
    port = free_port()
    with Recorder(port) as first:
        client = make(first.url)
        track(client, 1)
        assert client.flush(60)
    client._sender._courier._transport._connection.sock.shutdown(2)  # type: ignore[union-attr]
    with Recorder(port) as second:
        track(client, 1)
        assert client.flush(60)
        assert len(second.events) == 2
        assert client.stats.spooled == 0


def test_the_spool_is_bounded_and_its_loss_is_counted(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk of the collector is not filled; the oldest outcomes go first, with a log line."""
    monkeypatch.setattr(_spool, "SEGMENT_BYTES", 10_000)
    client = make(nowhere(), spool_bytes=30_000, buffer_events=50)
    track(client, 500)
    with client.track("orders") as last:
        pass
    assert not client.flush()
    client.close()
    assert sum(path.stat().st_size for path in segments(spool)) <= 50_000
    assert "oldest" in caplog.text
    kept = [json.loads(line) for path in segments(spool) for line in path.read_text().splitlines()]
    assert client.stats.dropped == 1002 - len(kept) > 0
    assert kept[-1]["run_id"] == last.run_id


def test_tls_trusts_only_the_given_authority(make: Make, tmp_path: Path) -> None:
    """With COLLECTION_HEALTH_CA_FILE outcomes travel encrypted; without it they wait."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    with Recorder(tls=context) as recorder:
        stranger = make(recorder.url, spool=None)
        track(stranger, 1)
        assert not stranger.flush()
        client = make(recorder.url, ca_file=pem)
        track(client, 1)
        assert client.flush(60)
        assert len(recorder.events) == 2


def test_tracking_after_the_close_still_reaches_the_spool(
    recorder: Recorder, make: Make, spool: Path
) -> None:
    """Runs during interpreter shutdown are not lost."""
    client = make(recorder.url)
    client.close()
    track(client, 1)
    assert sum(len(path.read_text().splitlines()) for path in segments(spool)) == 2
