"""``exec --protocol singer``: real Singer taps, wrapped, report records and requests."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collection_health.exec._singer import SingerMetrics
from tests.support.services import COMMAND, Exporter, Stack
from tests.support.venvs import python_with

# singer-python pins a jsonschema that neither we nor singer-sdk can live with.
SINGER_PYTHON = ["singer-python==6.8.0"]
SINGER_SDK = ["singer-sdk==0.54.9"]

TAP_PYTHON = """
import sys, urllib.request, singer
from singer import metrics

url = sys.argv[1]
singer.write_schema("users", {"properties": {"id": {"type": "integer"}}}, ["id"])
with metrics.record_counter("users") as counter:
    for page in range(3):
        with metrics.http_request_timer("users") as timer:
            try:
                urllib.request.urlopen(f"{url}/{page}").read()
            except urllib.error.HTTPError as error:
                timer.tags["http_status_code"] = error.code
                raise
        for number in range(10):
            singer.write_record("users", {"id": page * 10 + number})
            counter.increment()
"""

TAP_SDK = """
import json, sys
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th

class Users(RESTStream):
    name, path, primary_keys = "users", "/users", ["id"]
    url_base = sys.argv.pop(1)
    schema = th.PropertiesList(th.Property("id", th.IntegerType)).to_dict()
    _LOG_REQUEST_METRICS = True

    def backoff_max_tries(self):
        return 1

class Example(Tap):
    name = "tap-example"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Users(self)]

Example.cli()
"""

JSON_LOGGING = """
version: 1
disable_existing_loggers: false
formatters: {json: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {err: {class: logging.StreamHandler, formatter: json, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [err]}
"""


@pytest.fixture
def upstream() -> Iterator[ThreadingHTTPServer]:
    """An upstream with seven users; ``status`` makes it fail."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(b'[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7}]')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status = 200  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run_tap(
    exporter: Exporter, spool: Path, tap: list[object], **env: str
) -> subprocess.CompletedProcess[str]:
    """``exec --protocol singer users -- TAP | cat``: a tap in the pipeline with a target."""
    command = [*COMMAND, "exec", "--protocol", "singer", "users", "--", *map(str, tap)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            "COLLECTION_HEALTH_URL": exporter.url,
            "COLLECTION_HEALTH_SPOOL": str(spool),
            **env,
        },
    ) as wrapped:
        target = subprocess.run(["/bin/cat"], stdin=wrapped.stdout, capture_output=True, check=True)
        assert wrapped.stderr is not None
        errors = wrapped.stderr.read().decode()
    return subprocess.CompletedProcess(command, wrapped.returncode, target.stdout.decode(), errors)


def total(exporter: Exporter, kind: str = "collected") -> float | None:
    """Records counted for the tap."""
    return exporter.sample(f'collection_records_total{{collector="users",kind="{kind}"}}')


def failures(exporter: Exporter, reason: str) -> float | None:
    """Failures of the tap for a reason."""
    labels = f'collector="users",reason="{reason}"'
    return exporter.sample(f"collection_run_failures_total{{{labels}}}")


def address(upstream: ThreadingHTTPServer) -> str:
    """The upstream's URL."""
    return f"http://127.0.0.1:{upstream.server_address[1]}"


def test_a_singer_python_tap(stack: Stack, upstream: ThreadingHTTPServer, tmp_path: Path) -> None:
    """Messages flow on untouched, METRIC lines become counts, a 401 becomes the reason auth."""
    exporter = stack.exporter()
    tap = [python_with("singer-python", SINGER_PYTHON), "-c", TAP_PYTHON, address(upstream)]
    run = run_tap(exporter, tmp_path, tap)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count('"RECORD"') == 30
    assert "INFO METRIC" in run.stderr
    assert total(exporter) == 30
    upstream.status = 401  # type: ignore[attr-defined]
    assert run_tap(exporter, tmp_path, tap).returncode == 1
    assert failures(exporter, "auth") == 1
    assert total(exporter) == 30


@pytest.mark.parametrize("log", ["console", "json"])
def test_a_singer_sdk_tap(
    stack: Stack, upstream: ThreadingHTTPServer, tmp_path: Path, log: str
) -> None:
    """Meltano's SDK logs the same metrics as text or, if so configured, as JSON."""
    exporter = stack.exporter()
    (tmp_path / "tap.py").write_text(TAP_SDK)
    (tmp_path / "logging.yaml").write_text(JSON_LOGGING)
    env = {"SINGER_SDK_LOG_CONFIG": str(tmp_path / "logging.yaml")} if log == "json" else {}
    tap = [python_with("singer-sdk", SINGER_SDK), tmp_path / "tap.py", address(upstream)]
    run = run_tap(exporter, tmp_path / "spool", tap, **env)
    assert run.returncode == 0, run.stderr
    assert ('"metric_info"' in run.stderr) == (log == "json")
    assert total(exporter) == 7
    upstream.status = 403  # type: ignore[attr-defined]
    assert run_tap(exporter, tmp_path / "spool", tap, **env).returncode != 0
    assert failures(exporter, "auth") == 1


def fields(*lines: str, failed: bool = False) -> dict[str, object]:
    """What lines of stderr come to, fed in small chunks."""
    metrics = SingerMetrics()
    text = "".join(line + "\n" for line in lines).encode()
    for start in range(0, len(text), 7):
        metrics.feed(text[start : start + 7])
    return metrics.fields(failed)


def test_counters_add_up_and_requests_are_not_counted_twice() -> None:
    """Counters are increments; a request may appear both in a counter and in a timer."""
    found = fields(
        'INFO METRIC: {"type":"counter","metric":"record_count","value":60,"tags":{}}',
        'METRICS: {"type":"counter","metric":"record_count","value":7,"tags":{"stream":"a"}}',
        'INFO METRIC: {"type":"counter","metric":"http_request_count","value":2,"tags":{}}',
        'INFO METRIC: {"type":"timer","metric":"http_request_duration","value":0.1,'
        '"tags":{"status":"failed","http_status_code":503}}',
        'INFO METRIC: {"type":"timer","metric":"http_request_duration","value":0.1,'
        '"tags":{"status":"succeeded","http_status_code":200}}',
        'INFO METRIC: {"type":"timer","metric":"job_duration","value":5,"tags":{}}',
        failed=True,
    )
    # The retry succeeded, so 503 does not explain the failure.
    assert found == {"records": {"collected": 67}, "requests": {"total": 2, "failed": 1}}


def test_a_run_without_metrics_states_nothing() -> None:
    """No METRIC line is no statement, not zero records."""
    assert fields("INFO starting", "METRIC: not json", "INFO METRIC: [1]") == {}


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_no_stderr_upsets_the_parser(chunks: list[bytes], failed: bool) -> None:
    """Taps print anything; the worst is that nothing is learnt."""
    metrics = SingerMetrics()
    for chunk in chunks:
        metrics.feed(chunk)
        metrics.feed(b"METRIC: {" + chunk + b"}\n")
    metrics.fields(failed)
