"""``collection-health record NAME OUTCOME``: report one outcome from a shell script.

While the exporter is away the outcome is spooled; ``--flush`` (alone or with an outcome)
delivers what waits in the spool and says how much.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from collection_health import manual, reasons
from collection_health.client import Client, Settings
from collection_health.client._values import (
    Instant,
    amount,
    collector_name,
    count,
    duration,
    instant,
    ratio,
)

OUTCOMES = ("started", "success", "partial", "failure", "skipped", "aborted")
_SECONDS = 5.0  # for a report
_FLUSH_SECONDS = 60.0
_RECORDS = ("expected", "collected", "written", "rejected", "duplicate")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``record``."""
    add = parser.add_argument
    manual.describe(
        parser,
        """
        Report one outcome of a collector. While the exporter is away the outcome waits in the
        spool with its own time, and the next report delivers it.
        """,
        examples={
            "collection-health record orders success --records 120": "a run that went well",
            "collection-health record orders failure --reason upstream --message 'no file'":
                "one that did not",
            "collection-health record orders started --run-id 42": "a run that begins",
            "collection-health record --flush": "deliver what waits in the spool",
        },
        exit_codes={
            "0": "delivered, or kept in the spool",
            "1": "refused by the exporter, or lost",
            "2": "wrong usage",
        },
        environment=manual.CLIENT_ENVIRONMENT,
    )  # fmt: skip
    add("name", metavar="NAME", nargs="?", help="the collector's name")
    add("outcome", metavar="OUTCOME", nargs="?", choices=OUTCOMES, help=", ".join(OUTCOMES))
    add("--records", type=_checked(count, int), metavar="N", help="records collected")
    for kind in _RECORDS:
        if kind != "collected":
            add(f"--records-{kind}", type=_checked(count, int), metavar="N", help=f"records {kind}")
    add("--duration", type=_checked(duration), metavar="DURATION", help="e.g. 3s, 2.5m")
    add("--reason", choices=reasons.REASONS, metavar="REASON", help=", ".join(reasons.REASONS))
    add("--stage", choices=reasons.STAGES, metavar="STAGE", help=", ".join(reasons.STAGES))
    add("--message", metavar="TEXT", help="what went wrong, in your words")
    add("--exit-code", type=int, metavar="N", help="of the job; gives a failure its reason")
    add("--http-status", type=int, metavar="N", help="of the upstream; the same")
    add("--bytes", type=_checked(count, int), metavar="N", help="bytes collected")
    add("--quality", type=_checked(ratio, float), metavar="RATIO", help="0 (worst) to 1")
    add("--quota-limit", type=_checked(amount, float), metavar="N", help="upstream quota")
    add("--quota-remaining", type=_checked(amount, float), metavar="N", help="what is left of it")
    for option, text in (
        ("--data-time", "time of the newest record"),
        ("--credential-expires-at", "when the credential in use expires"),
        ("--scheduled-for", "when the run was due; an old one marks a back-fill"),
        ("--started-at", "when the run began"),
    ):
        add(option, type=_checked(_instant), metavar="TIME", help=f"{text}: RFC 3339 or Unix time")
    add("--version", dest="job_version", metavar="TEXT", help="the collector's version")
    add("--run-id", metavar="ID", help="ties `started` to its end")
    add("--attempt", type=_checked(count, int), metavar="N", help="2 for the first retry")
    add("--event-id", metavar="ID", help="a repeat with the same id counts once")
    add("--flush", action="store_true", help="deliver what waits in the spool and say how much")


def run(args: argparse.Namespace) -> int:
    """Report, flush, and return the exit code."""
    problem = _usage_problem(args)
    if problem is not None:
        print(f"collection-health record: {problem}", file=sys.stderr)
        return 2
    try:
        client = Client(Settings.read())
    except ValueError as error:
        print(f"collection-health record: {error}", file=sys.stderr)
        return 2
    if args.name is not None:
        client.send(event(args))
    if args.flush:
        delivered_all = client.flush(_FLUSH_SECONDS)
    client.close(_SECONDS)
    return _verdict(args, client, not args.flush or delivered_all)


def event(args: argparse.Namespace) -> dict[str, Any]:
    """The outcome that the arguments describe."""
    records = {
        kind: value
        for kind in _RECORDS
        if (value := getattr(args, "records" if kind == "collected" else f"records_{kind}"))
        is not None
    }
    now = time.time()
    quota = {"limit": args.quota_limit, "remaining": args.quota_remaining}
    fields: dict[str, Any] = {
        "collector": args.name,
        "outcome": args.outcome,
        "event_id": args.event_id,
        "run_id": args.run_id,
        "attempt": args.attempt,
        # Event times are ours, not those of a delivery out of the spool.
        "started_at": args.started_at or (now if args.outcome == "started" else None),
        "finished_at": None if args.outcome == "started" else now,
        "scheduled_for": args.scheduled_for,
        "duration_seconds": args.duration,
        "reason": args.reason,
        "stage": args.stage,
        "error": {"message": args.message} if args.message else None,
        "exit_code": args.exit_code,
        "http_status": args.http_status,
        "records": records or None,
        "bytes": args.bytes,
        "quality": None if args.quality is None else {"score": args.quality},
        "quota": {key: value for key, value in quota.items() if value is not None} or None,
        "data_time": args.data_time,
        "credential_expires_at": args.credential_expires_at,
        "version": args.job_version,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _usage_problem(args: argparse.Namespace) -> str | None:
    if args.name is None:
        return None if args.flush else "NAME and OUTCOME are required (or --flush alone)"
    if args.outcome is None:
        return f"OUTCOME is required; allowed: {', '.join(OUTCOMES)}"
    if collector_name(args.name) != args.name:
        return (
            f"NAME {args.name!r}: allowed: at most 150 letters, digits and . _ : / @ + -, "
            "a letter or digit first"
        )
    return None


def _verdict(args: argparse.Namespace, client: Client, delivered_all: bool) -> int:
    stats = client.stats
    if args.flush:
        print(f"{stats.delivered} delivered, {stats.rejected} refused")
        if not delivered_all:
            print("collection-health record: some are still spooled", file=sys.stderr)
            return 1
    if stats.rejected and not args.flush:
        print(f"collection-health record: refused: {stats.last_rejection}", file=sys.stderr)
        return 1
    return 1 if stats.dropped else 0


def _instant(text: str) -> str:
    try:
        value: Instant = float(text)
    except ValueError:
        value = text
    return instant(value)


def _checked(
    convert: Callable[[Any], Any], parse: Callable[[str], Any] = str
) -> Callable[[str], Any]:
    """An argparse type whose error carries the converter's own words."""

    def check(text: str) -> Any:
        try:
            return convert(parse(text))
        except (ValueError, TypeError, OverflowError) as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return check
