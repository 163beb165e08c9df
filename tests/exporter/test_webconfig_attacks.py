"""The whole exporter under attack: strangers, slow clients, bombs.

Nothing is lost, nothing leaks.
"""

import argparse
import asyncio
import contextlib
import gzip
import itertools
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from collection_health import incoming, listen, server
from collection_health.pipeline import Pipeline

TOKEN = "writer-token-0123456789"
GOOD = b'{"collector": "orders", "outcome": "success"}'
EXAMPLES = ("job/feed", "feed", "ack", "approve")  # groups, names, fingerprints; verbs
HEAD = b"POST /api/v1/outcomes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@contextlib.asynccontextmanager
async def exporter(folder: Path, *flags: str) -> AsyncIterator[tuple[str, web.Application]]:
    """Run the real application on real sockets; yields host:port and the application."""
    parser = argparse.ArgumentParser()
    server.configure(parser)
    args = parser.parse_args(["--web.listen-address", "127.0.0.1:0", *flags])
    pipeline = Pipeline(folder / "data")
    await pipeline.start()
    try:
        app = server.build_app(pipeline, server.Reloader(pipeline, None), args)
        async with server._listening(app, args) as address:
            yield address, app
    finally:
        await pipeline.stop()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A token file with one writer."""
    (tmp_path / "writer").write_text(TOKEN)
    path = tmp_path / "tokens.yml"
    path.write_text("tokens: [{name: cron, token_file: writer, scopes: [write]}]")
    return path


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    """A web configuration with one user, who never logs in here."""
    path = tmp_path / "web.yml"
    path.write_text(
        'basic_auth_users: {alice: "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"}'
    )
    return path


async def status(method: str, url: str, **kwargs: Any) -> int:
    """Return the status of one request."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **kwargs) as response,
    ):
        await response.read()
        return response.status


def routes(app: web.Application) -> set[tuple[str, str]]:
    """Return every method of the application with a path its router accepts."""
    found = set()
    for route in app.router.routes():
        if route.resource is not None:
            pattern = route.resource.get_info().get("pattern")
            pieces = re.split(r"\{\w+\}", route.resource.canonical)
            for values in itertools.product(EXAMPLES, repeat=len(pieces) - 1):
                path = "".join(itertools.chain(*zip(pieces, (*values, ""), strict=True)))
                if pattern is None or pattern.fullmatch(path):
                    found.add((route.method, path))
                    break
            else:
                raise AssertionError(f"add an example for {route.resource.canonical}")
    return found


async def test_no_route_changes_state_for_strangers(tmp_path: Path, token_file: Path) -> None:
    """With a token file every route that can change something refuses whoever has no token."""
    async with exporter(tmp_path, "--web.token-file", str(token_file)) as (host, app):
        changing = [
            (method, path)
            for method, path in sorted(routes(app))
            if method not in ("GET", "HEAD") or path.startswith("/ping")
        ]
        assert len(changing) >= 5
        for method, path in changing:
            code = await status(method, f"http://{host}{path}", data=GOOD)
            assert code in (401, 403), f"{method} {path} answered {code}"
        assert not app[server.PIPELINE].collectors


async def test_no_route_shows_anything_to_strangers(tmp_path: Path, users_file: Path) -> None:
    """With basic_auth_users every route, known or not, asks for credentials."""
    async with exporter(tmp_path, "--web.config.file", str(users_file)) as (host, app):
        for method, path in sorted({*routes(app), ("GET", "/nowhere")}):
            code = await status(method, f"http://{host}{path}", data=GOOD)
            assert code == 401, f"{method} {path} answered {code}"


async def test_ping_keys_work_where_reads_are_guarded(
    tmp_path: Path, token_file: Path, users_file: Path
) -> None:
    """The token in a ping URL is enough, also where everything else needs a login."""
    flags = ("--web.token-file", str(token_file), "--web.config.file", str(users_file))
    async with exporter(tmp_path, *flags) as (host, app):
        assert await status("GET", f"http://{host}/ping/{TOKEN}/backup") in (200, 201)
        assert await status("GET", f"http://{host}/ping/wrong-token-0123456789/backup") == 401
        assert list(app[server.PIPELINE].collectors) == ["backup"]


