"""What the rules cost: the whole pack beside a Sloth-style rule set on the same collectors.

A real Prometheus scrapes N collectors every 30 s and holds three days of their history. It runs
without rules, with the pack, and with one SLO per collector as Sloth generates it (8 windows from
5 m to 30 d, 7 meta rules, 2 alerts); the first run's CPU is taken off the others'.

    python -m tests.bench.rules [--collectors 1000 5000] [--minutes 4] [--days 3]
"""
# ruff: noqa: E501  # queries and table rows read better unwrapped

import argparse
import json
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from collection_health import fold, inventory, metrics
from collection_health.backtest import remote_write
from collection_health.events import Outcome, Quality, Records
from collection_health.state import CollectorState
from tests.support.process import Process, free_port
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
PACK = [ROOT / "rules/generated/rules.yml", ROOT / "rules/generated/alerts.yml"]
JOB = "collection-health"
SCRAPE = 30
CYCLE = 30.0  # seconds; what the evaluation time is stated for
DAY = 86_400.0
DEPENDENCIES = 20
# Windows of Sloth's default 30-day SLO; the last is built from the first.
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")


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


def collector_samples(now: float) -> list[tuple[str, dict[str, str], float]]:
    """The samples of one healthy collector with two hundred runs behind it.

    Its runs end in an hour, so that nothing is overdue while the bench lasts.
    """
    now += 3600.0
    text = yaml.safe_dump({
        "dependencies": {"d": None},
        "collectors": [{
            "name": "c", "team": "data", "tier": 2, "schedule": {"every": "5m"}, "timeout": "2m",
            "depends_on": ["d"],
            "slo": {"availability": 0.995, "latency": "60s", "freshness": "1h", "quality": 0.9, "min_records": 10},
            "impact": {"weight": 3, "consumers": ["billing"], "cost_per_hour": 40},
        }],
    })  # fmt: skip
    config = inventory.parse(text).collector("c")
    state = CollectorState("c")
    for run in range(200):
        failed = run % 50 == 49
        event = Outcome(
            "c", "failure" if failed else "success", at=now - 300.0 * (200 - run), run_id=str(run),
            duration_seconds=10.0 + run % 7, reason="timeout" if failed else None,
            records=Records(collected=500 + run % 13), quality=Quality(score=0.98), version="1",
        )  # fmt: skip
        fold.apply(state, event, config, run)
    return [
        (name, dict(labels), value) for name, labels, value in metrics.samples(state, config, now)
    ]


def exposition(count: int, now: float) -> bytes:
    """`/metrics` of that many collectors."""
    lines: list[str] = []
    template = collector_samples(now)
    for number in range(count):
        for name, labels, value in template:
            if "collector" in labels:
                labels["collector"] = f"c{number:05d}"
            if "dependency" in labels:
                labels["dependency"] = f"d{number % DEPENDENCIES}"
            braced = ",".join(f'{key}="{text}"' for key, text in labels.items())
            lines.append(f"{name}{{{braced}}} {value}")
    return ("\n".join(sorted(lines)) + "\n").encode()


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


def history(count: int, days: float, end: float, target: dict[str, str]) -> Iterator[bytes]:
    """Encoded series of the past: counters as scraped, and what the pack recorded of levels.

    All rule sets get the same, so that what storing it costs can be taken off.
    """

    def grid(seconds: float, span: float) -> remote_write.Times:
        return np.arange(end - span, end - SCRAPE, seconds).astype(np.int64) * 1000

    counters = [
        (name, labels, value)
        for name, labels, value in collector_samples(end)
        if name.endswith("_total")
    ]
    dense, sparse = grid(SCRAPE, days * DAY), grid(300, days * DAY)
    minutes, hours, day = grid(60, days * DAY), grid(3600, days * DAY), grid(SCRAPE, DAY)
    wave = 500.0 + 100.0 * np.sin(minutes / 1000 / DAY * 2 * np.pi)
    recorded = [
        ("collector:records:level", {"window": "3"}, minutes, wave),
        ("collector:records:level", {"window": "10"}, minutes, wave),
        ("collector:failing:bool", {}, day, np.zeros(len(day))),
        ("collector:page:bool", {}, day[-60:], np.zeros(60)),
        ("collector:duration:hourly_seconds", {}, hours, np.full(len(hours), 12.0)),
        ("collector:quality:hourly_ratio", {}, hours, np.full(len(hours), 0.98)),
        *(
            ("collector:records:error_hourly", {"window": window, "model": model}, hours, np.full(len(hours), 0.1))
            for window in ("3", "10")
            for model in ("flat", "daily", "weekly")
        ),
    ]  # fmt: skip
    for number in range(count):
        collector = {"collector": f"c{number:05d}"}
        for name, labels, value in counters:
            times = dense if name.startswith("collection_sli_") else sparse
            values = value - (end * 1000 - times) / 300_000.0 * (
                0.0 if "error" in name or "fail" in name else 1.0
            )
            yield remote_write.encode_series(
                {"__name__": name, **target, **labels, **collector}, times, np.maximum(values, 0.0)
            )
        for name, labels, times, values in recorded:
            yield remote_write.encode_series(
                {"__name__": name, **labels, **collector}, times, values
            )


