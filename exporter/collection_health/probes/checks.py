"""The checks themselves: one function a type, each turning one probe into one finding."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
from msgspec import Struct

from collection_health import reasons
from collection_health.events import redact
from collection_health.inventory_schema import Probe
from collection_health.probes import content
from collection_health.probes.config import (
    MAX_BODY,
    ConnectivityExpect,
    Expect,
    ParsingExpect,
    PerformanceExpect,
    SchemaExpect,
    expectation,
    shown,
    url_problems,
)
from collection_health.probes.judge import Judge, Question

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
MAX_MESSAGE = 300


class Finding(Struct, frozen=True):
    """What a probe found."""

    success: bool
    message: str
    reason: str | None = None
    expires_at: float | None = None


class ProbeError(Exception):
    """The probe failed; `reason` is one of the taxonomy's."""

    def __init__(self, reason: str, message: str, expires_at: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.expires_at = reason, expires_at


class Checker:
    """Runs probes of one inventory. Raises nothing: whatever happens is a finding."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession, judge: Judge) -> None:
        """`folder` is where files named by probes are looked for: that of the inventory."""
        self._folder = folder
        self._session = session
        self._judge = judge
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def check(self, probe: Probe) -> Finding:
        """Run `probe` once, within its timeout. Never raises, except when cancelled."""
        where = f"{probe.type} probe"
        try:
            async with asyncio.timeout(float(probe.timeout)):
                url = await asyncio.to_thread(_url, probe, self._folder)
                parts = urlsplit(url)
                where = shown(parts, probe.url_file is not None)
                found = await getattr(self, f"_{probe.type}")(probe, url, parts)
        except TimeoutError:
            return _failed(where, "timeout", f"no answer within {float(probe.timeout):g} s")
        except (ProbeError, content.ContentError) as error:
            expires_at = getattr(error, "expires_at", None)
            return _failed(where, error.reason, str(error), expires_at)
        except aiohttp.TooManyRedirects:
            return _failed(where, "config", f"more than {MAX_REDIRECTS} redirects")
        except ssl.SSLCertVerificationError as error:
            cause = getattr(error, "certificate_error", error)  # aiohttp wraps it
            return _failed(where, "connection", f"certificate: {cause.verify_message}")
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return _failed(where, reasons.from_exception(error), _plain(error))
        except Exception as error:  # a defect in one probe must not end the others
            log.exception("%s failed", where)
            return _failed(where, "unknown", type(error).__name__)
        return Finding(True, f"{where}: {found.message}", None, found.expires_at)

    # -- types --------------------------------------------------------------------------------

    async def _connectivity(self, probe: Probe, url: str, parts: SplitResult) -> Finding:
        expect = expectation(probe, ConnectivityExpect)
        if parts.scheme in ("http", "https"):
            status, body = await self._fetch(probe, url, expect)
            if expect.contains and expect.contains.encode() not in body:
                raise ProbeError("schema", f"status {status}, but the expected text is missing")
            return Finding(True, f"status {status}")
        if parts.scheme == "tcp":
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            await _close(writer)
            return Finding(True, "accepts connections")
        if parts.scheme == "tls":
            return await self._tls(parts, expect)
        return await _dns(parts, expect)

    async def _parsing(self, probe: Probe, url: str, _: SplitResult) -> Finding:
        expect = expectation(probe, ParsingExpect)
        body = (await self._fetch(probe, url, expect))[1]
        return Finding(True, await self._judge.ask(Question(body, parsing=expect)))

    async def _schema(self, probe: Probe, url: str, _: SplitResult) -> Finding:
        expect = expectation(probe, SchemaExpect)
        body = (await self._fetch(probe, url, expect))[1]
        schema = str(self._folder / expect.json_schema)
        question = Question(body, schema=schema, path=expect.path)
        return Finding(True, await self._judge.ask(question))

    async def _performance(self, probe: Probe, url: str, _: SplitResult) -> Finding:
        expect = expectation(probe, PerformanceExpect)
        began = time.monotonic()
        body = (await self._fetch(probe, url, expect, expect.max_bytes))[1]
        took = time.monotonic() - began
        if expect.max_duration and took > expect.max_duration:
            limit = float(expect.max_duration)
            raise ProbeError("timeout", f"took {took:.3g} s, allowed {limit:g} s")
        if len(body) < expect.min_bytes:
            reason = "quality" if body else "empty"
            raise ProbeError(reason, f"{len(body)} bytes, expected at least {expect.min_bytes}")
        return Finding(True, f"{len(body)} bytes in {took:.3g} s")

    # -- helpers ------------------------------------------------------------------------------

    async def _fetch(
        self, probe: Probe, url: str, expect: Expect, limit: int = MAX_BODY
    ) -> tuple[int, bytes]:
        """GET `url` and return its status and at most `limit` bytes. Raises ProbeError."""
        headers = {}
        if probe.token_file is not None:
            token = await asyncio.to_thread(_secret, self._folder / probe.token_file)
            headers["Authorization"] = f"Bearer {token}"
        context = await self._context(expect)
        async with self._session.get(
            url, headers=headers, ssl=context, max_redirects=MAX_REDIRECTS
        ) as response:
            _check_status(response.status, expect)
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise ProbeError("quality", f"the answer is larger than {limit} bytes")
            return response.status, bytes(body)

    async def _tls(self, parts: SplitResult, expect: ConnectivityExpect) -> Finding:
        context = await self._context(expect)
        _, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 443, ssl=context, server_hostname=parts.hostname
        )
        certificate: dict[str, Any] = writer.get_extra_info("peercert") or {}
        await _close(writer)
        expires_at = float(ssl.cert_time_to_seconds(certificate["notAfter"]))
        days = (expires_at - time.time()) / 86400
        message = f"the certificate expires in {days:.1f} days"
        if days * 86400 < expect.valid_for:
            raise ProbeError("auth", message, expires_at)
        return Finding(True, message, None, expires_at)

    async def _context(self, expect: Expect) -> ssl.SSLContext:
        """Return the verifying context for `ca_file`, or the system's; loading one takes long."""
        context = self._contexts.get(expect.ca_file)
        if context is None:
            file = str(self._folder / expect.ca_file) if expect.ca_file else None
            context = await asyncio.to_thread(ssl.create_default_context, cafile=file)
            self._contexts[expect.ca_file] = context
        return context


@contextlib.asynccontextmanager
async def open_session(concurrency: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session whose every request makes a connection of its own and keeps no cookies."""
    connector = aiohttp.TCPConnector(limit=concurrency, force_close=True, use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": "collection-health"},
    ) as session:
        yield session


async def _dns(parts: SplitResult, expect: ConnectivityExpect) -> Finding:
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(str(parts.hostname), None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ProbeError("connection", f"name resolution: {error.strerror}") from None
    found = {str(ipaddress.ip_address(str(answer[4][0]).partition("%")[0])) for answer in answers}
    missing = [address for address in expect.addresses if address not in found]
    if missing:
        raise ProbeError("config", f"{missing[0]} is not among its addresses")
    return Finding(True, f"{len(found)} addresses")


def _check_status(status: int, expect: Expect) -> None:
    allowed = [expect.status] if isinstance(expect.status, int) else expect.status
    if status in allowed or (not allowed and 200 <= status < 300):
        return
    wanted = ", ".join(map(str, allowed)) or "200 to 299"
    raise ProbeError(
        reasons.from_http_status(status) or "upstream", f"status {status}, expected {wanted}"
    )


def _url(probe: Probe, folder: Path) -> str:
    if probe.url is not None:
        return probe.url.strip()
    url = _secret(folder / str(probe.url_file))
    for text in url_problems(probe.type, url):
        raise ProbeError("config", f"url_file: {text}")
    return url


def _secret(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(8192).decode().strip()
    except OSError as error:
        raise ProbeError("config", f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProbeError("config", f"{file}: not text") from None


def _failed(where: str, reason: str, message: str, expires_at: float | None = None) -> Finding:
    return Finding(False, redact(f"{where}: {message}")[:MAX_MESSAGE], reason, expires_at)


def _plain(error: Exception) -> str:
    """Return what went wrong without the texts of libraries, which may quote the URL."""
    system = getattr(error, "os_error", error)
    text = getattr(system, "strerror", None)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
