"""The soak: load with restarts, slow clients and garbage, for SOAK_SECONDS (default an hour).

`make soak` runs it; the figures it prints belong into tests/bench/README.md.
"""

import json
import os
import random
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest

from tests.bench import load
from tests.support.services import Exporter, Stack

SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
COLLECTORS = 500
GARBAGE = (
    b"", b"{", b"[1, 2", b"\xff\xfe\x00", b'{"collector": "x"}', b"[" * 5000, b"A" * 50_000,
    b'{"collector":"' + b"x" * 400 + b'","outcome":"success"}',
)  # fmt: skip


class Load(threading.Thread):
    """Reports batches of outcomes; each is repeated until it is acknowledged."""

    def __init__(self, exporter: Exporter, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.exporter, self.number, self.stop = exporter, number, stop
        self.sent: Counter[str] = Counter()

    def run(self) -> None:
        generator = random.Random(self.number)
        batch = 0
        while not self.stop.is_set():
            batch += 1
            names = [f"c{generator.randrange(COLLECTORS)}" for _ in range(50)]
            body = json.dumps([
                {"collector": name, "outcome": generator.choice(("success", "success", "failure")),
                 "event_id": f"{self.number}-{batch}-{index}", "duration_seconds": 2.5}
                for index, name in enumerate(names)
            ]).encode()  # fmt: skip
            request = urllib.request.Request(f"{self.exporter.url}/api/v1/outcomes", body)
            while True:
                try:
                    urllib.request.urlopen(request, timeout=20).close()
                    break
                except (OSError, ValueError):
                    time.sleep(0.05)
            self.sent.update(names)
            time.sleep(0.02)


def status_of(request: urllib.request.Request) -> int:
    """The status of an answer, good or bad."""
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def annoy(exporter: Exporter, stop: threading.Event, kinds: Counter[str]) -> None:
    """Garbage bodies, and clients that send a byte a second or stop half way."""
    generator = random.Random(99)
    while not stop.is_set():
        try:
            if generator.random() < 0.5:
                kinds["garbage"] += 1
                request = urllib.request.Request(
                    f"{exporter.url}/api/v1/outcomes", generator.choice(GARBAGE)
                )
                kinds[f"status {status_of(request)}"] += 1
            else:
                kinds["slow"] += 1
                with socket.create_connection(("127.0.0.1", exporter.port), timeout=5) as slow:
                    slow.sendall(b"POST /api/v1/outcomes HTTP/1.1\r\nHost: x\r\nContent-Le")
                    stop.wait(generator.uniform(0, 2))
        except OSError:
            pass  # the exporter is just being restarted
        stop.wait(0.1)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 600)
def test_soak(stack: Stack) -> None:
    """Memory stays flat and every acknowledged outcome is counted exactly once."""
    exporter = stack.exporter()
    stop = threading.Event()
    loads = [Load(exporter, number, stop) for number in range(4)]
    kinds: Counter[str] = Counter()
    annoyer = threading.Thread(target=annoy, args=(exporter, stop, kinds), daemon=True)
    for thread in (*loads, annoyer):
        thread.start()
    deadline = time.monotonic() + SECONDS
    restarts, memory = 0, []
    while time.monotonic() < deadline:
        pause = min(SECONDS / 12, 300)  # a dozen lives, half of them ended by kill -9
        stop.wait(pause / 3)
        early = load.resident_bytes(exporter.process.pid)
        stop.wait(2 * pause / 3)
        late = load.resident_bytes(exporter.process.pid)
        memory.append((early, late))
        if restarts % 2:
            exporter.process.stop()
        else:
            exporter.process.kill()
        exporter.start()
        restarts += 1
    stop.set()
    for thread in (*loads, annoyer):
        thread.join(60)
    expected: Counter[str] = sum((one.sent for one in loads), Counter())
    counted = {
        line.split('"')[1]: int(float(line.rsplit(" ", 1)[1]))
        for line in exporter.metrics().splitlines()
        if line.startswith("collection_runs_total{")
    }
    print(
        f"\n{SECONDS:.0f} s, {restarts} restarts, {sum(expected.values()):,} outcomes, "
        f"{kinds['garbage']} garbage bodies, {kinds['slow']} slow clients; memory a third into "
        f"and at the end of each life (MiB): "
        + ", ".join(f"{a / 2**20:.0f}→{b / 2**20:.0f}" for a, b in memory)
    )
    assert counted == dict(expected)
    assert not [kind for kind in kinds if kind.startswith("status 5") and kind != "status 503"]
    # The first life builds the state; later ones must not need more than a little above it.
    assert memory[-1][1] < 1.3 * max(memory[0][1], memory[1][1]) + 20 * 2**20
