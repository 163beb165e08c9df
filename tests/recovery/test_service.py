"""The whole exporter: webhooks, people, guards and limits over HTTP, with a real Prometheus."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collection_health.recovery.guard import FRESH_SECONDS
from tests.recovery.support import (
    actions_done,
    alert,
    fail,
    good,
    guarded,
    newest,
    reached,
    recoveries,
    send,
    tell,
    webhook,
)
from tests.support.process import wait_for
from tests.support.services import Exporter, Prometheus, Stack, http_json

QUICK = "backoff: {initial: 0.2s, jitter: 0}, verify_within: 5m, limits: {per_hour: 5}"
NOTE = "echo $COLLECTION_HEALTH_COLLECTOR$COLLECTION_HEALTH_DEPENDENCY >> LOG"
INVENTORY = f"""
actions:
  note: {{command: [sh, -c, '{NOTE}'], safe: true}}
  refuse: {{command: [sh, -c, 'echo token=abcdefgh12345678; exit 1']}}
  linger: {{command: [sh, -c, 'echo began >> LOG; sleep 30; echo ended >> LOG']}}
dependencies:
  warehouse: {{recovery: {{mode: auto, steps: [{{action: note}}], {QUICK}}}}}
  network: {{}}
collectors:
- name: plain
- name: poller
  recovery: {{mode: auto, steps: [{{action: note}}], {QUICK}}}
- name: careful
  recovery: {{steps: [{{action: note}}]}}
- name: foreseen
  recovery: {{mode: auto, on_prediction: [{{action: note}}], {QUICK}}}
- name: asks
  recovery: {{mode: approve, steps: [{{action: note}}], {QUICK}}}
- name: hopeless
  recovery: {{mode: auto, steps: [{{action: refuse, attempts: 2}}], {QUICK}}}
- name: tripped
  recovery: {{mode: auto, steps: [{{action: refuse}}], breaker: {{failures: 1, open_for: 1s}}}}
- name: slow
  recovery: {{mode: auto, steps: [{{action: linger}}], {QUICK}}}
- name: capped
  recovery: {{mode: auto, steps: [{{action: note}}], limits: {{per_hour: 1}}}}
- name: loader-1
  team: data
  depends_on: [warehouse]
  recovery: &loader {{mode: auto, steps: [{{action: note}}], {QUICK}}}
- name: loader-2
  team: data
  depends_on: [warehouse]
  recovery: *loader
"""


NAMES = tuple(re.findall("^- name: (.*)$", INVENTORY, re.MULTILINE))


@dataclass
class Scene:
    """One exporter and where its actions write."""

    exporter: Exporter
    prometheus: Prometheus
    log: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An exporter whose guard asks a real Prometheus."""
    folder = tmp_path_factory.mktemp("recovery")
    log = folder / "actions.log"
    stack = Stack(folder / "stack")
    exporter, prometheus = guarded(
        stack, INVENTORY.replace("LOG", str(log)), arguments=["--recovery.max-unhealthy-ratio=0.7"]
    )
    yield Scene(exporter, prometheus, log)
    stack.close()


@pytest.fixture
def exporter(scene: Scene) -> Exporter:
    """The exporter of the scene, its actions forgotten."""
    scene.log.unlink(missing_ok=True)
    return scene.exporter


def test_alert_is_recovered_once_and_verified_by_good_data(
    scene: Scene, exporter: Exporter
) -> None:
    """Whatever is sent again meanwhile, one action runs, and a good run ends it."""
    fail(exporter, "poller")
    (queued,) = tell(exporter, alert("poller"))["queued"]
    assert queued["collector"] == "poller"
    for copy in (
        alert("poller"),
        alert("poller", alertname="CollectorNotRunning", kind="freshness"),
    ):
        assert "already" in tell(exporter, copy)["ignored"][0]["reason"]
    reached(exporter, "poller", "finished")
    assert exporter.sample('collection_recovery_in_progress{collector="poller"}') == 1
    tell(exporter, alert("poller"))
    good(exporter, "poller")
    record = reached(exporter, "poller", "verified")
    assert (record["id"], record["result"]) == (queued["id"], "recovered")
    assert "no incident" in tell(exporter, alert("poller"))["ignored"][0]["reason"]
    assert actions_done(scene.log) == ["poller"]
    assert exporter.sample('collection_recovery_in_progress{collector="poller"}') == 0
    ended = 'collection_incidents_total{collector="poller",ended_by="automatic"}'
    assert exporter.sample(ended) == 1


