"""Power loss: what the kernel was asked, in which order, before an outcome was acknowledged."""

import re
import sys
from pathlib import Path

from tests.support.process import Process, free_port, wait_for
from tests.support.services import http_json
from tests.tools import ensure

ANSWER = "HTTP/1.1 200 OK"
ACKNOWLEDGED = '"accepted\\":1'  # as strace prints it


def calls(trace: Path) -> list[str]:
    """The system calls in order; one that strace tells in two parts stands whole at its end too."""
    begun: dict[str, str] = {}
    found = []
    for line in trace.read_text().splitlines():
        thread, _, call = line.partition(" ")
        call = re.sub(r"^ *<\.\.\. \w+ resumed>", lambda _, of=thread: begun[of], call)
        begun[thread] = call.removesuffix(" <unfinished ...>")
        found.append(call)
    return found


def test_outcome_is_on_disk_before_its_answer(tmp_path: Path) -> None:
    """The write-ahead log is written and synced, then the answer leaves: seen by system calls."""
    port, trace = free_port(), tmp_path / "trace"
    command = [
        ensure("strace"), "-f", "-y", "-s", "400", "-o", trace,
        "-e", "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg",
        sys.executable, "-m", "collection_health", "serve",
        f"--storage.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with Process(command, tmp_path / "log") as exporter:
        exporter.wait_http(f"http://127.0.0.1:{port}/-/ready")
        outcome = {"collector": "a", "outcome": "success"}
        assert http_json(f"http://127.0.0.1:{port}/api/v1/outcomes", outcome)["accepted"] == 1
        wait_for(lambda: ACKNOWLEDGED in trace.read_text(), "the answer in the trace")
        told = calls(trace)
    answer = next(n for n, call in enumerate(told) if ACKNOWLEDGED in call)
    # The answer before it said that the exporter is ready: the outcome came after that.
    ready = max(n for n, call in enumerate(told[:answer]) if ANSWER in call)
    since = told[ready:answer]
    written = [n for n, call in enumerate(since) if re.match(r" *pwrite64\(.*-wal>", call)]
    synced = [n for n, call in enumerate(since) if re.match(r" *\w+sync\(.*-wal>\) += 0", call)]
    assert written, "the outcome was not written before its answer"
    assert synced, "the log was not synced before the answer"
    assert synced[-1] > written[-1], "something was written after the last sync before the answer"
