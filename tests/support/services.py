"""The three services of an end-to-end test: exporter, Prometheus, Alertmanager."""

import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.support.process import Process, free_port, wait_for
from tests.tools import tool

S = TypeVar("S", bound="Service")
COMMAND = (sys.executable, "-m", "collection_health")


def http_json(url: str, body: object = None, method: str | None = None) -> Any:
    """The JSON answer of a GET, or of a POST of `body` as JSON. Raises urllib's HTTPError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json"} if data else {}, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def http_text(url: str) -> str:
    """The text a GET answers."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


class Service:
    """A process with an address; `ready` is the path that answers 200 once it works."""

    ready = "/-/ready"

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    @property
    def address(self) -> str:
        """`host:port`, as a scrape target."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Base URL without a slash at its end."""
        return f"http://{self.address}"

    def start(self) -> None:
        """Start (again) and wait until it is ready."""
        self.process.start()
        self.process.wait_http(self.url + self.ready)


class Exporter(Service):
    """`collection-health serve`."""

    def post(self, outcomes: object) -> Any:
        """Report outcomes (one object or a list) as JSON."""
        return http_json(f"{self.url}/api/v1/outcomes", outcomes)

    def metrics(self) -> str:
        """The text of /metrics."""
        return http_text(f"{self.url}/metrics")

    def sample(self, series: str) -> float | None:
        """The value of a series as the exposition writes it, `name{label="x"}`; None if absent."""
        for line in self.metrics().splitlines():
            if line.startswith(series + " "):
                return float(line.removeprefix(series).split()[0])
        return None


class Prometheus(Service):
    """Prometheus with the rule files given."""

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result vector of an instant query."""
        quoted = urllib.parse.quote(expression)
        answer = http_json(f"{self.url}/api/v1/query?query={quoted}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait_for(self, expression: str, timeout: float = 60) -> list[dict[str, Any]]:
        """Wait until a query returns something."""
        return wait_for(lambda: self.query(expression), expression, timeout)

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Pending and firing alerts that carry `labels`."""
        found: list[dict[str, Any]] = http_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return [alert for alert in found if labels.items() <= alert["labels"].items()]


class Alertmanager(Service):
    """Alertmanager."""

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Alerts that carry `labels`, with their status."""
        found: list[dict[str, Any]] = http_json(f"{self.url}/api/v2/alerts")
        return [alert for alert in found if labels.items() <= alert["labels"].items()]


class Stack:
    """Starts services below one directory and ends them all, last first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running = ExitStack()

    def close(self) -> None:
        """End everything that was started."""
        self._running.close()

    def exporter(
        self, config: str | None = None, *, arguments: Sequence[str] = (), name: str = "exporter"
    ) -> Exporter:
        """An exporter with an inventory (YAML text) and more arguments for `serve`."""
        directory = self._directory(name)
        command = [*COMMAND, "serve", f"--storage.path={directory / 'data'}"]
        if config is not None:
            inventory = directory / "collectors.yml"
            inventory.write_text(config)
            command.append(f"--config.file={inventory}")

        def with_port(port: int) -> list[str]:
            return [*command, f"--web.listen-address=127.0.0.1:{port}", *arguments]

        return self._start(Exporter, directory, with_port)

    def prometheus(
        self,
        targets: Mapping[str, Sequence[str]],
        *,
        rules: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        interval: str = "1s",
        arguments: Sequence[str] = (),
        suite: str | None = None,
        name: str = "prometheus",
    ) -> Prometheus:
        """A Prometheus that scrapes `targets` (addresses by job name)."""
        directory = self._directory(name)
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(path.resolve()) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in targets.items()
            ],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        }
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))

        def with_port(port: int) -> list[str]:
            return [
                str(tool("prometheus", suite=suite)),
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-lifecycle",
                "--scrape.discovery-reload-interval=1s",
                # An alert that fires before Alertmanager was discovered is sent again only then. It
                # ends by itself after four times that: longer than a busy machine stands still.
                "--rules.alert.resend-delay=5s",
                *arguments,
            ]

        return self._start(Prometheus, directory, with_port)

    def alertmanager(
        self,
        config: Path,
        *,
        arguments: Sequence[str] = (),
        suite: str | None = None,
        name: str = "alertmanager",
        gossip: str = "",
    ) -> Alertmanager:
        """An Alertmanager with a configuration file, alone or listening to peers on `gossip`."""
        directory = self._directory(name)

        def with_port(port: int) -> list[str]:
            return [
                str(tool("alertmanager", suite=suite)),
                f"--config.file={config}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--cluster.listen-address={gossip}",
                *arguments,
            ]

        return self._start(Alertmanager, directory, with_port)

    def process(self, name: str, command: Sequence[str | Path], **options: Any) -> Process:
        """Any other program, started and ended with the rest."""
        directory = self._directory(name)
        return self._running.enter_context(Process(command, directory / "log", **options))

    def _directory(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir(parents=True)
        return directory

    def _start(
        self,
        kind: Callable[[Process, int], S],
        directory: Path,
        with_port: Callable[[int], list[str]],
    ) -> S:
        port = free_port()
        process = Process(with_port(port), directory / "log")
        service = kind(process, port)
        self._running.callback(process.stop)
        service.start()
        return service
