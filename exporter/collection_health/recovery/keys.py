"""Where handlers find the engine."""

from aiohttp import web

from collection_health.recovery.engine import Engine

ENGINE = web.AppKey("recovery", Engine)
