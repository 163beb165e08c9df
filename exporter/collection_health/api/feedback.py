"""Feedback: a person says whether an alert was worth it; the scorecard counts it.

``POST /api/v1/alerts/{fingerprint}/feedback`` with ``alertname``, ``verdict`` (relevant or
noise), and optionally ``collector``, ``comment`` and ``actor``.
"""

import html
import re
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta, Struct

from collection_health.api import shapes
from collection_health.api.bodies import ProblemError, Text, actor_of, decode, wants_html
from collection_health.api.page import page
from collection_health.api.table import Route, add
from collection_health.api.view import reply
from collection_health.events import Feedback
from collection_health.server import PIPELINE

AlertName = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z0-9]{2,79}$")]
_FINGERPRINT = re.compile("[0-9a-f]{1,64}")
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
    add(app, [
        Route("POST", "/api/v1/alerts/{fingerprint:(?s:.+)}/feedback", feedback,
              "Note whether an alert was worth it.", shapes.FeedbackAnswer, scope="control",
              body=FeedbackBody, others={404: "Not a fingerprint.", 413: "The body is too large."}),
    ])  # fmt: skip


async def feedback(request: web.Request) -> web.Response:
    """Record the verdict."""
    pipeline = request.app[PIPELINE]
    body = await decode(request, FeedbackBody, "control")
    fingerprint = request.match_info["fingerprint"]
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ProblemError(404, "unknown alert", "fingerprint: allowed: 1 to 64 of 0-9 and a-f")
    known = {key.split(" ")[0] for key in pipeline.fleet.feedback}
    if body.alertname not in known and len(known) >= MAX_ALERTNAMES:
        raise ProblemError(
            400, "too many alerts",
            f"alertname: {body.alertname!r} is new and {MAX_ALERTNAMES} alerts already have "
            "verdicts; allowed: one of those",
        )  # fmt: skip
    event = Feedback(
        body.alertname, body.collector, fingerprint, body.verdict,
        pipeline.clock(), actor_of(request, body.actor), body.comment,
    )  # fmt: skip
    await pipeline.submit([event], "feedback")
    if wants_html(request):
        thanks = (
            f"<h1>Noted</h1><p>{html.escape(body.alertname)} was {body.verdict}. Thank you.</p>"
        )
        return page("Feedback", thanks)
    return reply(request, shapes.FeedbackAnswer(alertname=body.alertname, verdict=body.verdict))
