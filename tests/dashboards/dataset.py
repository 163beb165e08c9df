"""Fifteen days of a small fleet in which everything a dashboard shows happens to somebody.

Outcomes go through the exporter's own fold and the generated rules, both by the replay of the
back-test; only what no collector causes (self-metrics, Prometheus', Alertmanager's) is drawn.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from collection_health import inventory
from collection_health.backtest import evaluation, replay, ruleset
from collection_health.backtest.alerts import Episode
from collection_health.backtest.engine import Engine, Series
from collection_health.backtest.remote_write import Times
from collection_health.events import (
    Control,
    Event,
    Outcome,
    ProbeResult,
    Quality,
    Quota,
    Records,
    Recovery,
    Requests,
    prepare,
)

STEP = 300.0
DAYS = 15
END = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
RECORDED_DAYS = 8.5  # of conclusions: enough for "a week ago", half the work
START = END - DAYS * 86_400
HOUR = 3600.0

INVENTORY = """
defaults: {grace: 5m, tier: 2}
dependencies: {warehouse: {}, shop-api: {}}
actions: {rerun: {command: ["true"]}}
collectors:
  - {name: unscheduled, team: data}
  - {name: silent, team: data, tier: 3, schedule: {every: 1h}}
  - {name: nightly, team: data, tier: 3, schedule: {every: 1d}}
  - {name: stopped, team: shop, tier: 1, schedule: {every: 15m}}
  - {name: prices, team: shop, tier: 2, schedule: {every: 10m}, depends_on: [shop-api]}
  - {name: shop, team: shop, tier: 2, schedule: {every: 15m}, depends_on: [shop-api]}
  - name: weather
    team: data
    schedule: {every: 15m}
    timeout: 10m
    slo: {latency: 5m, min_records: 100}
  - name: orders
    team: data
    owner: ada
    tier: 1
    schedule: {every: 15m}
    timeout: 10m
    depends_on: [warehouse]
    slo: {availability: 0.995, latency: 3m, freshness: 45m, quality: 0.95, min_records: 100}
    impact: {weight: 8, consumers: [billing, board], cost_per_hour: 400}
    recovery: {mode: auto, steps: [{action: rerun, attempts: 2}]}
    probes: [{type: connectivity, name: source, url: "tcp://127.0.0.1:9"}]
"""
# What stands on the warehouse fails with it.
ON_WAREHOUSE = ("invoices", "ledger", "payouts", "reports", "stock")
for _name in ON_WAREHOUSE:
    INVENTORY += f"""
  - name: {_name}
    team: finance
    tier: 1
    schedule: {{every: 15m}}
    depends_on: [warehouse]
    impact: {{weight: 3, consumers: [{_name}-report], cost_per_hour: 50}}
    recovery: {{mode: auto, steps: [{{action: rerun, attempts: 2}}]}}
