"""``collection-health exec``: the job notices nothing, the exporter learns everything."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.process import free_port, wait_for
from tests.support.recorder import Event, Recorder
from tests.support.services import COMMAND, Stack

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server that keeps what it is sent."""
    with Recorder() as running:
        yield running


@pytest.fixture
def env(recorder: Recorder, tmp_path: Path) -> dict[str, str]:
    """The environment of a cron job that reports to the recorder."""
    return {
        **os.environ,
        "COLLECTION_HEALTH_URL": recorder.url,
        "COLLECTION_HEALTH_SPOOL": str(tmp_path / "spool"),
    }


@pytest.fixture
def run(env: dict[str, str]) -> Run:
    """Runs ``exec orders`` to its end."""

    def execute(*words: str, **options: object) -> Completed:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [*COMMAND, "exec", "orders", *words],
            check=False,
            **{
                "env": env,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "timeout": 60,
                **options,
            },
        )

    return execute


@contextmanager
def start(env: dict[str, str], *words: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Starts ``exec orders`` in the background; a test that fails leaves nothing running."""
    job = subprocess.Popen(  # type: ignore[call-overload]
        [*COMMAND, "exec", "orders", *words],
        **{"env": env, "text": True, "stdout": subprocess.PIPE, **options},
    )
    with job:
        try:
            yield job
        except BaseException:
            job.kill()
            raise


def the_end(recorder: Recorder) -> Event:
    """The one end that was reported, after its ``started``."""
    started, end = recorder.wait(2)
    assert started["outcome"] == "started"
    assert started["run_id"] == end["run_id"]
    return end


def test_a_successful_job_keeps_its_input_and_output(run: Run, recorder: Recorder) -> None:
    """stdin, stdout and stderr pass through byte for byte; the outcome is a success."""
    job = run("--version", "1.2", "--", "sh", "-c", "cat; echo note >&2", input="payload\n")
    assert (job.returncode, job.stdout, job.stderr) == (0, "payload\n", "note\n")
    end = the_end(recorder)
    assert (end["outcome"], end["exit_code"], end["version"]) == ("success", 0, "1.2")
    assert end["duration_seconds"] >= 0
    assert "error" not in end


def test_a_failed_job_reports_its_exit_code_and_last_words(run: Run, recorder: Recorder) -> None:
    """The last lines of stderr become the message, whole and live on our own stderr too."""
    program = "for i in $(seq 100); do echo line $i >&2; done; exit 3"
    job = run("--", "sh", "-c", program)
    assert job.returncode == 3
    assert len(job.stderr.splitlines()) == 100
    end = the_end(recorder)
    assert (end["outcome"], end["exit_code"]) == ("failure", 3)
    assert end["error"]["message"].splitlines()[-1] == "line 100"
    assert len(end["error"]["message"].splitlines()) == 20


def test_a_traceback_names_the_reason(stack: Stack, env: dict[str, str]) -> None:
    """A Python job's exception gives the failure its reason without touching the job."""
    exporter = stack.exporter()
    program = "raise ConnectionRefusedError('upstream is gone')"
    subprocess.run(
        [*COMMAND, "exec", "orders", "--", sys.executable, "-c", program],
        env={**env, "COLLECTION_HEALTH_URL": exporter.url},
        stderr=subprocess.PIPE,
        check=False,
    )
    series = 'collection_run_failures_total{collector="orders",reason="connection"}'
    assert exporter.sample(series) == 1


@pytest.mark.parametrize(
    ("command", "code"), [("no-such-command-here", 127), ("/etc/hostname", 126)]
)
def test_a_command_that_cannot_run_is_a_configuration_failure(
    run: Run, recorder: Recorder, command: str, code: int
) -> None:
    """Exit codes as the shell's, a line on stderr, and the reason config."""
    job = run("--", command)
    assert job.returncode == code
    assert command in job.stderr
    end = the_end(recorder)
    assert (end["outcome"], end["reason"], end["exit_code"]) == ("failure", "config", code)


def test_death_by_a_signal_is_passed_on_as_the_shell_would(run: Run, recorder: Recorder) -> None:
    """128 + n, and a KILL nobody asked for is a failure (the kernel's out-of-memory killer)."""
    assert run("--", "sh", "-c", "kill -9 $$").returncode == 137
    end = the_end(recorder)
    assert (end["outcome"], end["exit_code"]) == ("failure", 137)


def test_a_timeout_ends_everything_the_job_started(
    run: Run, recorder: Recorder, tmp_path: Path
) -> None:
    """TERM first, KILL for what ignores it, grandchildren included; exit code 124."""
    pids = tmp_path / "pids"
    stubborn = f"trap '' TERM; echo $$ >> {pids}; sleep 60 & echo $! >> {pids}; wait; sleep 60"
    # Time enough for the job to have begun before it is up, on a busy machine too.
    job = run("--timeout", "3s", "--kill-after", "300ms", "--", "sh", "-c", stubborn)
    assert job.returncode == 124
    end = the_end(recorder)
    assert (end["outcome"], end["reason"], end["exit_code"]) == ("failure", "timeout", 124)
    for pid in pids.read_text().split():
        wait_for(lambda pid=pid: not alive(int(pid)), f"the end of {pid}")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_end_reaches_the_job(
    env: dict[str, str], recorder: Recorder, number: signal.Signals
) -> None:
    """The job may clean up and choose its exit code; the run is aborted, not failed."""
    program = (
        "import signal, sys, time\n"
        "def leave(number, frame):\n"
        "    print('cleaned up', flush=True); sys.exit(9)\n"
        f"signal.signal({int(number)}, leave)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with start(env, "--", sys.executable, "-c", program) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        assert recorder.wait(1)[0]["outcome"] == "started"  # told while the job runs
        job.send_signal(number)
        assert job.stdout.read() == "cleaned up\n"
        assert job.wait(30) == 9
    assert the_end(recorder)["outcome"] == "aborted"


def test_user_signals_reach_the_job_and_do_not_end_it(
    env: dict[str, str], recorder: Recorder
) -> None:
    """USR1 and USR2 are the job's own business."""
    program = (
        "import signal\n"
        # Blocked and waited for: a signal that comes before the wait is not lost.
        "expected = [signal.SIGUSR1, signal.SIGUSR2]\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, expected)\n"
        "print('ready', flush=True)\n"
        "for _ in expected:\n"
        "    print(signal.sigwait(expected).name, flush=True)\n"
    )
    with start(env, "--", sys.executable, "-c", program) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGUSR1)
        assert job.stdout.readline() == "SIGUSR1\n"
        job.send_signal(signal.SIGUSR2)
        assert job.stdout.readline() == "SIGUSR2\n"
        assert job.wait(30) == 0
    assert the_end(recorder)["outcome"] == "success"


def test_an_ignored_hangup_stays_ignored(env: dict[str, str], recorder: Recorder) -> None:
    """``nohup collection-health exec`` protects the job as ``nohup`` alone would."""
    with start(
        env, "--", "sh", "-c", "echo ready; read line; echo alive",
        stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as job:  # fmt: skip
        assert job.stdout is not None
        assert job.stdin is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGHUP)
        job.stdin.write("\n")
        job.stdin.close()
        assert job.stdout.read() == "alive\n"
        assert job.wait(30) == 0


def test_an_exporter_that_is_away_changes_nothing_for_the_job(
    run: Run, env: dict[str, str], tmp_path: Path
) -> None:
    """Nothing is printed (cron would mail it), the exit code is the job's, the outcome waits."""
    env["COLLECTION_HEALTH_URL"] = f"http://127.0.0.1:{free_port()}"
    job = run("--", "sh", "-c", "echo out; exit 5")
    assert (job.returncode, job.stdout, job.stderr) == (5, "out\n", "")
    (segment,) = (tmp_path / "spool").glob("*.ndjson")
    assert len(segment.read_text().splitlines()) == 2


def test_a_hanging_exporter_is_not_waited_for(run: Run, recorder: Recorder, tmp_path: Path) -> None:
    """The wait after the job is bounded; what was not acknowledged is spooled."""
    recorder.release.clear()
    assert run("--", "true").returncode == 0
    (segment,) = (tmp_path / "spool").glob("*.ndjson")
    assert len(segment.read_text().splitlines()) == 2


def test_a_wrong_configuration_still_runs_the_job(run: Run, env: dict[str, str]) -> None:
    """The job is more important than its report."""
    env["COLLECTION_HEALTH_URL"] = "localhost"
    job = run("--", "sh", "-c", "echo out; exit 5")
    assert (job.returncode, job.stdout) == (5, "out\n")
    assert "nothing is reported" in job.stderr


def test_a_daemon_that_keeps_stderr_open_is_not_waited_for(run: Run, recorder: Recorder) -> None:
    """A job that leaves a process behind ends when it ends."""
    job = run("--", "sh", "-c", "sleep 30 & exit 0", stdout=subprocess.DEVNULL)
    assert job.returncode == 0
    assert the_end(recorder)["outcome"] == "success"


def test_further_descriptors_pass_through(run: Run, tmp_path: Path) -> None:
    """``3>file`` works as without us."""
    path = tmp_path / "three"
    with path.open("w") as file:
        write = f"import os; os.write({file.fileno()}, b'hi')"
        run("--", sys.executable, "-c", write, pass_fds=(file.fileno(),))
    assert path.read_text() == "hi"


def test_on_a_terminal_the_job_is_in_the_foreground(
    env: dict[str, str], recorder: Recorder
) -> None:
    """It may read from the terminal; Ctrl-C reaches it and the script around it; then the
    terminal is given back."""
    child, terminal = pty.fork()
    if child == 0:
        job = "import time; print('got:' + input(), flush=True); time.sleep(60)"
        shell = (
            "trap 'echo shell too' INT; "
            f'{" ".join(COMMAND)} exec orders -- {sys.executable} -c "{job}"; '
            "echo code:$?; read again; echo again:$again"
        )
        os.execve("/bin/sh", ["sh", "-c", shell], env)
    try:
        os.write(terminal, b"hello\n")
        read_until(terminal, "got:hello")
        os.write(terminal, b"\x03")
        assert "shell too" in read_until(terminal, "code:130")
        os.write(terminal, b"back\n")
        read_until(terminal, "again:back")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    end = the_end(recorder)
    assert (end["outcome"], end["exit_code"]) == ("aborted", 130)


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows, up to and with ``text``."""
    shown = b""
    while text.encode() not in shown:
        readable, _, _ = select.select([terminal], [], [], 60)
        assert readable, f"waited for {text!r}, saw {shown!r}"
        shown += os.read(terminal, 1024)
    return shown.decode()


def test_usage_errors_name_the_option(run: Run) -> None:
    """A wrong duration says what is allowed, before anything runs."""
    job = run("--timeout", "soon", "--", "true")
    assert job.returncode == 2
    assert "'soon' is not a duration; allowed: 250ms, 10s, 5m" in job.stderr
