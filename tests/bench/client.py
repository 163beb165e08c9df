"""What a tracked run costs its collector, against the bare prometheus_client calls.

    python -m tests.bench.client [RUNS]

Prints Markdown table rows: CPU time per run in the collector's own thread, and of the whole
process with the background sender delivering to a real exporter. Rounds of both alternate; the
figures are medians.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collection_health.client import Client, Settings
from tests.support.services import Stack

ROUNDS = 7


def bare(runs: int) -> None:
    """The least a collector would do by hand: one counter, one histogram, one gauge."""
    for _ in range(runs):
        begun = time.perf_counter()
        RUNS.inc()
        DURATION.observe(time.perf_counter() - begun)
        LAST.set_to_current_time()


def tracked(client: Client, runs: int) -> None:
    """The same facts and the record count through the client."""
    for _ in range(runs):
        with client.track("orders") as run:
            run.records(collected=120)


def microseconds(
    work: Callable[[], None], settle: Callable[[], object], runs: int
) -> tuple[float, float]:
    """CPU microseconds per run: of the calling thread, and of the process until settled."""
    thread, process = time.thread_time_ns(), time.process_time_ns()
    work()
    thread = time.thread_time_ns() - thread
    settle()
    return thread / runs / 1000, (time.process_time_ns() - process) / runs / 1000


def main(runs: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        stack = Stack(Path(scratch) / "stack")
        try:
            url = stack.exporter().url
            settings = Settings(url=url, spool=Path(scratch) / "spool", buffer_events=4 * runs)
            client = Client(settings)
            tracked(client, runs)  # warm: thread, connection, code paths
            client.flush(60)
            peer, ours = [], []
            for _ in range(ROUNDS):
                peer.append(microseconds(lambda: bare(runs), lambda: None, runs))
                ours.append(
                    microseconds(lambda: tracked(client, runs), lambda: client.flush(60), runs)
                )
            delivered, expected = client.stats.delivered, 2 * runs * (ROUNDS + 1)
            client.close()
        finally:
            stack.close()
    if delivered != expected:
        sys.exit(f"{delivered} events were delivered, {expected} expected")
    base = statistics.median(thread for thread, _ in peer)
    caller = statistics.median(thread for thread, _ in ours)
    whole = statistics.median(process for _, process in ours)
    print("| per tracked run | µs CPU | against prometheus_client |")
    print("|---|---:|---:|")
    print(f"| prometheus_client: counter, histogram, gauge | {base:.2f} | 1 |")
    print(f"| client, in the collector's thread | {caller:.2f} | {caller / base:.1f} |")
    print(f"| client, with its sender (two events delivered) | {whole:.2f} | {whole / base:.1f} |")


_registry = CollectorRegistry()
RUNS = Counter("bench_runs", "Runs.", registry=_registry)
DURATION = Histogram("bench_run_duration_seconds", "Duration.", registry=_registry)
LAST = Gauge("bench_last_run_timestamp_seconds", "Last run.", registry=_registry)

if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