def sloth(count: int) -> dict[str, Any]:
    """One SLO per collector: the rules Sloth generates for an events SLI."""
    groups = []
    for number in range(count):
        collector = f"c{number:05d}"
        ids = {
            "sloth_id": f"{collector}-availability",
            "sloth_service": collector,
            "sloth_slo": "availability",
        }
        selector = f'{{sli="availability", collector="{collector}"}}'
        where = (
            f'sloth_id="{ids["sloth_id"]}", sloth_service="{collector}", sloth_slo="availability"'
        )

        def ratio(window: str, selector: str = selector, where: str = where) -> str:
            if window == "30d":
                series = f"slo:sli_error:ratio_rate5m{{{where}}}[30d]"
                return (
                    f"sum_over_time({series}) / ignoring (sloth_window) count_over_time({series})"
                )
            rates = [
                f"sum(rate(collection_sli_{kind}_total{selector}[{window}]))"
                for kind in ("errors", "events")
            ]
            return f"({rates[0]}) / ({rates[1]})"

        groups.append({
            "name": f"sloth-slo-sli-recordings-{collector}",
            "rules": [
                {"record": f"slo:sli_error:ratio_rate{window}", "expr": ratio(window),
                 "labels": {**ids, "sloth_window": window}}
                for window in WINDOWS
            ],
        })  # fmt: skip
        budget = f"slo:error_budget:ratio{{{where}}}"
        meta = [
            ("slo:objective:ratio", "vector(0.995)"),
            ("slo:error_budget:ratio", "vector(1-0.995)"),
            ("slo:time_period:days", "vector(30)"),
            ("slo:current_burn_rate:ratio",
             f"slo:sli_error:ratio_rate5m{{{where}}} / on(sloth_id, sloth_slo, sloth_service) group_left {budget}"),
            ("slo:period_burn_rate:ratio",
             f"slo:sli_error:ratio_rate30d{{{where}}} / on(sloth_id, sloth_slo, sloth_service) group_left {budget}"),
            ("slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{{{where}}}"),
            ("sloth_slo_info", "vector(1)"),
        ]  # fmt: skip
        groups.append(
            {
                "name": f"sloth-slo-meta-recordings-{collector}",
                "rules": [{"record": name, "expr": expr, "labels": ids} for name, expr in meta],
            }
        )

        def burning(pairs: list[tuple[str, str, float]], where: str = where) -> str:
            return " or ".join(
                f"(max(slo:sli_error:ratio_rate{short}{{{where}}} > ({burn} * 0.005)) without (sloth_window)"
                f" and max(slo:sli_error:ratio_rate{long}{{{where}}} > ({burn} * 0.005)) without (sloth_window))"
                for short, long, burn in pairs
            )

        groups.append({
            "name": f"sloth-slo-alerts-{collector}",
            "rules": [
                {"alert": "CollectorAvailability", "labels": {"sloth_severity": "page"},
                 "expr": burning([("5m", "1h", 14.4), ("30m", "6h", 6)])},
                {"alert": "CollectorAvailability", "labels": {"sloth_severity": "ticket"},
                 "expr": burning([("2h", "1d", 3), ("6h", "3d", 1)])},
            ],
        })  # fmt: skip
    return {"groups": groups}


