"""The API beside ingest: controls, feedback and the pages that links in messages lead to."""

from aiohttp import web

from collection_health.api import controls, feedback, pages


def setup(app: web.Application) -> None:
    """Add all routes."""
    controls.setup(app)
    feedback.setup(app)
    pages.setup(app)
