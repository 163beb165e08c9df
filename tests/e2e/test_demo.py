"""`make demo` as a newcomer runs it, only shorter."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.process import wait_for


def processes_below(directory: Path) -> list[str]:
    """Command lines of living processes that mention the demo's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(str(directory).encode() in word for word in words):
                found.append(b" ".join(words).decode(errors="replace"))
    return found


@pytest.mark.timeout(600)
def test_demo_tells_every_channel_and_leaves_no_process(root: Path, tmp_path: Path) -> None:
    """Each channel gets a message about the scripted outage; Ctrl-C ends everything."""
    directory = tmp_path / "demo"
    log = tmp_path / "output"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            ["make", "demo", f"DEMO=--directory {directory}"],
            cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip

    def told() -> bool:
        assert demo.poll() is None, log.read_text()
        text = log.read_text()
        return all(f"{channel:<8}firing" in text for channel in ("slack", "email", "webhook"))

    with demo:
        try:
            wait_for(told, "a message on every channel", timeout=300)
            assert processes_below(directory)
            os.killpg(demo.pid, signal.SIGINT)  # what Ctrl-C does to a terminal's process group
            # make itself ends at once; what it started says its last words a moment later
            wait_for(lambda: "channel   firing  resolved" in log.read_text(), "the summary")
            wait_for(lambda: not processes_below(directory), "the end of every process")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(demo.pid, signal.SIGKILL)  # what a failure left behind
