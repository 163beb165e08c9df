"""Dagster: every run of every job of a code location, by sensors that Dagster itself runs.

    defs = Definitions(jobs=[...], sensors=[*collection_health_sensors()])

The collector is the job's name. Rows come from the ``dagster/row_count`` metadata of the
materializations, quality from asset checks, the reason from the first failed step's exception.
Where the exporter is, is told by the client's environment variables. The sensors need Dagster's
daemon, as all sensors do; it looks every 30 seconds, events carry the times of the run itself.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunStatusSensorContext,
    run_status_sensor,
)

from collection_health.client import Client
from collection_health.events import clean_name

Event = dict[str, Any]

OUTCOMES: dict[str, str] = {
    "STARTED": "started", "SUCCESS": "success", "FAILURE": "failure", "CANCELED": "aborted",
}  # fmt: skip


def collection_health_sensors(
    client: Client | None = None, *, prefix: str = "", monitored_jobs: Sequence[Any] | None = None
) -> list[Any]:
    """Sensors that report the start and the end of every run, switched on.

    ``prefix`` goes before every job's name (``team/``); ``monitored_jobs`` narrows what is
    reported. Raises `ValueError` when the client's environment variables cannot work.
    """
    reporter = client or Client()

    def sensor(status: str) -> Any:
        def report(context: RunStatusSensorContext) -> None:
            event = to_event(context.dagster_run, context.instance, status, prefix)
            if event is not None:
                reporter.send(event)

        return run_status_sensor(
            run_status=DagsterRunStatus[status],
            name=f"collection_health_{status.lower()}",
            description="Reports to Collection Health",
            monitored_jobs=monitored_jobs,
            default_status=DefaultSensorStatus.RUNNING,
        )(report)

    return [sensor(status) for status in OUTCOMES]


def to_event(
    run: DagsterRun, instance: DagsterInstance, status: str, prefix: str = ""
) -> Event | None:
    """The outcome of a run that reached ``status``; None for a start seen after the end."""
    record = instance.get_run_record_by_id(run.run_id)
    if record is None or (status == "STARTED" and record.end_time is not None):
        return None
    event: Event = {
        "collector": clean_name(f"{prefix}{run.job_name}"),
        "outcome": OUTCOMES[status],
        "event_id": f"dagster/{run.run_id}/{status}",
        "run_id": run.run_id,
        "started_at": _time(record.start_time),
    }
    scheduled = run.tags.get("dagster/scheduled_execution_time")
    if scheduled:
        event["scheduled_for"] = scheduled
    retry = run.tags.get("dagster/retry_number", "")
    if retry.isdigit():
        event["attempt"] = int(retry) + 1
    if status != "STARTED":
        event["finished_at"] = _time(record.end_time)
        event |= _figures(run, instance)
    if status == "FAILURE":
        event["error"] = _error(run, instance)
    return {name: value for name, value in event.items() if value is not None}


def _figures(run: DagsterRun, instance: DagsterInstance) -> Event:
    """Rows of the materializations and the share of asset checks that passed."""
    rows = [
        metadata["dagster/row_count"].value
        for data in _data(run, instance, DagsterEventType.ASSET_MATERIALIZATION)
        if "dagster/row_count" in (metadata := data.materialization.metadata)
    ]
    checks = [data.passed for data in _data(run, instance, DagsterEventType.ASSET_CHECK_EVALUATION)]
    figures: Event = {}
    if rows:
        figures["records"] = {"written": sum(rows)}
    if checks:
        figures["quality"] = {"validity": sum(checks) / len(checks)}
    return figures


def _error(run: DagsterRun, instance: DagsterInstance) -> Event | None:
    """The exception of the first step that failed, as its author knows it."""
    for data in _data(run, instance, DagsterEventType.STEP_FAILURE):
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause  # Dagster wraps the user's exception
        if error is not None:
            return {"type": error.cls_name, "message": error.message}
    return None


def _data(run: DagsterRun, instance: DagsterInstance, kind: DagsterEventType) -> Iterator[Any]:
    for record in instance.get_records_for_run(run.run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.event_specific_data is not None:
            yield event.event_specific_data


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
