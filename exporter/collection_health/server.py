"""``collection-health serve``: the HTTP side of the pipeline.

Receivers and everything else beside the core are plug-ins (`PLUGINS`): a module with
``setup(app)``. Each can be switched off with ``--disable``.
"""

import argparse
import asyncio
import contextlib
import importlib
import logging
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from html import escape
from pathlib import Path

from aiohttp import web
from prometheus_client import Gauge, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from collection_health import __version__, listen, manual, webconfig
from collection_health.incoming import MAX_BODY, problem
from collection_health.inventory import Inventory, InventoryError, load
from collection_health.inventory_schema import parse_duration
from collection_health.ledger import LedgerError
from collection_health.pipeline import Pipeline

log = logging.getLogger(__name__)

PIPELINE = web.AppKey("pipeline", Pipeline)
RELOADER: web.AppKey["Reloader"] = web.AppKey("reloader")
ARGS = web.AppKey("args", argparse.Namespace)

LINGER_SECONDS = 2.0  # for reading on after an answer that did not want the whole body
IDLE_SECONDS = 75.0  # for the headers of the next request to arrive
# name -> module; the order is the order of set-up
PLUGINS = {
    "json": "collection_health.receivers.json",
    "cloudevents": "collection_health.receivers.cloudevents",
    "ping": "collection_health.receivers.ping",
    "openlineage": "collection_health.receivers.openlineage",
    "pushgateway": "collection_health.receivers.pushgateway",
    "pressure": "collection_health.pressure",
    "prometheus": "collection_health.prometheus",
    "probes": "collection_health.probes.plugin",
    "recovery": "collection_health.recovery.plugin",
    "api": "collection_health.api",
}


class Reloader:
    """Reads the inventory again on request; a bad file keeps the old one and says why."""

    def __init__(self, pipeline: Pipeline, path: Path | None) -> None:
        self._pipeline, self._path = pipeline, path
        self._successful = Gauge(
            "collection_health_config_last_reload_successful",
            "1 when the last read of the inventory succeeded.", registry=pipeline.registry,
        )  # fmt: skip
        self._moment = Gauge(
            "collection_health_config_last_reload_success_timestamp_seconds",
            "When the inventory was last read successfully.", registry=pipeline.registry,
        )  # fmt: skip
        self._succeeded()

    def _succeeded(self) -> None:
        self._successful.set(1)
        self._moment.set(self._pipeline.clock())

    async def reload(self) -> str | None:
        """Read and use the inventory; returns what is wrong with it, or None."""
        try:
            inventory = load(self._path) if self._path else Inventory()
        except InventoryError as error:
            self._successful.set(0)
            log.error("the inventory is not used, the old one stays: %s", error)
            return str(error)
        await self._pipeline.reload(inventory)
        self._succeeded()
        log.info("inventory: %d collectors", len(inventory.registered))
        return None


def build_app(pipeline: Pipeline, reloader: Reloader, args: argparse.Namespace) -> web.Application:
    """The application: core routes, then the plug-ins that are not disabled.

    Raises `ConfigError` for web configuration and token files that cannot be used.
    """
    app = web.Application(client_max_size=MAX_BODY)
    app[PIPELINE], app[RELOADER], app[ARGS] = pipeline, reloader, args
    webconfig.from_arguments(args, [args.listen.host], pipeline.registry).setup(app)
    if "api" in args.disable:  # whose status page is there otherwise
        app.router.add_get("/", landing_page)
    app.router.add_get("/metrics", expose)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    app.router.add_post("/-/reload", reload)
    for name, module in PLUGINS.items():
        if name not in args.disable:
            importlib.import_module(module).setup(app)
    return app


async def healthy(_: web.Request) -> web.Response:
    """200 while the process serves."""
    return web.Response(text="OK\n")


async def ready(request: web.Request) -> web.Response:
    """200 while outcomes can be recorded, else 503."""
    pipeline = request.app[PIPELINE]
    if pipeline.ready and pipeline.ledger.writable:
        return web.Response(text="Ready\n")
    reason = "the ledger cannot be written" if pipeline.ready else "starting or stopping"
    return web.Response(status=503, text=f"Not ready: {reason}\n")


@webconfig.require("control")
async def reload(request: web.Request) -> web.Response:
    """Read the inventory again; 400 with the reason when it is not usable."""
    error = await request.app[RELOADER].reload()
    if error is not None:
        return problem(400, "inventory refused", error)
    return web.Response(text="Reloaded\n")


async def expose(request: web.Request) -> web.Response:
    """``/metrics`` in the format the scraper asks for."""
    pipeline = request.app[PIPELINE]
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    open_metrics = "openmetrics" in content_type
    pipeline.refresh()
    own = encode(pipeline.registry)
    if open_metrics:
        own = own.removesuffix(b"# EOF\n")
    body = own + pipeline.exposition.render(open_metrics) + (b"# EOF\n" if open_metrics else b"")
    headers = {"Content-Type": content_type}
    if len(body) > 65536 and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = await asyncio.to_thread(_gzip, body)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()


async def landing_page(request: web.Request) -> web.Response:
    """Where everything is."""
    links = "".join(
        f'<li><a href="{escape(path)}">{escape(path)}</a> {escape(text)}</li>'
        for path, text in (
            ("/metrics", "metrics for Prometheus"),
            ("/-/healthy", "is the process up"),
            ("/-/ready", "can outcomes be recorded"),
        )
    )
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Collection Health</title>"
        f"<h1>Collection Health</h1><p>Version {escape(__version__)}, "
        f"{len(request.app[PIPELINE].collectors)} collectors.</p><ul>{links}</ul></html>"
    )
    return web.Response(text=page, content_type="text/html")