"""

Make = Callable[[float, random.Random], Outcome]


def _at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _daily(moment: float) -> float:
    return 1 + 0.6 * math.sin(2 * math.pi * moment / 86_400)


def _good(name: str, moment: float, chance: random.Random, **fields: object) -> Outcome:
    collected = round(1000 * _daily(moment) * chance.uniform(0.95, 1.05))
    values: dict[str, object] = {
        "duration_seconds": 60 * chance.uniform(0.9, 1.1),
        "records": Records(collected=collected, written=collected - 3, rejected=3, duplicate=1),
        "quality": Quality(completeness=0.99, validity=chance.uniform(0.97, 1.0)),
        "requests": Requests(total=40, failed=1, retried=1),
        "bytes": collected * 200,
        "version": "1.4.0",
        "data_time": _at(moment - 120),
        **fields,
    }
    return Outcome(name, "success", occurred_at=_at(moment), **values)  # type: ignore[arg-type]


def _bad(name: str, moment: float, reason: str, stage: str, **fields: object) -> Outcome:
    values: dict[str, object] = {
        "reason": reason,
        "stage": stage,
        "duration_seconds": 5.0,
        "version": "1.4.0",
        **fields,
    }
    return Outcome(name, "failure", occurred_at=_at(moment), **values)  # type: ignore[arg-type]


def _runs(every: float, make: Make, seed: int, until: float = END) -> Iterator[Outcome]:
    chance = random.Random(seed)
    moment = START + 60
    while moment < until:
        yield make(moment, chance)
        moment += every


def _outage(moment: float) -> bool:
    """The warehouse is away: an evening of last week, and now."""
    return moment > END - 3 * HOUR or END - 100 * HOUR < moment < END - 97 * HOUR


def _orders(moment: float, chance: random.Random) -> Outcome:
    if _outage(moment) and moment < END - 90 * HOUR:
        return _bad("orders", moment, "connection", "connect")
    if moment > END - 1.6 * HOUR:
        return _good("orders", moment, chance, records=Records(collected=40, rejected=60))
    return _good("orders", moment, chance, credential_expires_at=_at(END + 30 * HOUR))


def _on_warehouse(name: str) -> Make:
    def make(moment: float, chance: random.Random) -> Outcome:
        return (
            _bad(name, moment, "connection", "connect")
            if _outage(moment)
            else _good(name, moment, chance)
        )

    return make


def _prices(moment: float, chance: random.Random) -> Outcome:
    """Uses its quota up before it resets, fails around eight every morning, flaps of late."""
    into_day = moment % 86_400
    remaining = max(0.0, 1000 - into_day / 86_400 * 2100)
    quota = Quota(1000, remaining, _at(moment - into_day + 86_400))
    flaps = moment > END - 10 * HOUR and int(moment / 5400) % 2 == 0
    if 8 * HOUR < into_day < 9 * HOUR or flaps:
        return _bad("prices", moment, "rate_limited", "fetch", quota=quota)
    return _good("prices", moment, chance, quota=quota)


def _shop(moment: float, chance: random.Random) -> Outcome:
    if moment > END - 2 * HOUR:
        return _bad("shop", moment, "schema", "parse", version="2.0.0")
    return _good("shop", moment, chance)


def _weather(moment: float, chance: random.Random) -> Outcome:
    """Slower by the hour, with less and less to bring."""
    late = max(0.0, (moment - END + 30 * HOUR) / (30 * HOUR))
    collected = round(1000 * (1 - 0.93 * late) * chance.uniform(0.97, 1.03))
    return _good(
        "weather",
        moment,
        chance,
        duration_seconds=60 + 500 * late * chance.uniform(0.98, 1.02),
        records=Records(collected=collected),
        quality=Quality(score=1 - 0.3 * late),
    )


def _legacy(moment: float, chance: random.Random) -> Outcome:
    return _good("legacy", moment, chance, source="json")


def _events() -> dict[str, list[Event]]:
    """Everything that was reported, by collector."""
    found: dict[str, list[Event]] = {
        "silent": [],
        "unscheduled": [],
        "nightly": [*_runs(86_400, lambda m, c: _good("nightly", m, c), 1)],
        "stopped": [*_runs(900, lambda m, c: _good("stopped", m, c), 2, END - 2 * HOUR)],
        "orders": [*_runs(900, _orders, 3)],
        "prices": [*_runs(600, _prices, 4)],
        "shop": [*_runs(900, _shop, 5)],
        "weather": [*_runs(900, _weather, 6)],
        "legacy": [*_runs(3600, _legacy, 7)],
    }
    for index, name in enumerate(ON_WAREHOUSE):
        found[name] = [*_runs(900, _on_warehouse(name), 10 + index)]
    found["nightly"].append(Control("nightly", "maintenance", True, END - 5 * HOUR, END + HOUR))
    found["reports"].append(Control("reports", "acknowledged", True, END - 2.5 * HOUR, END + HOUR))
    found["orders"] += [
        ProbeResult("collector", "orders", "source", moment < END - 2 * HOUR, moment, 0.2)
        for moment in np.arange(START, END, 6 * HOUR).tolist()
    ]
    found["orders"] += _recovery("orders", END - 99 * HOUR, "recovered")
    found["stock"] += _recovery("stock", END - 190 * HOUR, "recovered")
    found["ledger"] += _recovery("ledger", END - 2.7 * HOUR, "ineffective")
    found["ledger"].append(_phase("ledger", END - 2.7 * HOUR, "exhausted", 1500))
    found["prices"].append(_phase("prices", END - 28 * HOUR, "manual", 0))
    found["payouts"] += _recovery("payouts", END - 2.5 * HOUR, None)
    return found


def _phase(name: str, begun: float, phase: Any, after: float, result: Any = None) -> Recovery:
    return Recovery(f"{name}-1", name, begun - 600, 0, 1, "rerun", phase, begun + after, result)


def _recovery(name: str, begun: float, result: str | None) -> list[Event]:
    steps: list[Event] = [_phase(name, begun, "queued", 0), _phase(name, begun, "started", 10)]
    if result is not None:
        steps += [
            _phase(name, begun, "finished", 40),
            _phase(name, begun, "verified", 1200, result),
        ]
    return steps


def _drawn(name: str, labels: Mapping[str, str], per_second: float, times: Times) -> Series:
    """A counter that grows by ``per_second``."""
    seconds = (times - times[0]) / 1000
    return Series({"__name__": name, **labels}, times, seconds * per_second + 1)


def _flat(name: str, labels: Mapping[str, str], value: float, times: Times) -> Series:
    return Series({"__name__": name, **labels}, times, np.full(len(times), value))


def _around(times: Times) -> Iterator[Series]:
    """What surrounds the collectors: the exporter's own metrics, Prometheus', Alertmanager's."""
    exporter = {"job": "collection-health", "instance": "exporter-1"}
    prometheus = {"job": "prometheus", "instance": "prometheus-1"}
    alertmanager = {"job": "alertmanager", "instance": "alertmanager-1"}
    own = "collection_health_"
    for state, count in (("registered", 12), ("reporting", 9), ("discovered", 1), ("silent", 3)):
        yield _flat(own + "collectors", {**exporter, "state": state}, count, times)
    for protocol in ("json", "ping"):
        for result in ("accepted", "duplicate", "rejected", "unavailable"):
            labels = {**exporter, "protocol": protocol, "result": result}
            yield _drawn(own + "events_total", labels, 0.02, times)
    for name in ("unknown_collectors", "collectors_refused", "ledger_failures", "ledger_events"):
        yield _drawn(f"{own}{name}_total", exporter, 0.001, times)
    for name, value in (
        ("ledger_bytes", 2e7),
        ("ledger_writable", 1.0),
        ("ledger_queue_events", 2.0),
        ("config_last_reload_successful", 1.0),
        ("config_last_reload_success_timestamp_seconds", END - 86_400),
        ("shedding", 0.0),
    ):
        yield _flat(own + name, exporter, value, times)
    yield _flat(own + "break_glass_active", {**exporter, "mode": "stop"}, 0, times)
    yield _flat(own + "build_info", {**exporter, "version": "0.1.0"}, 1, times)
    for bound in ("0.001", "0.01", "0.1", "+Inf"):
        yield _drawn(
            own + "ledger_commit_duration_seconds_bucket", {**exporter, "le": bound}, 0.5, times
        )
    yield _flat("scrape_duration_seconds", exporter, 0.05, times)
    yield _flat("scrape_samples_scraped", exporter, 1200, times)
    group = {**prometheus, "rule_group": "rules.yml;collection-sli"}
    yield _drawn("prometheus_rule_evaluation_failures_total", group, 0.0, times)
    yield _flat("prometheus_rule_group_last_duration_seconds", group, 0.1, times)
    yield _flat("prometheus_rule_group_interval_seconds", group, 30, times)
    yield _drawn("prometheus_rule_group_iterations_missed_total", group, 0, times)
    for name in ("sent", "dropped", "errors"):
        yield _drawn(f"prometheus_notifications_{name}_total", prometheus, 0.01, times)
    for integration in ("slack", "email", "webhook"):
        channel = {**alertmanager, "integration": integration}
        yield _drawn("alertmanager_notifications_total", channel, 0.01, times)
        yield _drawn("alertmanager_notifications_failed_total", channel, 0, times)
        for bound in ("1", "5", "+Inf"):
            yield _drawn(
                "alertmanager_notification_latency_seconds_bucket",
                {**channel, "le": bound},
                0.01,
                times,
            )
    labels = {**exporter, "dependency": "warehouse", "probe": "connectivity"}
    yield _flat("collection_dependency_probe_success", labels, 0, times)
    for alertname, verdict in (
        ("CollectorFailing", "relevant"),
        ("CollectorFailing", "noise"),
        ("CollectorSlow", "relevant"),
        ("CollectorSlow", "noise"),
    ):
        labels = {**exporter, "alertname": alertname, "verdict": verdict}
        yield _drawn("collection_alert_feedback_total", labels, 0.00001, times)


