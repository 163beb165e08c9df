"""Pushes of batch jobs, made by the real client library."""

import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Summary,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)

from collection_health.receivers.pushgateway import (
    REPEAT_SECONDS,
    Facts,
    Repeats,
    Sample,
    Verdict,
    facts,
    foreign_name,
    parse,
    parse_path,
    verdict,
)
from tests.receivers.conftest import Exporter


def registry(**gauges: float) -> CollectorRegistry:
    """A registry with gauges of these names and values."""
    made = CollectorRegistry()
    for name, value in gauges.items():
        Gauge(name, "A gauge of a batch job.", registry=made).set(value)
    return made


def put(
    url: str, body: bytes, method: str = "PUT", content_type: str = "text/plain"
) -> tuple[int, str]:
    """Status and text of a push by hand."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def gateway(exporter: Exporter) -> str:
    """The address that jobs push to."""
    return exporter.start().url


def test_the_usual_gauges_become_an_outcome(exporter: Exporter, gateway: str) -> None:
    """Success timestamp, duration and record counts of the usual names describe the run."""
    now = round(time.time(), 3)
    batch = registry(
        export_last_success_timestamp_seconds=now, export_duration_seconds=12.5,
        export_rows_written=90, export_records_rejected=10,
    )  # fmt: skip
    read = Counter("export_records_processed", "Records.", ["table"], registry=batch)
    read.labels("a").inc(60)
    read.labels("b").inc(40)
    push_to_gateway(gateway, job="export", registry=batch, compression="gzip")
    (outcome,) = exporter.recorded
    assert (outcome.collector, outcome.outcome, outcome.at) == ("export", "success", now)
    assert outcome.duration_seconds == 12.5
    assert outcome.records is not None
    assert (outcome.records.collected, outcome.records.written, outcome.records.rejected) == (
        100, 90, 10,
    )  # fmt: skip
    assert exporter.counted("pushgateway", "accepted") == 1


def test_repeated_pushes_count_once(exporter: Exporter, gateway: str) -> None:
    """The same success pushed again — by a retry or with other metrics — is the same run."""
    now = time.time()
    batch = registry(job_last_success=now)
    push_to_gateway(gateway, job="export", registry=batch)
    pushadd_to_gateway(gateway, job="export", registry=batch)
    Gauge("job_other", "Another.", registry=batch).set(1)
    push_to_gateway(gateway, job="export", registry=batch)
    assert exporter.state("export").runs == 1
    push_to_gateway(gateway, job="export", registry=registry(job_last_success=now + 1))
    assert exporter.state("export").runs == 2
    assert exporter.counted("pushgateway", "duplicate") == 2


def test_the_finally_idiom_tells_a_failure(exporter: Exporter, gateway: str) -> None:
    """``finally: push`` sends the duration alone after an error: the missing success says so."""
    for error in (None, ConnectionError()):
        batch = CollectorRegistry()
        duration = Gauge("my_job_duration_seconds", "Duration.", registry=batch)
        try:
            with duration.time():
                if error:
                    raise error
            success = Gauge("my_job_last_success", "When.", registry=batch)
            success.set_to_current_time()
        except ConnectionError:
            pass
        finally:
            push_to_gateway(gateway, job="my_job", registry=batch)
    assert exporter.kinds("my_job") == ["success", "failure"]


def test_a_push_that_says_nothing_records_nothing(exporter: Exporter, gateway: str) -> None:
    """Success is never assumed: the push is accepted and the answer says what to add."""
    status, text = put(f"{gateway}/metrics/job/export", b"some_metric 3.14\n")
    assert (status, exporter.recorded) == (200, [])
    assert "_last_success_timestamp_seconds" in text


def test_delete_leaves_the_history(exporter: Exporter, gateway: str) -> None:
    """A job that cleans up after itself keeps what it reported."""
    push_to_gateway(gateway, job="export", registry=registry(job_success=1))
    delete_from_gateway(gateway, job="export")
    assert exporter.kinds("export") == ["success"]
    assert put(f"{gateway}/metrics/job/export", b"", "DELETE")[0] == 202


def test_groups_are_collectors_and_places_are_not(exporter: Exporter, gateway: str) -> None:
    """A grouping label names another job; an instance names another host of the same one."""
    for key in ({"instance": "host-1"}, {"instance": "host-2"}, {"table": "a/b c"}, {"table": ""}):
        push_to_gateway(gateway, "export", registry(job_success=1), grouping_key=key)
    assert exporter.kinds("export") == ["success"] * 3
    assert exporter.kinds("export/a/b_c") == ["success"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("job/a", b"ok 1\nx{\n", "parsing error in line 2"),
        ("job/a", b"job_success 1 1700000000000\n", "must not have timestamps"),
        ("job/a", b"\xff", "utf-8"),
        ("job/a/b", b"", "odd number of components"),
        ("job/a/9x/b", b"", "improper label name"),
        ("job/a/__x/b", b"", "improper label name"),
        ("job@base64/=", b"", "job name is required"),
        ("job@base64/!!!", b"", "invalid base64 encoding"),
        ("job/a", b"job_last_success 4102444800\n", "in the future"),
    ],
)
def test_bad_pushes_are_400_with_the_reason(
    exporter: Exporter, gateway: str, path: str, body: bytes, words: str
) -> None:
    """The client library raises and shows the text; nothing is recorded."""
    status, text = put(f"{gateway}/metrics/{path}", body)
    assert (status, exporter.recorded) == (400, [])
    assert words in text


def test_paths_are_read_as_the_pushgateway_reads_them() -> None:
    """Values may be percent-encoded or base64; an empty one is a lone equals sign."""
    assert parse_path("job/titan/name/%CE%A0%CF%81") == ("titan", {"name": "Πρ"})
    assert parse_path("job@base64/Zm9v/path@base64/L3Zhci9kYXRh") == ("foo", {"path": "/var/data"})
    assert parse_path("job/a/first@base64/=") == ("a", {"first": ""})
    assert foreign_name("a", {"pod": "x-7f", "b": "2", "a": "1"}) == "a/1/2"


@pytest.mark.parametrize(
    ("found", "last_success", "expected"),
    [
        (Facts(success_at=2e9), 0, Verdict(True, 2e9)),
        (Facts(success_at=2e9, completed_at=2e9 + 0.5), 0, Verdict(True, 2e9)),
        (Facts(success_at=2e9, completed_at=2e9 + 9, duration=3), 0, Verdict(False, 2e9 + 9)),
        (Facts(success_at=2e9, completed_at=2e9 + 9, duration=10), 0, Verdict(True, 2e9)),
        (Facts(success_at=2e9, completed_at=2e9 + 0.5), 2e9, Verdict(False, 2e9 + 0.5)),
        (Facts(success_at=2e9, failed_at=2e9 + 1), 0, Verdict(False, 2e9 + 1)),
        (Facts(success_at=2e9 + 2, failed_at=2e9 + 1), 0, Verdict(True, 2e9 + 2)),
        (Facts(failed_at=2e9), 0, Verdict(False, 2e9)),
        (Facts(succeeded=False, completed_at=2e9), 0, Verdict(False, 2e9)),
        (Facts(succeeded=True), 0, Verdict(True, None)),
        (Facts(duration=3), 0, None),
        (Facts(completed_at=2e9), 0, None),
        (Facts(duration=3), 2e9, Verdict(False, None)),
        (Facts(completed_at=2e9 + 1), 2e9, Verdict(False, 2e9 + 1)),
        (Facts(success_at=0.0, duration=3), 0, Verdict(False, None)),
        (Facts(), 2e9, None),
    ],
)
def test_how_a_run_ended(found: Facts, last_success: float, expected: Verdict | None) -> None:
    """Only what a push says decides; a success that should be there and is not is a failure."""
    assert verdict(found, last_success) == expected


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("backup_last_success_unixtime", 2e9, "success_at", 2e9),
        ("backup_last_success_timestamp_ms", 2e12, "success_at", 2e9),
        ("last_successful_run_timestamp", 2e9, "success_at", 2e9),
        ("success_timestamp_seconds", 2e9, "success_at", 2e9),
        ("batch_last_completion_timestamp_seconds", 2e9, "completed_at", 2e9),
        ("job_end_time_seconds", 2e9, "completed_at", 2e9),
        ("job_last_failure_timestamp_seconds", 2e9, "failed_at", 2e9),
        ("job_start_time_seconds", 2e9, "started_at", 2e9),
        ("job_success", 0, "succeeded", False),
        ("job_failed", 0, "succeeded", True),
        ("last_success", 1, "succeeded", True),
        ("etl_files_failed", 0, "succeeded", None),
        ("records_failed", 1, "succeeded", None),
        ("records_failed", 1, "counts", {"rejected": 1}),
        ("backup_exit_code", 0, "succeeded", True),
        ("backup_exit_code", 2, "exit_code", 2),
        ("job_failures_total", 3, "succeeded", False),
        ("job_duration_milliseconds", 1500, "duration", 1.5),
        ("job_runtime_minutes", 2, "duration", 120),
        ("process_start_time_seconds", 2e9, "started_at", None),
        ("job_created", 2e9, "success_at", None),
        ("job_duration_seconds", float("nan"), "duration", None),
    ],
)
def test_the_usual_names(name: str, value: float, field: str, expected: object) -> None:
    """Names that batch jobs in the wild use mean what their authors meant."""
    assert getattr(facts([Sample(name, value)]), field) == expected


def test_a_summary_of_one_run_is_its_duration() -> None:
    """``Summary.time()`` around the whole job gives a sum; one over many calls gives nothing."""
    made = CollectorRegistry()
    Summary("job_duration_seconds", "One.", registry=made).observe(4)
    from prometheus_client import generate_latest

    assert facts(parse(generate_latest(made).decode())).duration == 4
    assert facts([Sample("a_duration_seconds_sum", 9), Sample("a_duration_seconds_count", 3)]) == (
        facts([])
    )


def test_pushes_without_a_time_are_told_apart_by_arrival() -> None:
    """An identical push soon after is a retry; later it is the next run that ended the same."""
    repeats = Repeats()
    first = repeats.identity("a", b"job_success 1", 1000.0)
    assert repeats.identity("a", b"job_success 1", 1000.0 + REPEAT_SECONDS - 1) == first
    assert repeats.identity("b", b"job_success 1", 1001.0) != first
    assert repeats.identity("a", b"job_success 1", 1000.0 + REPEAT_SECONDS + 1) != first
    assert repeats.identity("a", b"job_success 0", 1000.0 + REPEAT_SECONDS + 2) != first