# --- the command ------------------------------------------------------------------------------


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``serve``."""
    manual.describe(
        parser,
        """
        Receive what collectors report, record it durably and expose it to Prometheus.

        SIGHUP reads the inventory again, and a bad file keeps the old one. SIGTERM and SIGINT
        commit what waits and end. Durations are written 90s, 5m, 2h or 1d.
        """,
        examples={
            "collection-health serve --web.listen-address 127.0.0.1:9036": "try it out",
            "collection-health serve --config.file collectors.yml "
            "--storage.path /var/lib/collection-health": "with an inventory",
            "collection-health serve --config.file collectors.yml --config.check":
                "is the inventory all right?",
            "collection-health serve --web.config.file web.yml --web.token-file tokens.yml":
                "with TLS, users and tokens",
        },
        exit_codes={
            "0": "ended by SIGTERM or SIGINT",
            "1": "configuration, ledger or address cannot be used; the reason is on stderr",
            "2": "wrong usage",
        },
        environment={"-": "none is read; secrets come from files"},
    )  # fmt: skip
    add = parser.add_argument
    add("--web.listen-address", dest="listen", type=listen.parse, default=":9036",
        metavar="HOST:PORT",
        help="where to listen (default %(default)s)")  # fmt: skip
    add("--config.file", dest="config_file", type=Path, metavar="FILE",
        help="the inventory, collectors.yml")  # fmt: skip
    add("--config.check", dest="config_check", action="store_true",
        help="check the inventory and exit")  # fmt: skip
    add("--storage.path", dest="storage", type=Path, default=Path("data"), metavar="DIR",
        help="folder of the ledger (default %(default)s)")  # fmt: skip
    add("--storage.retention", dest="retention", type=parse_duration, metavar="DURATION",
        default="400d", help="how long outcomes are kept (default %(default)s)")  # fmt: skip
    add("--storage.max-bytes", dest="max_bytes", type=int, default=0, metavar="BYTES",
        help="prune the oldest outcomes beyond this size (default: no limit)")  # fmt: skip
    add("--collectors.max", dest="max_collectors", type=int, default=10_000, metavar="N",
        help="cap on auto-discovered collectors (default %(default)s)")  # fmt: skip
    add("--collectors.forget-after", dest="forget_after", type=parse_duration, default="30d",
        metavar="DURATION", help="drop collectors that the inventory lacks once they were "
        "silent for so long (default %(default)s)")  # fmt: skip
    add("--timers.settle", dest="settle", type=parse_duration, default="60s", metavar="DURATION",
        help="after a start, wait this long for late reports before judging missed runs "
        "(default %(default)s)")  # fmt: skip
    add("--openlineage.count-tasks", dest="openlineage_count_tasks", action="store_true",
        help="count every OpenLineage run by itself, tasks of a pipeline included")  # fmt: skip
    add("--disable", action="append", default=[], choices=sorted(PLUGINS), metavar="PLUGIN",
        help=f"switch a part off: {', '.join(sorted(PLUGINS))}")  # fmt: skip
    webconfig.add_arguments(parser)
    for module in PLUGINS.values():
        add_arguments = getattr(importlib.import_module(module), "add_arguments", None)
        if add_arguments is not None:
            add_arguments(parser)
    add("--log.level", dest="log_level", default="info",
        choices=("debug", "info", "warning", "error"),
        help="least severity of what is logged to stderr (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 1 for a configuration or storage error."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a third more series that no rule reads
    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        inventory = load(args.config_file) if args.config_file else Inventory()
    except InventoryError as error:
        print(f"collection-health: {error}", file=sys.stderr)
        return 1
    if args.config_check:
        problems = webconfig.check(args.web_config_file, args.web_token_file)
        if problems:
            print("\n".join(f"collection-health: {text}" for text in problems), file=sys.stderr)
            return 1
        print(f"{args.config_file}: {len(inventory.registered)} collectors, no problem found")
        return 0
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(serve(args, inventory))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(args: argparse.Namespace, inventory: Inventory) -> int:
    """Start the pipeline and the server, wait for a signal, stop in order."""
    pipeline = Pipeline(
        args.storage,
        inventory,
        retention=float(args.retention),
        max_bytes=args.max_bytes,
        max_collectors=args.max_collectors,
        forget_after=float(args.forget_after),
        settle=float(args.settle),
    )
    Gauge(
        "collection_health_build_info", "Version of the exporter.", ["version"],
        registry=pipeline.registry,
    ).labels(__version__).set(1)  # fmt: skip
    reloader = Reloader(pipeline, args.config_file)
    try:
        await pipeline.start()
    except LedgerError as error:
        print(f"collection-health: {error}", file=sys.stderr)
        return 1
    try:
        async with _listening(build_app(pipeline, reloader, args), args) as address:
            log.info("listening on %s", address)
            await _until_signalled(reloader)
    except webconfig.ConfigError as error:
        print(f"collection-health: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"collection-health: cannot listen on {args.listen}: {error}", file=sys.stderr)
        return 1
    finally:
        await pipeline.stop()
    return 0


@contextlib.asynccontextmanager
async def _listening(app: web.Application, args: argparse.Namespace) -> AsyncIterator[str]:
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=False,
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=LINGER_SECONDS,
    )
    await runner.setup()
    context = app[webconfig.SECURITY].ssl_context
    try:
        for sock in listen.open_sockets(args.listen):
            await web.SockSite(runner, sock, ssl_context=context).start()
        yield ", ".join(f"{address[0]}:{address[1]}" for address in runner.addresses)
    finally:
        await runner.cleanup()


async def _until_signalled(reloader: Reloader) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks: set[asyncio.Task[str | None]] = set()

    def hang_up() -> None:
        task = loop.create_task(reloader.reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    await stop.wait()
