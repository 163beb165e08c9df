"""What the rules cost: the whole pack beside a Sloth-style rule set on the same collectors.

A real Prometheus scrapes N collectors every 30 s and holds three days of their history, which are
written once and copied. It runs without rules, with the pack, and with one SLO per collector as
Sloth generates it (8 windows from 5 m to 30 d, 7 meta rules, 2 alerts); the first run's CPU is
taken off the others'.

    python -m tests.bench.rules [--collectors 1000 5000] [--minutes 5] [--days 3]
"""
# ruff: noqa: E501  # queries and table rows read better unwrapped

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from collection_health.backtest import remote_write
from tests.bench.rules_fleet import (
    DAY,
    OBJECTIVES,
    PHASES,
    SCRAPE,
    SLO,
    Samples,
    collector_samples,
    exposition,
    history,
)
from tests.bench.sloth import sloth
from tests.support.process import Process, free_port
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
PACK = [ROOT / "rules/generated/rules.yml", ROOT / "rules/generated/alerts.yml"]
JOB = "collection-health"
CYCLE = 30.0  # seconds; what the evaluation time is stated for


@dataclass
class Cost:
    """What one rule set costs on one fleet."""

    rules: int = 0
    size_mb: float = 0.0
    reload_seconds: float = 0.0
    cores: float = 0.0
    evaluation_seconds: float = 0.0  # of all groups, per cycle
    memory_mb: float = 0.0
    series: int = 0
    dearest: list[tuple[float, str]] = field(default_factory=list)


def serve(text: bytes) -> ThreadingHTTPServer:
    """A target that always answers the same text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Prometheus:
    """A scratch Prometheus that evaluates rule files and can be told to scrape."""

    def __init__(self, directory: Path, suite: str | None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = directory / "prometheus.yml"
        self.rules = directory / "rules"
        self.rules.mkdir()
        self.configure({})
        self.process = Process(
            [tool("prometheus", suite=suite), f"--config.file={self.config}", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
             "--web.enable-lifecycle", "--storage.tsdb.retention.time=31d"],
            directory / "prometheus.log",
        )  # fmt: skip
        self.process.start()
        self.process.wait_http(f"{self.url}/-/ready", timeout=300)

    def configure(self, targets: dict[str, str]) -> None:
        """Write its configuration."""
        scraped = [
            {"job_name": job, "static_configs": [{"targets": [address]}]}
            for job, address in targets.items()
        ]
        self.config.write_text(yaml.safe_dump({
            "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s", "scrape_timeout": "20s"},
            "rule_files": [f"{self.rules}/*.yml"],
            "scrape_configs": scraped,
        }))  # fmt: skip

    def scrape(self, target: str) -> None:
        """Begin to scrape the target, and itself."""
        self.configure({JOB: target, "prometheus": f"127.0.0.1:{self.port}"})
        self.reload()

    def fill(self, encoded: Iterator[bytes]) -> None:
        """Write the past and wait until it lies in blocks."""
        self.write(encoded)
        idle = 0.0
        while idle < 15:
            cpu = self.number("process_cpu_seconds_total")
            time.sleep(5)
            span = self.number("prometheus_tsdb_head_max_time") - self.number(
                "prometheus_tsdb_head_min_time"
            )
            busy = self.number("process_cpu_seconds_total") - cpu > 0.5 or span > 3.1 * 3_600_000
            idle = 0.0 if busy else idle + 5

    def write(self, encoded: Iterator[bytes]) -> None:
        """Write samples that are no older than the newest less an hour."""
        headers = {
            "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }  # fmt: skip
        for body in remote_write.requests(encoded):
            request = urllib.request.Request(f"{self.url}/api/v1/write", body, headers)
            with urllib.request.urlopen(request, timeout=120):
                pass

    def reload(self) -> float:
        """Seconds that reading configuration and rule files takes."""
        begun = time.perf_counter()
        request = urllib.request.Request(f"{self.url}/-/reload", b"", method="POST")
        with urllib.request.urlopen(request, timeout=600):
            return time.perf_counter() - begun

    def own(self) -> str:
        """Its own metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            return str(answer.read().decode())

    def number(self, name: str) -> float:
        """One of its own metrics, summed over labels."""
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in self.own().splitlines()
            if line.split("{")[0].split(" ")[0] == name
        )

    def group_seconds(self, groups: list[dict[str, Any]]) -> float:
        """Evaluation time of these groups per cycle, each at its own interval."""
        intervals = {
            group["name"]: _seconds(group.get("interval", f"{SCRAPE}s")) for group in groups
        }
        total = 0.0
        for line in self.own().splitlines():
            if line.startswith("prometheus_rule_group_last_duration_seconds{"):
                name = line.split(";", 1)[1].split('"', 1)[0]
                if name in intervals:
                    total += float(line.rsplit(" ", 1)[1]) * CYCLE / intervals[name]
        return total

    def dearest(self, groups: list[dict[str, Any]], count: int = 12) -> list[tuple[float, str]]:
        """The rules that take longest: seconds a cycle, at their groups' intervals, and where."""
        intervals = {
            group["name"]: _seconds(group.get("interval", f"{SCRAPE}s")) for group in groups
        }
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=60) as answer:
            evaluated = json.load(answer)["data"]["groups"]
        found = [
            (rule["evaluationTime"] * CYCLE / intervals[group["name"]], f"{group['name']}: {rule['name']}")
            for group in evaluated
            if group["name"] in intervals
            for rule in group["rules"]
        ]  # fmt: skip
        return sorted(found, reverse=True)[:count]


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[duration[-1]]


