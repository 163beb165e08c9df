"""`kill -9` of the exporter at every phase of a recovery: no step twice, none forgotten."""

from collections import Counter
from pathlib import Path

import pytest

from collection_health.events import Recovery, decode_events
from collection_health.ledger import open_reader
from tests.recovery.support import (
    actions_done,
    alert,
    fail,
    good,
    guarded,
    newest,
    reached,
    send,
    tell,
)
from tests.support.process import wait_for
from tests.support.services import Exporter, Stack

LIMITS = "verify_within: 5m, limits: {per_hour: 9}"
STEP = "{action: note, attempts: 2}"
INVENTORY = f"""
actions:
  note: {{command: [sh, -c, 'echo $COLLECTION_HEALTH_COLLECTOR >> LOG']}}
  linger: {{command: [sh, -c, 'echo $COLLECTION_HEALTH_COLLECTOR >> LOG; sleep 30']}}
  refuse: {{command: [sh, -c, 'echo $COLLECTION_HEALTH_COLLECTOR >> LOG; exit 1']}}
collectors:
- name: proposed
  recovery: {{mode: approve, steps: [{STEP}], {LIMITS}}}
- name: held
  recovery: {{mode: auto, steps: [{STEP}], {LIMITS}}}
- name: started
  recovery: {{mode: auto, steps: [{{action: linger}}], {LIMITS}}}
- name: backoff
  recovery: {{mode: auto, steps: [{{action: refuse}}, {{action: note}}], backoff: {{initial: 8s}}}}
- name: verifying
  recovery: {{mode: auto, steps: [{STEP}], {LIMITS}}}
- name: exhausted
  recovery: {{mode: auto, steps: [{{action: refuse}}], {LIMITS}, breaker: {{failures: 1}}}}
"""
NAMES = ("proposed", "held", "started", "backoff", "verifying", "exhausted")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the actions write."""
    return tmp_path / "actions.log"


def events(exporter: Exporter) -> list[Recovery]:
    """Every recovery event of the ledger."""
    with open_reader(exporter.process.log.parent / "data" / "ledger.db") as connection:
        return [
            event
            for (body,) in connection.execute("SELECT body FROM events ORDER BY position")
            for event in decode_events(body)
            if isinstance(event, Recovery)
        ]


def test_kill_9_at_every_phase(stack: Stack, log: Path) -> None:
    """Each recovery goes on where its record stands; what may have run is not run again."""
    exporter = stack.exporter(INVENTORY.replace("LOG", str(log)), arguments=["--timers.settle=1h"])
    fail(exporter, *NAMES)
    tell(exporter, alert("proposed"), alert("held"))
    for name in NAMES[2:]:
        assert send(exporter, f"collectors/{name}/recover")[0] == 202
    identity = reached(exporter, "proposed", "proposed")["id"]
    waiting = reached(exporter, "held", "held")["id"]  # nobody knows the state of the fleet
    reached(exporter, "verifying", "finished")
    reached(exporter, "exhausted", "exhausted")
    assert reached(exporter, "backoff", "finished")["tries"][0]["result"] == "failed"
    wait_for(lambda: "started" in actions_done(log), "the slow step to run")
    before = Counter(actions_done(log))
    exporter.process.signal(9)
    exporter.process.stop()
    exporter.start()
    tell(exporter, *(alert(name) for name in NAMES))

    started = reached(exporter, "started", "finished")
    assert started["tries"][0]["result"] == "unknown"
    assert newest(exporter, "proposed")["phase"] == "proposed"
    assert newest(exporter, "exhausted")["phase"] == "exhausted"
    assert exporter.sample('collection_recovery_exhausted{collector="exhausted"}') == 1
    assert exporter.sample('collection_recovery_circuit_open{collector="exhausted"}') == 1
    assert Counter(actions_done(log)) - before in (Counter(), Counter(["backoff"]))
    assert send(exporter, f"recoveries/{identity}/approve")[0] == 200
    assert "no --prometheus.url" in reached(exporter, "proposed", "held")["said"]
    assert send(exporter, f"recoveries/{waiting}/cancel")[1]["phase"] == "cancelled"
    wait_for(lambda: actions_done(log).count("backoff") == 2, "the step after the backoff")
    reached(exporter, "backoff", "finished")
    good(exporter, *NAMES)
    for name in ("started", "backoff", "verifying"):
        assert reached(exporter, name, "verified")["result"] == "recovered"
    reached(exporter, "proposed", "cancelled")

    recorded = events(exporter)
    starts = Counter((e.id, e.step, e.attempt) for e in recorded if e.phase == "started")
    assert set(starts.values()) == {1}
    ran = Counter(actions_done(log))
    assert ran == Counter(e.collector for e in recorded if e.phase == "started")
    ends = Counter((e.id, e.step, e.attempt) for e in recorded if e.phase == "finished")
    assert ends == starts


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_kills_at_random_moments_run_nothing_twice(stack: Stack, tmp_path: Path) -> None:
    """Twelve kills while recoveries begin and end: no attempt runs twice, each is recorded."""
    log = tmp_path / "log"
    names = [f"c{number}" for number in range(8)]
    recovery = "{mode: auto, steps: [{action: note}], limits: {per_hour: 99, per_day: 99}}"
    write = 'echo "$COLLECTION_HEALTH_COLLECTOR $COLLECTION_HEALTH_INCIDENT" >> LOG; sleep 0.2'
    inventory = "actions:\n  note: {command: [sh, -c, 'WRITE']}\ncollectors:\n" + "".join(
        f"- {{name: {name}, recovery: {recovery}}}\n" for name in names
    )
    write = write.replace("INCIDENT", "FAILING_SINCE").replace("LOG", str(log))
    exporter, _ = guarded(
        stack, inventory.replace("WRITE", write), arguments=["--recovery.max-unhealthy-ratio=1"]
    )
    for kill in range(12):
        done = len(actions_done(log))
        fail(exporter, *names)
        tell(exporter, *(alert(name) for name in names))
        wait_for(lambda done=done: len(actions_done(log)) > done, "an action")
        if kill % 2:
            good(exporter, *names[:4])
        exporter.process.signal(9)
        exporter.process.stop()
        exporter.start()
        tell(exporter, *(alert(name) for name in names))
        for name in names:
            wait_for(lambda name=name: settled(exporter, name), f"{name} to settle")
        good(exporter, *names)
    ran = Counter(actions_done(log))
    assert max(ran.values()) == 1
    starts = [event for event in events(exporter) if event.phase == "started"]
    ends = [event for event in events(exporter) if event.phase == "finished"]
    assert len(ran) <= len(starts)
    assert len(ends) == len(starts)


def settled(exporter: Exporter, name: str) -> bool:
    """Whether nothing of the collector's recovery runs."""
    record = newest(exporter, name)
    return not record or record["phase"] not in ("queued", "started")
