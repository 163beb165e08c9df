"""OpenLineage 2-0-2: what Airflow, dbt, Spark, Flink and others emit after one variable is set.

    OPENLINEAGE_URL=http://exporter:9036

A job becomes the collector ``namespace/name``. Runs of one pipeline are counted at one level:
a run whose ``parent`` facet names another job is a *task* of it. Tasks are not collectors; their
rows, bytes, quality and errors are added to the run they belong to. A task counts by itself
instead where the inventory names it (by name or alias), where it says it is a DAG (one that
another DAG triggered), or with ``--openlineage.count-tasks``.
"""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from collection_health.decoding import explain
from collection_health.events import Outcome
from collection_health.incoming import problem, read_body, unavailable
from collection_health.pipeline import Overloaded, Pipeline, StorageUnavailable
from collection_health.receivers.openlineage.facets import decode
from collection_health.receivers.openlineage.runs import PROTOCOL, Families, to_outcomes
from collection_health.server import ARGS, PIPELINE

FAMILIES = web.AppKey("openlineage_families", Families)


def setup(app: web.Application) -> None:
    """Add the routes of the specification, at the root, where the clients expect them."""
    pipeline = app[PIPELINE]

    def stands_alone(full_name: str) -> bool:
        inventory = pipeline.inventory
        return inventory.alias(PROTOCOL, full_name) is not None or (
            full_name in inventory.registered
        )

    count_tasks = getattr(app[ARGS], "openlineage_count_tasks", False)
    app[FAMILIES] = Families(stands_alone, count_tasks)
    app.router.add_post("/api/v1/lineage", receive)
    app.router.add_post("/api/v1/lineage/batch", receive_batch)


async def receive(request: web.Request) -> web.Response:
    """Record one event: 200, or 400 with a problem document that names the field."""
    body = await read_body(request)
    try:
        (wrong,) = await _record(request, [body])
    except (Overloaded, StorageUnavailable) as error:
        return unavailable(error)
    if wrong is not None:
        return problem(400, "event refused", wrong)
    return web.Response()


async def receive_batch(request: web.Request) -> web.Response:
    """Record an array: 204, or 200 with a summary where some events were refused."""
    body = await read_body(request)
    try:
        events = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return problem(400, "malformed body", f"body: not a JSON array of events: {error}")
    try:
        results = await _record(request, events)
    except (Overloaded, StorageUnavailable) as error:
        return unavailable(error)
    failed = [
        {"index": index, "reason": wrong, "retriable": False}
        for index, wrong in enumerate(results)
        if wrong is not None
    ]
    if not failed:
        return web.Response(status=204)
    summary = {
        "received": len(results), "successful": len(results) - len(failed),
        "failed": len(failed), "retriable": 0, "non_retriable": len(failed),
    }  # fmt: skip
    status = "partial_success" if len(failed) < len(results) else "failure"
    return web.json_response({"status": status, "summary": summary, "failed_events": failed})


async def _record(request: web.Request, bodies: Sequence[bytes | msgspec.Raw]) -> list[str | None]:
    """Per event None, or what is wrong with it; events that report nothing are fine."""
    pipeline, families = request.app[PIPELINE], request.app[FAMILIES]
    items: list[Outcome | str] = []
    owners: list[int] = []
    for index, body in enumerate(bodies):
        found = _translate(body, pipeline, families)
        items.extend(found)
        owners.extend([index] * len(found))
    results: list[str | None] = [None] * len(bodies)
    answers = await pipeline.submit(items, PROTOCOL)
    for index, item, wrong in zip(owners, items, answers, strict=True):
        results[index] = wrong
        if isinstance(item, Outcome) and item.outcome != "started":
            families.forget(item.run_id)
    return results


def _translate(
    body: bytes | msgspec.Raw, pipeline: Pipeline, families: Families
) -> list[Outcome] | list[str]:
    try:
        event = decode(body)
    except msgspec.ValidationError as error:
        return [explain(error)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return [f"not valid JSON: {error}"]
    if event is None or families.is_task(event):
        return []
    collector = pipeline.resolve(PROTOCOL, event.job.full_name)
    return to_outcomes(event, collector, families.tasks_of(event))