def test_many_copies_at_once_are_one_recovery(scene: Scene, exporter: Exporter) -> None:
    """Alertmanagers of a cluster may all send at the same moment."""
    fail(exporter, "poller")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: tell(exporter, alert("poller")), range(16)))
    assert sum(len(answer["queued"]) for answer in answers) == 1
    reached(exporter, "poller", "finished")
    good(exporter, "poller")
    reached(exporter, "poller", "verified")
    assert actions_done(scene.log) == ["poller"]


def test_breaker_closes_when_its_time_is_over(exporter: Exporter) -> None:
    """The gauge follows the clock, also of a collector that says nothing."""
    fail(exporter, "tripped")
    tell(exporter, alert("tripped"))
    reached(exporter, "tripped", "exhausted")
    series = 'collection_recovery_circuit_open{collector="tripped"}'
    assert exporter.sample(series) == 1
    wait_for(lambda: exporter.sample(series) == 0, "the breaker to close")
    good(exporter, "tripped")


def test_each_alert_of_a_webhook_is_judged_by_itself(exporter: Exporter) -> None:
    """Those that cannot be recovered are named with the reason and disturb no other."""
    fail(exporter, "careful", "plain")
    answer = tell(
        exporter,
        alert("nobody"),
        alert("plain"),
        alert("careful", status="resolved"),
        alert("careful", kind="slo"),
        alert("careful", shadow="true"),
        alert(),
        alert("careful"),
        alert("careful"),
    )
    assert answer["queued"] == []
    said = {item["index"]: item["reason"] for item in answer["ignored"]}
    assert said[0] == "collector 'nobody' is unknown"
    assert "no recovery section" in said[1]
    assert said[2] == "resolved"
    assert "kind 'slo' is not for recovery" in said[3]
    assert "on trial" in said[4]
    assert "neither a collector nor a dependency" in said[5]
    assert said[6] == "dry run: would run note"
    assert "same request" in said[7]
    assert newest(exporter, "careful")["result"] == "skipped"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (webhook(version="3"), 400, "version: '3'; allowed: '4'"),
        (b'{"version": "4", "alerts": [', 400, "not valid JSON"),
        ({"version": "4", "alerts": [{"labels": {}}]}, 400, "status"),
        ({"version": "4", "alerts": [{"status": "firing", "labels": {"a": 1}}]}, 400, "labels"),
        ({"version": "4"}, 400, "alerts"),
        (b"[" * 100_000, 400, "body"),
        (b" " * (5 * 2**20), 413, "allowed: 4194304 bytes"),
    ],
)
def test_bad_webhook_is_refused_with_its_problem(
    exporter: Exporter, body: Any, status: int, said: str
) -> None:
    """Wrong versions, broken, wrong-shaped and huge bodies get a clear 4xx."""
    found, answer = send(exporter, "alertmanager/webhook", body)
    assert (found, said in answer["detail"]) == (status, True), answer


def test_truncated_webhook_serves_what_it_carries(exporter: Exporter) -> None:
    """Alerts that Alertmanager left out do not cost those it sent."""
    body = webhook(alert("nobody"), truncatedAlerts=7)
    assert send(exporter, "alertmanager/webhook", body)[0] == 202


