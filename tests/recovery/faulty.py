"""The processes that the fault-injection suite breaks: collectors and their upstreams.

``faulty.py collect NAME INTERVAL UPSTREAM EXPORTER FOLDER`` runs a collector until it is ended:
every INTERVAL seconds, and at once on SIGUSR1, it fetches, checks, writes and reports.
``faulty.py serve PORT PIDFILE`` is an upstream that always delivers.
Files in FOLDER named NAME.<fault> break the collector; NAME.pid says which process it is.
"""

import contextlib
import http.server
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds an outcome is sent again while the exporter is away


class Collector:
    """One collector as a long-running process."""

    def __init__(self, name: str, interval: str, upstream: str, exporter: str, folder: str) -> None:
        self.name, self.interval = name, float(interval)
        self.upstream, self.exporter, self.folder = upstream, exporter, Path(folder)
        self.wedged = False
        self.number = 0
        self.asked = False

    def broken(self, fault: str) -> bool:
        """Whether this fault is injected."""
        return (self.folder / f"{self.name}.{fault}").exists()

    def run_forever(self) -> None:
        """Run on schedule, and whenever somebody asks."""
        (self.folder / f"{self.name}.pid").write_text(str(os.getpid()))
        signal.signal(signal.SIGUSR1, self.ask)
        if self.broken("crashes"):
            os._exit(1)
        while True:
            began = time.time()
            self.asked = False
            self.run(f"{os.getpid()}-{self.number}")
            self.number += 1
            while not self.asked and (left := began + self.interval - time.time()) > 0:
                time.sleep(min(left, 0.1))

    def ask(self, *_: object) -> None:
        """Somebody wants a run now."""
        self.asked = True

    def run(self, identity: str) -> None:
        """One run and its report."""
        self.report({"outcome": "started", "run_id": identity})
        began = time.time()
        try:
            self.collect()
        except urllib.error.HTTPError as error:
            found: dict[str, Any] = {"http_status": error.code}
        except TimeoutError:
            found = {"reason": "timeout"}
        except urllib.error.URLError:
            found = {"reason": "connection"}
        except KeyError:
            found = {"reason": "schema"}
        except OSError as error:
            found = {"reason": "storage", "error": {"type": "OSError", "message": str(error)}}
        else:
            found = {}
        self.report(
            {
                "outcome": "failure" if found else "success", "run_id": identity,
                "duration_seconds": time.time() - began, **found,
            }
        )  # fmt: skip

    def collect(self) -> None:
        """Fetch, check and write; raises what goes wrong."""
        if self.broken("wedge"):
            self.wedged = True  # until the process is a new one
            (self.folder / f"{self.name}.wedge").unlink()
        if self.wedged:
            raise TimeoutError
        if self.broken("hang"):
            (self.folder / f"{self.name}.hang").unlink()
            time.sleep(3600)
        with urllib.request.urlopen(f"{self.upstream}/{self.name}", timeout=5) as answer:
            amount = json.load(answer)["amount"]
        target = "/dev/full" if self.broken("disk") else self.folder / f"{self.name}.data"
        with Path(target).open("w") as file:
            file.write(str(amount) * 10_000)

    def report(self, outcome: dict[str, Any]) -> None:
        """Send, and send again while the exporter is away."""
        outcome |= {"collector": self.name, "occurred_at": rfc3339(time.time())}
        request = urllib.request.Request(
            f"{self.exporter}/api/v1/outcomes", json.dumps(outcome).encode()
        )
        until = time.time() + PATIENCE
        while time.time() < until:
            try:
                with urllib.request.urlopen(request, timeout=5):
                    return
            except OSError:
                time.sleep(0.3)


def rfc3339(moment: float) -> str:
    """Unix seconds as RFC 3339 with microseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1e6):06}Z"


class Delivers(http.server.BaseHTTPRequestHandler):
    """An upstream in good health."""

    def do_GET(self) -> None:
        """The data."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"amount": 7}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Run the part that the first argument names."""
    part, *arguments = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        if part == "collect":
            Collector(*arguments).run_forever()
        else:
            server = http.server.HTTPServer(("127.0.0.1", int(arguments[0])), Delivers)
            Path(arguments[1]).write_text(str(os.getpid()))
            server.serve_forever()


if __name__ == "__main__":
    main()
