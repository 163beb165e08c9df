"""The API, the status page and the pages that links in messages lead to."""

from aiohttp import web

from collection_health.api import (
    badges,
    conclusions,
    controls,
    feedback,
    fleet,
    openapi,
    pages,
    records,
    status,
    stream,
)


def setup(app: web.Application) -> None:
    """Add all routes; those that take any name come last, because names may hold slashes."""
    conclusions.setup(app)
    for part in (controls, feedback, records, fleet, badges, stream, openapi, status, pages):
        part.setup(app)
    fleet.setup_last(app)
