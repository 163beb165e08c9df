"""``POST /api/v1/alertmanager/webhook``: alerts that ask for a recovery (Alertmanager format 4).

Answers 202 once what is wanted is durably queued: ``{"queued": [...], "ignored": [...]}``.
Re-sent, duplicated and late webhooks change nothing.
"""

import logging
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from collection_health import webconfig
from collection_health.pipeline import Overloaded, StorageUnavailable
from collection_health.recovery.eligibility import explaining_dependency, not_for_recovery
from collection_health.recovery.keys import ENGINE
from collection_health.recovery.requests import Request
from collection_health.recovery.targets import Kind
from collection_health.server import problem, read_body, unavailable

log = logging.getLogger(__name__)

MAX_ALERTS = 10_000  # of one webhook
ACTOR = "alertmanager"


class Alert(Struct):
    """What is read of one alert; fields of later Alertmanagers are ignored."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]


class Webhook(Struct, rename="camel"):
    """What is read of a webhook."""

    version: str
    alerts: Annotated[list[Alert], Meta(max_length=MAX_ALERTS)]
    truncated_alerts: int = 0


def setup(app: web.Application) -> None:
    """Add the route."""
    app.router.add_post("/api/v1/alertmanager/webhook", webhook)


@webconfig.require("recovery")
async def webhook(request: web.Request) -> web.Response:
    """Queue the recoveries that the alerts ask for."""
    body = await read_body(request, scope="recovery")
    try:
        message = msgspec.json.decode(body, type=Webhook)
    except msgspec.ValidationError as error:
        return problem(400, "invalid webhook", f"body: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return problem(400, "malformed webhook", f"body: not valid JSON: {error}")
    if message.version != "4":
        return problem(
            400, "wrong webhook version", f"version: {message.version[:20]!r}; allowed: '4'"
        )
    if message.truncated_alerts:
        log.warning(
            "a webhook left out %d alerts: set max_alerts: 0 on the recovery receiver",
            message.truncated_alerts,
        )
    ignored: list[dict[str, object]] = []
    wanted: list[tuple[int, Request]] = []
    for index, alert in enumerate(message.alerts):
        refusal = "resolved" if alert.status == "resolved" else not_for_recovery(alert.labels)
        if refusal:
            ignored.append({"index": index, "reason": refusal})
        else:
            wanted += ((index, item) for item in requests_of(alert.labels))
    try:
        answers = await request.app[ENGINE].request([item for _, item in wanted])
    except (Overloaded, StorageUnavailable) as error:
        return unavailable(error)
    queued: list[dict[str, object]] = []
    for (index, item), answer in zip(wanted, answers, strict=True):
        if answer.id is not None:
            queued.append({"index": index, item.key[0]: item.key[1], "id": answer.id})
        else:
            ignored.append({"index": index, item.key[0]: item.key[1], "reason": answer.said})
    return web.json_response({"queued": queued, "ignored": ignored}, status=202)


def requests_of(labels: dict[str, str]) -> list[Request]:
    """What an alert asks for: its collector or, once, the dependency that explains it."""
    cause, kind = labels.get("alertname", "")[:150], labels["kind"]
    collector = labels.get("collector", "")
    dependency = explaining_dependency(labels) or ("" if collector else labels["dependency"])

    def request(target: Kind, name: str, explained_by: str = "") -> Request:
        trigger: Literal["alert", "prediction"] = "alert" if kind != "prediction" else "prediction"
        return Request((target, name), trigger, cause, ACTOR, kind, explained_by)

    found = [request("dependency", dependency)] if dependency and kind != "prediction" else []
    if collector:
        found.append(request("collector", collector, dependency))
    return found
