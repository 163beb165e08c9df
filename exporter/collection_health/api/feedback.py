"""Feedback: a person says whether an alert was worth it; the scorecard counts it.

``POST /api/v1/alerts/{fingerprint}/feedback`` with ``alertname``, ``verdict`` (relevant or
noise), and optionally ``collector``, ``comment`` and ``actor``.
"""

import html
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta, Struct

from collection_health import webconfig
from collection_health.api.bodies import ProblemError, Text, actor_of, decode, wants_html
from collection_health.api.page import page
from collection_health.events import Feedback
from collection_health.pipeline import Overloaded, StorageUnavailable
from collection_health.server import PIPELINE, unavailable

AlertName = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z0-9]{2,79}$")]
MAX_ALERTNAMES = 200  # label values of collection_alert_feedback_total


class FeedbackBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a verdict may say."""

    alertname: AlertName
    verdict: Literal["relevant", "noise"]
    collector: Text = ""
    comment: Text = ""
    actor: Text = ""


def setup(app: web.Application) -> None:
    """Add the route."""
    app.router.add_post("/api/v1/alerts/{fingerprint:[0-9a-f]{1,64}}/feedback", feedback)


@webconfig.require("control")
async def feedback(request: web.Request) -> web.Response:
    """Record the verdict."""
    pipeline = request.app[PIPELINE]
    try:
        body = await decode(request, FeedbackBody, "control")
        known = {key.split(" ")[0] for key in pipeline.fleet.feedback}
        if body.alertname not in known and len(known) >= MAX_ALERTNAMES:
            raise ProblemError(
                400, "too many alerts",
                f"alertname: {body.alertname!r} is new and {MAX_ALERTNAMES} alerts already have "
                "verdicts; allowed: one of those",
            )  # fmt: skip
        event = Feedback(
            body.alertname, body.collector, request.match_info["fingerprint"], body.verdict,
            pipeline.clock(), actor_of(request, body.actor), body.comment,
        )  # fmt: skip
        await pipeline.submit([event], "feedback")
    except ProblemError as error:
        return error.response
    except (Overloaded, StorageUnavailable) as error:
        return unavailable(error)
    if wants_html(request):
        thanks = f"<p>Noted: {html.escape(body.alertname)} was {body.verdict}. Thank you.</p>"
        return page("Feedback", thanks)
    return web.json_response({"alertname": body.alertname, "verdict": body.verdict})
