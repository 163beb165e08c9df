"""What a collector costs: series, memory, disk and CPU of the exporter, series of Prometheus.

    python -m tests.bench.capacity [--collectors 500] [--runs 120] [--rules 180]

The figures of exporter/guides/capacity.md. CPU time is that of the process, so that a busy machine
changes little. `--rules` seconds are given to a Prometheus that evaluates the generated rules (0:
none); the hourly rules are not among the series then.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.bench import load
from tests.support.services import Exporter, Stack, http_json, http_text

ROOT = Path(__file__).resolve().parents[2]
INTERVAL = 900.0
SCRAPES = 5
TARGETS = {
    "schedule": {"every": "15m"}, "timeout": "10m", "team": "data", "depends_on": ["warehouse"],
    "slo": {"availability": 0.995, "latency": "2m", "freshness": "1h", "quality": 0.9,
            "min_records": 10},
}  # fmt: skip
EVERYTHING = TARGETS | {
    "impact": {"weight": 3, "consumers": ["billing"], "cost_per_hour": 40},
    "recovery": {"mode": "dry_run", "steps": [{"action": "rerun"}]},
}
ACTIONS = {"rerun": {"command": ["true"]}}
KINDS: dict[str, dict[str, Any] | None] = {
    "discovered": None, "schedule and targets": TARGETS, "impact and recovery too": EVERYTHING,
}  # fmt: skip


def outcome(name: str, at: float, number: int, *, quota: bool) -> dict[str, Any]:
    """A run with the figures most collectors can tell."""
    bad = number % 20 == 19
    event: dict[str, Any] = {
        "collector": name,
        "outcome": "failure" if bad else "success",
        "run_id": f"{name}-{number}",
        "occurred_at": datetime.fromtimestamp(at, UTC).isoformat(),
        "duration_seconds": 20 + number % 7,
        "version": "1.4.2",
    }
    if bad:
        event["error"] = {"type": "TimeoutError", "message": "upstream did not answer within 30 s"}
    else:
        event |= {"records": {"collected": 1000 + number, "rejected": 3}, "bytes": 120_000}
        event["quality"] = {"score": 0.99}
    if quota:
        event["quota"] = {"limit": 1000, "remaining": 900 - number}
    return event


def inventory(kind: str, collectors: int) -> str | None:
    """collectors.yml for a kind of fleet, None for a fleet without."""
    settings = KINDS[kind]
    if settings is None:
        return None
    listed = [{"name": f"collector-{number:05}", **settings} for number in range(collectors)]
    return yaml.safe_dump({"actions": ACTIONS, "collectors": listed})


def fill(exporter: Exporter, collectors: int, runs: int, *, quota: bool) -> float:
    """Report `runs` of every collector in batches; CPU seconds of the exporter an outcome."""
    before = load.cpu_seconds(exporter.process.pid)
    began = time.time() - runs * INTERVAL
    for run in range(runs):
        exporter.post([
            outcome(f"collector-{number:05}", began + run * INTERVAL, run, quota=quota)
            for number in range(collectors)
        ])  # fmt: skip
    return (load.cpu_seconds(exporter.process.pid) - before) / (runs * collectors)


def samples(text: str) -> int:
    """Series of collectors in an exposition."""
    return sum('collector="' in line for line in text.splitlines())


def measure(stack: Stack, kind: str, collectors: int, runs: int) -> Exporter:
    """Print a row of the table; the exporter stays up."""
    settings = inventory(kind, collectors)
    quota = KINDS[kind] is EVERYTHING
    exporter = stack.exporter(settings, name=kind.replace(" ", "-"))
    empty = load.resident_bytes(exporter.process.pid)
    ingest = fill(exporter, collectors, runs, quota=quota)
    text = exporter.metrics()
    before = load.cpu_seconds(exporter.process.pid)
    for _ in range(SCRAPES):
        http_text(f"{exporter.url}/metrics")
    scrape = (load.cpu_seconds(exporter.process.pid) - before) / SCRAPES
    resident = load.resident_bytes(exporter.process.pid)
    ledger = exporter.process.log.parent / "data" / "ledger.db"
    exporter.process.stop()  # the last snapshot
    with closing(sqlite3.connect(ledger)) as database:
        (bodies,) = database.execute("SELECT sum(length(body)) FROM events").fetchone()
        (states,) = database.execute("SELECT sum(length(body)) FROM states").fetchone()
    count = runs * collectors
    print(
        f"| {kind} | {empty / 2**20:.0f} MiB | {samples(text) / collectors:.0f} | "
        f"{len(text) / collectors / 1024:.1f} KiB | "
        f"{(resident - empty) / collectors / 1024:.0f} KiB | {bodies / count:.0f} B | "
        f"{states / collectors / 1024:.1f} KiB | {ingest * 1e6:.0f} µs | "
        f"{scrape / collectors * 1e6:.0f} µs |",
        flush=True,
    )
    exporter.start()
    return exporter


def rules(stack: Stack, exporter: Exporter, collectors: int, seconds: float) -> None:
    """Print what Prometheus holds and uses with the generated rules."""
    generated = sorted((ROOT / "rules" / "generated").glob("*.yml"))
    prometheus = stack.prometheus(
        {"collection-health": [exporter.address]}, rules=generated, interval="15s"
    )
    time.sleep(seconds)
    pid = prometheus.process.pid
    memory = load.resident_bytes(pid)
    cpu = load.cpu_seconds(pid)
    time.sleep(60)
    cpu = (load.cpu_seconds(pid) - cpu) / 60
    stats = http_json(f"{prometheus.url}/api/v1/status/tsdb")["data"]["headStats"]["numSeries"]
    print(json.dumps({
        "collectors": collectors, "series a collector": round(stats / collectors),
        "memory MiB": round(memory / 2**20), "share of a core": round(cpu, 3),
    }))  # fmt: skip


def main() -> None:
    """Measure each kind of fleet, then the rules on the last one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collectors", type=int, default=500)
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--rules", type=float, default=180)
    options = parser.parse_args()
    print(
        "| collectors | before any run | series | exposition | memory | an outcome on disk | "
        "state on disk | CPU an outcome | CPU a scrape |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        try:
            for kind in KINDS:
                exporter = measure(stack, kind, options.collectors, options.runs)
            if options.rules:
                rules(stack, exporter, options.collectors, options.rules)
        finally:
            stack.close()


if __name__ == "__main__":
    main()