def test_approval_is_one_click_and_cancelling_another(scene: Scene, exporter: Exporter) -> None:
    """A proposed recovery waits for a person and follows what they say."""
    fail(exporter, "asks")
    identity = tell(exporter, alert("asks"))["queued"][0]["id"]
    proposed = reached(exporter, "asks", "proposed")
    assert proposed["said"] == "would run note"
    assert proposed["expires_at"]
    assert exporter.sample('collection_recovery_in_progress{collector="asks"}') == 0
    assert actions_done(scene.log) == []
    assert send(exporter, f"recoveries/{identity}/approve", {"actor": "kim"})[0] == 200
    reached(exporter, "asks", "finished")
    status, answer = send(exporter, f"recoveries/{identity}/approve")
    assert (status, "only a proposed" in answer["detail"]) == (409, True)
    good(exporter, "asks")
    reached(exporter, "asks", "verified")
    assert actions_done(scene.log) == ["asks"]
    fail(exporter, "asks")
    identity = tell(exporter, alert("asks"))["queued"][0]["id"]
    reached(exporter, "asks", "proposed")
    status, record = send(exporter, f"recoveries/{identity}/cancel", {"reason": "on it"})
    assert (status, record["phase"]) == (200, "cancelled")
    assert "on it" in record["said"]
    assert send(exporter, "recoveries/unheard-of/approve")[0] == 404
    assert "is cancelled" in tell(exporter, alert("asks"))["ignored"][0]["reason"]
    good(exporter, "asks")


def test_exhausted_ladder_escalates_and_says_what_was_tried(exporter: Exporter) -> None:
    """With nothing left to try the level rises at once; the output is there, redacted."""
    fail(exporter, "hopeless")
    tell(exporter, alert("hopeless"))
    record = reached(exporter, "hopeless", "exhausted")
    assert record["result"] == "failed"
    assert [item["attempt"] for item in record["tries"]] == [1, 2]
    assert record["tries"][0]["output"] == "token=[redacted]\nexit code 1"
    assert exporter.sample('collection_recovery_exhausted{collector="hopeless"}') == 1
    (told,) = (line for line in exporter.metrics().splitlines() if "_tried_info{" in line)
    assert "refuse at" in told
    assert "failed (token=[redacted] exit code 1); every step was tried" in told
    assert "is exhausted" in tell(exporter, alert("hopeless"))["ignored"][0]["reason"]
    good(exporter, "hopeless")
    assert exporter.sample('collection_recovery_exhausted{collector="hopeless"}') == 0


def test_person_starts_a_ladder_within_caps(scene: Scene, exporter: Exporter) -> None:
    """By hand it runs in any mode, once an hour where that is the cap, and says why not."""
    fail(exporter, "capped")
    status, answer = send(exporter, "collectors/capped/recover", {"actor": "kim"})
    assert (status, answer["plan"]) == (202, "run note")
    reached(exporter, "capped", "finished")
    assert send(exporter, "collectors/capped/recover")[0] == 409  # still under way
    good(exporter, "capped")
    assert reached(exporter, "capped", "verified")["actor"] == "kim (unverified)"
    status, answer = send(exporter, "collectors/capped/recover")
    assert (status, "cap of 1 attempts an hour" in answer["detail"]) == (409, True)
    assert actions_done(scene.log) == ["capped"]
    assert exporter.sample('collection_manual_interventions_total{collector="capped"}') == 1
    assert send(exporter, "collectors/nobody/recover")[0] == 404
    status, answer = send(exporter, "collectors/plain/recover")
    assert (status, "no recovery section" in answer["detail"]) == (409, True)
    assert send(exporter, "collectors/plain/recover", {"who": "me"})[0] == 400


