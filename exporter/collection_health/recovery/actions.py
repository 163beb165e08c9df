"""What a step does: one HTTP call, or one command without a shell.

Both are bounded in time and in what is kept of their output, and report instead of raising.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from collection_health.events import redact_end
from collection_health.inventory_schema import Action, HttpAction

MAX_ANSWER = 64 * 1024  # bytes of an HTTP answer that are read
KEPT_BYTES = 8 * 1024  # of a command's output: the end says what went wrong
GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
DRAIN_SECONDS = 0.5  # for the last output of a command that left children behind
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Subject:
    """What an action is told about its recovery."""

    recovery: str
    target: str
    kind: str
    reason: str
    incident: float
    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished:
    """How an action ended; ``output`` is cut and redacted."""

    result: Literal["succeeded", "failed", "timed_out"]
    output: str


class Actions:
    """Runs the actions of an inventory; files they name are looked for beside it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def run(self, action: Action, folder: Path, subject: Subject) -> Finished:
        """Run ``action`` once within its timeout. Cancelling it ends what it started."""
        try:
            if action.command is not None:
                return await _command(action.command, action, subject)
            if action.http is not None:
                return await self._http(action.http, action, folder, subject)
        except (OSError, ValueError, aiohttp.ClientError) as error:
            return Finished("failed", redact_end(f"{type(error).__name__}: {error}"))
        return Finished("failed", "the action has neither http nor command")

    async def _http(
        self, call: HttpAction, action: Action, folder: Path, subject: Subject
    ) -> Finished:
        secrets: list[str] = []
        try:
            url, headers = _request(call, folder, subject, secrets)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            return Finished("failed", f"not sent: {error}")
        body = call.body if call.body is not None else json.dumps(_facts(subject))
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with (
                asyncio.timeout(float(action.timeout)),
                self._session.request(
                    call.method, url, headers=headers, allow_redirects=False,
                    data=None if call.method == "GET" else body.encode(),
                ) as response,
            ):  # fmt: skip
                status = response.status
                answer = await _beginning(response)
        except TimeoutError:
            return Finished("timed_out", f"no answer within {float(action.timeout):g} s")
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return Finished("failed", _scrubbed(f"{type(error).__name__}: {error}", secrets))
        text = _scrubbed(f"status {status}: {answer}".rstrip(": "), secrets)
        if 300 <= status < 400:
            return Finished("failed", f"{text} (redirects are not followed)")
        return Finished("succeeded" if 200 <= status < 300 else "failed", text)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size >= MAX_ANSWER:
            break
    return b"".join(parts)[:MAX_ANSWER].decode(errors="replace").strip()


def _request(
    call: HttpAction, folder: Path, subject: Subject, secrets: list[str]
) -> tuple[str, dict[str, str]]:
    """URL and headers; what was read from files is added to ``secrets``."""
    url = call.url or ""
    if call.url_file is not None:
        url = _secret(folder / call.url_file)
        secrets.append(url)
    if not url.startswith(("http://", "https://")):
        raise ValueError("the URL is not http or https")
    key = f"{subject.recovery}/{subject.step}/{subject.attempt}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, **call.headers}
    if call.token_file is not None:
        token = _secret(folder / call.token_file)
        secrets.append(token)
        headers["Authorization"] = f"Bearer {token}"
    return url, headers


def _secret(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def _scrubbed(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    return redact_end(text)


def _facts(subject: Subject) -> dict[str, object]:
    return {
        "recovery": subject.recovery,
        subject.kind: subject.target,
        "reason": subject.reason,
        "failing_since": subject.incident,
        "step": subject.step,
        "attempt": subject.attempt,
    }


# --- commands ---------------------------------------------------------------------------------


async def _command(argv: list[str], action: Action, subject: Subject) -> Finished:
    # A pipe of our own: asyncio's would keep `wait` waiting for children left behind.
    read_end, write_end = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            env=dict(_environment(action, subject)),
            start_new_session=True,
        )
    except OSError as error:
        os.close(read_end)
        return Finished("failed", f"{argv[0]} cannot be run: {error.strerror or error}")
    finally:
        os.close(write_end)
    tail = bytearray()
    reader = asyncio.create_task(_keep_end(read_end, tail))
    try:
        async with asyncio.timeout(float(action.timeout)):
            code = await process.wait()
        await asyncio.wait([reader], timeout=DRAIN_SECONDS)
    except TimeoutError:
        await _end_group(process)
        text = f"{_text(tail)}\nended after {float(action.timeout):g} s".lstrip()
        return Finished("timed_out", text)
    except asyncio.CancelledError:
        await _end_group(process)
        raise
    finally:
        reader.cancel()
    if code == 0:
        return Finished("succeeded", _text(tail) or "exit code 0")
    said = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
    return Finished("failed", f"{_text(tail)}\n{said}".lstrip())


def _environment(action: Action, subject: Subject) -> Iterator[tuple[str, str]]:
    for name in (*ENVIRONMENT, *action.env):
        if name in os.environ:
            yield name, os.environ[name]
    for name, value in _facts(subject).items():
        yield f"COLLECTION_HEALTH_{name.upper()}", str(value)


async def _keep_end(read_end: int, tail: bytearray) -> None:
    """Read all output, so that the command never blocks, and keep its end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
    )
    try:
        while chunk := await reader.read(64 * 1024):
            tail += chunk[-KEPT_BYTES:]
            del tail[:-KEPT_BYTES]
    finally:
        transport.close()


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End the command and everything it started, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), GRACE_SECONDS)
        except TimeoutError:
            continue
    with contextlib.suppress(ProcessLookupError):  # children that ignored the first signal
        os.killpg(process.pid, signal.SIGKILL)


def _text(tail: bytearray) -> str:
    return redact_end(bytes(tail).decode(errors="replace").strip())
