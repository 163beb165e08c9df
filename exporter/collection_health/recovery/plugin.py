"""Recovery as a plug-in of the server."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from collection_health import prometheus
from collection_health.inventory_schema import parse_duration
from collection_health.recovery import api, webhook
from collection_health.recovery.engine import Engine
from collection_health.recovery.guard import Guard
from collection_health.recovery.keys import ENGINE
from collection_health.server import ARGS, PIPELINE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this plug-in to the parser of `serve`."""
    add = parser.add_argument
    add("--recovery.concurrency", dest="recovery_concurrency", type=_count, default=4,
        metavar="N", help="recovery steps that may run at once (default %(default)s)")  # fmt: skip
    add("--recovery.max-unhealthy-ratio", dest="recovery_max_unhealthy", type=_ratio,
        default=0.3, metavar="RATIO",
        help="share of the fleet failing above which nothing automatic runs "
        "(default %(default)s)")  # fmt: skip
    add("--recovery.approval-expires", dest="recovery_approval", type=parse_duration,
        default="1h", metavar="DURATION",
        help="how long a proposed recovery waits for approval (default %(default)s)")  # fmt: skip


def setup(app: web.Application) -> None:
    """Run recoveries while the application runs; `app[ENGINE]` takes requests."""
    args = app[ARGS]
    engine = Engine(
        app[PIPELINE],
        Guard(prometheus.client(app), args.recovery_max_unhealthy),
        concurrency=args.recovery_concurrency,
        approval_seconds=float(args.recovery_approval),
    )
    app[ENGINE] = engine
    webhook.setup(app)
    api.setup(app)

    async def background(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(engine.run(), name="recovery")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app.cleanup_ctx.append(background)


def _ratio(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a ratio from 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}; allowed: 1 and more")
    return value
