"""The probes as a plug-in of the server."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from collection_health.pressure import sheds
from collection_health.probes.runner import ProbeRunner
from collection_health.server import ARGS, PIPELINE

PROBES = web.AppKey("probes", ProbeRunner)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this plug-in to the parser of `serve`."""
    parser.add_argument(
        "--probes.concurrency",
        dest="probes_concurrency",
        type=int,
        default=10,
        metavar="N",
        help="probes that may run at once (default %(default)s)",
    )
    parser.add_argument(
        "--probes.max-cpu-share",
        dest="probes_max_cpu_share",
        type=float,
        default=0.1,
        metavar="RATIO",
        help="share of one core that probes may use (default %(default)s)",
    )


def setup(app: web.Application) -> None:
    """Run probes while the application runs; `app[PROBES]` runs them on demand."""
    args = app[ARGS]
    runner = ProbeRunner(
        app[PIPELINE],
        args.probes_concurrency,
        args.probes_max_cpu_share,
        lambda work, amount: sheds(app, work, amount),
    )
    app[PROBES] = runner

    async def background(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(runner.run(), name="probes")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app.cleanup_ctx.append(background)
