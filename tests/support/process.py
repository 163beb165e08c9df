"""Real processes for tests: started in their own group, logged, waited for, always ended."""

import contextlib
import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.05
# Below the ports that the kernel gives to outgoing connections: none of them can take a port
# between its choice and its use, and who asks a port where nobody listens does not meet himself.
_PORTS = range(20_000, 32_000)
_offers = itertools.count(random.SystemRandom().randrange(len(_PORTS)))


def free_port() -> int:
    """A TCP port on the loopback interface that nothing listens on; every call gives another."""
    for offer in itertools.islice(_offers, len(_PORTS)):
        port = _PORTS[offer % len(_PORTS)]
        if port_is_free(port):
            return port
    raise AssertionError(f"every port from {_PORTS[0]} to {_PORTS[-1]} is taken")


def port_is_free(port: int) -> bool:
    """Whether a program could listen on this TCP port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(condition: Callable[[], T], what: str, timeout: float = 60) -> T:
    """Poll until `condition` returns something true, and return that.

    Raises AssertionError naming `what` and the last answer once `timeout` seconds have passed.
    """
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}; last answer: {answer!r}")
        time.sleep(_POLL_SECONDS)
    return answer


class Process:
    """One program under test. Standard output and error go to `log`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id. Raises AssertionError when the process was never started."""
        assert self._popen is not None, "not started"
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, None while running."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start (again)."""
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )

    def wait_http(self, url: str, timeout: float = 60) -> None:
        """Wait until `url` answers 200, else raise AssertionError with the end of the log."""

        def ready() -> bool:
            if self.returncode is not None:
                raise AssertionError(
                    f"{self.command[0]} ended with {self.returncode}\n{self.tail()}"
                )
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, http.client.HTTPException, OSError):
                return False

        try:
            wait_for(ready, url, timeout)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End the whole group at once, as a crash or the kernel would."""
        self._end(signal.SIGKILL, grace=10)

    def stop(self, grace: float = 30) -> None:
        """Ask the whole group to end, insist after `grace` seconds. Safe to call twice."""
        self._end(signal.SIGTERM, grace)

    def tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _end(self, number: int, grace: float) -> None:
        if self._popen is None:
            return
        self._signal_group(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace)
        self._signal_group(signal.SIGKILL)  # children that outlived their parent
        self._popen.wait()

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
