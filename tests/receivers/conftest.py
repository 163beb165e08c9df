"""An exporter on a real socket, inside the test's own process, for every receiver test."""

import argparse
import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from collection_health import inventory, server
from collection_health.events import Outcome
from collection_health.pipeline import Pipeline
from collection_health.state import CollectorState
from collection_health.webconfig import SECURITY, Security


def arguments(**changes: Any) -> argparse.Namespace:
    """The arguments of `serve` with their defaults, some of them changed."""
    parser = argparse.ArgumentParser()
    server.configure(parser)
    args = parser.parse_args([])
    for name, value in changes.items():
        setattr(args, name, value)
    return args


@asynccontextmanager
async def serving(
    pipeline: Pipeline, security: Security | None = None, **changes: Any
) -> AsyncIterator[web.Application]:
    """The real application around a started pipeline."""
    await pipeline.start()
    try:
        args = arguments(**changes)
        app = server.build_app(pipeline, server.Reloader(pipeline, None), args)
        if security is not None or SECURITY not in app:
            (security or Security()).setup(app)
        yield app
    finally:
        await pipeline.stop()


class Exporter:
    """A running exporter as its clients see it, and its pipeline as the test sees it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stop: asyncio.Event | None = None
        self._server: Future[None] | None = None
        self.recorded: list[Outcome] = []
        self.url = ""

    def start(
        self, config: str = "", security: Security | None = None, **changes: Any
    ) -> "Exporter":
        """Serve an inventory (YAML text) until the test ends."""
        self.pipeline = Pipeline(
            self._directory / "data",
            inventory.parse(config),
            max_collectors=changes.pop("max_collectors", 1000),
        )
        started: Future[str] = Future()
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            self._serve(started, security, changes), self._loop
        )
        self.url = started.result(60)
        return self

    async def _serve(
        self, started: Future[str], security: Security | None, changes: dict[str, Any]
    ) -> None:
        self._stop = asyncio.Event()
        try:
            async with serving(self.pipeline, security, **changes) as app:
                runner = web.AppRunner(app, access_log=None)
                await runner.setup()
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                self.pipeline.subscribe(self._note)
                host, port = runner.addresses[0][:2]
                started.set_result(f"http://{host}:{port}")
                await self._stop.wait()
                await runner.cleanup()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    def _note(self, event: object) -> None:
        if isinstance(event, Outcome):
            self.recorded.append(event)

    def close(self) -> None:
        """Stop serving and end the thread."""
        if self._server is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._server.result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(60)
        self._loop.close()

    def state(self, collector: str) -> CollectorState:
        """What the exporter knows of a collector. Raises KeyError for one it never heard of."""
        return self.pipeline.collectors[collector]

    def kinds(self, collector: str) -> list[str]:
        """The outcomes recorded for a collector, in order."""
        return [event.outcome for event in self.recorded if event.collector == collector]

    def counted(self, protocol: str, result: str) -> float:
        """``collection_health_events_total`` of a protocol and result."""
        for family in text_string_to_metric_families(
            generate_latest(self.pipeline.registry).decode()
        ):
            for sample in family.samples:
                if sample.name == "collection_health_events_total" and sample.labels == {
                    "protocol": protocol,
                    "result": result,
                }:
                    return float(sample.value)
        return 0.0


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    """An exporter that a test starts with the inventory it needs."""
    running = Exporter(tmp_path)
    try:
        yield running
    finally:
        running.close()
