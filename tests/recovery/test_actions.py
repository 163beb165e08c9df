"""Actions against a real HTTP server and real processes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from collection_health.inventory_schema import Action, Duration, HttpAction
from collection_health.recovery.actions import Actions, Finished, Subject
from tests.support.process import free_port, wait_for

SUBJECT = Subject("r1", "orders", "collector", "connection", 1_770_000_000.0, 1, 2)
Run = Callable[..., Awaitable[Finished]]


class Upstream:
    """A real HTTP server that remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.seen.append({"method": request.method, "headers": dict(request.headers), "body": body})
        name = request.match_info["name"]
        if name == "redirect":
            raise web.HTTPFound("/fine")
        if name == "hangs":
            await asyncio.sleep(60)
        if name == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)
        if name == "echo":
            return web.Response(text=request.headers.get("Authorization", ""))
        return web.Response(status=int(name) if name.isdigit() else 200, text="token=abcdef12345")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """The server, on a port of its own."""
    served = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{name}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Runs an action whose files are in ``tmp_path``."""
    actions = Actions()

    async def go(**fields: Any) -> Finished:
        fields.setdefault("timeout", Duration(60))
        return await actions.run(Action(**fields), tmp_path, SUBJECT)

    yield go
    await actions.close()


async def test_call_carries_what_it_is_about(run: Run, upstream: Upstream) -> None:
    """The body says why, and the idempotency key names recovery, step and attempt."""
    finished = await run(http=HttpAction(url=f"{upstream.url}/fine", headers={"X-Team": "data"}))
    assert finished.result == "succeeded"
    (seen,) = upstream.seen
    assert seen["method"] == "POST"
    assert seen["headers"]["Idempotency-Key"] == "r1/1/2"
    assert seen["headers"]["X-Team"] == "data"
    assert json.loads(seen["body"]) == {
        "recovery": "r1", "collector": "orders", "reason": "connection",
        "failing_since": 1_770_000_000.0, "step": 1, "attempt": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "result", "said"),
    [
        ("503", "failed", "status 503"),
        ("redirect", "failed", "redirects are not followed"),
        ("hangs", "timed_out", "no answer within 3 s"),
        ("endless", "succeeded", "xxx"),
        ("fine", "succeeded", "token=[redacted]"),
    ],
)
async def test_answers_are_bounded_and_judged_by_status(
    run: Run, upstream: Upstream, path: str, result: str, said: str
) -> None:
    """Only 2xx succeeds; redirects, delays and endless answers end within bounds."""
    finished = await run(http=HttpAction(url=f"{upstream.url}/{path}"), timeout=Duration(3))
    assert finished.result == result
    assert said in finished.output
    assert len(finished.output) <= 1000
    assert len(upstream.seen) == 1


async def test_secrets_come_from_files_and_are_never_shown(
    run: Run, upstream: Upstream, tmp_path: Path
) -> None:
    """URL and token are read when needed; an upstream that echoes them does not leak them."""
    (tmp_path / "url").write_text(f"{upstream.url}/echo\n")
    (tmp_path / "token").write_text("correct-horse\n")
    finished = await run(http=HttpAction(url_file="url", token_file="token"))
    assert upstream.seen[0]["headers"]["Authorization"] == "Bearer correct-horse"
    assert finished.result == "succeeded"
    assert "correct-horse" not in finished.output


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ("", "is empty"), ("file:///etc/passwd", "not http or https")],
)
async def test_unusable_secret_is_a_clear_failure(
    run: Run, tmp_path: Path, content: str | None, said: str
) -> None:
    """Nothing is sent, and the text names the problem."""
    if content is not None:
        (tmp_path / "url").write_text(content)
    finished = await run(http=HttpAction(url_file="url"))
    assert finished.result == "failed"
    assert said in finished.output


async def test_refused_connection_is_a_failure(run: Run) -> None:
    """An upstream that is away fails the attempt, not the engine."""
    finished = await run(http=HttpAction(url=f"http://127.0.0.1:{free_port()}/"))
    assert finished.result == "failed"


async def test_command_runs_without_shell_in_a_small_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments are literal; only named variables are passed on."""
    monkeypatch.setenv("REGION", "eu")
    monkeypatch.setenv("AWS_SECRET", "leak")
    finished = await run(command=["env"], env=["REGION", "MISSING"])
    lines = finished.output.splitlines()
    assert "REGION=eu" in lines
    assert "COLLECTION_HEALTH_COLLECTOR=orders" in lines
    assert not any(line.startswith("AWS_SECRET") for line in lines)
    finished = await run(command=["echo", "$(id)", "; rm -rf /"])
    assert finished.output == "$(id) ; rm -rf /"


