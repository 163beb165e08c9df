"""OpenLineage events, sent by the real client of the project."""

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    source_code_location_job,
)
from openlineage.client.transport.http import (
    ApiKeyTokenProvider,
    HttpCompression,
    HttpConfig,
    HttpTransport,
)
from openlineage.client.uuid import generate_new_uuid

from collection_health.webconfig import Security
from tests.receivers.conftest import Exporter

JAVA_TRACE = """java.lang.RuntimeException: boom
\tat A.b(A.java:1)
Caused by: java.net.UnknownHostException: db
Caused by: com.example.AuthenticationError: no
"""
TOKEN = "a-bearer-token-of-airflow"


def client(url: str, **options: Any) -> OpenLineageClient:
    """The real client, pointed at the exporter's root as its documentation says."""
    return OpenLineageClient(transport=HttpTransport(HttpConfig(url=url, **options)))


def event(
    kind: RunState,
    run_id: str,
    name: str = "orders",
    *,
    run: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
    inputs: list[InputDataset] | None = None,
    outputs: list[OutputDataset] | None = None,
    at: datetime | None = None,
) -> RunEvent:
    """A run event of the job ``prod/<name>``."""
    return RunEvent(
        eventType=kind,
        eventTime=(at or datetime.now(UTC)).isoformat(),
        run=Run(runId=run_id, facets=dict(run or {})),
        job=Job(namespace="prod", name=name, facets=dict(job or {})),
        producer="https://example.com/tests",
        inputs=inputs or [],
        outputs=outputs or [],
    )


def child_of(run_id: str, name: str = "orders") -> dict[str, Any]:
    """The facet of a run that belongs to a run of the job ``prod/<name>``."""
    return {
        "parent": parent_run.ParentRunFacet(
            run=parent_run.Run(runId=run_id), job=parent_run.Job(namespace="prod", name=name)
        )
    }


def output(rows: int, size: int) -> OutputDataset:
    """An output dataset with its statistics."""
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=rows, size=size
    )
    return OutputDataset("warehouse", "orders", outputFacets={"outputStatistics": statistics})


