"""Badges for wikis and READMEs: the state of one collector as SVG or for shields.io."""

from html import escape

from aiohttp import web

from collection_health.api import shapes
from collection_health.api.controls import find
from collection_health.api.table import NAME, Route, add
from collection_health.api.view import View, reply

COLORS: dict[shapes.StateName, str] = {
    "healthy": "2e7d32", "degraded": "8f5600", "failing": "c62828", "unknown": "616161",
}  # fmt: skip
_CHARACTER = 6.6  # pixels of 11 px Verdana, on average


def setup(app: web.Application) -> None:
    """Add the routes."""
    missing = {404: "No such collector."}
    add(app, [
        Route("GET", f"/badges/{NAME}.svg", picture, "A badge as SVG.", media="image/svg+xml",
              others=missing),
        Route("GET", f"/badges/{NAME}.json", endpoint, "A badge for shields.io's endpoint.",
              shapes.Badge, others=missing),
    ])  # fmt: skip


async def endpoint(request: web.Request) -> web.Response:
    """The badge as data."""
    return reply(request, await _badge(request))


async def picture(request: web.Request) -> web.Response:
    """The badge as a picture."""
    badge = await _badge(request)
    response = web.Response(text=svg(badge), content_type="image/svg+xml")
    response.headers["Cache-Control"] = "no-cache"
    return response


async def _badge(request: web.Request) -> shapes.Badge:
    state = find(request)
    view = await View.of(request)
    word, _ = view.state_of(state, view.pipeline.config(state.name))
    quiet = "paused" if "paused" in state.controls else None
    if "maintenance" in state.controls:
        quiet = "maintenance"
    color = COLORS["unknown"] if quiet else COLORS[word]
    return shapes.Badge(label=state.name, message=quiet or word, color=color)


def svg(badge: shapes.Badge) -> str:
    """A flat badge: label on grey, message on colour."""
    label, message = escape(badge.label), escape(badge.message)
    left = round(len(badge.label) * _CHARACTER + 12)
    right = round(len(badge.message) * _CHARACTER + 12)
    width = left + right
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="{label}: {message}"><title>{label}: {message}</title>'
        f'<rect width="{width}" height="20" rx="3" fill="#444"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" '
        f'fill="#{badge.color}"/><g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" '
        f'font-size="11" text-anchor="middle"><text x="{left / 2:g}" y="14">{label}</text>'
        f'<text x="{left + right / 2:g}" y="14">{message}</text></g></svg>'
    )
