"""``make demo``: a small fleet of real collectors breaks on a script; watch who is told, when.

Starts the exporter, Prometheus, Alertmanager, a notification sink and an upstream; runs real
collectors against it; ends everything with Ctrl-C or after ``--seconds``.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from processes import Children, fetch, free_ports, wait_until_ready
from screen import Facts, Screen, table

from tests.support.sinks import Message, NotificationSink

HERE = Path(__file__).resolve().parent
COMMAND = (sys.executable, "-m", "collection_health")
# seconds to wait, API, what it does from then on
SCRIPT = (
    (20, "shop-api", "refused"), (60, "shop-api", "ok"),
    (25, "public-api", "limited"), (50, "public-api", "ok"),
    (25, "shop-api", "denied"), (40, "shop-api", "ok"),
    (25, "public-api", "broken"), (50, "public-api", "ok"),
    (25, "shop-api", "missing"), (40, "shop-api", "ok"),
    (25, "public-api", "slow"), (50, "public-api", "ok"),
    (25, "public-api", "empty"), (50, "public-api", "ok"),
)  # fmt: skip
PEOPLE, STATUSES = ("slack", "email", "webhook"), ("firing", "resolved")
DASHBOARDS = HERE.parents[2] / "dashboards" / "generated"


@dataclass(frozen=True)
class Ports:
    """Where everything listens."""

    exporter: int
    prometheus: int
    alertmanager: int
    control: int
    shop: int
    public: int

    def url(self, name: str) -> str:
        """The base URL of one of them."""
        return f"http://127.0.0.1:{getattr(self, name)}"


class Demo:
    """Everything that runs, and what was seen of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.directory: Path = args.directory
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.args = args
        self.ports = Ports(*free_ports(6))
        url = self.ports.url("exporter")
        spool = self.directory / "spool"
        self.children = Children(
            self.directory,
            {"COLLECTION_HEALTH_URL": url, "COLLECTION_HEALTH_SPOOL": str(spool)},
        )
        self.inventory = yaml.safe_load((HERE / "collectors.yml").read_text())
        self.sink = NotificationSink(self.landed)
        self.screen: Screen | None = None
        self.broken_at: float | None = None
        self.facts = Facts(self.ports.url("prometheus"))

    def landed(self, message: Message) -> None:
        """A notification arrived (called on the sink's threads)."""
        after = message.at - self.broken_at if self.broken_at else None
        if self.screen is not None and message.channel in PEOPLE:
            self.screen.notify(message, after)

    # --- what runs ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the services and wait until each answers."""
        ports, directory = self.ports, self.directory
        pack = yaml.safe_load((HERE / "pack.yml").read_text())
        pack["exporterUrl"] = ports.url("exporter")
        pack["alertmanager"]["channels"] = self.sink.channels(directory)
        (directory / "pack.yml").write_text(yaml.safe_dump(pack))
        await self.children.run(
            "generate", *COMMAND, "generate", "--config", directory / "pack.yml",
            "--output", directory / "pack",
        )  # fmt: skip
        (directory / "prometheus.yml").write_text(yaml.safe_dump(self.prometheus_config()))
        await self.children.start(
            "upstream", sys.executable, HERE / "upstream.py", "--control", str(ports.control),
            f"shop-api={ports.shop}", f"public-api={ports.public}",
        )  # fmt: skip
        await self.children.start(
            "exporter", *COMMAND, "serve", "--config.file", HERE / "collectors.yml",
            "--storage.path", directory / "ledger", "--timers.settle", "5s",
            "--web.listen-address", f"127.0.0.1:{ports.exporter}",
        )  # fmt: skip
        await self.children.start(
            "alertmanager", self.args.alertmanager,
            f"--config.file={directory / 'pack/alertmanager/generated/alertmanager.yml'}",
            f"--storage.path={directory / 'alertmanager'}", "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{ports.alertmanager}",
        )  # fmt: skip
        await self.children.start(
            "prometheus", self.args.prometheus, f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{ports.prometheus}",
        )  # fmt: skip
        for name in ("exporter", "alertmanager", "prometheus"):
            await wait_until_ready(name, f"{ports.url(name)}/-/ready")

    def prometheus_config(self) -> dict[str, object]:
        """Scrape everything every second and load the generated rules."""
        jobs = {"collection-health": "exporter", "prometheus": "prometheus",
                "alertmanager": "alertmanager"}  # fmt: skip
        rules = sorted((self.directory / "pack/rules/generated").glob("*.yml"))
        return {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "alerting": {"alertmanagers": [{"static_configs": [
                {"targets": [f"127.0.0.1:{self.ports.alertmanager}"]}]}]},
            "scrape_configs": [
                {"job_name": job, "static_configs": [
                    {"targets": [f"127.0.0.1:{getattr(self.ports, name)}"]}]}
                for job, name in jobs.items()
            ],
        }  # fmt: skip

    def collector(self, name: str) -> tuple[str | Path, ...]:
        """The command of one run of a collector."""
        api = self.ports.url("shop" if name in ("orders", "customers", "invoices") else "public")
        url = f"{api}/{name}"
        if name == "weather":
            return HERE / "weather.sh", self.ports.url("exporter"), api
        if name in ("invoices", "rates"):
            return (*COMMAND, "exec", name, "--", sys.executable, HERE / "fetch.py", url)
        return sys.executable, HERE / "collect.py", name, url

    async def run_forever(self, name: str, every: float, delay: float) -> None:
        """Run one collector on its interval, as cron would."""
        await asyncio.sleep(delay)
        while True:
            started = time.monotonic()
            await self.children.run(f"collector-{name}", *self.collector(name))
            await asyncio.sleep(max(0.2, every - (time.monotonic() - started)))

    async def break_things(self) -> None:
        """Follow the script, again and again."""
        while True:
            for wait, api, mode in SCRIPT:
                await asyncio.sleep(wait)
                if mode != "ok":
                    self.broken_at = None
                body = json.dumps({"api": api, "mode": mode}).encode()
                await asyncio.to_thread(fetch, f"{self.ports.url('control')}/fault", body)
                if self.screen is not None:
                    self.screen.note(f"--- {api}: {'healthy again' if mode == 'ok' else mode} ---")

    async def watch(self) -> None:
        """Draw the table and note when the first run of a fault failed."""
        names = [entry["name"] for entry in self.inventory["collectors"]]
        while True:
            await asyncio.sleep(1)
            if ended := self.children.ended():
                raise SystemExit(f"demo: ended unexpectedly: {', '.join(ended)}")
            lines = await asyncio.to_thread(table, self.facts, names)
            if self.broken_at is None:
                since = await asyncio.to_thread(
                    self.facts.values, "collection_failing_since_timestamp_seconds > 0"
                )
                self.broken_at = min(since.values(), default=None)
            if self.screen is not None:
                self.screen.draw(lines)

    async def run(self) -> int:
        """Run until Ctrl-C or ``--seconds``; 1 when ``--expect-all`` saw a channel stay silent."""
        began = time.time()
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.start()
            self.screen = Screen(self.heading())
            self.screen.note(f"everything is up after {time.time() - began:.1f} s")
            for number, entry in enumerate(self.inventory["collectors"]):
                every = float(str(entry["schedule"]["every"]).rstrip("s"))
                name = entry["name"]
                tasks.append(asyncio.create_task(self.run_forever(name, every, number * 0.4)))
            tasks += [asyncio.create_task(self.break_things()), asyncio.create_task(self.watch())]
            done, _ = await asyncio.wait(
                tasks, timeout=self.args.seconds or None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        except asyncio.CancelledError:
            pass  # Ctrl-C: end in order and say what was seen
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.children.stop()
            if self.screen is not None:
                self.screen.close()
        return self.summary()

    def heading(self) -> list[str]:
        """Where to look, beside this terminal."""
        url = self.ports.url
        grafana = shutil.which("grafana") or shutil.which("grafana-server")
        dashboards = (
            f"Grafana: found at {grafana}; provision {DASHBOARDS} as dashboards/README.md says"
            if grafana
            else f"Grafana: not installed; import the files of {DASHBOARDS} into yours"
        )
        return [
            "Collection Health demo: real collectors, a scripted upstream. Ctrl-C ends everything.",
            "  ".join(f"{name} {url(name)}" for name in ("exporter", "prometheus", "alertmanager")),
            dashboards,
        ]

    def summary(self) -> int:
        """Messages per channel; with ``--expect-all`` a silent channel is a failure."""
        channels = {
            channel: [len(self.sink.received(channel, status)) for status in STATUSES]
            for channel in PEOPLE
        }
        print("\nchannel   firing  resolved")
        for channel, (firing, resolved) in channels.items():
            print(f"{channel:<10}{firing:>6}{resolved:>10}")
        silent = [channel for channel, (firing, _) in channels.items() if not firing]
        if silent and self.args.expect_all:
            print(f"demo: no message reached {', '.join(silent)}", file=sys.stderr)
            return 1
        return 0


def main() -> int:
    """Command line of the demo."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--prometheus", default="prometheus", help="path of the program")
    parser.add_argument("--alertmanager", default="alertmanager", help="path of the program")
    parser.add_argument("--directory", type=Path, default=Path(".demo").resolve(),
                        help="where everything is written; emptied first")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=0, help="end after so many seconds")
    parser.add_argument("--expect-all", action="store_true",
                        help="fail unless all three channels got a message")  # fmt: skip
    args = parser.parse_args()
    args.directory = args.directory.resolve()

    async def until_interrupted() -> int:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel if task else loop.stop)
        demo = Demo(args)
        with demo.sink:
            return await demo.run()

    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        return asyncio.run(until_interrupted())
    return 0


if __name__ == "__main__":
    sys.exit(main())
