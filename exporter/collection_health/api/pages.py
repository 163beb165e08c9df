"""Pages that links in notifications lead to: a collector, its acknowledgement, feedback.

A GET never changes anything: it shows what is known and a form that asks for confirmation.
"""

import sqlite3
from html import escape
from urllib.parse import quote

from aiohttp import web

from collection_health import pressure, webconfig
from collection_health.api import history, parts, records, shapes
from collection_health.api.bodies import ProblemError
from collection_health.api.controls import find
from collection_health.api.page import page
from collection_health.api.view import View
from collection_health.server import PIPELINE
from collection_health.state import CollectorState
from collection_health.times import span

RUNS_LISTED, INCIDENTS_LISTED = 20, 10


def setup(app: web.Application) -> None:
    """Add the routes; the more specific ones first, because names may contain slashes."""
    guard = webconfig.require("read")
    app.router.add_get("/collectors/{name:.+}/ack", guard(acknowledge))
    app.router.add_get("/collectors/{name:.+}", guard(pressure.optional("pages")(collector)))
    app.router.add_get("/feedback", guard(feedback))


async def collector(request: web.Request) -> web.StreamResponse:
    """Everything known of one collector."""
    try:
        state = find(request)
        view = await View.of(request)
        runs, incidents = await _recorded(request, state)
    except ProblemError as error:
        return page("No page", f"<p>{escape(error.detail)}</p>", error.response.status)
    item = view.collector(state)
    recovers = view.pipeline.config(state.name).recovery is not None
    body = (
        f'<div id="now" data-live><div class="card {item.state}">'
        f"<p>{parts.headline(item, view.now)} {_basis(view, item)}</p>"
        f"{parts.strip(item.facts.runs)}{parts.summary(item)}"
        f"</div>{_facts(view, item, state)}</div>"
        f'<h2 id="h-controls">Controls</h2><div id="controls" data-live>'
        f"{parts.forms(item, recovers)}</div>"
        f'<div id="record" data-live>{_incidents(incidents)}{_runs(runs)}</div>'
        f"{_elsewhere(state.name)}"
    )
    heading = f"<h1>{escape(state.name)}</h1>"
    stream = f"/api/v1/stream?collector={quote(state.name, safe='')}"
    return page(state.name, heading + body, stream=stream)


async def _recorded(
    request: web.Request, state: CollectorState
) -> tuple[list[shapes.Run], list[shapes.Incident]]:
    """The newest runs and incidents; both empty while the ledger cannot be read."""
    known = tuple(state.positions)
    pipeline = request.app[PIPELINE]
    config, now = pipeline.config(state.name), pipeline.clock()

    def job(
        connection: sqlite3.Connection,
    ) -> tuple[list[shapes.Run], list[shapes.Incident]]:
        found = history.runs(connection, state.name, known, None, RUNS_LISTED)
        derived = records.derive(connection, state.name, known, config, now)
        runs = [records.run_of(item) for item in found.found]
        return runs, derived.incidents[:INCIDENTS_LISTED]

    return await records.read(request.app, job)


def _basis(view: View, item: shapes.Collector) -> str:
    if item.basis == "facts":
        return f'<span class="soft">from facts alone: {escape(view.verdicts.problem or "")}</span>'
    age = span(max(0.0, view.now - (view.verdicts.evaluated_at or view.now)))
    return f'<span class="soft">by the rules, {age} old</span>'


def _facts(view: View, item: shapes.Collector, state: CollectorState) -> str:
    """What is known, as a list of terms."""
    facts, config = item.facts, view.pipeline.config(item.name)
    rows = [
        ("Runs", parts.facts_line(item, view.now)),
        ("Team, owner", ", ".join(filter(None, (item.team, item.owner))) or "not declared"),
        ("Depends on", ", ".join(item.depends_on)),
        ("Used by", ", ".join(config.impact.consumers)),
        ("Interval", _interval(facts)),
        ("Last good run", _good(facts)),
        ("Version", facts.version or ""),
    ]
    ended = sum(state.incidents.values())
    if ended:
        mean = span(state.incident_seconds / ended)
        rows.append(("Incidents ended", f"{ended}, after {mean} on average"))
    if item.conclusions is not None:
        rows += [
            (f"Error budget, {sli}", f"{ratio:.0%} left")
            for sli, ratio in sorted(item.conclusions.error_budget.items())
        ]
        rows.append(("Alerts", ", ".join(item.conclusions.alerts)))
    items = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in rows if text
    )
    return f"<dl>{items}</dl>"


def _interval(facts: shapes.Facts) -> str:
    if facts.interval_seconds is None:
        return "not known yet"
    how = "declared" if facts.interval_confidence == 1 else "inferred from its runs"
    return f"{span(facts.interval_seconds)}, {how}"


