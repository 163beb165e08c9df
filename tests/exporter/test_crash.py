"""Durability with the real program: `kill -9`, restarts and a full disk."""

import http.client
import itertools
import json
import random
import resource
import sqlite3
import threading
import urllib.error
import urllib.request
from collections import Counter

import pytest

from collection_health.events import Outcome, decode_events
from tests.support.process import wait_for
from tests.support.services import Exporter, Stack

KILLS = 20
SENDERS = 4


class Sender(threading.Thread):
    """Reports outcomes one by one and in batches; repeats each until it is acknowledged."""

    def __init__(self, exporter: Exporter, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.exporter, self.number, self.stop = exporter, number, stop
        self.sent: Counter[str] = Counter()
        self.acknowledged = 0

    def run(self) -> None:
        generator = random.Random(self.number)
        for batch in itertools.count():
            if self.stop.is_set():
                return
            size = generator.choice((1, 1, 20))
            outcomes = [
                {
                    "collector": f"c{(self.number + item) % 7}",
                    "outcome": "success",
                    "event_id": f"{self.number}-{batch}-{item}",
                }
                for item in range(size)
            ]
            self.deliver(outcomes)
            self.sent.update(outcome["collector"] for outcome in outcomes)
            self.acknowledged += size

    def deliver(self, outcomes: list[dict[str, str]]) -> None:
        request = urllib.request.Request(
            f"{self.exporter.url}/api/v1/outcomes", json.dumps(outcomes).encode()
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    assert json.load(answer)["accepted"] == len(outcomes)
                    return
            # refused, reset or cut off, in the middle of the answer too: send it again
            except (OSError, ValueError, http.client.HTTPException):
                self.stop.wait(0.02)


def runs_by_collector(exporter: Exporter) -> dict[str, float]:
    """The value of ``collection_runs_total`` of every collector."""
    return {
        line.split('"')[1]: float(line.rsplit(" ", 1)[1])
        for line in exporter.metrics().splitlines()
        if line.startswith("collection_runs_total{")
    }


def test_kill_9_loses_nothing_acknowledged_and_counts_nothing_twice(stack: Stack) -> None:
    """After 20 kills under load the counters equal what was acknowledged, exactly."""
    exporter = stack.exporter()
    stop = threading.Event()
    senders = [Sender(exporter, number, stop) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for kill in range(KILLS):
            wait_for(
                lambda kill=kill: sum(sender.acknowledged for sender in senders) > 20 * kill,
                "outcomes to be acknowledged",
            )
            stop.wait(random.Random(kill).uniform(0.05, 0.4))
            exporter.process.kill()
            exporter.start()
    finally:
        stop.set()
        for sender in senders:
            sender.join()
    expected: Counter[str] = sum((sender.sent for sender in senders), Counter())
    assert runs_by_collector(exporter) == dict(expected)
    database = exporter.process.log.parent / "data" / "ledger.db"
    with sqlite3.connect(database) as connection:
        recorded = Counter(
            event.event_id
            for (body,) in connection.execute("SELECT body FROM events")
            for event in decode_events(body)
            if isinstance(event, Outcome)
        )
    assert len(recorded) == sum(expected.values())
    assert set(recorded.values()) == {1}


def test_full_disk_refuses_and_recovers_by_itself(stack: Stack) -> None:
    """Without space the answer is 503 and not ready; with space again everything works."""
    exporter = stack.exporter()
    exporter.post({"collector": "a", "outcome": "success", "event_id": "before"})
    resource.prlimit(exporter.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def refusal() -> urllib.error.HTTPError | None:
        try:
            exporter.post({"collector": "a", "outcome": "success"})
        except urllib.error.HTTPError as error:
            error.close()
            return error
        return None

    refused = wait_for(refusal, "a refusal")
    assert refused.code == 503
    assert refused.headers["Retry-After"]
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        urllib.request.urlopen(f"{exporter.url}/-/ready", timeout=5)
    caught.value.close()
    counted = runs_by_collector(exporter)["a"]
    resource.prlimit(
        exporter.process.pid,
        resource.RLIMIT_FSIZE,
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    )
    exporter.process.wait_http(f"{exporter.url}/-/ready")
    exporter.post({"collector": "a", "outcome": "success", "event_id": "after"})
    assert runs_by_collector(exporter)["a"] == counted + 1
    exporter.process.kill()
    exporter.start()
    assert runs_by_collector(exporter)["a"] == counted + 1


def test_restart_keeps_state_and_idempotency(stack: Stack) -> None:
    """An orderly restart keeps counters, and a repeat from before it still counts once."""
    exporter = stack.exporter()
    first = {"collector": "a", "outcome": "failure", "reason": "auth", "event_id": "1"}
    exporter.post(first)
    before = runs_by_collector(exporter)
    exporter.process.stop()
    exporter.start()
    exporter.post(first)
    assert runs_by_collector(exporter) == before == {"a": 1}
    assert exporter.sample('collection_consecutive_failures{collector="a"}') == 1