@pytest.mark.parametrize(
    ("command", "result", "said"),
    [
        (["sh", "-c", "echo broken >&2; exit 3"], "failed", "broken\nexit code 3"),
        (["sh", "-c", "kill -9 $$"], "failed", "ended by signal 9"),
        (["no-such-program-here"], "failed", "no-such-program-here cannot be run: No such file"),
        (["/etc"], "failed", "/etc cannot be run: Permission denied"),
        (["sh", "-c", "echo password=hunter2hunter2"], "succeeded", "password=[redacted]"),
        (["true"], "succeeded", "exit code 0"),
    ],
)
async def test_commands_are_judged_by_exit_code(
    run: Run, command: list[str], result: str, said: str
) -> None:
    """Failures say what the command said and how it ended."""
    finished = await run(command=command)
    assert (finished.result, said in finished.output) == (result, True), finished.output


async def test_gigabyte_of_output_keeps_its_end_in_little_memory(run: Run) -> None:
    """The command is never blocked by its output, and none of it is hoarded."""
    before = resident()
    finished = await run(
        command=["sh", "-c", "head -c 1000000000 /dev/zero; echo the end"], timeout=Duration(60)
    )
    assert finished.result == "succeeded"
    assert finished.output.endswith("the end")
    assert len(finished.output) <= 1000
    assert resident() - before < 64 * 2**20


async def test_timeout_ends_grandchildren_too(run: Run, tmp_path: Path) -> None:
    """Everything a command started is gone when its time is up, polite or not."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; (trap '' TERM; echo $$ >> {pids}; exec sleep 60) & sleep 60"
    command = ["sh", "-c", f'echo $$ >> {pids}; sh -c "{script}" & sleep 60']
    # Time enough for both shells to have begun before it is up, on a busy machine too.
    finished = await run(command=command, timeout=Duration(3))
    assert finished.result == "timed_out"
    assert "ended after 3 s" in finished.output
    recorded = [int(line) for line in pids.read_text().split()]
    assert len(recorded) >= 2
    await asyncio.to_thread(
        wait_for, lambda: not [pid for pid in recorded if alive(pid)], "their end"
    )


async def test_command_may_leave_a_job_behind(run: Run, tmp_path: Path) -> None:
    """Starting a run in the background succeeds at once, and the run goes on."""
    pid = tmp_path / "pid"
    # Waiting for the sleep would end in the action's timeout.
    finished = await run(command=["sh", "-c", f"sleep 600 & echo $! > {pid}; echo started"])
    assert finished == Finished("succeeded", "started")
    child = int(pid.read_text())
    assert alive(child)
    os.kill(child, 9)


async def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    """A person who cancels, or a shutdown, leaves nothing running."""
    pid = tmp_path / "pid"
    action = Action(command=["sh", "-c", f"echo $$ > {pid}; exec sleep 60"])
    task = asyncio.create_task(Actions().run(action, tmp_path, SUBJECT))
    await asyncio.to_thread(
        wait_for, lambda: pid.exists() and pid.read_text().strip(), "the command"
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int(pid.read_text()))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
