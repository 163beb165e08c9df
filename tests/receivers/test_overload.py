"""A full queue: every protocol's clients hear a status they retry, and nothing is half done."""

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from openlineage.client.event_v2 import RunState
from openlineage.client.uuid import generate_new_uuid

from tests.receivers.conftest import Exporter
from tests.receivers.test_openlineage import child_of, client, event, minimal, output


@pytest.fixture
def full(exporter: Exporter) -> Iterator[Exporter]:
    """An exporter whose queue takes nothing until its limit is put back."""
    exporter.start()
    limit = exporter.pipeline.ledger._max_queue
    exporter.pipeline.ledger._max_queue = 0
    yield exporter
    exporter.pipeline.ledger._max_queue = limit


def relieve(exporter: Exporter, seconds: float) -> threading.Timer:
    """Let the queue take events again after a while."""
    timer = threading.Timer(
        seconds, setattr, (exporter.pipeline.ledger, "_max_queue", 100_000)
    )  # fmt: skip
    timer.start()
    return timer


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ping/job", b""),
        ("POST", "/api/v1/lineage", json.dumps(minimal()).encode()),
        ("POST", "/api/v1/lineage/batch", json.dumps([minimal()]).encode()),
        ("PUT", "/metrics/job/job", b"job_success 1\n"),
        ("POST", "/api/v1/outcomes", b'{"collector":"job","outcome":"success"}'),
    ],
)
def test_overload_is_503_with_retry_after(
    full: Exporter, method: str, path: str, body: bytes
) -> None:
    """Never 429, which OpenLineage's clients and Alertmanager do not retry; nothing is recorded."""
    request = urllib.request.Request(f"{full.url}{path}", body or None, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        assert answer.code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    assert full.recorded == []


def test_curl_and_openlineage_deliver_after_an_overload(full: Exporter) -> None:
    """The retries of the real clients bring the outcome once, when the queue has room."""
    timer = relieve(full, 0.5)
    dag, task = str(generate_new_uuid()), str(generate_new_uuid())
    ol = client(full.url)
    ol.emit(event(RunState.COMPLETE, task, "part", run=child_of(dag), outputs=[output(7, 70)]))
    ol.emit(event(RunState.COMPLETE, dag))
    subprocess.run(
        ["curl", "-fsS", "-m", "10", "--retry", "5", f"{full.url}/ping/backup"],
        check=True, capture_output=True,
    )  # fmt: skip
    timer.join()
    assert full.kinds("prod/orders") == ["success"]
    assert full.state("prod/orders").last_records == 7  # the task's rows survived the refusal
    assert full.kinds("backup") == ["success"]
