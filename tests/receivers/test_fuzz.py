"""Every translation and every endpoint against input nobody would send on purpose."""

import asyncio
import contextlib
import gzip
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collection_health.events import Outcome, decode_events, encode_events, prepare
from collection_health.pipeline import Pipeline
from collection_health.receivers import cloudevents, metric_protobuf, ping, pushgateway
from collection_health.receivers.openlineage import facets, runs
from tests.receivers.conftest import serving

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
LIMITS = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**63 - 1, 2**63, 2**70, 1e308, True])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def instants() -> st.SearchStrategy[Any]:
    """Times of every century and zone, and texts that are none."""
    return st.one_of(
        st.datetimes(timezones=st.one_of(st.none(), st.timezones())).map(lambda t: t.isoformat()),
        st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-06-01"]),
        st.text(max_size=20),
    )


def check(outcomes: list[Outcome]) -> None:
    """What a receiver made can be validated, and if valid be stored and read back."""
    valid = [outcome for outcome in outcomes if prepare(outcome, NOW, 400 * 86400.0) is None]
    assert len(decode_events(encode_events(valid))) == len(valid)
    for outcome in valid:
        wire = msgspec.to_builtins(outcome)
        wire = {name: value for name, value in wire.items() if value is not None}
        msgspec.convert(wire, Outcome)  # within every bound of the schema


# --- translations -------------------------------------------------------------------------------


@LIMITS
@given(st.lists(st.text(max_size=160), max_size=4), st.text(max_size=3000))
def test_any_ping_url_and_body(parts: list[str], body: str) -> None:
    """A ping URL is a ping or an error, and its body never breaks the outcome."""
    try:
        found = ping.parse_path(parts)
    except ValueError:
        return
    check(ping.to_outcomes(found, "job", None, body))


def facet(*names: str, values: st.SearchStrategy[Any] = trees) -> st.SearchStrategy[Any]:
    """A facet with some of these fields, or something else in its place."""
    return st.one_of(
        trees, st.fixed_dictionaries({}, optional=dict.fromkeys(names, st.one_of(values, numbers)))
    )


datasets = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "outputFacets": st.fixed_dictionaries(
                {}, optional={"outputStatistics": facet("rowCount", "size")}
            ),
            "inputFacets": st.fixed_dictionaries(
                {},
                optional={
                    "dataQualityMetrics": st.fixed_dictionaries(
                        {"rowCount": numbers, "lastUpdated": instants()},
                        optional={"columnMetrics": st.dictionaries(
                            st.text(max_size=3), facet("nullCount"), max_size=3)},
                    ),
                    "dataQualityAssertions": st.fixed_dictionaries(
                        {"assertions": st.one_of(trees, st.lists(facet("success"), max_size=3))}
                    ),
                },
            ),
            "facets": st.one_of(st.none(), st.dictionaries(st.text(max_size=5), trees, max_size=2)),
        },
    ),
    max_size=3,
)  # fmt: skip
lineage = st.fixed_dictionaries(
    {
        "eventTime": instants(),
        "run": st.fixed_dictionaries(
            {"runId": st.one_of(st.text(max_size=300), st.sampled_from(["a", "b"]))},
            optional={
                "facets": st.fixed_dictionaries(
                    {},
                    optional={
                        "parent": facet("run", "job"),
                        "nominalTime": facet("nominalStartTime", "nominalEndTime",
                                             values=instants()),
                        "errorMessage": facet("message", "stackTrace", values=st.text()),
                    },
                )
            },
        ),
        "job": st.fixed_dictionaries(
            {"namespace": st.text(max_size=20), "name": st.text(max_size=200)},
            optional={"facets": st.fixed_dictionaries(
                {}, optional={"jobType": facet("jobType"),
                              "sourceCodeLocation": facet("version", values=st.text())})},
        ),
    },
    optional={
        "eventType": st.sampled_from(
            ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER", "", None]
        ),
        "inputs": st.one_of(st.none(), datasets),
        "outputs": st.one_of(st.none(), datasets),
    },
)  # fmt: skip


