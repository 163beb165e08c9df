"""Scrapes: time of ``/metrics`` per series beside Pushgateway's and ``generate_latest``.

    python -m tests.bench.scrape [--collectors 1000 10000]

A tenth of the collectors change between scrapes. CPU time of the server process counts.
"""

import argparse
import random
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from collection_health import fold
from collection_health.events import Outcome, Records
from collection_health.exposition import Exposition
from collection_health.inventory import Inventory
from collection_health.state import CollectorState
from tests.bench import load
from tests.support.process import Process, free_port
from tests.tools import ensure

ROUNDS = 5
T0 = 1_770_000_000.0


class Fleet:
    """Collectors with a history, rendered as the exporter does."""

    def __init__(self, size: int) -> None:
        self.inventory = Inventory()
        self.states = [CollectorState(f"collector-{number:05}") for number in range(size)]
        self.exposition = Exposition()
        self.random = random.Random(1)
        for _ in range(30):
            self.run(self.states)
        self.refresh(self.states)

    def run(self, states: list[CollectorState]) -> None:
        """One run of each."""
        for state in states:
            event = Outcome(
                state.name, "success", at=state.last_run + 300 or T0,
                duration_seconds=self.random.uniform(1, 90),
                records=Records(collected=self.random.randrange(1000)),
            )  # fmt: skip
            fold.apply(state, event, self.inventory.collector(state.name), 1)

    def refresh(self, states: list[CollectorState]) -> None:
        """Render what changed."""
        for state in states:
            self.exposition.update(state, self.inventory.collector(state.name), T0)

    def scrape(self) -> tuple[float, int]:
        """CPU seconds of one scrape after a tenth changed, and the number of series."""
        changed = self.random.sample(self.states, len(self.states) // 10)
        self.run(changed)
        start = time.process_time()
        self.refresh(changed)
        text = self.exposition.render(open_metrics=False)
        seconds = time.process_time() - start
        return seconds, sum(not line.startswith(b"#") for line in text.splitlines())


def client_library(series: int) -> float:
    """CPU seconds per series of ``generate_latest`` over plain gauges."""
    registry = CollectorRegistry()
    gauges = [Gauge(f"metric_{n}", "Help.", ["collector"], registry=registry) for n in range(70)]
    for number in range(series // 70):
        for gauge in gauges:
            gauge.labels(f"collector-{number:05}").set(number * 1.5)
    start = time.process_time()
    text = generate_latest(registry)
    return (time.process_time() - start) / max(1, text.count(b"\nmetric_"))


def pushgateway(collectors: int) -> float:
    """CPU seconds per series of a scrape of a real Pushgateway with as many series."""
    port = free_port()
    body = "".join(f"# TYPE metric_{n} gauge\nmetric_{n} {n}.5\n" for n in range(70)).encode()
    with tempfile.TemporaryDirectory() as directory:
        command = [
            ensure("pushgateway"), f"--web.listen-address=127.0.0.1:{port}",
            "--push.disable-consistency-check",
        ]  # fmt: skip
        with Process(command, Path(directory) / "log") as process:
            process.wait_http(f"http://127.0.0.1:{port}/-/ready")
            url = f"http://127.0.0.1:{port}/metrics"
            for number in range(collectors):
                request = urllib.request.Request(
                    f"{url}/job/collector-{number:05}", body, method="PUT"
                )
                urllib.request.urlopen(request, timeout=30).close()
            times = []
            for _ in range(ROUNDS):
                before = load.cpu_seconds(process.pid)
                with urllib.request.urlopen(url, timeout=120) as answer:
                    series = answer.read().count(b"\nmetric_")
                times.append((load.cpu_seconds(process.pid) - before) / series)
    return statistics.median(times)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collectors", type=int, nargs="+", default=[1_000, 10_000])
    print("| collectors | ours, µs a series | Pushgateway | generate_latest | ratio |")
    print("|---:|---:|---:|---:|---|")
    for size in parser.parse_args().collectors:
        fleet = Fleet(size)
        found = [fleet.scrape() for _ in range(ROUNDS)]
        mine = statistics.median(seconds / series for seconds, series in found)
        gateway, library = pushgateway(size), client_library(min(size, 2_000) * 70)
        print(
            f"| {size:,} | {mine * 1e6:.2f} | {gateway * 1e6:.2f} | {library * 1e6:.2f} | "
            f"1/{gateway / mine:.1f} of Pushgateway, 1/{library / mine:.1f} of generate_latest |",
            flush=True,
        )


if __name__ == "__main__":
    main()
