"""``POST /api/v1/alertmanager/webhook``: alerts that ask for a recovery (Alertmanager format 4).

Answers 202 once what is wanted is durably queued. Re-sent, duplicated and late webhooks change
nothing.
"""

import logging
from typing import Literal

import msgspec
from aiohttp import web

from collection_health.api.bodies import ProblemError
from collection_health.api.table import Route, add
from collection_health.api.view import reply
from collection_health.incoming import read_body
from collection_health.recovery.eligibility import explaining_dependency, not_for_recovery
from collection_health.recovery.keys import ENGINE
from collection_health.recovery.requests import Request
from collection_health.recovery.shapes import Asked, Webhook, WebhookAnswer, about
from collection_health.recovery.targets import Kind

log = logging.getLogger(__name__)

ACTOR = "alertmanager"


def setup(app: web.Application) -> None:
    """Add the route."""
    add(app, [
        Route("POST", "/api/v1/alertmanager/webhook", webhook,
              "Queue the recoveries that alerts ask for; repeats change nothing.", WebhookAnswer,
              scope="recovery", body=Webhook, status=202,
              others={413: "The body is too large."}),
    ])  # fmt: skip


async def webhook(request: web.Request) -> web.Response:
    """Queue the recoveries that the alerts ask for."""
    message = _decode(await read_body(request, scope="recovery"))
    ignored: list[Asked] = []
    wanted: list[tuple[int, Request]] = []
    for index, alert in enumerate(message.alerts):
        refusal = "resolved" if alert.status == "resolved" else not_for_recovery(alert.labels)
        if refusal:
            ignored.append(Asked(index=index, reason=refusal))
        else:
            wanted += ((index, item) for item in requests_of(alert.labels))
    answers = await request.app[ENGINE].request([item for _, item in wanted])
    queued: list[Asked] = []
    for (index, item), answer in zip(wanted, answers, strict=True):
        kind, name = item.key
        if answer.id is not None:
            queued.append(Asked(**about(kind, name), index=index, id=answer.id, plan=answer.said))
        else:
            ignored.append(Asked(**about(kind, name), index=index, reason=answer.said))
    return reply(request, WebhookAnswer(queued=queued, ignored=ignored), 202)


def _decode(body: bytes) -> Webhook:
    try:
        message = msgspec.json.decode(body, type=Webhook)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "invalid webhook", f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "malformed webhook", f"body: not valid JSON: {error}") from error
    if message.version != "4":
        said = f"version: {message.version[:20]!r}; allowed: '4'"
        raise ProblemError(400, "wrong webhook version", said)
    if message.truncated_alerts:
        log.warning(
            "a webhook left out %d alerts: set max_alerts: 0 on the recovery receiver",
            message.truncated_alerts,
        )
    return message


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