@LIMITS
@given(st.lists(lineage, max_size=4))
def test_any_lineage_event(events: list[dict[str, Any]]) -> None:
    """Facets of any shape are figures or nothing; the run's identity decides."""
    families = runs.Families(lambda _: False)
    for document in events:
        try:
            event = facets.decode(json.dumps(document).encode())
        except (msgspec.ValidationError, msgspec.DecodeError):
            continue
        if event is not None and not families.is_task(event):
            check(runs.to_outcomes(event, "job", families.tasks_of(event)))


metric_names = st.sampled_from(
    ["a_last_success_timestamp_seconds", "a_success", "a_failed", "a_exit_code", "a_failures_total",
     "a_duration_seconds", "a_duration_seconds_sum", "a_duration_seconds_count", "a_records_total",
     "a_rows_written", "a_bytes_total", "a_last_completion_time", "a_start_time", "x"]
)  # fmt: skip

near_times = st.floats(NOW - 1e6, NOW + 1e6)


@LIMITS
@given(
    st.lists(st.builds(pushgateway.Sample, metric_names, st.one_of(st.floats(), near_times))),
    st.sampled_from([0.0, NOW - 10]),
)
def test_any_pushed_samples(samples: list[pushgateway.Sample], last_success: float) -> None:
    """Numbers of any size make an outcome within the schema's bounds, or none."""
    found = pushgateway.facts(samples)
    check(pushgateway.to_outcomes(found, "job", last_success, "id"))


@LIMITS
@given(st.one_of(st.text(), st.text(alphabet='a_{}=",\\ \n#1.eN+-TYPEHELP')), st.text(max_size=40))
def test_any_pushed_text_and_path(text: str, path: str) -> None:
    """Text that is not the format, and paths that are none, are a ValueError."""
    for parse, value in ((pushgateway.parse, text), (pushgateway.parse_path, path)):
        with contextlib.suppress(ValueError):
            parse(value)


@LIMITS
@given(st.binary(max_size=60))
def test_any_binary_push(body: bytes) -> None:
    """Bytes that are not the format are a ValueError, and decode to no more than they hold."""
    with contextlib.suppress(ValueError):
        assert len(metric_protobuf.parse(body)) <= len(body)


envelopes = st.fixed_dictionaries(
    {},
    optional={
        "specversion": st.sampled_from(["1.0", "1.0", "0.3"]), "id": st.text(max_size=400),
        "source": st.text(max_size=10), "type": st.sampled_from(["x.success", "success", "x"]),
        "subject": scalars, "time": instants(), "data_base64": scalars,
        "data": st.one_of(trees, st.fixed_dictionaries(
            {}, optional={"collector": scalars, "outcome": scalars, "records": trees})),
    },
)  # fmt: skip


@LIMITS
@given(st.one_of(trees, envelopes))
def test_any_cloudevent(event: Any) -> None:
    """An envelope is an outcome or a text that says what is wrong with it."""
    for item in cloudevents.to_outcomes(json.loads(json.dumps(event))):
        if isinstance(item, str):
            assert item
        else:
            check([item])


# --- endpoints ----------------------------------------------------------------------------------