def failed(message: str, trace: str | None = None, language: str = "python") -> dict[str, Any]:
    """The facet of a failed run."""
    return {"errorMessage": error_message_run.ErrorMessageRunFacet(message, language, trace)}


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON answer of a POST, errors included."""
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
        error.close()
    return status, json.loads(text) if text else None


def test_a_run_with_its_rows_bytes_and_quality(exporter: Exporter) -> None:
    """START and COMPLETE of the real client become one run with what its facets say."""
    exporter.start()
    ol, run_id = client(exporter.url, compression=HttpCompression.GZIP), str(generate_new_uuid())
    start = datetime.now(UTC) - timedelta(seconds=30)
    ol.emit(event(RunState.START, run_id, at=start))
    ol.emit(event(RunState.RUNNING, run_id, at=start + timedelta(seconds=1)))
    metrics = data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
        rowCount=100,
        lastUpdated="2026-01-02T03:04:05Z",
        columnMetrics={
            "id": data_quality_metrics_input_dataset.ColumnMetrics(nullCount=0),
            "name": data_quality_metrics_input_dataset.ColumnMetrics(nullCount=50),
        },
    )
    checks = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[
            data_quality_assertions_dataset.Assertion(assertion="unique", success=True),
            data_quality_assertions_dataset.Assertion(assertion="not_null", success=False),
        ]
    )
    ol.emit(
        event(
            RunState.COMPLETE, run_id, at=start + timedelta(seconds=20),
            job={"sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet(
                type="git", url="https://example.com/orders", version="1.4.0")},
            inputs=[InputDataset(
                "source", "orders",
                inputFacets={"dataQualityMetrics": metrics, "dataQualityAssertions": checks})],
            outputs=[output(70, 700), output(30, 300)],
        )
    )  # fmt: skip
    assert exporter.kinds("prod/orders") == ["started", "success"]
    done = exporter.recorded[-1]
    assert done.records is not None
    assert (done.records.written, done.bytes, done.version) == (100, 1000, "1.4.0")
    assert done.quality is not None
    assert (done.quality.completeness, done.quality.validity) == (0.75, 0.5)
    assert done.data_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert exporter.state("prod/orders").last_duration == pytest.approx(20)
    assert exporter.counted("openlineage", "duplicate") == 1  # RUNNING says no more than START


@pytest.mark.parametrize(
    ("message", "trace", "language", "reason"),
    [
        ("x", 'Traceback…\n  File "a.py"\nrequests.ReadTimeout: slow\n', "python", "timeout"),
        ("boom", JAVA_TRACE, "JAVA", "auth"),
        ("psycopg2.errors.UndefinedTable: OperationalError", None, "python", "connection"),
        ('Runtime Error in model a\n  Binder Error: column "b" not found', None, "sql", "schema"),
        ("it broke", None, "python", "unknown"),
    ],
)  # fmt: skip
def test_the_error_becomes_a_reason(
    exporter: Exporter, message: str, trace: str | None, language: str, reason: str
) -> None:
    """The exception that ends a trace, or caused it, says why the run failed."""
    exporter.start()
    run_id = str(generate_new_uuid())
    client(exporter.url).emit(event(RunState.FAIL, run_id, run=failed(message, trace, language)))
    assert exporter.state("prod/orders").failures == {reason: 1}
    error = exporter.recorded[0].error
    assert error is not None
    assert error.message == message


def test_abort_other_and_job_events(exporter: Exporter) -> None:
    """ABORT ends a run as aborted; OTHER and events without a run are accepted and ignored."""
    exporter.start()
    run_id = str(generate_new_uuid())
    ol = client(exporter.url)
    ol.emit(event(RunState.OTHER, run_id))
    ol.emit(event(RunState.ABORT, run_id))
    job_event = {"eventTime": "2026-01-01T00:00:00Z", "job": {"namespace": "a", "name": "b"}}
    assert post(f"{exporter.url}/api/v1/lineage", json.dumps(job_event).encode())[0] == 200
    assert [outcome.outcome for outcome in exporter.recorded] == ["aborted"]


def test_tasks_are_counted_with_the_run_they_belong_to(exporter: Exporter) -> None:
    """A DAG with two tasks is one run; the tasks' rows and the first cause are the DAG's own."""
    exporter.start()
    ol = client(exporter.url)
    dag, load, check, part = (str(generate_new_uuid()) for _ in range(4))
    ol.emit(event(RunState.START, dag))
    ol.emit(event(RunState.START, load, "orders.load", run=child_of(dag)))
    # a part of the task, two levels down: its rows are the DAG's as well
    ol.emit(event(RunState.COMPLETE, part, "spark", run=child_of(load, "orders.load"),
                  outputs=[output(5, 50)]))  # fmt: skip
    done = event(RunState.COMPLETE, load, "orders.load", outputs=[output(40, 400)])  # no parent
    ol.emit(done)
    ol.emit(done)  # delivered twice, counted once
    error = failed("refused", "Traceback…\nConnectionRefusedError: refused")
    ol.emit(event(RunState.FAIL, check, "orders.check", run={**child_of(dag), **error}))
    ol.emit(event(RunState.FAIL, dag, run=failed("task_failure")))
    assert list(exporter.pipeline.collectors) == ["prod/orders"]
    end = exporter.recorded[-1]
    assert end.records is not None
    assert (end.outcome, end.records.written, end.bytes) == ("failure", 45, 450)
    assert end.reason == "connection"
    assert end.error is not None
    assert end.error.message == "orders.check: refused"


def test_a_failed_assertion_is_a_quality_failure(exporter: Exporter) -> None:
    """dbt reports a failed test without any error message: the assertions say why."""
    exporter.start()
    dag, test = str(generate_new_uuid()), str(generate_new_uuid())
    checks = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[data_quality_assertions_dataset.Assertion(assertion="unique", success=False)]
    )
    data = InputDataset("a", "b", inputFacets={"dataQualityAssertions": checks})
    ol = client(exporter.url)
    ol.emit(event(RunState.FAIL, test, "test", run=child_of(dag), inputs=[data]))
    ol.emit(event(RunState.FAIL, dag))
    assert exporter.state("prod/orders").failures == {"quality": 1}


def test_a_task_of_the_inventory_counts_by_itself(exporter: Exporter) -> None:
    """What the inventory names or aliases is a collector, whatever it is a part of."""
    exporter.start("""
        collectors:
          - {name: order-load, aliases: {openlineage: prod/orders.load}}
    """)
    ol = client(exporter.url)
    dag, load = str(generate_new_uuid()), str(generate_new_uuid())
    ol.emit(event(RunState.COMPLETE, load, "orders.load", run=child_of(dag),
                  outputs=[output(40, 400)]))  # fmt: skip
    ol.emit(event(RunState.COMPLETE, dag))
    assert exporter.state("order-load").last_records == 40
    assert exporter.state("prod/orders").last_records is None


def test_a_triggered_dag_is_a_collector(exporter: Exporter) -> None:
    """A DAG that another DAG triggered carries a parent and is a pipeline all the same."""
    exporter.start()
    kind = job_type_job.JobTypeJobFacet("BATCH", "AIRFLOW", "DAG")
    run = event(
        RunState.COMPLETE, str(generate_new_uuid()), "second", job={"jobType": kind},
        run=child_of(str(generate_new_uuid())),
    )  # fmt: skip
    client(exporter.url).emit(run)
    assert exporter.kinds("prod/second") == ["success"]


def test_a_streaming_job_lives_by_its_running_events(exporter: Exporter) -> None:
    """Flink's RUNNING events keep a stream fresh; repeats count once, its end ends it."""
    exporter.start()
    kind = {"jobType": job_type_job.JobTypeJobFacet("STREAMING", "FLINK", "JOB")}
    ol, run_id = client(exporter.url), str(generate_new_uuid())
    start = datetime.now(UTC) - timedelta(minutes=1)
    ol.emit(event(RunState.START, run_id, job=kind, at=start))
    alive = event(RunState.RUNNING, run_id, job=kind, at=start + timedelta(seconds=30))
    ol.emit(alive)
    ol.emit(alive)
    ol.emit(event(RunState.FAIL, run_id, job=kind, run=failed("lost", "x.ConnectionError: lost")))
    assert exporter.kinds("prod/orders") == ["success", "success", "failure"]
    assert exporter.state("prod/orders").running == {}


