"""The same requests to the real Pushgateway and to the receiver: the same answers."""

import struct
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.receivers.conftest import Exporter
from tests.receivers.test_pushgateway import put
from tests.support.process import Process, free_port
from tests.tools import tool

REQUESTS = [
    ("PUT", "job/a", b"job_success 1\n"),
    ("POST", "job/a", b'# TYPE x counter\nx{a="b"} 1e3\n'),
    ("PUT", "job/a/instance/b", b"job_success 0\n"),
    ("PUT", "job@base64/YS9i", b"job_success 1\n"),
    ("PUT", "job/a/b@base64/=", b"job_success 1\n"),
    ("PUT", "job/%CE%A0", b"job_success 1\n"),
    ("PUT", "job/a", b""),
    ("DELETE", "job/a", b""),
    ("DELETE", "job/never/seen/before", b""),
    ("PUT", "job/a", b"x{\n"),
    ("PUT", "job/a", b"nonsense\n"),
    ("PUT", "job/a", b"job_success one\n"),
    ("PUT", "job/a", b"job_success 1 1700000000000\n"),
    ("PUT", "job/a/b", b"job_success 1\n"),
    ("PUT", "job/a/9b/c", b"job_success 1\n"),
    ("PUT", "job/a/__b/c", b"job_success 1\n"),
    ("PUT", "job@base64/=", b"job_success 1\n"),
]  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Pushgateway."""
    port = free_port()
    log = tmp_path_factory.mktemp("pushgateway") / "log"
    command = [tool("pushgateway"), f"--web.listen-address=127.0.0.1:{port}"]
    with Process(command, log) as process:
        process.wait_http(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}"


def test_the_statuses_are_those_of_the_pushgateway(exporter: Exporter, gateway: str) -> None:
    """Whatever a client does on 200, 202 or 400 of one, it does on the other."""
    exporter.start()
    answers = {
        url: [put(f"{url}/metrics/{path}", body, method)[0] for method, path, body in REQUESTS]
        for url in (gateway, exporter.url)
    }
    differing = [
        (request, theirs, ours)
        for request, theirs, ours in zip(
            REQUESTS, answers[gateway], answers[exporter.url], strict=True
        )
        if theirs != ours
    ]
    assert differing == []


PROTOBUF = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)


def field(number: int, value: bytes | float) -> bytes:
    """One field of a protobuf message: bytes, or a double."""
    if isinstance(value, bytes):
        return bytes([number << 3 | 2, len(value)]) + value
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def family(name: str, kind: int, number: int, value: bytes) -> bytes:
    """A delimited MetricFamily of one metric without labels; ``number`` is its type's field."""
    message = field(1, name.encode()) + bytes([3 << 3, kind]) + field(4, field(number, value))
    return bytes([len(message)]) + message


def test_the_binary_format_of_go_jobs(exporter: Exporter, gateway: str) -> None:
    """A body the real Pushgateway exposes as meant is read as the same metrics here."""
    exporter.start()
    now = float(int(time.time()))
    summary = bytes([1 << 3, 1]) + field(2, 12.5)
    body = (
        family("export_last_success_timestamp_seconds", 1, 2, field(1, now))
        + family("export_rows_written_total", 0, 3, field(1, 90.0))
        + family("export_duration_seconds", 2, 4, summary)
        + family("export_bytes_total", 3, 5, field(1, 4096.0))
    )
    for url in (gateway, exporter.url):
        assert put(f"{url}/metrics/job/go", body, "POST", PROTOBUF) == (200, "")
        for broken in (body[:-3], b"\xff" * 30, body[1:], b"\x02\x0f\x00"):
            assert put(f"{url}/metrics/job/go", broken, "POST", PROTOBUF)[0] == 400
    with urllib.request.urlopen(f"{gateway}/metrics", timeout=60) as answer:
        exposed = answer.read().decode()
    assert 'export_duration_seconds_sum{instance="",job="go"} 12.5' in exposed
    (outcome,) = exporter.recorded
    assert outcome.records is not None
    assert (outcome.at, outcome.duration_seconds) == (now, 12.5)
    assert (outcome.records.written, outcome.bytes) == (90, 4096)
