"""`collection-health export-history`: the ledger's outcomes as NDJSON, for the back-test."""

import argparse
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from collection_health import manual
from collection_health.events import Outcome
from collection_health.ledger import Ledger
from collection_health.reasons import EXPORTER_REASONS
from collection_health.schedule import utc


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `export-history`."""
    manual.describe(
        parser,
        """
        Write every outcome of a ledger as one JSON object a line, in the order it was recorded.
        The exporter may go on running. Runs the exporter wrote off itself (missed, overrun) are
        left out: the back-test derives them again from the schedule.
        """,
        examples={
            "collection-health export-history --storage.path /var/lib/collection-health "
            "--output history.ndjson": "for the back-test",
        },
        exit_codes={
            "0": "everything is written",
            "2": "wrong usage, or the ledger cannot be read or the file not be written",
        },
    )
    parser.add_argument(
        "--storage.path", dest="storage_path", type=Path, default=Path("data"), metavar="DIR",
        help="the exporter's storage directory (default: data)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")


def run(args: argparse.Namespace) -> int:
    """Export; returns 0, or 2 when the ledger cannot be read or the file not written."""
    path = args.storage_path / "ledger.db"
    if not path.is_file():
        print(f"export-history: {path}: no such ledger", file=sys.stderr)
        return 2
    try:
        if args.output is None:
            written, left_out = _export(args.storage_path, sys.stdout.buffer)
        else:
            with args.output.open("wb") as file:
                written, left_out = _export(args.storage_path, file)
    except (OSError, sqlite3.Error, msgspec.MsgspecError) as error:
        print(f"export-history: {path}: {error}", file=sys.stderr)
        return 2
    print(
        f"{written} outcomes written; {left_out} events left out that are no outcome of a "
        "collector",
        file=sys.stderr,
    )
    return 0


def outcomes(directory: Path) -> Iterator[Outcome | None]:
    """Every outcome in ``directory``'s ledger, None in place of any other event."""
    for _, events in Ledger(directory).tail(0):
        for event in events:
            own = isinstance(event, Outcome) and event.reason not in EXPORTER_REASONS
            yield event if isinstance(event, Outcome) and own else None


def as_line(outcome: Outcome) -> bytes:
    """One outcome as the wire shape: no empty field, and always with a time."""
    data: dict[str, Any] = _without_none(msgspec.to_builtins(msgspec.structs.asdict(outcome)))
    at = data.pop("at", None)
    data.pop("source", None)
    if at is not None and not data.keys() & {"occurred_at", "finished_at", "started_at"}:
        data["occurred_at"] = utc(at).isoformat()
    return msgspec.json.encode(data) + b"\n"


def _export(directory: Path, file: BinaryIO) -> tuple[int, int]:
    written = left_out = 0
    for outcome in outcomes(directory):
        if outcome is None:
            left_out += 1
        else:
            file.write(as_line(outcome))
            written += 1
    return written, left_out


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in data.items()
        if value is not None
    }