class Prometheus:
    """A scratch Prometheus that scrapes one target and evaluates rule files."""

    def __init__(self, directory: Path, target: str, suite: str | None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = directory / "prometheus.yml"
        self.rules = directory / "rules"
        self.rules.mkdir()
        self.config.write_text(yaml.safe_dump({
            "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s", "scrape_timeout": "20s"},
            "storage": {"tsdb": {"out_of_order_time_window": "30d"}},
            "rule_files": [f"{self.rules}/*.yml"],
            "scrape_configs": [
                {"job_name": JOB, "static_configs": [{"targets": [target]}]},
                {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]},
            ],
        }))  # fmt: skip
        self.process = Process(
            [tool("prometheus", suite=suite), f"--config.file={self.config}", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
             "--web.enable-lifecycle", "--storage.tsdb.retention.time=31d"],
            directory / "prometheus.log",
        )  # fmt: skip
        self.process.start()
        self.process.wait_http(f"{self.url}/-/ready")

    def write(self, encoded: Iterator[bytes]) -> None:
        """Fill in the past."""
        headers = {
            "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }  # fmt: skip
        for body in remote_write.requests(encoded):
            request = urllib.request.Request(f"{self.url}/api/v1/write", body, headers)
            with urllib.request.urlopen(request, timeout=120):
                pass

    def reload(self) -> float:
        """Seconds that reading the rule files takes."""
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

    def group_seconds(self, groups: list[dict[str, Any]], only: set[str] | None = None) -> float:
        """Evaluation time of all groups (or some) per cycle, each at its own interval."""
        intervals = {
            group["name"]: _seconds(group.get("interval", f"{SCRAPE}s")) for group in groups
        }
        total = 0.0
        for line in self.own().splitlines():
            if line.startswith("prometheus_rule_group_last_duration_seconds{"):
                name = line.split(";", 1)[1].split('"', 1)[0]
                if only is not None and name not in only:
                    continue
                total += float(line.rsplit(" ", 1)[1]) * CYCLE / intervals[name]
        return total

    def query(self, expr: str) -> Any:
        """The result of an instant query."""
        url = f"{self.url}/api/v1/query?query={urllib.parse.quote(expr)}"
        with urllib.request.urlopen(url, timeout=120) as answer:
            return json.load(answer)["data"]["result"]


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[duration[-1]]


def measure(
    count: int, days: float, minutes: float, rules: dict[str, Any] | None, suite: str | None
) -> Cost:
    """Run one rule set on one fleet.

    Groups with intervals beyond the measurement are evaluated once before it for their duration;
    their share of the cycle is added to evaluation time and cores.
    """
    cost = Cost()
    now = time.time()
    server = serve(exposition(count, now))
    with tempfile.TemporaryDirectory(prefix="collection-health-bench-") as name:
        directory = Path(name)
        target = f"127.0.0.1:{server.server_port}"
        prometheus = Prometheus(directory, target, suite)
        try:
            labels = {"job": JOB, "instance": target}
            prometheus.write(history(count, days, now, labels))
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
                total = prometheus.group_seconds(groups)
                rare = prometheus.group_seconds(groups, {group["name"] for group in long})
                file.write_text(
                    yaml.dump(rules, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
                )
                cost.size_mb = file.stat().st_size / 1e6
                cost.reload_seconds = prometheus.reload()
                cost.evaluation_seconds = total
            time.sleep(60)
            begun, cpu = time.time(), prometheus.number("process_cpu_seconds_total")
            time.sleep(60 * minutes)
            spent = prometheus.number("process_cpu_seconds_total") - cpu
            cost.cores = spent / (time.time() - begun) + rare / CYCLE
            cost.memory_mb = prometheus.number("process_resident_memory_bytes") / 1e6
            cost.series = int(prometheus.number("prometheus_tsdb_head_series"))
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
            server.shutdown()
    return cost


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collectors", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--minutes", type=float, default=4, help="measured, per rule set")
    parser.add_argument("--days", type=float, default=3, help="of history")
    parser.add_argument("--suite", help="Debian release whose Prometheus is measured")
    arguments = parser.parse_args()
    print(
        "| collectors | rules of | rules | size MB | reload s | cores | cores of rules | evaluation s per 30 s | memory MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    pack = {"groups": [g for path in PACK for g in yaml.safe_load(path.read_text())["groups"]]}
    for count in arguments.collectors:
        base = 0.0
        shares: dict[str, float] = {}
        for name, rules in (("none", None), ("the pack", pack), ("Sloth-style", sloth(count))):
            cost = measure(count, arguments.days, arguments.minutes, rules, arguments.suite)
            base = cost.cores if rules is None else base
            shares[name] = cost.cores - base
            print(
                f"| {count} | {name} | {cost.rules} | {cost.size_mb:.1f} | {cost.reload_seconds:.2f} | {cost.cores:.3f} "
                f"| {shares[name]:.3f} | {cost.evaluation_seconds:.2f} | {cost.memory_mb:.0f} |",
                flush=True,
            )
        print(
            f"\n{count} collectors: the pack takes {shares['the pack'] / shares['Sloth-style']:.2f} of Sloth's CPU\n",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
