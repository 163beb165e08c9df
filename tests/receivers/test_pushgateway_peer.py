"""The same requests to the real Pushgateway and to the receiver: the same answers."""

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
