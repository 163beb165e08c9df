"""Run one command as a well-behaved parent: signals, terminal, time limit, stderr.

The command gets a process group of its own, so that a time limit ends everything it started.
On a terminal it becomes the foreground group, as a shell would arrange it, so that Ctrl-C,
Ctrl-Z and reading from the terminal work.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import NamedTuple

_FORWARDED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_TAIL_BYTES = 8192
_DRAIN_SECONDS = 2.0  # a daemon left behind may hold stderr open: do not wait for it
_STDIN, _STDERR = 0, 2


class Ending(NamedTuple):
    """How the command ended."""

    code: int  # the exit code to pass on
    timed_out: bool = False
    asked_to_stop: bool = False  # a signal to end reached us and was forwarded, or ended it
    stderr_tail: str = ""


class Job:
    """One command; ``watch`` sees every chunk of its stderr."""

    def __init__(
        self,
        command: Sequence[str],
        timeout: float | None,
        kill_after: float,
        watch: Callable[[bytes], None] | None = None,
    ) -> None:
        self._command = list(command)
        self._timeout = timeout
        self._kill_after = kill_after
        self._watch = watch
        self._group: int | None = None  # process group of the command once it runs
        self._early: list[int] = []  # signals that came before it ran
        self._timed_out = False
        self._asked_to_stop = False
        self._tail = b""

    def run(self) -> Ending:
        """Run to the end. Raises `OSError` when the command cannot be started."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else its exit code would be lost
        for number in _FORWARDED:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup stays nohup
                signal.signal(number, self._forward)
        signal.signal(signal.SIGTSTP, self._suspend)
        process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, process_group=0, close_fds=False
        )
        assert process.stderr is not None  # noqa: S101  # for the type checker
        terminal = _Terminal(process.pid)
        self._group = process.pid
        for early in self._early:
            self._signal(early)
        pump = threading.Thread(target=self._pump, args=(process.stderr.fileno(),), daemon=True)
        pump.start()
        if self._timeout:
            signal.signal(signal.SIGALRM, self._time_is_up)
            signal.setitimer(signal.ITIMER_REAL, self._timeout)
        try:
            status = self._wait(terminal)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            terminal.take_back()
        process.returncode = os.waitstatus_to_exitcode(status)
        terminal.share(-process.returncode)
        if self._timed_out:
            self._end_group()
        pump.join(_DRAIN_SECONDS)
        return Ending(
            124 if self._timed_out else _shell_code(process.returncode),
            self._timed_out,
            self._asked_to_stop or -process.returncode in _STOPPING,
            self._tail.decode("utf-8", "replace"),
        )

    def _wait(self, terminal: "_Terminal") -> int:
        assert self._group is not None  # noqa: S101  # for the type checker
        terminal.hand_over()
        while True:
            _, status = os.waitpid(self._group, os.WUNTRACED if terminal.ours else 0)
            if not os.WIFSTOPPED(status):
                return status
            early = os.WSTOPSIG(status) in (signal.SIGTTIN, signal.SIGTTOU)
            if not (early and terminal.handed_over):  # it did not just outrun hand_over()
                terminal.take_back()
                os.killpg(os.getpgrp(), signal.SIGSTOP)  # the shell shows the job as stopped
                terminal.hand_over()  # continued by fg (or bg)
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)

    def _forward(self, number: int, _: FrameType | None) -> None:
        self._asked_to_stop |= number in _STOPPING
        if self._group is None:
            self._early.append(number)
        else:
            self._signal(number)

    def _suspend(self, number: int, _: FrameType | None) -> None:
        self._signal(number)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._signal(signal.SIGCONT)  # runs once we are continued

    def _time_is_up(self, *_: object) -> None:
        if self._timed_out:
            self._signal(signal.SIGKILL)
            return
        self._timed_out = True
        signal.setitimer(signal.ITIMER_REAL, max(self._kill_after, 0.001))
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process would not notice

    def _end_group(self) -> None:
        """Give what the command started the same grace, then kill it."""
        assert self._group is not None  # noqa: S101  # for the type checker
        deadline = time.monotonic() + self._kill_after
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self._group, 0)
                time.sleep(0.02)
        self._signal(signal.SIGKILL)

    def _pump(self, source: int) -> None:
        while chunk := os.read(source, 65536):
            if sys.stderr is not None:  # None: started with stderr closed
                with suppress(OSError):
                    _write(_STDERR, chunk)
            self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
            if self._watch is not None:
                self._watch(chunk)


class _Terminal:
    """The controlling terminal on stdin, if our group is in its foreground."""

    def __init__(self, group: int) -> None:
        self._group = group
        self.ours = os.isatty(_STDIN)
        self.handed_over = False
        self._was_handed_over = False

    def hand_over(self) -> None:
        """Put the command into the foreground if that is our place."""
        if self.ours:
            with suppress(OSError):
                if os.tcgetpgrp(_STDIN) == os.getpgrp():
                    os.tcsetpgrp(_STDIN, self._group)
                    self.handed_over = self._was_handed_over = True

    def take_back(self) -> None:
        """Put ourselves into the foreground again."""
        if not self.handed_over:
            return
        self.handed_over = False
        previous = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # we are in the background
        with suppress(OSError):
            os.tcsetpgrp(_STDIN, os.getpgrp())
        signal.signal(signal.SIGTTOU, previous)

    def share(self, number: int) -> None:
        """Pass Ctrl-C on to our group, as the keyboard would have: a script around us ends too."""
        if self._was_handed_over and number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)  # we still have to report
            os.killpg(os.getpgrp(), number)


def _shell_code(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
