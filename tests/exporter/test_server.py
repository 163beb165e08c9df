"""The HTTP side: answers to good and bad requests, reload and readiness."""

import gzip
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import wait_for
from tests.support.services import Exporter, Stack


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """One exporter for the whole module: bad input must not harm it."""
    stack = Stack(tmp_path_factory.mktemp("server"))
    yield stack.exporter()
    stack.close()


def post(exporter: Exporter, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON answer of a POST of raw bytes."""
    request = urllib.request.Request(
        f"{exporter.url}/api/v1/outcomes",
        body,
        {name.replace("_", "-"): value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


GOOD = b'{"collector":"good","outcome":"success"}'


def test_object_array_and_lines_are_accepted(exporter: Exporter) -> None:
    """All three body shapes record every item."""
    assert post(exporter, GOOD) == (200, {"accepted": 1, "rejected": 0, "errors": []})
    assert post(exporter, b"[" + GOOD + b"," + GOOD + b"]")[1]["accepted"] == 2
    lines = GOOD + b"\n" + GOOD + b"\n" + GOOD + b"\n"
    assert post(exporter, lines, Content_Type="application/x-ndjson")[1]["accepted"] == 3


def test_gzip_body_is_accepted(exporter: Exporter) -> None:
    """Clients may compress."""
    assert post(exporter, gzip.compress(GOOD), Content_Encoding="gzip")[0] == 200


def test_partly_bad_batch_keeps_the_good_items(exporter: Exporter) -> None:
    """207 with each error by index; the valid items count."""
    before = exporter.sample('collection_runs_total{collector="mixed"}') or 0
    good = {"collector": "mixed", "outcome": "success"}
    batch = [good, {"collector": "mixed", "outcome": "won"}, good, {"collector": "-", "outcome": 1}]
    status, answer = post(exporter, json.dumps(batch).encode())
    assert status == 207
    assert (answer["accepted"], answer["rejected"]) == (2, 2)
    assert [error["index"] for error in answer["errors"]] == [1, 3]
    assert "allowed: started, success" in answer["errors"][0]["error"]
    assert exporter.sample('collection_runs_total{collector="mixed"}') == before + 2


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "allowed: one JSON object"),
        (b"{", 400, "not valid JSON"),
        (b'{"collector": NaN}', 400, "not valid JSON"),
        (b"[]", 400, "allowed: at least one"),
        (b"[" * 200_000, 400, "body: "),
        (b'{"collector":' * 50_000, 400, ""),
        (b'{"collector":"no spaces","outcome":"success"}', 400, "allowed: ^[A-Za-z0-9]"),
        (b'{"collector":"a","outcome":"success","duration_seconds":-3}', 400, ">= 0"),
        (b" " * 10_000_000, 413, "allowed: 4194304 bytes"),
    ],
)
def test_bad_body_is_a_clear_4xx(exporter: Exporter, body: bytes, status: int, text: str) -> None:
    """The answer names the problem and what is allowed, and the exporter lives on."""
    found, answer = post(exporter, body)
    assert found == status
    assert text in json.dumps(answer)
    assert post(exporter, GOOD)[0] == 200


def test_gzip_bomb_and_truncated_gzip_are_refused(exporter: Exporter) -> None:
    """Compressed bodies are bounded by what they expand to, and must be whole."""
    bomb = gzip.compress(b" " * 50_000_000)
    assert post(exporter, bomb, Content_Encoding="gzip")[0] == 413
    cut = gzip.compress(GOOD * 100)[:40]
    assert post(exporter, cut, Content_Encoding="gzip")[0] == 400


def test_damaged_encoding_is_the_senders_fault_alone(exporter: Exporter) -> None:
    """A body that is not what Content-Encoding says gets a 400, and the log no traceback."""
    status, answer = post(exporter, b"not gzip at all", Content_Encoding="gzip")
    assert status == 400
    assert "Content-Encoding 'gzip'" in json.dumps(answer)
    assert post(exporter, GOOD)[0] == 200
    assert "Traceback" not in exporter.process.log.read_text()


def test_damaged_encoding_of_a_ping_costs_its_text_alone(exporter: Exporter) -> None:
    """The ping counts, and the log has no traceback."""
    request = urllib.request.Request(
        f"{exporter.url}/ping/nightly", b"not gzip at all", {"Content-Encoding": "gzip"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201
    assert post(exporter, GOOD)[0] == 200
    assert "Traceback" not in exporter.process.log.read_text()


def test_unknown_encoding_is_refused_by_name(exporter: Exporter) -> None:
    """A body in an encoding nobody reads is not taken for plain text."""
    status, answer = post(exporter, GOOD, Content_Encoding="x-own")
    assert status == 415
    assert "'x-own' is not known; allowed: identity, gzip, deflate" in json.dumps(answer)
    assert post(exporter, GOOD, Content_Encoding="GZIP")[0] == 400


def test_unknown_addresses_of_the_api_are_problem_documents(exporter: Exporter) -> None:
    """A typo in a path or a method gets the same form of answer as every other mistake."""
    for path, method, status in (
        ("/api/v1/collektors", "GET", 404),
        ("/api/v1/outcomes", "PUT", 405),
    ):
        request = urllib.request.Request(f"{exporter.url}{path}", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.status == status
        assert refused.value.headers["Content-Type"].startswith("application/problem+json")
        assert path in json.load(refused.value)["detail"]
        assert (status == 405) == ("Allow" in refused.value.headers)


def test_open_metrics_is_negotiated(exporter: Exporter) -> None:
    """A scraper that asks for OpenMetrics gets it, others get the text format."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    request = urllib.request.Request(f"{exporter.url}/metrics", headers=accept)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")
    assert "# TYPE collection_runs_total counter" in exporter.metrics()


