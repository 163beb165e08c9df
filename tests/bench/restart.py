"""Restart: time until ready after ``kill -9`` with many recorded outcomes, and memory and disk.

python -m tests.bench.restart [--outcomes 10000000]
"""

import argparse
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.bench import load
from tests.bench.ingest import BATCH, COLLECTORS, outcome
from tests.support.services import Stack


def main() -> None:
    """Fill a ledger, kill the exporter, start it again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=10_000_000)
    count = parser.parse_args().outcomes
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        try:
            exporter = stack.exporter()
            headers = {"Content-Type": "application/x-ndjson"}
            size = 10 * BATCH
            for start in range(0, count, size):
                lines = b"\n".join(outcome(start + item) for item in range(size))
                url = f"{exporter.url}/api/v1/outcomes"
                urllib.request.urlopen(
                    urllib.request.Request(url, lines, headers), timeout=60
                ).close()
                if sys.stderr.isatty():
                    print(f"\r{start + size:,} of {count:,}", end="", file=sys.stderr)
            memory = load.resident_bytes(exporter.process.pid)
            exporter.process.kill()
            ledger = exporter.process.log.parent / "data" / "ledger.db"
            disk = ledger.stat().st_size
            began = time.perf_counter()
            exporter.start()
            seconds = time.perf_counter() - began
            runs = sum(
                float(line.rsplit(" ", 1)[1])
                for line in exporter.metrics().splitlines()
                if line.startswith("collection_runs_total{")
            )
            if runs != count:
                raise SystemExit(f"restart: {runs:.0f} runs after the restart, {count} before")
        finally:
            stack.close()
    print("| outcomes | collectors | start to ready | memory before | disk per outcome |")
    print("|---:|---:|---:|---:|---:|")
    print(
        f"| {count:,} | {COLLECTORS:,} | {seconds:.2f} s | {memory / 2**20:.0f} MiB | "
        f"{disk / count:.0f} B |"
    )


if __name__ == "__main__":
    main()
