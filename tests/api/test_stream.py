"""Server-sent events: what is recorded arrives; a slow or surplus client costs nothing."""

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from collection_health import server
from collection_health.api import stream
from collection_health.api.conclusions import ORACLE, Verdicts
from collection_health.events import Control, Outcome
from collection_health.pipeline import Pipeline


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, web.Application]]:
    """The real application on a real socket."""
    parser = argparse.ArgumentParser()
    server.configure(parser)
    args = parser.parse_args(["--web.listen-address", "127.0.0.1:0"])
    pipeline = Pipeline(folder / "data")
    await pipeline.start()
    try:
        app = server.build_app(pipeline, server.Reloader(pipeline, None), args)
        async with server._listening(app, args) as address:
            yield f"http://{address}/api/v1/stream", app
    finally:
        await pipeline.stop()


async def events(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, Any]]:
    """The next events: kind and data."""
    found: list[tuple[str, Any]] = []
    kind = ""
    async with asyncio.timeout(60):
        async for raw in answer.content:
            line = raw.decode().strip()
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((kind, json.loads(line.removeprefix("data: "))))
                if len(found) == count:
                    break
    return found


async def test_what_is_recorded_arrives(tmp_path: Path) -> None:
    """Outcomes and controls reach every listener, filtered as asked, in the recorded order."""
    async with serving(tmp_path) as (url, app), aiohttp.ClientSession() as session:
        async with session.get(url) as everything, session.get(f"{url}?collector=b") as one:
            pipeline = app[server.PIPELINE]
            await pipeline.submit([Outcome("a", "success"), Outcome("b", "failure")])
            await pipeline.submit([Control("b", "paused", True, pipeline.clock())], "control")
            found = await events(everything, 3)
            assert [(kind, data["collector"]) for kind, data in found] == [
                ("outcome", "a"), ("outcome", "b"), ("control", "b"),
            ]  # fmt: skip
            assert [data["collector"] for _, data in await events(one, 2)] == ["b", "b"]
        async with asyncio.timeout(60):
            while app[stream.HUB].clients:
                pipeline = app[server.PIPELINE]
                await pipeline.submit([Outcome("b", "success")])
                await asyncio.sleep(0.05)


async def test_a_client_that_lags_behind_is_let_go() -> None:
    """Beyond its share of memory a listener is disconnected; nobody waits for it."""
    client = stream.Client(stream.StreamQuery())
    for _ in range(stream.MAX_WAITING + 1):
        client.offer("outcome", "a", b"x")
    assert client.waiting.qsize() == 1
    assert client.waiting.get_nowait() is None


async def test_streams_are_bounded_and_shed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One listener too many, or pressure, is answered 503 with Retry-After."""
    monkeypatch.setattr(stream, "MAX_CLIENTS", 1)
    async with serving(tmp_path) as (url, app), aiohttp.ClientSession() as session:
        async with session.get(url) as first:
            assert first.status == 200
            async with session.get(url) as second:
                assert second.status == 503
                assert second.headers["Retry-After"]
        app[stream.HUB].close()
        app[server.PIPELINE].shedding = True
        async with session.get(url) as shed:
            assert shed.status == 503


async def test_the_exporter_stops_while_somebody_listens(tmp_path: Path) -> None:
    """Open streams end with the server instead of holding it up."""
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(60), serving(tmp_path) as (url, _):
            answer = await session.get(url)
        assert (await answer.content.read()).startswith(b"retry: ")


async def test_alerts_begin_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fires or stops firing between two looks at the rules is told, once each."""
    monkeypatch.setattr(stream, "ALERT_SECONDS", 0.05)
    alert = ("CollectorFailing", "critical", "orders")
    looks = [set(), {alert}, {alert}, set()]

    async def verdicts() -> Verdicts:
        alerts = looks.pop(0) if len(looks) > 1 else looks[0]
        return Verdicts(1.0, evaluated_at=1.0, alerts=alerts)

    async with serving(tmp_path) as (url, app), aiohttp.ClientSession() as session:
        monkeypatch.setattr(app[ORACLE], "verdicts", verdicts)
        async with session.get(f"{url}?kind=alert") as answer:
            found = [data for _, data in await events(answer, 2)]
        app[stream.HUB].close()
    assert [data["status"] for data in found] == ["firing", "resolved"]
    assert {data["collector"] for data in found} == {"orders"}