def test_landing_page_links_to_what_exists(exporter: Exporter) -> None:
    """The root page helps a person who only has the address."""
    with urllib.request.urlopen(f"{exporter.url}/", timeout=60) as answer:
        page = answer.read().decode()
    assert "/metrics" in page


def test_reload_uses_a_good_file_and_keeps_the_old_one_for_a_bad_file(stack: Stack) -> None:
    """SIGHUP and POST /-/reload read the inventory; a bad file is named and not used."""
    exporter = stack.exporter("collectors: [{name: a, tier: 1}]")
    inventory = Path(exporter.process.log.parent / "collectors.yml")
    tier = 'collection_impact_weight{collector="a"}'
    assert exporter.sample(tier) == 1
    inventory.write_text("collectors: [{name: a, impact: {weight: 5}}, {name: b}]")
    exporter.process.signal(signal.SIGHUP)
    wait_for(lambda: exporter.sample(tier) == 5, "the new weight")
    wait_for(lambda: exporter.sample('collection_runs_total{collector="b"}') == 0, "b at zero")
    inventory.write_text("collectors: [{name: a, wait: 5}]")
    request = urllib.request.Request(f"{exporter.url}/-/reload", b"")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert "collectors.yml:1: collectors[0].wait: unknown key" in json.load(caught.value)["detail"]
    assert exporter.sample(tier) == 5
    assert exporter.sample("collection_health_config_last_reload_successful") == 0


def test_missed_runs_are_written_once_across_restarts(stack: Stack) -> None:
    """Each scheduled time without a run is missed once, also when the exporter restarts."""
    config = "collectors: [{name: a, schedule: {every: 2s}, grace: 1s}]"
    exporter = stack.exporter(config, arguments=["--timers.settle=0s"])
    series = 'collection_run_failures_total{collector="a",reason="missed"}'
    wait_for(lambda: (exporter.sample(series) or 0) >= 1, "the first missed run")
    exporter.process.kill()
    exporter.start()
    start = exporter.sample('collection_next_run_timestamp_seconds{collector="a"}')
    assert start is not None
    wait_for(lambda: (exporter.sample(series) or 0) >= 4, "missed runs after the restart")
    missed = exporter.sample(series)
    failing = exporter.sample('collection_failing_since_timestamp_seconds{collector="a"}')
    assert missed is not None
    assert failing == start + 1
    exporter.post({"collector": "a", "outcome": "success"})
    assert exporter.sample('collection_failing_since_timestamp_seconds{collector="a"}') == 0


def test_unknown_collectors_are_accepted_up_to_the_cap(stack: Stack) -> None:
    """Discovery is bounded: beyond the cap only registered collectors are accepted."""
    exporter = stack.exporter("collectors: [{name: known}]", arguments=["--collectors.max=3"])
    batch = [{"collector": f"new{n}", "outcome": "success"} for n in range(5)]
    status, answer = post(exporter, json.dumps(batch).encode())
    assert (status, answer["accepted"]) == (207, 2)
    assert "cap of 3 collectors" in answer["errors"][0]["error"]
    assert post(exporter, b'{"collector":"known","outcome":"success"}')[0] == 200
    assert exporter.sample("collection_health_collectors_refused_total") == 3
    assert exporter.sample('collection_health_collectors{state="discovered"}') == 2


def test_second_exporter_on_the_same_storage_is_refused(stack: Stack) -> None:
    """Two writers on one ledger would lose events, so the second one does not start."""
    exporter = stack.exporter()
    with pytest.raises(AssertionError, match="in use by another exporter"):
        stack.exporter(
            arguments=[f"--storage.path={exporter.process.log.parent / 'data'}"], name="two"
        )
