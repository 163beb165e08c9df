"""Fault injection: real processes break, the whole line from outcome to verified repair acts.

Real exporter, Prometheus with the pack's rules, Alertmanager with the pack's routes, collectors
and upstreams as processes. Run by ``make test-faults``; prints the figures of
exporter/guides/recovery.md and exits 1 when a promise is not kept.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from collection_health.events import BreakGlass, Event, Recovery, decode_events
from collection_health.ledger import open_reader
from tests.alertmanager.support import generate
from tests.recovery.support import recoveries, send
from tests.support.process import free_port, wait_for
from tests.support.services import Exporter, Prometheus, Stack

HERE = Path(__file__).resolve().parent
FAULTY = [sys.executable, str(HERE / "faulty.py")]
HEALTHY = 52  # collectors beside those that break: the fleet guard stays at its default
BATCH = 16
LIMITS = {"per_hour": 4, "per_day": 8}

# fault -> what the team configured as its ladder
RECOVERABLE = {
    "crash": ["rerun", "restart"],  # the process is gone
    "hang": ["restart"],  # a run never ends
    "wedge": ["rerun", "restart"],  # every run times out until the process is a new one
    "upstream_503": ["reset", "rerun"],  # an HTTP call mends the upstream
    "refused": ["revive", "rerun"],  # the upstream's process is gone
}
REFUSED = {"auth": "auth", "schema": "schema", "disk": "storage"}  # fault -> reason
HOPELESS = {"upstream_down": ["rerun", "restart"], "crash_loop": ["restart", "restart"]}
KNOBS: dict[str, Any] = {
    "fastInterval": "5s",
    "slowInterval": "10s",
    "baselineInterval": "30s",
    "historyInterval": "1m",
    "longInterval": "1m",
    "scrapeGuard": "20s",
    "failing": {"impatientTiers": ["1"], "minStreak": "10s"},
    "freshness": {"settle": "10s"},
}
THROTTLE = {"recovery": {"group_wait": "1s", "group_interval": "5s", "repeat_interval": "15s"}}


@dataclass
class Fault:
    """One fault: what breaks in which collector, and what became of it."""

    kind: str
    collector: str
    interval: float
    injected: float = 0.0
    record: dict[str, Any] = field(default_factory=dict)
    alerted: bool = False

    @property
    def recoverable(self) -> bool:
        """Whether a configured step can mend it."""
        return self.kind in RECOVERABLE

    def as_it_should(self) -> bool:
        """Recovered and verified; or left alone, or given up, and escalated."""
        phase, result = self.record.get("phase"), self.record.get("result")
        if self.recoverable:
            return (phase, result) == ("verified", "recovered")
        untouched = self.kind not in REFUSED or not self.record.get("tries")
        return phase == "exhausted" and untouched and self.alerted


class Upstream:
    """A real HTTP server; a collector's mode decides how it is answered."""

    def __init__(self) -> None:
        self.modes: dict[str, str] = {}
        modes = self.modes

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mode = modes.get(self.path[1:], "ok")
                status = {"upstream_503": 503, "upstream_down": 503, "auth": 401}.get(mode, 200)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"total": 7}' if mode == "schema" else b'{"amount": 7}')

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if modes.get(body["collector"]) == "upstream_503":
                    del modes[body["collector"]]
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Bench:
    """Everything that runs, and the faults."""

    def __init__(self, folder: Path, stack: Stack, shipped: bool) -> None:
        self.folder, self.stack, self.shipped = folder, stack, shipped
        self.state = folder / "state"
        self.state.mkdir()
        self.upstream = Upstream()
        self.own: dict[str, int] = {}  # collector -> port of an upstream of its own
        self.inventory = folder / "collectors.yml"
        self.children: list[subprocess.Popen[bytes]] = []
        self.faults: list[Fault] = []
        self.stop = threading.Event()
        self._serial = itertools.count()
        self.exporter, self.prometheus = self._services()
        threading.Thread(target=self._healthy, daemon=True).start()

    def _services(self) -> tuple[Exporter, Prometheus]:
        exporter = self.stack.exporter(
            self._yaml([]), arguments=["--timers.settle=2s", "--log.level=warning"]
        )
        self.inventory = exporter.process.log.parent / "collectors.yml"
        section = {} if self.shipped else {"throttle": THROTTLE}
        knobs = {} if self.shipped else KNOBS
        config = generate(
            self.folder / "pack", section, rules=True, exporterUrl=exporter.url, **knobs
        )
        alertmanager = self.stack.alertmanager(config)
        prometheus = self.stack.prometheus(
            {"collection-health": [exporter.address], "alertmanager": [alertmanager.address]},
            rules=[config.with_name(f"{name}.yml") for name in ("rules", "alerts")],
            alertmanagers=[alertmanager.address],
        )
        exporter.process.stop()
        exporter.process.command.append(f"--prometheus.url={prometheus.url}")
        exporter.start()
        return exporter, prometheus

    def _yaml(self, batch: list[Fault]) -> str:
        """The inventory: actions by argv and URL, the healthy, and the collectors of a batch."""
        shell = ["sh", str(HERE / "faulty.sh"), str(self.state)]
        actions: dict[str, Any] = {
            "rerun": {"command": [*shell, "rerun"]},
            "restart": {"command": [*shell, "restart"]},
            "revive": {"command": [*shell, "revive"]},
            "reset": {"http": {"url": f"{self.upstream.url}/reset"}},
        }
        for action in actions.values():
            action["timeout"] = "10s"
        healthy = [
            {"name": f"healthy-{number:02}", "schedule": {"every": "10s"}}
            for number in range(HEALTHY)
        ]
        broken = [
            {
                "name": fault.collector, "tier": 1, "schedule": {"every": f"{fault.interval:g}s"},
                "grace": "1s", "timeout": f"{max(2.0, fault.interval / 2):g}s",
                "recovery": {
                    "mode": "auto",
                    "steps": [{"action": name} for name in ladder_of(fault.kind)],
                    "backoff": {"initial": "1s"},
                    "verify_within": f"{2 * fault.interval + 5:g}s",
                    "limits": LIMITS,
                },
            }
            for fault in batch
        ]  # fmt: skip
        return yaml.safe_dump({"actions": actions, "collectors": [*healthy, *broken]})

    def _healthy(self) -> None:
        """The part of the fleet that nothing happens to."""
        while not self.stop.wait(5):
            with contextlib.suppress(OSError):
                self.exporter.post(
                    [
                        {"collector": f"healthy-{number:02}", "outcome": "success"}
                        for number in range(HEALTHY)
                    ]
                )

    # --- one batch ------------------------------------------------------------------------------

    def run(self, batch: list[Fault], kill: bool, stopped: bool) -> None:
        """Start the batch's collectors, break each, wait for the end of each."""
        self.faults += batch
        self.inventory.write_text(self._yaml(batch))
        self._reload()
        for fault in batch:
            self._start(fault)
        time.sleep(max(fault.interval for fault in batch) * 2 + 2)
        if stopped:
            self._break_glass(True)
        for fault in batch:
            self._inject(fault)
            time.sleep(0.3)
        if stopped:
            time.sleep(15)
            self._break_glass(False)
        if kill:
            time.sleep(random.uniform(2, 8))
            self.exporter.process.kill()
            self.exporter.start()
        for fault in batch:
            limit = 12 * fault.interval + (600 if self.shipped else 120)
            with contextlib.suppress(AssertionError):
                wait_for(lambda fault=fault: self._ended(fault), fault.collector, limit)
        self._end(batch)

    def _reload(self) -> None:
        self.exporter.process.signal(signal.SIGHUP)
        time.sleep(0.5)

    def _break_glass(self, active: bool) -> None:
        body = {"mode": "stop", "reason": "the suite", "duration": "10m", "active": active}
        assert send(self.exporter, "break-glass", body)[0] == 200

    def _start(self, fault: Fault) -> None:
        url = self.upstream.url
        if fault.kind == "refused":
            port = self.own[fault.collector] = free_port()
            url = f"http://127.0.0.1:{port}"
            pid = self.state / f"{fault.collector}.upstream.pid"
            script = f"exec {' '.join(FAULTY)} serve {port} {pid}"
            pid.with_suffix(".sh").write_text(script)
            self._act(fault, "revive")
        command = [
            *FAULTY, "collect", fault.collector, f"{fault.interval:g}", url,
            self.exporter.url, str(self.state),
        ]  # fmt: skip
        (self.state / f"{fault.collector}.sh").write_text(f"exec {' '.join(command)}")
        self._act(fault, "restart")

    def _act(self, fault: Fault, action: str) -> None:
        environment = {**os.environ, "COLLECTION_HEALTH_COLLECTOR": fault.collector}
        subprocess.run(
            ["sh", str(HERE / "faulty.sh"), str(self.state), action], check=True, env=environment
        )

    def _inject(self, fault: Fault) -> None:
        name = fault.collector
        fault.injected = time.time()
        if fault.kind in ("hang", "wedge", "disk"):
            (self.state / f"{name}.{fault.kind}").touch()
        elif fault.kind in ("crash", "crash_loop"):
            if fault.kind == "crash_loop":
                (self.state / f"{name}.crashes").touch()
            self._kill(name, "pid")
        elif fault.kind == "refused":
            self._kill(name, "upstream.pid")
        else:
            self.upstream.modes[name] = fault.kind

    def _kill(self, name: str, suffix: str) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.state / f"{name}.{suffix}").read_text()), signal.SIGKILL)

    def _ended(self, fault: Fault) -> bool:
        found = recoveries(self.exporter, fault.collector)
        fault.record = found[0] if found else {}
        phase = fault.record.get("phase")
        if phase == "exhausted" and not fault.alerted:
            labels = {"alertname": "CollectorRecoveryExhausted", "collector": fault.collector}
            said = "needs a person" if fault.kind in REFUSED else ladder_of(fault.kind)[0]
            fault.alerted = any(
                said in alert["annotations"]["description"]
                for alert in self.prometheus.alerts(**labels)
            )
        return phase == "verified" or (phase == "exhausted" and fault.alerted)

    def _end(self, batch: list[Fault]) -> None:
        """The collectors of the batch retire: paused, so that nobody misses them."""
        for fault in batch:
            send(
                self.exporter, f"collectors/{fault.collector}/pause", {"reason": "the batch ended"}
            )
            self._kill(fault.collector, "pid")
            self._kill(fault.collector, "upstream.pid")

    def close(self) -> None:
        """End every process of the bench."""
        self.stop.set()
        self._end([])
        for fault in self.faults:
            self._kill(fault.collector, "pid")
            self._kill(fault.collector, "upstream.pid")

    def events(self) -> Iterator[Event]:
        """The ledger, in order."""
        with open_reader(self.exporter.process.log.parent / "data" / "ledger.db") as connection:
            for (body,) in connection.execute("SELECT body FROM events ORDER BY position"):
                yield from decode_events(body)