async def test_secrets_are_neither_logged_nor_exposed(
    tmp_path: Path, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Tokens, right or wrong, appear in no log line, no metric and no answer."""
    caplog.set_level("DEBUG")
    seen = ""
    async with (
        exporter(tmp_path, "--web.token-file", str(token_file)) as (host, _),
        aiohttp.ClientSession() as session,
    ):
        for token in (TOKEN, "wrong-s3cret-0123456789"):
            headers = {"Authorization": f"Bearer {token}"}
            url = f"http://{host}/api/v1/outcomes"
            async with session.post(url, data=GOOD, headers=headers) as response:
                seen += await response.text() + str(response.headers)
        async with session.get(f"http://{host}/metrics") as response:
            seen += await response.text()
    seen += caplog.text
    assert "collection_runs_total" in seen
    assert TOKEN not in seen
    assert "s3cret" not in seen


async def raw(host: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send `parts` over one connection and return what comes back until it closes."""
    name, port = host.split(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_slow_headers_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that never finish their headers are closed, and others served meanwhile."""
    monkeypatch.setattr(server, "IDLE_SECONDS", 2.0)
    async with exporter(tmp_path) as (host, _):
        partial = b"POST /api/v1/outcomes HTTP/1.1\r\nHost: x\r\n"
        slow = [asyncio.create_task(raw(host, partial)) for _ in range(50)]
        silent = asyncio.create_task(raw(host))
        healthy = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
        after_one = asyncio.create_task(raw(host, healthy, partial, pause=0.1))
        assert await status("POST", f"http://{host}/api/v1/outcomes", data=GOOD) == 200
        assert await asyncio.gather(*slow, silent) == [b""] * 51
        assert (await after_one).startswith(b"HTTP/1.1 200")


async def test_slow_bodies_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not arrive in time is a 408; a merely split one is read completely."""
    monkeypatch.setattr(incoming, "BODY_SECONDS", 2.0)
    length = b"Content-Length: %d\r\n\r\n"
    async with exporter(tmp_path) as (host, app):
        late = await raw(host, HEAD + length % 1000, b"{")
        assert late.startswith(b"HTTP/1.1 408")
        assert b"application/problem+json" in late
        split = await raw(host, HEAD + length % len(GOOD), GOOD[:9], GOOD[9:], pause=0.05)
        assert split.startswith(b"HTTP/1.1 200"), split
        assert list(app[server.PIPELINE].collectors) == ["orders"]


async def test_large_bodies_are_refused(tmp_path: Path) -> None:
    """Too many bytes, announced, chunked or compressed, are a 413 before they fill memory."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    async with exporter(tmp_path) as (host, app):
        url = f"http://{host}/api/v1/outcomes"
        announced = await raw(host, HEAD + b"Content-Length: 999999999999\r\n\r\n")
        assert announced.startswith(b"HTTP/1.1 413")
        with contextlib.suppress(aiohttp.ClientError):  # it may be cut off while sending
            assert await status("POST", url, data=endless()) == 413
        gzipped = {"Content-Encoding": "gzip"}
        bomb = gzip.compress(b"0" * (64 << 20))
        assert await status("POST", url, data=bomb, headers=gzipped) == 413
        truncated = gzip.compress(GOOD * 100)[:-20]
        assert await status("POST", url, data=truncated, headers=gzipped) == 400
        assert await status("POST", url, data=gzip.compress(GOOD), headers=gzipped) == 200
        assert list(app[server.PIPELINE].collectors) == ["orders"]


def established(port: int) -> int:
    """Return how many connections to a local port are open on the server's side."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


async def test_clients_that_never_read_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scraper that asks and never reads does not hold its answer in memory for ever."""
    monkeypatch.setattr(listen, "STALLED_MILLISECONDS", 1000)
    async with exporter(tmp_path) as (host, _):
        batch = json.dumps([{"collector": f"c{n}", "outcome": "success"} for n in range(1000)])
        assert await status("POST", f"http://{host}/api/v1/outcomes", data=batch) == 200
        name, port = host.split(":")
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(lazy, (name, int(port)))
            await loop.sock_sendall(lazy, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            assert established(int(port)) >= 1
            async with asyncio.timeout(60):
                while established(int(port)):  # noqa: ASYNC110 the kernel decides
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [(":9036", "", 9036), ("localhost:1", "localhost", 1), ("[::1]:9036", "::1", 9036)],
)
def test_listen_addresses_are_read(text: str, host: str, port: int) -> None:
    """The usual notations of host and port are understood, and shown as they were written."""
    address = listen.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, text)


@pytest.mark.parametrize("text", ["9036", "host:", "host:http", ":70000", "::1:9036", ""])
def test_other_listen_addresses_are_refused(text: str) -> None:
    """What is not an address is refused with the allowed notations."""
    with pytest.raises(ValueError, match="allowed: HOST:PORT"):
        listen.parse(text)


def test_every_address_is_listened_on() -> None:
    """Without a host the server is reachable over IPv4 and, where there is any, IPv6."""
    sockets = listen.open_sockets(listen.parse(":0"))
    try:
        assert socket.AF_INET in {sock.family for sock in sockets}
    finally:
        for sock in sockets:
            sock.close()