def test_every_run_counts_on_request(exporter: Exporter) -> None:
    """``--openlineage.count-tasks`` is for pipelines whose parents never report."""
    exporter.start(openlineage_count_tasks=True)
    run = event(RunState.COMPLETE, str(generate_new_uuid()), "orders.load",
                run=child_of(str(generate_new_uuid())))  # fmt: skip
    client(exporter.url).emit(run)
    assert exporter.kinds("prod/orders.load") == ["success"]


def test_the_schedule_is_the_newest_nominal_time_that_has_come(exporter: Exporter) -> None:
    """Airflow's interval ends when the run is due; the specification's starts then."""
    exporter.start()
    ol, now = client(exporter.url), datetime.now(UTC).replace(microsecond=0)
    day = timedelta(days=1)
    for start, end in (
        (now - day, now - timedelta(minutes=1)),
        (now - timedelta(minutes=1), now + day),
    ):
        nominal = nominal_time_run.NominalTimeRunFacet(start.isoformat(), end.isoformat())
        ol.emit(event(RunState.START, str(generate_new_uuid()), run={"nominalTime": nominal}))
    due = now - timedelta(minutes=1)
    assert [outcome.scheduled_for for outcome in exporter.recorded] == [due, due]


def test_a_bearer_token_is_checked(exporter: Exporter, tmp_path: Path) -> None:
    """The client's API key is the token of a writer; a wrong one is refused."""
    (tmp_path / "airflow").write_text(TOKEN)
    tokens = tmp_path / "tokens.yml"
    tokens.write_text("tokens: [{name: airflow, token_file: airflow, scopes: [write]}]")
    exporter.start(security=Security(None, tokens))
    run = event(RunState.COMPLETE, str(generate_new_uuid()))
    client(exporter.url, auth=ApiKeyTokenProvider({"apiKey": TOKEN})).emit(run)
    assert exporter.kinds("prod/orders") == ["success"]
    body = json.dumps({}).encode()
    assert post(f"{exporter.url}/api/v1/lineage", body)[0] == 401
    wrong = {"Authorization": "Bearer not-the-token-of-airflow"}
    assert post(f"{exporter.url}/api/v1/lineage", body, wrong)[0] == 401


def minimal(**changes: Any) -> dict[str, Any]:
    """The smallest valid run event."""
    return {
        "eventTime": datetime.now(UTC).isoformat(),
        "eventType": "COMPLETE",
        "run": {"runId": str(generate_new_uuid())},
        "job": {"namespace": "prod", "name": "orders"},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eventTime": "yesterday"}, "eventTime: "),
        ({"eventType": "FINISHED"}, "eventType: "),
        ({"job": {"name": "orders"}}, "namespace: missing"),
        ({"run": {"runId": ""}}, "run.runId: "),
        ({"eventTime": "2100-01-01T00:00:00Z"}, "in the future"),
    ],
)
def test_an_invalid_event_names_its_field(
    exporter: Exporter, changes: dict[str, Any], words: str
) -> None:
    """400 with a problem document: not retried by the client, and its log says what is wrong."""
    exporter.start()
    body = json.dumps(minimal(**changes)).encode()
    status, answer = post(f"{exporter.url}/api/v1/lineage", body)
    assert status == 400
    assert words in answer["detail"]


def test_a_batch_loses_only_its_invalid_events(exporter: Exporter) -> None:
    """All accepted: 204. Otherwise 200 with every refused event by index; the rest is recorded."""
    exporter.start()
    url = f"{exporter.url}/api/v1/lineage/batch"
    good = json.dumps([minimal(), minimal()]).encode()
    headers = {"Content-Encoding": "gzip"}
    assert post(url, gzip.compress(good), headers) == (204, None)
    status, answer = post(url, json.dumps([minimal(), {"run": 1}, minimal()]).encode())
    assert status == 200
    assert answer["status"] == "partial_success"
    assert answer["summary"] == {
        "received": 3, "successful": 2, "failed": 1, "retriable": 0, "non_retriable": 1,
    }  # fmt: skip
    assert [failure["index"] for failure in answer["failed_events"]] == [1]
    assert exporter.kinds("prod/orders") == ["success"] * 4
    assert post(url, b"{}")[0] == 400
