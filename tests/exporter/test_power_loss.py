"""Power loss: what the kernel was asked, in which order, before an outcome was acknowledged."""

import re
import sys
from pathlib import Path

from tests.support.process import Process, free_port, wait_for
from tests.support.services import http_json
from tests.tools import ensure


def test_outcome_is_on_disk_before_its_answer(tmp_path: Path) -> None:
    """The write-ahead log is written and synced, then the answer leaves: seen by system calls."""
    port, trace = free_port(), tmp_path / "trace"
    command = [
        ensure("strace"), "-f", "-y", "-s", "40", "-o", trace,
        "-e", "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg",
        sys.executable, "-m", "collection_health", "serve",
        f"--storage.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with Process(command, tmp_path / "log") as exporter:
        exporter.wait_http(f"http://127.0.0.1:{port}/-/ready", timeout=60)
        before = len(trace.read_text().splitlines())
        outcome = {"collector": "a", "outcome": "success"}
        assert http_json(f"http://127.0.0.1:{port}/api/v1/outcomes", outcome)["accepted"] == 1
        wait_for(lambda: "200 OK" in "".join(trace.read_text().splitlines()[before:]), "the trace")
        calls = trace.read_text().splitlines()[before:]
    answer = next(n for n, line in enumerate(calls) if "HTTP/1.1 200 OK" in line)
    written = [n for n, line in enumerate(calls[:answer]) if re.search(r"pwrite64\(.*-wal>", line)]
    synced = [
        n for n, line in enumerate(calls[:answer]) if re.search(r"sync\(.*-wal>\) += 0", line)
    ]
    assert written, "the outcome was not written before its answer"
    assert synced, "the log was not synced before the answer"
    assert synced[-1] > written[-1], "something was written after the last sync before the answer"