def ladder_of(kind: str) -> list[str]:
    """The actions of a fault's ladder; refused faults have one that must stay unused."""
    return RECOVERABLE.get(kind) or HOPELESS.get(kind) or ["rerun", "restart"]


def violations(events: list[Event]) -> dict[str, int]:
    """Actions that must not have run, from the ledger alone."""
    starts = [e for e in events if isinstance(e, Recovery) and e.phase == "started"]
    twice = Counter((e.collector, e.incident, e.step, e.attempt) for e in starts)
    by_collector: dict[str, list[float]] = defaultdict(list)
    for event in starts:
        by_collector[event.collector].append(event.at)
    stops = [e for e in events if isinstance(e, BreakGlass)]
    spans = [
        (first.at, second.at)
        for first, second in itertools.pairwise(stops)
        if first.active and not second.active
    ]
    return {
        "steps run twice for one incident": sum(count - 1 for count in twice.values()),
        "attempts beyond the hourly cap": sum(
            sum(at - 3600 < other <= at for other in times) > LIMITS["per_hour"]
            for times in by_collector.values()
            for at in times
        ),
        "attempts during break-glass stop": sum(
            begin < event.at < end for event in starts for begin, end in spans
        ),
    }


def report(faults: list[Fault], events: list[Event]) -> bool:
    """Print the figures; whether every promise is kept."""
    seconds: dict[float, list[float]] = defaultdict(list)
    interval = {fault.collector: fault.interval for fault in faults}
    for event in events:
        if isinstance(event, Recovery) and event.phase == "verified":
            seconds[interval[event.collector]].append(event.at - event.incident)
    print("| fault | injected | as it should |\n|---|---|---|")
    for kind in (*RECOVERABLE, *REFUSED, *HOPELESS):
        those = [fault for fault in faults if fault.kind == kind]
        print(f"| {kind} | {len(those)} | {sum(fault.as_it_should() for fault in those)} |")
    for fault in faults:
        if not fault.as_it_should():
            print(f"NOT: {fault.kind} {fault.collector} {fault.alerted} {fault.record}")
    mendable = [fault for fault in faults if fault.recoverable]
    others = [fault for fault in faults if not fault.recoverable]
    recovered = sum(f.as_it_should() for f in mendable) / max(1, len(mendable))
    escalated = sum(f.as_it_should() for f in others) / max(1, len(others))
    print(f"\nrecoverable, recovered and verified: {recovered:.1%} of {len(mendable)}")
    print(f"unrecoverable, left alone or given up, and escalated: {escalated:.1%} of {len(others)}")
    for cadence, times in sorted(seconds.items()):
        print(
            f"time to recovery at {cadence:g} s: mean {statistics.mean(times):.1f} s, "
            f"median {statistics.median(times):.1f} s, longest {max(times):.1f} s ({len(times)})"
        )
    broken = violations(events)
    for what, count in broken.items():
        print(f"{what}: {count}")
    quick = statistics.mean(seconds[10.0]) < 60 if seconds[10.0] else True
    return recovered >= 0.95 and escalated == 1 and quick and not any(broken.values())


