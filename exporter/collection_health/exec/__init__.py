"""``collection-health exec NAME -- COMMAND…``: run any job and report how it ended.

The job keeps its stdin, stdout, signals, terminal and exit code; its stderr passes through
live. While the exporter is away its outcome waits in the spool and the job notices nothing.
"""

import argparse
import logging
import re
import sys
import time
from typing import Any

from collection_health import manual, reasons
from collection_health.client import Client, Settings
from collection_health.client._run import new_id
from collection_health.client._values import MAX_NAME, MAX_TEXT, collector_name, duration
from collection_health.exec._job import Ending, Job
from collection_health.exec._singer import SingerMetrics

TIMED_OUT, CANNOT_RUN, NOT_FOUND = 124, 126, 127  # exit codes, as timeout(1) and env(1)
_LAST_LINES = 20
# How Python, the JVM and others end their stack traces: `package.SomeError: message`.
_EXCEPTION = re.compile(r"^(?:Caused by: )?([A-Za-z_][\w.]*)(?::|$)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``exec``."""
    parser.usage = "%(prog)s [OPTION ...] NAME -- COMMAND ..."
    manual.describe(
        parser,
        """
        Run a command and report how it ended: exit code, duration and the last lines of stderr
        become the outcome. The command keeps its stdin, stdout, stderr, signals, terminal and
        exit code. While the exporter is away the outcome waits in the spool and nothing is
        printed.
        """,
        examples={
            "collection-health exec orders -- /opt/jobs/orders.sh --full": "a cron job",
            "collection-health exec orders --timeout 10m -- ./orders.sh": "with a time limit",
            "collection-health exec stock --protocol singer -- tap-stock -c tap.json": "a tap",
        },
        exit_codes={
            "N": "the command's own",
            "128+N": "signal N ended it",
            "124": "it was ended by --timeout",
            "126": "it cannot be run",
            "127": "it is not found",
            "2": "wrong usage; nothing was run",
        },
        environment=manual.CLIENT_ENVIRONMENT,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="the collector's name")
    add("command_line", metavar="COMMAND", nargs="+", help="what to run, after --")
    add("--timeout", type=_duration, metavar="DURATION",
        help="end the command (TERM, then KILL) after e.g. 90s, 10m, 2h")  # fmt: skip
    add("--kill-after", type=_duration, metavar="DURATION", default=10.0,
        help="from TERM to KILL (default 10s)")  # fmt: skip
    add("--protocol", choices=("plain", "singer"), default="plain",
        help="singer: METRIC lines on stderr become records and requests")  # fmt: skip
    add("--version", dest="job_version", metavar="TEXT", help="the collector's version")
    add("--run-id", metavar="ID", help="the scheduler's own id of this run")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit code to end with."""
    # cron mails whatever is printed: an exporter that is away is no news of this job.
    logging.getLogger("collection_health.client").setLevel(logging.ERROR)
    client = _client()
    event_id = new_id()
    common: dict[str, Any] = {
        "collector": collector_name(args.name),
        "run_id": args.run_id or event_id,
        "started_at": time.time(),
    }
    if args.job_version:
        common["version"] = args.job_version[:MAX_NAME]
    client.send({**common, "outcome": "started", "event_id": f"{event_id}s"})
    singer = SingerMetrics() if args.protocol == "singer" else None
    begun = time.perf_counter()
    job = Job(args.command_line, args.timeout, args.kill_after, singer.feed if singer else None)
    try:
        ending = job.run()
    except OSError as error:
        ending = _cannot_run(args.command_line[0], error)
    seconds = time.perf_counter() - begun
    end = {**common, **describe(ending), "event_id": f"{event_id}e"}
    if singer:
        end.update(singer.fields(failed=ending.code != 0))
    client.send({**end, "duration_seconds": seconds, "finished_at": common["started_at"] + seconds})
    client.close()
    return ending.code


def describe(ending: Ending) -> dict[str, Any]:
    """The fields of the outcome that an ending makes."""
    if ending.code == 0:
        return {"outcome": "success", "exit_code": 0}
    lines = [line.rstrip() for line in ending.stderr_tail.splitlines() if line.strip()]
    error = {"message": "\n".join(lines[-_LAST_LINES:])[-MAX_TEXT:]}
    kind = _exception_name(lines)
    if kind is not None:
        error["type"] = kind
    fields: dict[str, Any] = {"outcome": "failure", "exit_code": ending.code, "error": error}
    if ending.code in (CANNOT_RUN, NOT_FOUND):
        fields["reason"] = "config"
    elif ending.timed_out:
        fields["reason"] = "timeout"
    elif ending.asked_to_stop:
        fields["outcome"] = "aborted"
    return fields


def _exception_name(lines: list[str]) -> str | None:
    """The exception that the last lines of stderr name, if it tells a reason."""
    for line in reversed(lines[-_LAST_LINES:]):
        match = _EXCEPTION.match(line)
        if match and reasons.from_exception_name(match[1]) is not None:
            return match[1][-MAX_NAME:]
    return None


def _cannot_run(command: str, error: OSError) -> Ending:
    missing = isinstance(error, FileNotFoundError)
    text = f"{command}: {'command not found' if missing else error.strerror}"
    print(f"collection-health exec: {text}", file=sys.stderr)
    return Ending(NOT_FOUND if missing else CANNOT_RUN, stderr_tail=text)


def _client() -> Client:
    try:
        return Client()
    except ValueError as error:  # the job is more important than its report
        print(f"collection-health exec: nothing is reported: {error}", file=sys.stderr)
        return Client(Settings(url=""))


def _duration(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
