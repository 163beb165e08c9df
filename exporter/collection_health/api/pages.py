"""Pages that links in notifications lead to: a collector, its acknowledgement, feedback.

A GET never changes anything: it shows what is known and a form that asks for confirmation.
"""

from html import escape
from urllib.parse import quote

from aiohttp import web

from collection_health.api.bodies import ProblemError
from collection_health.api.controls import find
from collection_health.api.page import page
from collection_health.api.times import rfc3339
from collection_health.server import PIPELINE
from collection_health.state import BAD, PARTIAL, CollectorState

RUNS_SHOWN = 60


def setup(app: web.Application) -> None:
    """Add the routes; the more specific ones first, because names may contain slashes."""
    app.router.add_get("/collectors/{name:.+}/ack", acknowledge)
    app.router.add_get("/collectors/{name:.+}", collector)
    app.router.add_get("/feedback", feedback)


async def collector(request: web.Request) -> web.Response:
    """What the exporter knows of one collector."""
    try:
        state = find(request)
    except ProblemError as error:
        return error.response
    ack = f"/collectors/{quote(state.name, safe='')}/ack"
    return page(
        state.name,
        f'{_strip(state)}{_facts(state, request.app[PIPELINE].clock())}<p><a href="{ack}">'
        "Acknowledge</a></p>",
    )


async def acknowledge(request: web.Request) -> web.Response:
    """A form that acknowledges the open incident."""
    try:
        state = find(request)
    except ProblemError as error:
        return error.response
    action = f"/api/v1/collectors/{quote(state.name, safe='')}/ack"
    return page(
        f"Acknowledge {state.name}",
        f"{_strip(state)}{_facts(state, request.app[PIPELINE].clock())}"
        f'<form method="post" action="{action}">'
        '<label for="duration">For how long</label><select id="duration" name="duration">'
        + "".join(
            f'<option value="{value}"{" selected" if value == "4h" else ""}>{text}</option>'
            for value, text in (("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"))
        )
        + '</select><label for="actor">Your name</label>'
        '<input id="actor" name="actor" maxlength="100" autocomplete="name">'
        '<label for="reason">What you are doing about it</label>'
        '<input id="reason" name="reason" maxlength="500">'
        "<p>Escalation waits until then. It starts anew when the next incident begins.</p>"
        "<button>Acknowledge</button></form>",
    )


async def feedback(request: web.Request) -> web.Response:
    """A form that says whether an alert was worth it."""
    query = request.query
    alertname, fingerprint = query.get("alertname", ""), query.get("fingerprint", "")
    verdict = query.get("verdict", "")
    if not alertname.isalnum() or not fingerprint.isalnum() or verdict not in ("relevant", "noise"):
        return page(
            "Feedback", "<p>The link is not complete: alertname, fingerprint and verdict "
            "(relevant or noise) are needed.</p>", 400,
        )  # fmt: skip
    question = "worth telling you" if verdict == "relevant" else "noise"
    return page(
        f"Was {alertname} {question}?",
        f'<form method="post" action="/api/v1/alerts/{quote(fingerprint, safe="")}/feedback">'
        f'<input type="hidden" name="alertname" value="{escape(alertname)}">'
        f'<input type="hidden" name="verdict" value="{verdict}">'
        f'<input type="hidden" name="collector" value="{escape(query.get("collector", "")[:150])}">'
        '<label for="comment">Comment (optional)</label>'
        '<textarea id="comment" name="comment" rows="3" maxlength="500"></textarea>'
        f"<button>Yes, it was {verdict}</button></form>",
    )


def _strip(state: CollectorState) -> str:
    """The newest runs as a strip of colours, with words for who cannot see them."""
    kinds = {BAD: "bad", PARTIAL: "partial"}
    runs = state.outcomes[-RUNS_SHOWN:]
    cells = "".join(f'<span class="{kinds.get(code, "good")}"></span>' for code in runs)
    bad = runs.count(BAD)
    label = f"{bad} of the last {len(runs)} runs failed" if runs else "no run yet"
    return f'<div class="strip" role="img" aria-label="{label}">{cells}</div><p>{label}.</p>'


def _facts(state: CollectorState, now: float) -> str:
    """What is known, as a list of terms."""
    rows: list[tuple[str, str]] = []
    if state.failing_since:
        reason = "/".join(filter(None, (state.failure_reason, state.failure_stage))) or "missed"
        rows.append(("Failing since", f"{_moment(state.failing_since, now)}: {reason}"))
        if state.failure_message:
            rows.append(("Last error", state.failure_message))
    rows.append(("Last run", _moment(state.last_run, now)))
    rows.append(("Last good run", _moment(state.last_success, now)))
    rows.append(("Version", state.version or "not reported"))
    for name, control in state.controls.items():
        until = "until ended" if control.until is None else f"until {rfc3339(control.until)}"
        by = f" by {control.actor}" if control.actor else ""
        rows.append((name.capitalize(), f"{until}{by} {control.reason}".strip()))
    ended = sum(state.incidents.values())
    if ended:
        mean = state.incident_seconds / ended
        rows.append(("Incidents ended", f"{ended}, after {mean:.0f} s on average"))
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in rows)
    return f"<dl>{items}</dl>"


def _moment(moment: float, now: float) -> str:
    if not moment:
        return "never"
    return f"{rfc3339(moment)} ({_ago(now - moment)} ago)"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
