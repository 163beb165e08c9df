"""The exposition: our text against prometheus-client, its budget and its laziness."""

from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from collection_health import fold
from collection_health.events import Control, Event, Outcome, ProbeResult, Quality, Quota, Records
from collection_health.exposition import Exposition
from collection_health.inventory import Inventory, parse
from collection_health.metrics import FAMILIES, Context, collect
from collection_health.state import CollectorState
from collection_health.timing import timing

T0 = 1_770_000_000.0
FULL = """
actions: {rerun: {http: {url: "http://localhost/"}}, restart: {command: ["true"]}}
collectors:
- name: orders
  team: data "north"
  tier: 1
  schedule: {every: 10m}
  timeout: 10m
  depends_on: [warehouse, api]
  slo: {availability: 0.99, latency: 60s, freshness: 30m, quality: 0.9, min_records: 10}
  impact: {weight: 8, consumers: [billing], cost_per_hour: 400}
  recovery: {steps: [{action: rerun}, {action: restart}]}
"""


def rich_history(name: str) -> list[Event]:
    """Events that touch every optional metric."""
    return [
        Outcome(name, "started", at=T0, run_id="r", version='1.0 "beta"\\'),
        Outcome(name, "success", at=T0 + 60, run_id="r", duration_seconds=60.0, bytes=10,
                records=Records(expected=9, collected=8, rejected=1),
                quality=Quality(score=0.9), quota=Quota(limit=100.0, remaining=7.0)),
        Outcome(name, "started", at=T0 + 600, run_id="s"),
        Outcome(name, "success", at=T0 + 640, version="2", duration_seconds=3.5),
        Outcome(name, "failure", at=T0 + 700, reason="auth", stage="auth"),
        Control(name, "maintenance", True, T0 + 800),
        ProbeResult("collector", name, "connectivity", True, T0 + 900, 0.01, None, None, T0 + 1e6),
    ]  # fmt: skip


def contexts(inventory: Inventory, *names: str) -> list[Context]:
    """Collectors after a rich history, and one that is merely known."""
    found = []
    for name in names:
        state, config = CollectorState(name, registered_at=T0), inventory.collector(name)
        if name != "idle":
            for position, event in enumerate(rich_history(name)):
                fold.apply(state, event, config, position)
        found.append(Context(state, config, timing(state, config), T0 + 1000))
    return found


class _Source:
    """The same contexts as a prometheus-client custom collector."""

    def __init__(self, known: list[Context]) -> None:
        self._known = known

    def collect(self) -> list[Metric]:
        return list(collect(self._known))


def samples_of(families: object) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families  # type: ignore[attr-defined]
        for sample in family.samples
    }


def test_text_equals_prometheus_client_sample_by_sample() -> None:
    """Both formats parse to exactly what prometheus-client would have written."""
    known = contexts(parse(FULL), "orders", "a/b", "idle")
    registry = CollectorRegistry()
    registry.register(_Source(known))  # type: ignore[arg-type]
    exposition = Exposition()
    for context in known:
        exposition.update(context.state, context.config, context.now)
    ours = exposition.render(open_metrics=False).decode()
    theirs = generate_latest(registry).decode()
    assert samples_of(parse_text(ours)) == samples_of(parse_text(theirs))
    ours = exposition.render(open_metrics=True).decode() + "# EOF\n"
    theirs = generate_open_metrics(registry).decode()
    assert samples_of(parse_open_metrics(ours)) == samples_of(parse_open_metrics(theirs))


def test_series_budget() -> None:
    """A collector with ordinary targets stays within 100 series, with everything within 130."""
    ordinary = """
collectors: [{name: c, schedule: {every: 5m}, depends_on: [w], slo: {freshness: 1h}}]
"""
    for inventory, name, budget in ((parse(ordinary), "c", 100), (parse(FULL), "orders", 130)):
        (context,) = contexts(inventory, name)
        exposition = Exposition()
        exposition.update(context.state, context.config, context.now)
        lines = exposition.render(open_metrics=False).splitlines()
        assert sum(not line.startswith(b"#") for line in lines) <= budget


def test_known_label_sets_exist_at_zero() -> None:
    """A collector that never ran already shows its counters, so that increase() sees the first."""
    (context,) = contexts(parse(FULL), "idle")
    exposition = Exposition()
    exposition.update(context.state, context.config, context.now)
    text = exposition.render(open_metrics=False).decode()
    assert 'collection_runs_total{collector="idle"} 0\n' in text
    assert 'collection_run_failures_total{collector="idle",reason="missed"} 0\n' in text
    assert 'collection_sli_errors_total{collector="idle",sli="availability"} 0\n' in text


def test_only_what_changed_is_rendered_again() -> None:
    """An unchanged collector's text is the very same object at the next scrape."""
    exposition = Exposition()
    for context in contexts(parse(FULL), "orders", "idle"):
        exposition.update(context.state, context.config, context.now)
    before = [list(chunks) for chunks in exposition._chunks]
    (changed,) = contexts(parse(FULL), "orders")
    changed.state.runs += 1
    exposition.update(changed.state, changed.config, changed.now)
    for old, new in zip(before, exposition._chunks, strict=True):
        assert old[1] is new[1]
    assert b'collection_runs_total{collector="orders"} 4' in exposition.render(open_metrics=False)


def test_removed_collector_leaves_no_series() -> None:
    """A collector taken out of the inventory disappears from the text."""
    exposition = Exposition()
    (context,) = contexts(parse(FULL), "orders")
    exposition.update(context.state, context.config, context.now)
    exposition.remove("orders")
    assert b"orders" not in exposition.render(open_metrics=False)


def test_names_follow_the_ecosystems_rules() -> None:
    """One prefix, no reserved label, `_total` only from counters, help everywhere."""
    for family in FAMILIES:
        assert family.name.startswith("collection_")
        assert not family.name.endswith("_total")
        assert family.help.endswith(".")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_snapshot_of_a_rich_state_is_lossless() -> None:
    """Everything a state holds survives its snapshot."""
    (context,) = contexts(parse(FULL), "orders")
    body = msgspec.msgpack.encode(context.state)
    assert msgspec.msgpack.decode(body, type=CollectorState) == context.state


def test_readme_lists_every_metric(root: Path) -> None:
    """The catalogue in exporter/README.md is complete and says what the exposition says."""
    (context,) = contexts(parse(FULL), "orders")
    readme = (root / "exporter" / "README.md").read_text()
    for family in FAMILIES:
        name = family.name + ("_total" if family.kind == "counter" else "")
        labels = dict.fromkeys(
            key for _, labels, _ in family.samples(context) for key, _ in labels if key != "le"
        )
        row = f"| `{name}` | {family.kind} | {', '.join(f'`{one}`' for one in labels)} | "
        assert row + family.help in readme