def test_failing_dependency_is_recovered_once_for_all(scene: Scene, exporter: Exporter) -> None:
    """However many collectors it explains, its own ladder runs once; a good run verifies it."""
    fail(exporter, "loader-1", "loader-2")
    cause = {"root_cause": "dependency:warehouse"}
    answer = tell(exporter, alert("loader-1", **cause), alert("loader-2", **cause))
    assert [item.get("dependency") for item in answer["queued"]] == ["warehouse"]
    own = {"alertname": "DependencyFailing", "kind": "dependency", "dependency": "warehouse"}
    assert "already" in tell(exporter, alert(**own, **cause))["ignored"][0]["reason"]
    reached(exporter, "warehouse", "finished")
    good(exporter, "loader-2")
    assert reached(exporter, "warehouse", "verified")["result"] == "recovered"
    assert actions_done(scene.log) == ["warehouse"]
    assert newest(exporter, "loader-1")["said"] == "explained by dependency warehouse"
    unrepairable = alert("loader-1", root_cause="dependency:network")
    assert "no recovery section" in tell(exporter, unrepairable)["ignored"][0]["reason"]
    good(exporter, "loader-1")


def test_prediction_runs_its_safe_step_once(scene: Scene, exporter: Exporter) -> None:
    """What the rules foresee is prevented before it fails, and told once however often sent."""
    good(exporter, "foreseen")
    foreseen = {"alertname": "CollectorQuotaExhaustionPredicted", "kind": "prediction"}
    assert len(tell(exporter, alert("foreseen", **foreseen))["queued"]) == 1
    record = reached(exporter, "foreseen", "prevented")
    assert (record["cause"], record["result"]) == ("CollectorQuotaExhaustionPredicted", None)
    again = tell(exporter, alert("foreseen", **foreseen))["ignored"][0]["reason"]
    assert re.search(r"was acted on \d+ minutes ago", again)
    assert (
        "has no on_prediction"
        in (tell(exporter, alert("poller", **foreseen))["ignored"][0]["reason"])
    )
    assert "has no steps" in tell(exporter, alert("foreseen"))["ignored"][0]["reason"]
    assert actions_done(scene.log) == ["foreseen"]
    assert exporter.sample('collection_recovery_exhausted{collector="foreseen"}') == 0


def test_bulk_recovers_what_matches(scene: Scene, exporter: Exporter) -> None:
    """A team's failing collectors are recovered together; healthy ones are left alone."""
    fail(exporter, "loader-1", reason="upstream")
    status, answer = send(exporter, "recover", {"team": "data", "failure_reason": "upstream"})
    assert status == 202
    assert [item["collector"] for item in answer["queued"]] == ["loader-1"]
    assert send(exporter, "recover", {"dependency": "network"})[1]["queued"] == []
    assert send(exporter, "recover", {})[0] == 400
    reached(exporter, "loader-1", "finished")
    good(exporter, "loader-1")
    reached(exporter, "loader-1", "verified")
    assert actions_done(scene.log) == ["loader-1"]


def test_break_glass_stops_what_runs_and_what_would(scene: Scene, exporter: Exporter) -> None:
    """Stop ends a running step and refuses people too, loudly, until it is lifted."""
    for body, said in (
        ({"mode": "stop", "duration": "5m"}, "reason: missing"),
        ({"mode": "stop", "reason": "storm"}, "duration: missing"),
        ({"mode": "stop", "reason": "storm", "duration": "30d"}, "within 7 days"),
        ({"mode": "halt", "reason": "storm"}, "mode"),
    ):
        status, answer = send(exporter, "break-glass", body)
        assert (status, said in answer["detail"]) == (400, True), answer
    fail(exporter, "slow")
    tell(exporter, alert("slow"))
    wait_for(lambda: actions_done(scene.log), "the step to run")
    stop = {"mode": "stop", "reason": "storm", "duration": "5m", "actor": "kim"}
    assert send(exporter, "break-glass", stop)[0] == 200
    record = reached(exporter, "slow", "finished")
    assert record["tries"][0]["result"] == "unknown"
    assert exporter.sample('collection_health_break_glass_active{mode="stop"}') == 1
    status, answer = send(exporter, "collectors/careful/recover")
    assert (status, "stopped all recovery: storm" in answer["detail"]) == (409, True)
    fail(exporter, "poller")
    tell(exporter, alert("poller"))
    reached(exporter, "poller", "held")
    lift = {"mode": "stop", "reason": "over", "active": False}
    assert send(exporter, "break-glass", lift)[0] == 200
    assert exporter.sample('collection_health_break_glass_active{mode="stop"}') == 0
    reached(exporter, "poller", "finished")
    good(exporter, "poller", "slow")
    assert reached(exporter, "slow", "verified")["result"] == "recovered"
    assert actions_done(scene.log) == ["began", "poller"]


