"""Asking Prometheus for what the rules concluded; the exporter concludes nothing again."""

import argparse
import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web

from collection_health.server import ARGS

TIMEOUT = 5.0
MAX_ANSWER = 64 * 2**20  # bytes


class PrometheusError(Exception):
    """No usable answer; the text continues "Prometheus …": "did not answer within 5 s"."""


class Sample(msgspec.Struct):
    """One series of an instant vector; ``value`` is a Unix time and a number as text."""

    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[Sample] = []


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


class Prometheus:
    """The query API of one Prometheus, or of anything that speaks it."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._session: aiohttp.ClientSession | None = None

    async def query(self, expression: str) -> list[Sample]:
        """The instant vector of ``expression``. Raises `PrometheusError`."""
        try:
            async with asyncio.timeout(TIMEOUT):
                body = await self._get("/api/v1/query", {"query": expression})
            answer = msgspec.json.decode(body, type=_Answer)
        except TimeoutError:
            raise PrometheusError(f"did not answer within {TIMEOUT:g} s") from None
        except (OSError, aiohttp.ClientError, msgspec.MsgspecError) as error:
            raise PrometheusError(f"cannot be asked: {error}") from error
        if answer.status != "success" or answer.data is None:
            raise PrometheusError(f"refused the query: {answer.error}")
        return answer.data.result

    async def value(self, expression: str) -> float:
        """The one value of ``expression``. Raises `PrometheusError` when there is none."""
        samples = await self.query(expression)
        value = float(samples[0].value[1]) if len(samples) == 1 else math.nan
        if math.isnan(value):
            raise PrometheusError(f"has no value for {expression}: are the rules loaded?")
        return value

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {}
        if self._token_file is not None:
            token = await asyncio.to_thread(self._token_file.read_text)
            headers["Authorization"] = f"Bearer {token.strip()}"
        parts, size = [], 0
        async with self._session.get(
            self._url + path, params=parameters, headers=headers, allow_redirects=False
        ) as response:
            async for chunk in response.content.iter_any():
                parts.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise PrometheusError(f"answered more than {MAX_ANSWER} bytes")
        return b"".join(parts)


_CLIENT = web.AppKey("prometheus", Prometheus)


def client(app: web.Application) -> Prometheus | None:
    """The Prometheus that the flags name, or None without one."""
    return app.get(_CLIENT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name Prometheus: recovery and the API ask it."""
    add = parser.add_argument
    add("--prometheus.url", dest="prometheus_url", type=_url, default="", metavar="URL",
        help="Prometheus that evaluates the rules; without it the API has no conclusions and "
        "nothing is recovered automatically")  # fmt: skip
    add("--prometheus.token-file", dest="prometheus_token_file", type=Path, metavar="FILE",
        help="file with a bearer token for Prometheus")  # fmt: skip


def setup(app: web.Application) -> None:
    """Make `client(app)` work while the application runs."""
    args = app[ARGS]
    if not args.prometheus_url:
        return
    prometheus = app[_CLIENT] = Prometheus(args.prometheus_url, args.prometheus_token_file)

    async def background(_: web.Application) -> AsyncIterator[None]:
        yield
        await prometheus.close()

    app.cleanup_ctx.append(background)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise argparse.ArgumentTypeError(f"{text!r} is not an http(s) URL")
    return text
