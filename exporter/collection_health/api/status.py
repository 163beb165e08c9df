"""The status page at ``/``: the fleet at a glance, the worst first, controls at hand."""

from html import escape
from typing import Annotated
from urllib.parse import urlencode

from aiohttp import web
from msgspec import Meta, Struct

from collection_health import pressure, webconfig
from collection_health.api import parts, shapes
from collection_health.api.bodies import ProblemError
from collection_health.api.page import page
from collection_health.api.table import query_of
from collection_health.api.view import Selection, View
from collection_health.state import CollectorState
from collection_health.times import span

PAGE_SIZE = 50
_ORDER: tuple[shapes.StateName, ...] = ("failing", "degraded", "unknown", "healthy")


class StatusQuery(Struct, kw_only=True):
    """Which collectors, by a part of their name too, and which page; "" is any."""

    q: Annotated[str, Meta(max_length=150)] = ""
    team: str = ""
    dependency: str = ""
    state: str = ""
    page: Annotated[int, Meta(ge=1, le=100_000)] = 1


def setup(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get("/", webconfig.require("read")(pressure.optional("pages")(status)))


async def status(request: web.Request) -> web.StreamResponse:
    """The page."""
    try:
        query = query_of(request, StatusQuery)
    except ProblemError as error:
        return page("Wrong link", f"<p>{escape(error.detail)}</p>", 400)
    view = await View.of(request)
    chosen = Selection(team=query.team or None, dependency=query.dependency or None)
    everybody = await view.chosen(chosen)
    words = await view.words(everybody)
    shown = [
        state for state in everybody
        if query.state in ("", words[state.name])
        and query.q.lower() in state.name.lower()
    ]  # fmt: skip
    shown.sort(key=lambda state: _rank(view, state, words[state.name]))
    first = (query.page - 1) * PAGE_SIZE
    body = (
        f'<div id="top" data-live>{_banner(view)}{_tiles(words, query)}{_basis(view)}</div>'
        f"{_filter(view, query)}"
        f'<div id="list" data-live>{_cards(view, shown[first : first + PAGE_SIZE])}'
        f"{_pager(query, len(shown))}</div>"
    )
    return page("Status", f"<h1>Collectors</h1>{body}", stream="/api/v1/stream")


def _rank(
    view: View, state: CollectorState, word: shapes.StateName
) -> tuple[int, float, float, str]:
    """The worst first: by state, by the rules' impact score, by weight, by name."""
    found = view.conclusions(state.name)
    score = (found.impact_score if found is not None else None) or 0.0
    return _ORDER.index(word), -score, -view.pipeline.config(state.name).impact.weight, state.name


def _banner(view: View) -> str:
    return "".join(
        f'<p class="banner" role="alert">Break-glass: {escape(mode)} all recovery, by '
        f"{escape(active.actor or 'somebody')}: {escape(active.reason)}</p>"
        for mode, active in view.pipeline.fleet.break_glass.items()
        if active.until is None or active.until > view.now
    )


def _tiles(words: dict[str, shapes.StateName], query: StatusQuery) -> str:
    counts = list(words.values())
    tiles = ""
    for word in _ORDER:
        chosen = query.state == word
        current = ' aria-current="true"' if chosen else ""
        href = _href(query, state="" if chosen else word, page=1)
        tiles += (
            f'<li><a href="{href}"{current}><b>{counts.count(word)}</b>{parts.chip(word)}</a></li>'
        )
    return f'<ul class="tiles" aria-label="Collectors by state">{tiles}</ul>'


def _basis(view: View) -> str:
    """On what the states stand."""
    verdicts = view.verdicts
    if verdicts.evaluated_at is None:
        text = f"States from facts alone: {verdicts.problem}."
    else:
        age = span(max(0.0, view.now - verdicts.evaluated_at))
        text = f"States by the rules in Prometheus, {age} old."
        if verdicts.score is not None:
            text += f" Fleet health {verdicts.score:.0%}."
    return f'<p class="soft">{escape(text)}</p>'


def _filter(view: View, query: StatusQuery) -> str:
    configs = [view.pipeline.config(name) for name in view.pipeline.collectors]
    teams = sorted({config.team for config in configs if config.team})
    dependencies = sorted({name for config in configs for name in config.depends_on})
    return (
        '<form class="row" method="get" action="/" role="search" aria-label="Collectors shown">'
        '<div><label for="q">Name contains</label>'
        f'<input id="q" name="q" type="search" maxlength="150" value="{escape(query.q)}"></div>'
        f"{_select('team', 'Team', teams, query.team)}"
        f"{_select('dependency', 'Depends on', dependencies, query.dependency)}"
        f"{_select('state', 'State', list(_ORDER), query.state)}<button>Show</button></form>"
    )


def _select(name: str, label: str, values: list[str], chosen: str) -> str:
    if not values:
        return ""
    options = "".join(
        f"<option{' selected' if value == chosen else ''}>{escape(value)}</option>"
        for value in values
    )
    return (
        f'<div><label for="f-{name}">{label}</label><select id="f-{name}" name="{name}">'
        f'<option value="">any</option>{options}</select></div>'
    )


def _cards(view: View, states: list[CollectorState]) -> str:
    if not states and not view.pipeline.collectors:
        return (
            "<p>No collector has reported yet. Try: <code>curl -d "
            '\'{"collector":"first","outcome":"success"}\' '
            "http://…/api/v1/outcomes</code></p>"
        )
    if not states:
        return "<p>No collector matches.</p>"
    return "".join(_card(view, state) for state in states)


def _card(view: View, state: CollectorState) -> str:
    item = view.collector(state)
    name = escape(item.name)
    team = f'<span class="soft">{escape(item.team)}</span>' if item.team else ""
    recovers = view.pipeline.config(state.name).recovery is not None
    return (
        f'<article class="card {item.state}" id="c-{name}" data-live><h2>'
        f'<a href="{parts.link(item.name)}">{name}</a>{parts.headline(item, view.now)}{team}</h2>'
        f"{parts.strip(item.facts.runs[-40:])}{parts.summary(item)}"
        f'<p class="soft">{escape(parts.facts_line(item, view.now))}</p>'
        f'<details><summary>Controls<span class="soft"> of {name}</span></summary>'
        f"{parts.forms(item, recovers)}</details></article>"
    )


def _pager(query: StatusQuery, total: int) -> str:
    pages = max(1, -(-total // PAGE_SIZE))
    if pages == 1:
        return ""
    links = []
    if query.page > 1:
        links.append(f'<a rel="prev" href="{_href(query, page=query.page - 1)}">Previous</a>')
    if query.page < pages:
        links.append(f'<a rel="next" href="{_href(query, page=query.page + 1)}">Next</a>')
    return (
        f'<nav aria-label="Pages"><p>Page {query.page} of {pages} · {" · ".join(links)}</p></nav>'
    )


def _href(query: StatusQuery, **changes: object) -> str:
    given = {"q": query.q, "team": query.team, "dependency": query.dependency,
             "state": query.state, "page": query.page, **changes}  # fmt: skip
    kept = {name: value for name, value in given.items() if value and (name, value) != ("page", 1)}
    return escape(f"/?{urlencode(kept)}" if kept else "/")
