"""Ingest: outcomes per core-second beside Pushgateway's pushes and prometheus-client's counters.

    python -m tests.bench.ingest [--seconds 5]

CPU time of the server process alone counts, so a busy machine changes little; latencies are the
load generator's and do change. Each contender gets three rounds, the median is reported.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram

from tests.bench import load
from tests.support.process import Process, free_port
from tests.support.services import Stack
from tests.tools import ensure

COLLECTORS, CONNECTIONS, ROUNDS, BATCH = 1_000, 64, 3, 1_000
METRICS = (
    b"# TYPE last_success_timestamp_seconds gauge\nlast_success_timestamp_seconds 1.7e9\n"
    b"# TYPE duration_seconds gauge\nduration_seconds 1.5\n# TYPE records gauge\nrecords 3\n"
)


def outcome(number: int) -> bytes:
    """One outcome as JSON, with an idempotency key of its own."""
    return (
        b'{"collector":"c%d","outcome":"success","event_id":"%d","duration_seconds":1.5,'
        b'"records":{"collected":3}}' % (number % COLLECTORS, number)
    )


def measure(pid: int, port: int, seconds: float, make: Callable[[int], bytes], each: int = 1) -> (
    tuple[float, float]
):  # fmt: skip
    """Items per core-second of the process and p99 latency in seconds: medians over the rounds."""
    rates, latencies, sent = [], [], 0
    for _ in range(ROUNDS):
        before = load.cpu_seconds(pid)
        offset = sent
        result = asyncio.run(
            load.run(port, CONNECTIONS, seconds, lambda n, offset=offset: make(offset + n))
        )
        if result.errors:
            raise RuntimeError(f"{result.errors} of {result.requests} requests were refused")
        rates.append(result.requests * each / (load.cpu_seconds(pid) - before))
        latencies.append(result.percentile(0.99))
        sent += result.requests + CONNECTIONS
    return statistics.median(rates), statistics.median(latencies)


def ours(seconds: float) -> dict[str, tuple[float, float]]:
    """Single outcomes and batches on a real exporter with the ledger on."""

    def single(number: int) -> bytes:
        return load.request("POST", "/api/v1/outcomes", outcome(number), "application/json")

    def batch(number: int) -> bytes:
        start = 10**9 + number * BATCH
        lines = b"\n".join(outcome(start + item) for item in range(BATCH))
        return load.request("POST", "/api/v1/outcomes", lines, "application/x-ndjson")

    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        try:
            exporter = stack.exporter()
            pid, port = exporter.process.pid, exporter.port
            return {
                "single": measure(pid, port, seconds, single),
                "batch": measure(pid, port, seconds, batch, BATCH),
            }
        finally:
            stack.close()


def pushgateway(seconds: float, *flags: str) -> tuple[float, float]:
    """Pushes to a real Pushgateway."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        command = [ensure("pushgateway"), f"--web.listen-address=127.0.0.1:{port}", *flags]
        with Process(command, Path(directory) / "log") as process:
            process.wait_http(f"http://127.0.0.1:{port}/-/ready")
            return measure(
                process.pid,
                port,
                seconds,
                lambda n: load.request(
                    "PUT", f"/metrics/job/c{n % COLLECTORS}", METRICS, "text/plain"
                ),
            )


def client_library(count: int = 200_000) -> float:
    """Counter increment plus histogram observation per core-second, labels bound beforehand."""
    registry = CollectorRegistry()
    counter = Counter("runs", "Runs.", ["collector"], registry=registry)
    histogram = Histogram("seconds", "Durations.", ["collector"], registry=registry)
    bound = [
        (counter.labels(f"c{n}"), histogram.labels(f"c{n}")) for n in range(COLLECTORS)
    ]  # fmt: skip
    start = time.process_time()
    for number in range(count):
        one, other = bound[number % COLLECTORS]
        one.inc()
        other.observe(1.5)
    return count / (time.process_time() - start)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round")
    seconds = parser.parse_args().seconds
    found = ours(seconds)
    unchecked = pushgateway(seconds, "--push.disable-consistency-check")
    checked = pushgateway(seconds)
    counters = client_library()
    rows = [
        ("Pushgateway push, default check", *checked),
        ("Pushgateway push, no check", *unchecked),
        ("one outcome a request, ledger on", *found["single"]),
        ("NDJSON batches of 1,000, ledger on", *found["batch"]),
        ("prometheus-client inc + observe, in process", counters, 0.0),
    ]
    print("| contender | per core-second | p99 latency |\n|---|---:|---:|")
    for name, rate, p99 in rows:
        print(f"| {name} | {rate:,.0f} | {f'{p99 * 1000:.0f} ms' if p99 else '–'} |")
    single, batch = found["single"][0], found["batch"][0]
    print(
        f"\nOne outcome a request: {single / unchecked[0]:.2f} × Pushgateway without check, "
        f"{single / checked[0]:.0f} × with it. Batches: {batch / counters:.2f} × "
        "prometheus-client's increment and observation."
    )


if __name__ == "__main__":
    main()