@dataclass(frozen=True)
class Fleet:
    """Collectors that an address shows, and a data directory that holds their past."""

    count: int
    templates: list[Samples]
    target: str
    data: Path
    end: float  # of the past, Unix seconds

    def history(self, begin: float, end: float) -> Iterator[bytes]:
        """Encoded series of a time."""
        labels = {"job": JOB, "instance": self.target}
        return history(self.templates, self.count, begin, end, self.end, labels)


@contextmanager
def collectors(count: int, arguments: argparse.Namespace) -> Iterator[Fleet]:
    """So many collectors and their past."""
    now, slo = time.time(), OBJECTIVES if arguments.objectives else SLO
    templates = [collector_samples(now, phase, slo) for phase in range(PHASES)]
    server = serve(exposition(count, templates))
    target = f"127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory(prefix="collection-health-bench-") as name:
        fleet = Fleet(count, templates, target, Path(name) / "data", now)
        prometheus = Prometheus(Path(name), arguments.suite)
        try:
            prometheus.fill(fleet.history(now - arguments.days * DAY, now))
            prometheus.process.stop()
            yield fleet
        finally:
            prometheus.process.stop()
            server.shutdown()


def measure(fleet: Fleet, arguments: argparse.Namespace, rules: dict[str, Any] | None) -> Cost:
    """Run one rule set on one fleet.

    Groups with intervals beyond the measurement are evaluated once before it for their duration;
    their share of the cycle is added to evaluation time and cores.
    """
    cost, minutes = Cost(), arguments.minutes
    with tempfile.TemporaryDirectory(prefix="collection-health-bench-") as name:
        directory = Path(name)
        shutil.copytree(fleet.data, directory / "data", ignore=shutil.ignore_patterns("lock"))
        prometheus = Prometheus(directory, arguments.suite)
        try:
            prometheus.write(fleet.history(fleet.end - SCRAPE, time.time()))  # since then
            prometheus.scrape(fleet.target)
            rare = 0.0
            if rules is not None:
                groups = rules["groups"]
                cost.rules = sum(len(group["rules"]) for group in groups)
                file = prometheus.rules / "rules.yml"
                long = [g for g in groups if _seconds(g.get("interval", "30s")) > 60 * minutes]
                hurried = [
                    {**group, "interval": "30s"} if group in long else group for group in groups
                ]
                file.write_text(
                    yaml.dump(
                        {"groups": hurried}, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)
                    )
                )
                prometheus.reload()
                time.sleep(max(150.0, 4 * SCRAPE))
                rare = prometheus.group_seconds(long)
                cost.dearest = prometheus.dearest(groups)
                file.write_text(
                    yaml.dump(rules, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
                )
                cost.size_mb = file.stat().st_size / 1e6
                cost.reload_seconds = prometheus.reload()
            time.sleep(60)
            begun, cpu = time.time(), prometheus.number("process_cpu_seconds_total")
            often = [] if rules is None else [g for g in rules["groups"] if g not in long]
            seen = []
            while time.time() < begun + 60 * minutes:
                time.sleep(CYCLE)
                seen.append(prometheus.group_seconds(often))
            spent = prometheus.number("process_cpu_seconds_total") - cpu
            cost.cores = spent / (time.time() - begun) + rare / CYCLE
            cost.memory_mb = prometheus.number("process_resident_memory_bytes") / 1e6
            cost.series = int(prometheus.number("prometheus_tsdb_head_series"))
            cost.evaluation_seconds = sum(seen) / len(seen) + rare
            missed = prometheus.number("prometheus_rule_group_iterations_missed_total")
            failed = prometheus.number("prometheus_rule_evaluation_failures_total")
            assert not failed, f"{failed:.0f} rule evaluations failed"
            if missed:
                print(
                    f"  {missed:.0f} evaluations were skipped because others took too long",
                    flush=True,
                )
        finally:
            prometheus.process.stop()
    return cost


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collectors", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--minutes", type=float, default=5, help="measured, per rule set")
    parser.add_argument("--days", type=float, default=3, help="of history")
    parser.add_argument(
        "--objectives",
        action="store_true",
        help="all five for each collector, not availability alone",
    )
    parser.add_argument("--suite", help="Debian release whose Prometheus is measured")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engine ends with us
    print(
        "| collectors | rules of | rules | size MB | reload s | cores | cores of rules | evaluation s per 30 s | memory MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    pack = {"groups": [g for path in PACK for g in yaml.safe_load(path.read_text())["groups"]]}
    for count in arguments.collectors:
        base = 0.0
        shares: dict[str, float] = {}
        with collectors(count, arguments) as fleet:
            for name, rules in (("none", None), ("the pack", pack), ("Sloth-style", sloth(count))):
                cost = measure(fleet, arguments, rules)
                base = cost.cores if rules is None else base
                shares[name] = cost.cores - base
                print(
                    f"| {count} | {name} | {cost.rules} | {cost.size_mb:.1f} | {cost.reload_seconds:.2f} | {cost.cores:.3f} "
                    f"| {shares[name]:.3f} | {cost.evaluation_seconds:.2f} | {cost.memory_mb:.0f} |",
                    flush=True,
                )
                if rules is pack:
                    dearest = cost.dearest
        print(
            f"\n{count} collectors: the pack takes {shares['the pack'] / shares['Sloth-style']:.2f} of Sloth's CPU\n\n"
            "its dearest rules, ms a cycle:",
            *(f"{1000 * seconds:6.1f}  {rule}" for seconds, rule in dearest), "", sep="\n", flush=True,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