def _good(facts: shapes.Facts) -> str:
    parts_ = []
    if facts.last_duration_seconds is not None:
        parts_.append(f"{facts.last_duration_seconds:.3g} s")
    if facts.last_records is not None:
        parts_.append(f"{facts.last_records:,} records")
    if facts.last_quality is not None:
        parts_.append(f"quality {facts.last_quality:.1%}")
    return ", ".join(parts_)


def _incidents(incidents: list[shapes.Incident]) -> str:
    if not incidents:
        return '<h2>Incidents</h2><p class="soft">None is recorded.</p>'
    rows = ""
    for item in incidents:
        reasons = ", ".join(f"{reason} {count}×" for reason, count in item.reasons.items())
        end = f"ended by {item.ended_by or 'a good run'}" if item.ended_at else "open"
        done = "".join(f"<br>{escape(line)}" for line in item.done)
        rows += (
            f"<tr><td>{_time(item.started_at)}</td><td>{span(item.duration_seconds)}, {end}</td>"
            f"<td>{escape(reasons)}{': ' if item.message else ''}{escape(item.message or '')}"
            f"{done}</td></tr>"
        )
    return _table("Incidents", ("Began", "Lasted", "Why, and what was done"), rows)


def _runs(runs: list[shapes.Run]) -> str:
    rows = ""
    for run in runs:
        what = escape("/".join(filter(None, (run.outcome, run.reason, run.stage))))
        took = "" if run.duration_seconds is None else f"{run.duration_seconds:.3g} s"
        count = "" if run.records is None else f"{run.records:,}"
        rows += (
            f"<tr><td>{_time(run.at)}</td><td>{what}</td><td>{took}</td><td>{count}</td>"
            f"<td>{escape(run.message or '')}</td></tr>"
        )
    if not rows:
        return ""
    return _table("Newest runs", ("Ended", "How", "Took", "Records", "Message"), rows)


def _time(moment: str) -> str:
    return f'<time datetime="{moment}">{moment[:10]} {moment[11:19]}</time>'


def _table(caption: str, heads: tuple[str, ...], rows: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<h2>{caption}</h2><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{caption}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _elsewhere(name: str) -> str:
    path = f"/api/v1/collectors/{quote(name, safe='')}"
    links = [
        ("as JSON", path), ("runs", f"{path}/runs"), ("incidents", f"{path}/incidents"),
        ("audit", f"/api/v1/audit?collector={quote(name, safe='')}"),
        ("badge", f"/badges/{quote(name, safe='')}.svg"),
    ]  # fmt: skip
    return "<p>" + " · ".join(f'<a href="{href}">{text}</a>' for text, href in links) + "</p>"


async def acknowledge(request: web.Request) -> web.StreamResponse:
    """A form that acknowledges the open incident."""
    try:
        state = find(request)
    except ProblemError as error:
        return page("No page", f"<p>{escape(error.detail)}</p>", error.response.status)
    view = await View.of(request)
    item = view.collector(state)
    options = "".join(
        f'<option value="{value}"{" selected" if value == "4h" else ""}>{text}</option>'
        for value, text in (("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"))
    )
    action = f"/api/v1/collectors/{quote(state.name, safe='')}/ack"
    title = f"Acknowledge {state.name}"
    return page(
        title,
        f"<h1>{escape(title)}</h1>"
        f'<div class="card {item.state}"><p>{parts.headline(item, view.now)}</p>'
        f"{parts.strip(item.facts.runs)}{parts.summary(item)}</div>"
        f'<form method="post" action="{action}">'
        f'<p><label for="duration">For how long</label><select id="duration" name="duration">'
        f'{options}</select></p><p><label for="actor">Your name</label>'
        '<input id="actor" name="actor" maxlength="100" autocomplete="name"></p>'
        '<p><label for="reason">What you are doing about it</label>'
        '<input id="reason" name="reason" maxlength="500"></p>'
        "<p>Escalation waits until then. It starts anew when the next incident begins.</p>"
        "<button>Acknowledge</button></form>",
    )


async def feedback(request: web.Request) -> web.StreamResponse:
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
    title = f"Was {alertname} {question}?"
    return page(
        title,
        f"<h1>{escape(title)}</h1>"
        f'<form method="post" action="/api/v1/alerts/{quote(fingerprint, safe="")}/feedback">'
        f'<input type="hidden" name="alertname" value="{escape(alertname)}">'
        f'<input type="hidden" name="verdict" value="{verdict}">'
        f'<input type="hidden" name="collector" value="{escape(query.get("collector", "")[:150])}">'
        '<p><label for="comment">Comment (optional)</label>'
        '<textarea id="comment" name="comment" rows="3" maxlength="500"></textarea></p>'
        f"<button>Yes, it was {verdict}</button></form>",
    )