def plan(count: int, intervals: list[float]) -> list[list[Fault]]:
    """Batches of faults: three of four recoverable, every kind in turn, cadences mixed."""
    mendable, others = itertools.cycle(RECOVERABLE), itertools.cycle((*REFUSED, *HOPELESS))
    faults = [
        Fault(next(others if number % 4 == 3 else mendable), f"job-{number:03}", interval)
        for number, interval in zip(range(count), itertools.cycle(intervals), strict=False)
    ]
    return [faults[start : start + BATCH] for start in range(0, count, BATCH)]


def main() -> int:
    """Run the suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=208)
    parser.add_argument("--intervals", type=float, nargs="+", default=[10.0, 2.0, 10.0])
    parser.add_argument("--shipped", action="store_true", help="the pack without any knob turned")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as closing:
        stack = Stack(Path(name) / "stack")
        closing.callback(stack.close)
        bench = Bench(Path(name), stack, args.shipped)
        closing.callback(bench.close)
        for number, batch in enumerate(plan(args.faults, args.intervals)):
            began = time.time()
            bench.run(batch, kill=number % 3 == 1, stopped=number % 3 == 2)
            kept = sum(fault.as_it_should() for fault in batch)
            took = time.time() - began
            print(f"batch {number + 1}: {kept} of {len(batch)} as they should, {took:.0f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
        bench.exporter.process.stop()
        return 0 if report(bench.faults, list(bench.events())) else 1


if __name__ == "__main__":
    sys.exit(main())
