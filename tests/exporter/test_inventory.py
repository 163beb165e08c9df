"""The inventory: a complete example is understood, a mistake is named with file, line and path."""

from pathlib import Path

import pytest

from collection_health.inventory import InventoryError, load, parse

COMPLETE = """
defaults: {grace: 10m, tier: 3, timezone: UTC}
dependencies:
  warehouse: {probes: [{type: connectivity, url: "tcp://warehouse:5432", every: 30s}]}
  mail:
actions:
  rerun:   {http: {method: POST, url_file: /run/secrets/rerun_url}, timeout: 60s}
  restart: {command: [systemctl, restart, orders.service], timeout: 30s}
collectors:
  - name: orders
    aliases: {openlineage: [prod/orders_dag], ping: orders-ping}
    team: data
    tier: 1
    schedule: {cron: "*/15 * * * *", timezone: Europe/Berlin}
    grace: 5m
    timeout: 10m
    depends_on: [warehouse, orders-api]
    slo: {availability: 0.995, latency: 120s, freshness: 45m, quality: 0.95, min_records: 100}
    impact: {weight: 8, consumers: [billing], cost_per_hour: 400}
    recovery:
      mode: dry_run
      reasons: [connection, timeout, upstream]
      steps: [{action: rerun, attempts: 2}, {action: restart, attempts: 1}]
      backoff: {initial: 30s, factor: 2, max: 15m, jitter: 0.2}
      verify_within: 20m
      limits: {per_hour: 3, per_day: 8}
      breaker: {failures: 3, open_for: 2h}
  - name: stream
    schedule: {streaming: true}
"""


def test_complete_example_is_understood() -> None:
    """Every key of the documented example arrives where it is used."""
    inventory = parse(COMPLETE)
    orders = inventory.collector("orders")
    assert (orders.team, orders.tier, orders.interval, orders.grace) == ("data", 1, 900, 300)
    assert orders.slo.freshness == 2700
    assert orders.slo.objective("availability") == 0.995
    assert inventory.alias("openlineage", "prod/orders_dag") == "orders"
    stream = inventory.collector("stream")
    assert stream.schedule is not None
    assert stream.schedule.streaming
    assert stream.grace == 600


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n", "collectors: []"])
def test_empty_inventory_works(text: str) -> None:
    """Defaults work with an empty file; unknown collectors get them."""
    config = parse(text).collector("anything")
    assert not config.registered
    assert config.tier == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("collectors:\n- name: a\n  slo: {avail: 1}", "c.yml:3: collectors[0].slo.avail: unknown"),
        ("collectors:\n- name: a\n  tier: 4", "c.yml:3: collectors[0].tier: Expected `int` <= 3"),
        ("collectors:\n- name: a\n  grace: 5x", "c.yml:3: collectors[0].grace: '5x' is not a dur"),
        ("collectors:\n- name: a b", "c.yml:2: collectors[0].name: Expected `str` matching"),
        ("collectors:\n- name: a\n- name: a", "c.yml:3: collectors[1].name: 'a' is already"),
        (
            "collectors:\n- name: a\n  aliases: {opnelineage: x}",
            "c.yml:3: collectors[0].aliases: Invalid enum value 'opnelineage'; allowed: openli",
        ),
        ("colectors: []", "c.yml:1: colectors: unknown key"),
        ("- a", "c.yml:1: Expected `object`"),
        ("a: [", "c.yml:1: not valid YAML"),
        ("defaults: {}\ndefaults: {}", "c.yml:2: defaults: given twice; first in line 1"),
        (
            'collectors:\n- name: a\n  schedule: {cron: "61 * * * *"}',
            "c.yml:3: collectors[0].schedule.cron: cron '61 * * * *'",
        ),
        (
            'collectors:\n- name: a\n  schedule: {cron: "@daily", timezone: Mars/X}',
            "c.yml:3: collectors[0].schedule.timezone: timezone 'Mars/X'",
        ),
        (
            "collectors:\n- name: a\n  schedule: {every: 5m, cron: '@daily'}",
            "c.yml:3: collectors[0].schedule: cron stands alone",
        ),
        ("collectors:\n- name: a\n  schedule: {}", "collectors[0].schedule: empty; allowed: one"),
        (
            "collectors:\n- name: a\n  recovery: {steps: [{action: x}]}",
            "collectors[0].recovery.steps[0].action: 'x'; allowed: none is declared",
        ),
        ("actions: {x: {timeout: 5s}}", "c.yml:1: actions.x: needs exactly one of http and comm"),
        (
            "collectors:\n- {name: a, aliases: {ping: x}}\n- {name: b, aliases: {ping: x}}",
            "c.yml:3: collectors[1].aliases.ping: 'x' already names 'a'",
        ),
        (
            "dependencies: {w: {probes: [{type: connectivity}]}}",
            "dependencies.w.probes[0]: needs exactly one of url and url_file",
        ),
    ],
)
def test_mistake_names_file_line_and_path(text: str, message: str, tmp_path: Path) -> None:
    """Whoever made the mistake finds it without reading code."""
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(InventoryError) as caught:
        load(path)
    assert message in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is an inventory error, not a traceback."""
    with pytest.raises(InventoryError, match=r"nowhere\.yml: cannot be read"):
        load(tmp_path / "nowhere.yml")


def test_hostile_yaml_is_refused_quickly() -> None:
    """Aliases that expand to billions of nodes, and keys that are lists, are errors."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for text, problem in (("\n".join(lines), "unknown key"), ("? [a, b]\n: 1", "not valid YAML")):
        with pytest.raises(InventoryError, match=problem):
            parse(text)
