"""Child processes that end with the demo, however it ends."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def free_ports(count: int) -> list[int]:
    """Ports on the loopback interface that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _die_with_parent() -> None:
    """Ask Linux to end the child when the demo is gone, even after `kill -9`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Children:
    """Started programs; `stop` ends each one's process group."""

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        self._logs, self._env = logs, {**os.environ, **env}
        self._processes: dict[asyncio.subprocess.Process, str] = {}

    async def start(self, name: str, *command: str | Path) -> asyncio.subprocess.Process:
        """Start a program; its output goes to ``<name>.log``."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._env, start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
        self._processes[process] = name
        return process

    async def run(self, name: str, *command: str | Path) -> None:
        """Start a program and wait for its end."""
        process = await self.start(name, *command)
        try:
            await process.wait()
        finally:
            if process.returncode is not None:
                self._processes.pop(process, None)

    def ended(self) -> list[str]:
        """Long-running programs that ended by themselves."""
        return [f"{name} (see {self._logs / name}.log)" for process, name in
                self._processes.items() if process.returncode is not None]  # fmt: skip

    async def stop(self) -> None:
        """End everything, last started first; insist after five seconds."""
        running = [process for process in self._processes if process.returncode is None]
        for process in reversed(running):
            _signal(process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.gather(*(process.wait() for process in running))
        for process in running:
            _signal(process, signal.SIGKILL)
            await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def fetch(url: str, body: Sequence[bytes] | bytes | None = None) -> bytes:
    """The answer of a local URL (POST with a body); raises `OSError`."""
    data = body if isinstance(body, bytes) else None
    with urllib.request.urlopen(url, data, timeout=5) as answer:  # noqa: S310  # local http URLs
        content: bytes = answer.read()
    return content


async def wait_until_ready(name: str, url: str, seconds: float = 30) -> None:
    """Wait until ``url`` answers 200. Raises `TimeoutError` naming the program."""
    for _ in range(int(seconds * 10)):
        try:
            await asyncio.to_thread(fetch, url)
        except (OSError, urllib.error.URLError):
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{name} does not answer at {url}")