def test_list_is_filtered_and_paged(exporter: Exporter) -> None:
    """Readers find recoveries by collector and phase, newest first, a page at a time."""
    url = f"{exporter.url}/api/v1/recoveries"
    everything = http_json(url)
    assert everything["total"] == len(everything["recoveries"])
    times = [item["queued_at"] for item in everything["recoveries"]]
    assert times == sorted(times, reverse=True)
    page = http_json(f"{url}?limit=1&offset=1")
    assert page["recoveries"] == everything["recoveries"][1:2]
    verified = http_json(f"{url}?phase=verified")["recoveries"]
    assert {item["phase"] for item in verified} == {"verified"}
    assert http_json(f"{exporter.url}/api/v1/collectors/poller/recoveries")["recoveries"]
    assert recoveries(exporter, "nobody") == []


def test_fleet_guard_and_a_missing_prometheus_hold_automation(
    scene: Scene, exporter: Exporter
) -> None:
    """While much of the fleet fails, or nobody knows, only people act."""
    good(exporter, *NAMES)
    broken = [name for name in NAMES if name != "loader-2"]
    fail(exporter, *broken)
    scene.prometheus.wait_for("fleet:unexplained_failing:ratio > 0.8")
    time.sleep(FRESH_SECONDS)  # what the guard heard before is forgotten
    waiting = ("poller", "tripped", "hopeless", "slow", "loader-1")  # more than may run at once
    tell(exporter, *(alert(name) for name in waiting))
    for name in waiting:
        reached(exporter, name, "held")
    assert "more than 70% of the fleet fails" in reached(exporter, "poller", "held")["said"]
    assert exporter.sample('collection_recovery_in_progress{collector="poller"}') == 0
    scene.prometheus.process.stop()

    def unknown() -> bool:
        fail(exporter, "poller")  # something new about it: look again
        return "Prometheus cannot be asked" in newest(exporter, "poller")["said"]

    wait_for(unknown, "Prometheus to be missed")
    assert send(exporter, "collectors/careful/recover")[0] == 202
    reached(exporter, "careful", "finished")
    assert actions_done(scene.log) == ["careful"]
    scene.prometheus.start()
    good(exporter, *(name for name in broken if name != "poller"))

    def begun() -> bool:
        fail(exporter, "poller")
        return bool(newest(exporter, "poller")["tries"])

    wait_for(begun, "the guard to let it go")
    wait_for(lambda: actions_done(scene.log) == ["careful", "poller"], "the action")


def test_only_the_recovery_scope_acts(stack: Stack, tmp_path: Path) -> None:
    """Without a token, with a collector's or from another site, nothing is recovered."""
    for name in ("writer", "oncall"):
        (tmp_path / name).write_text(f"{name}-token-0123456789")
    (tmp_path / "tokens.yml").write_text(
        "tokens:\n- {name: writer, token_file: writer, scopes: [write, control]}\n"
        "- {name: oncall, token_file: oncall, scopes: [recovery]}\n"
    )
    inventory = INVENTORY.replace("LOG", str(tmp_path / "log"))
    exporter = stack.exporter(inventory, arguments=[f"--web.token-file={tmp_path / 'tokens.yml'}"])
    for path in (
        "alertmanager/webhook", "recover", "break-glass", "collectors/poller/recover",
        "dependencies/warehouse/recover", "recoveries/x/approve", "recoveries/x/cancel",
    ):  # fmt: skip
        assert send(exporter, path)[0] == 401, path
        assert send(exporter, path, token="writer-token-0123456789")[0] == 403, path
        assert send(exporter, path, token="oncall-token-0123456789")[0] not in (401, 403), path
