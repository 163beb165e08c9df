"""Writes the small ledger that `tests/exporter/test_upgrade.py` opens, and what it must say.

    python -m tests.exporter.data.make_ledger

Run it once for each new `SCHEMA_VERSION`, with the program that introduces it, and commit both
files; the files of older versions stay as their programs wrote them.
"""

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from collection_health.events import (
    Control,
    Event,
    Feedback,
    Outcome,
    ProbeResult,
    Records,
    Recovery,
    decode_events,
    encode_events,
)
from collection_health.ledger import SCHEMA_VERSION, Ledger
from collection_health.pipeline import Pipeline

DATA = Path(__file__).parent
T0 = 1_790_000_000.0  # 2026-09-21
KEPT = ("_total", "_sum", "_count", "_success_timestamp_seconds", "_consecutive_failures")


def history(start: float, runs: int) -> list[Event]:
    """Outcomes of three collectors, and one event of every other kind."""
    events: list[Event] = []
    last = start + 900.0 * runs
    for run in range(runs):
        at = start + 900.0 * run
        good = run % 5 != 4
        events += [
            Outcome(
                "orders",
                "success" if good else "failure",
                run_id=f"{at:.0f}",
                duration_seconds=12.5 + run,
                records=Records(collected=100 + run, rejected=run),
                reason=None if good else "upstream",
                version="1.4.0",
                at=at,
            ),
            Outcome("prices", "partial" if run % 2 else "success", duration_seconds=3.0, at=at + 5),
            Outcome("weather", "failure", http_status=429, reason="rate_limited", at=at + 9),
        ]
    events += [
        ProbeResult("dependency", "warehouse", "connectivity", True, last, 0.02),
        Control("weather", "acknowledged", True, last + 1, actor="ada", reason="seen"),
        Recovery("r1", "weather", T0, 1, 1, "rerun", "started", last + 2),
        Recovery("r1", "weather", T0, 1, 1, "rerun", "finished", last + 3, result="failed"),
        Feedback("CollectorFailing", "weather", "f1", "relevant", last + 4, "ada"),
    ]
    return decode_events(encode_events(events))  # constructors check no types, decoding does


def facts(exposition: str) -> list[str]:
    """The samples that an upgrade must not change: what was counted, and last successes."""
    return sorted(
        line
        for line in exposition.splitlines()
        if line.startswith("collection_")
        and not line.startswith("collection_health_")
        and line.split("{", 1)[0].endswith(KEPT)
    )


async def write(directory: Path, target: Path) -> str:
    """Record half of the history, save a snapshot, record the rest; return the exposition."""
    now = T0
    pipeline = Pipeline(directory, clock=lambda: now, settle=1e9)
    await pipeline.start()
    await pipeline.submit_own(history(T0, 12))
    pipeline.save_snapshot()
    now = T0 + 86400
    await pipeline.submit_own(history(T0 + 20_000, 6))
    pipeline.refresh()
    text = pipeline.exposition.render(open_metrics=False).decode()
    with closing(Ledger(directory).reader()) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("VACUUM")
    await pipeline.stop()
    return text


def main() -> None:
    """Write `ledger-N.db` and `ledger-N.prom` for this program's schema version N."""
    target = DATA / f"ledger-{SCHEMA_VERSION}.db"
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        text = asyncio.run(write(Path(scratch), target))
    target.with_suffix(".prom").write_text("\n".join(facts(text)) + "\n")
    print(target, target.stat().st_size)


if __name__ == "__main__":
    main()