@dataclass(frozen=True)
class Loaded:
    """What was loaded."""

    alerts: frozenset[str]
    recorded: Mapping[str, float]  # seconds each rule took


def _alerts(episodes: list[Episode], times: Times) -> Iterator[Series]:
    """When each firing alert began, which Prometheus writes and the replay does not."""
    for episode in episodes:
        labels = {"alertname": episode.alertname, **episode.labels}
        during = times[times >= episode.start * 1000]
        if episode.end is not None:
            during = during[during < episode.end * 1000]
        if len(during):
            yield _flat("ALERTS_FOR_STATE", labels, episode.start, during)


def _constants(engine: Engine, rules: Iterable[ruleset.Rule], times: Times) -> Iterator[Series]:
    """What rules record that read no history, such as targets; the replay leaves them out."""
    first, last = int(times[0]), int(times[-1])
    for rule in rules:
        for series in engine.query_range(rule.expr, first, last, int(STEP * 1000)):
            labels = {**rule.expand_labels(series.labels), "__name__": rule.name}
            yield Series(labels, series.times, series.values)


def load(engine: Engine, rules: Path) -> Loaded:
    """Write the fleet's history into ``engine``, evaluate the rules below ``rules`` over it."""
    known = inventory.parse(INVENTORY)
    times = replay.grid(START, END, STEP)
    names = replay.metric_names()
    retention = DAYS * 86_400 * 2.0
    for name, events in _events().items():
        for event in events:
            if isinstance(event, Outcome):
                problem = prepare(event, END + 60, retention)
                assert problem is None, problem
        ordered = sorted(events, key=lambda event: event.at or 0.0)
        engine.write(replay.replay(ordered, known.collector(name), times, names).series)  # type: ignore[arg-type]
    recent = times[times >= times[-1] - RECORDED_DAYS * 86_400_000]
    engine.write([replay.up(times), *_around(recent)])
    known_rules = ruleset.load([rules])
    plan = ruleset.plan(known_rules, names | {"up"} | _drawn_names(recent), everything=True)
    done = evaluation.evaluate(engine, plan, recent, lambda *_: None)
    constants = [r for r in known_rules if not r.alerting and r not in plan.rules]
    engine.write(_constants(engine, constants, recent))
    engine.write(_alerts(done.episodes, times))
    engine.flush()
    return Loaded(frozenset(episode.alertname for episode in done.episodes), done.seconds)


def _drawn_names(times: Times) -> frozenset[str]:
    return frozenset(series.labels["__name__"] for series in _around(times))