class Endpoint:
    """The real application behind a socket, kept for all examples of a test."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.pipeline = Pipeline(directory, max_collectors=50, clock=lambda: NOW)
        self._serving = serving(self.pipeline)
        app = self.loop.run_until_complete(self._serving.__aenter__())
        self.client = TestClient(TestServer(app, loop=self.loop), loop=self.loop)
        self.loop.run_until_complete(self.client.start_server())

    def close(self) -> None:
        """Stop it."""
        self.loop.run_until_complete(self.client.close())
        self.loop.run_until_complete(self._serving.__aexit__(None, None, None))
        self.loop.close()

    def status(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of a request's answer."""

        async def ask() -> int:
            async with self.client.request(method, path, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        return self.loop.run_until_complete(ask())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    """One application for the whole file: what one request leaves behind meets the next."""
    with tempfile.TemporaryDirectory() as directory:
        running = Endpoint(Path(directory))
        yield running
        running.close()


segments = st.text(alphabet="abc019/%@-_.~Zé ", max_size=30)
paths = st.one_of(
    st.builds("/ping/{}".format, segments),
    st.builds("/metrics/job/{}".format, segments),
    st.builds("/metrics/job@base64/{}".format, segments),
    st.sampled_from(["/api/v1/lineage", "/api/v1/lineage/batch", "/api/v1/outcomes"]),
)
bodies = st.one_of(
    st.binary(max_size=300),
    trees.map(lambda tree: json.dumps(tree).encode()),
    lineage.map(lambda event: json.dumps(event).encode()),
    st.lists(lineage, max_size=3).map(lambda events: json.dumps(events).encode()),
    envelopes.map(lambda event: json.dumps(event).encode()),
    st.text(alphabet='job_success{}=",\\ \n#1.e+-', max_size=80).map(str.encode),
    st.sampled_from([b"[" * 5000, b'{"a":' * 5000, gzip.compress(b"[" * 5000)]),
)
types = st.sampled_from(
    ["application/json", "application/x-ndjson", "application/cloudevents+json",
     "application/cloudevents-batch+json", "text/plain", "application/vnd.google.protobuf", ";;"]
)  # fmt: skip
encodings = st.sampled_from([None, None, None, "gzip", "deflate", "snappy", "br"])


@LIMITS
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]), paths, st.text(max_size=20),
    bodies, types, encodings, st.booleans(),
)  # fmt: skip
def test_any_request(
    endpoint: Endpoint,
    method: str,
    path: str,
    query: str,
    body: bytes,
    content_type: str,
    encoding: str | None,
    binary_event: bool,
) -> None:
    """No request makes the exporter fail, and none makes it grow beyond its bounds."""
    headers = {"Content-Type": content_type}
    if encoding:
        headers["Content-Encoding"] = encoding
    if binary_event:
        headers |= {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "a", "ce-type": "success"}
    if method in ("GET", "HEAD"):  # their answer to a damaged body is aiohttp's own affair
        body, headers = b"", {}
    status = endpoint.status(method, f"{path}?rid={query}" if query else path, body, headers)
    assert status < 500
    assert len(endpoint.pipeline.collectors) <= 50


@LIMITS
@given(envelopes)
def test_any_binary_cloudevent(endpoint: Endpoint, event: dict[str, Any]) -> None:
    """Attributes in headers are judged like attributes in a body."""
    headers = {
        f"ce-{name}": str(value).encode("ascii", "ignore").decode().translate({10: None, 13: None})
        for name, value in event.items()
        if name != "data" and "\0" not in str(value)
    }
    body = json.dumps(event.get("data")).encode()
    headers["ce-specversion"] = "1.0"
    clean = {name: "".join(filter(str.isprintable, value)) for name, value in headers.items()}
    assert endpoint.status("POST", "/api/v1/outcomes", body, clean) < 500


def test_memory_of_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and tasks that never end, and groups that never return, are forgotten."""
    monkeypatch.setattr(runs, "MAX_OPEN_RUNS", 5)
    monkeypatch.setattr(pushgateway, "MAX_GROUPS", 5)
    families, repeats = runs.Families(lambda _: False), pushgateway.Repeats()
    for number in range(50):
        event = facets.RunEvent(
            event_time=datetime.fromtimestamp(NOW, UTC), event_type="COMPLETE",
            run=facets.Run(run_id=f"t{number}", facets={"parent": {
                "run": {"runId": f"p{number}"}, "job": {"namespace": "a", "name": "b"}}}),
            job=facets.Job(namespace="a", name="c"),
        )  # fmt: skip
        assert families.is_task(event)
        repeats.identity(f"group{number}", b"", NOW)
    assert len(families._figures) == len(families._run_of_task) == 5
    assert len(repeats._last) == 5
