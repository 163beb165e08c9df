"""Alerts about dependencies, the fleet, escalation and recovery."""

from pathlib import Path

import pytest

from tests.rules.story import Alert, Story

TIMEOUT = "Reason timeout. "


def test_dependency_explains_its_collectors(tmp_path: Path) -> None:
    """Collectors that fail together are one failing dependency, and say so; one of them is not."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    orders, sales, stock = (
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(3)
        for name in ("orders", "sales", "stock")
    )
    orders.bad(2)
    sales.good(2)
    stock.good(2)
    orders.silent("DependencyFailing")
    for collector in (orders, sales, stock):
        collector.bad(3)
    failing = Alert(
        "critical",
        "Dependency db has failed: 3 of its collectors fail because of it.",
        {"dependency": "db", "tier": "1", "root_cause": "dependency:db"},
        since="20m 0s ago",
        cause="Most frequent reason: timeout. 100% of its collectors that ran since fail. ",
    )
    story.expect(sales.now - 300, "DependencyFailing", None, failing)
    for collector, runs in ((orders, 5), (sales, 3), (stock, 3)):
        collector.fires(
            "CollectorFailing",
            *(
                Alert(
                    severity,
                    f"Collector {collector.name} failed {runs} runs in a row, "
                    "more than its own past explains.",
                    {"root_cause": "dependency:db"},
                    since=f"{5 * runs - 5}m 0s ago",
                    cause=f"{TIMEOUT}Explained by dependency:db. ",
                )
                for severity in (("critical", "warning") if runs == 5 else ("warning",))
            ),
        )
        collector.good(1)
    story.expect(sales.now - 300, "DependencyFailing", None)
    story.check(tmp_path)


def test_second_dependency_of_the_same_collectors_stays_innocent(tmp_path: Path) -> None:
    """A dependency is not blamed for failures that another one explains better."""
    story = Story(step="5m")
    story.dependencies = ["db", "cache"]
    for name in ("a", "b", "c", "d"):
        dependencies = ["db", "cache"] if name in "ab" else ["db"]
        collector = (
            story.collector(name, every="5m", depends_on=dependencies).past(3000).good(3).bad(4)
        )
    story.query(
        collector.now - 300,
        "dependency:failing:bool == 1",
        ('dependency:failing:bool{dependency="db"}', 1),
    )
    story.check(tmp_path)


def test_dependency_is_not_blamed_for_what_failed_alone_for_hours(tmp_path: Path) -> None:
    """A collector that fails alone all morning does not make one blip of the others an outage."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    orders, sales, stock = (
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(3)
        for name in ("orders", "sales", "stock")
    )
    orders.bad(50)
    sales.good(48).bad(1)
    stock.good(48).bad(1)
    orders.silent("DependencyFailing")
    sales.good(1)
    stock.good(1).silent("DependencyFailing")
    story.check(tmp_path)


@pytest.mark.parametrize(
    ("good_meanwhile", "failing"),
    [pytest.param(2, 1.0, id="together"), pytest.param(8, 0.0, id="apart")],
)
def test_two_are_a_failing_dependency_if_they_began_together(
    tmp_path: Path, good_meanwhile: int, failing: float
) -> None:
    """Of two alone, the later one must not have run well four times while the first one failed."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    hourly, fast = (
        story.collector(name, every=every, depends_on=["db"]).past(3000).good(3 * runs)
        for name, every, runs in (("hourly", "1h", 1), ("fast", "15m", 4))
    )
    hourly.bad(5)
    fast.good(good_meanwhile).bad(11)
    story.query(fast.now - 300, "sum(dependency:failing:bool)", ("{}", failing))
    story.query(fast.now - 300, "sum(collector:failing_dependency:info)", ("{}", 2.0))
    story.check(tmp_path)


def test_dependency_is_not_blamed_for_a_flake_long_after_others_began_to_fail(
    tmp_path: Path,
) -> None:
    """Half of its collectors fail for causes of their own; the rest ran well for hours since."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    for name in ("bills", "ledger"):
        story.collector(name, every="6h", depends_on=["db"]).past(400).good(2).bad(3)
    story.collector("leads", every="1h", depends_on=["db"]).past(400).good(18).bad(13)
    for name in ("orders", "sales", "stock"):
        fast = story.collector(name, every="15m", depends_on=["db"]).past(3000).good(122)
        fast.bad(1 if name == "orders" else 0).good(2)
    for minutes in (0, 5, 10):
        at = fast.now - 1800 + 60 * minutes
        story.query(at, "count(collector:failing_dependency:timestamp_seconds)", ("{}", 4.0))
        story.query(at, "sum(dependency:failing:bool)", ("{}", 0.0))
    story.check(tmp_path)


def test_dependency_is_not_blamed_for_a_blip_beside_a_failing_collector(tmp_path: Path) -> None:
    """One that fails before and after a blip of the others does not make it an outage."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    orders, sales, stock, prices = (
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(3)
        for name in ("orders", "sales", "stock", "prices")
    )
    orders.bad(6)
    for collector in (sales, stock, prices):
        collector.good(3).bad(1).silent("DependencyFailing").good(2)
    orders.silent("DependencyFailing")
    for collector in (sales, stock, prices):  # now for good
        collector.bad(4)
    orders.bad(4)
    story.query(
        orders.now - 300, "dependency:failing:bool", ('dependency:failing:bool{dependency="db"}', 1)
    )
    story.check(tmp_path)


def test_dependency_probe_is_proof(tmp_path: Path) -> None:
    """A dependency whose probe fails throughout is failing, whatever its collectors say yet."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    story.collector("orders", every="1h", depends_on=["db"], tier=2).past(100).good(2)
    story.add(
        'collection_dependency_probe_success{job="collection-health",instance="exporter:9036",'
        'dependency="db",probe="connectivity"}',
        [1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1],
    )
    story.expect(3 * 300, "DependencyFailing", None)
    story.expect(
        7 * 300,
        "DependencyFailing",
        None,
        Alert(
            "critical",
            "Dependency db has failed: 0 of its collectors fail because of it.",
            {"dependency": "db", "tier": "2", "root_cause": "dependency:db"},
            cause="Its own probe fails. ",
        ),
    )
    story.expect(10 * 300, "DependencyFailing", None)
    story.check(tmp_path)


def test_fleet_failing_and_at_risk(tmp_path: Path) -> None:
    """Most collectors failing without a common dependency is one cause; two of eight are not."""
    story = Story(step="5m")
    fleet = [story.collector(f"c{n}", every="5m").past(3000).good(2) for n in range(8)]
    for number, collector in enumerate(fleet):
        collector.bad(4) if number < 2 else collector.good(4)
    fleet[0].silent("FleetFailing").silent("FleetRiskHigh")
    for number, collector in enumerate(fleet):
        collector.bad(6) if number < 6 else collector.good(6)
    at = fleet[0].now - 300
    story.expect(
        at,
        "FleetFailing",
        None,
        Alert(
            "critical",
            "75% of all collectors are failing for no common dependency: look for what they all share.",
        ),
    )
    story.expect(
        at,
        "FleetRiskHigh",
        None,
        Alert("warning", "75% of the weight of all collectors is at risk at the same time."),
    )
    for collector in fleet:
        collector.good(1)
    story.expect(at + 300, "FleetFailing", None)
    story.expect(at + 300, "FleetRiskHigh", None)
    story.check(tmp_path)


def test_unacknowledged_climbs_by_tier(tmp_path: Path) -> None:
    """A critical problem climbs level by level until somebody acknowledges it; tier 3 never does."""
    story = Story(step="5m")
    orders = story.collector("orders", every="5m").past(3000).good(2).bad(5)
    story.collector("minor", every="5m", tier=3).past(3000).good(2).bad(20)

    def levels(since: str, *levels: str) -> list[Alert]:
        return [
            Alert(
                "critical",
                "Collector orders (tier 1) has a critical problem (1) that nobody has acknowledged in time.",
                {"level": level},
                since=f"{since} ago",
                cause=f"{TIMEOUT}Verdict: failing",
            )
            for level in levels
        ]

    orders.fires("CollectorUnacknowledged", *levels("20m 0s", "1")).bad(3)
    orders.fires("CollectorUnacknowledged", *levels("35m 0s", "1", "2")).bad(3)
    orders.fires("CollectorUnacknowledged", *levels("50m 0s", "1", "2", "3"))
    orders.control("acknowledged").bad(1).silent("CollectorUnacknowledged")
    story.check(tmp_path)


def test_recovery_under_way_holds_and_exhaustion_raises(tmp_path: Path) -> None:
    """While recovery may still succeed nobody is called; when it is exhausted all levels are."""
    story = Story(step="5m")
    recovery = {"mode": "auto", "steps": [{"action": "rerun"}]}
    orders = story.collector("orders", every="5m", recovery=recovery).past(3000).good(2).bad(4)
    orders.recovery("started").bad(3).silent("CollectorUnacknowledged").silent(
        "CollectorRecoveryExhausted"
    )
    orders.recovery("exhausted").bad(1).fires(
        "CollectorRecoveryExhausted",
        Alert(
            "critical",
            "Automatic recovery of collector orders gave up (1 ladder) and no good run followed. "
            "Tried: rerun at 00:35 UTC unknown.",
        ),
    )
    orders.fires(
        "CollectorUnacknowledged",
        *(
            Alert(
                "critical",
                "Collector orders (tier 1) has a critical problem (1) that nobody has acknowledged in time.",
                {"level": level},
                since="35m 0s ago",
                cause=f"{TIMEOUT}Verdict: failing",
                recovery="Automatic recovery is exhausted.",
            )
            for level in ("1", "2", "3")
        ),
    )
    orders.good(1).silent("CollectorRecoveryExhausted").silent("CollectorUnacknowledged")
    story.check(tmp_path)


def test_recovery_circuit_open(tmp_path: Path) -> None:
    """A breaker that holds recovery is told once, and only while it does."""
    story = Story(step="5m")
    story.collector("orders", every="5m").past(100).good(6)
    labels = '{job="collection-health",instance="exporter:9036",collector="orders"}'
    story.add(f"collection_recovery_circuit_open{labels}", [0, 0, 1, 1, 0, 0])
    story.add(f"collection_recovery_exhausted{labels}", [0] * 6)
    story.add(f"collection_recovery_in_progress{labels}", [0] * 6)
    story.expect(300, "CollectorRecoveryCircuitOpen", "orders")
    story.expect(
        900,
        "CollectorRecoveryCircuitOpen",
        "orders",
        Alert(
            "warning",
            "Recovery of collector orders failed to help too often; 1 breaker is open and nothing automatic will run.",
        ),
    )
    story.expect(1500, "CollectorRecoveryCircuitOpen", "orders")
    story.check(tmp_path)


def test_dependency_speaks_for_what_the_inventory_lacks(tmp_path: Path) -> None:
    """An undeclared collector that fails with a dependency, for its reason, is no news of its own."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    for name in ("orders", "sales", "stock"):
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(3).bad(6)
    with_it = story.collector("with_it", every="5m", registered=False).past(3000).good(3).bad(6)
    story.collector("other", every="5m", registered=False).past(3000).good(3).bad(6, reason="auth")
    story.query(
        with_it.now - 300,
        'collector:labels:info{collector=~"with_it|other"}',
        (
            'collector:labels:info{collector="with_it",tier="3",root_cause="dependency:db"}',
            1,
        ),
        ('collector:labels:info{collector="other",tier="3",root_cause="collector:other"}', 1),
    )
    story.check(tmp_path)


def test_undeclared_collector_in_trouble_before_is_its_own_news(tmp_path: Path) -> None:
    """A dependency that fails later, for the same reason, does not explain it."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    for name in ("orders", "sales", "stock"):
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(13).bad(6)
    before = story.collector("before", every="5m", registered=False).past(3000)
    before.good(3).bad(6).good(5).bad(5)
    story.query(
        before.now - 300,
        'collector:labels:info{collector="before"}',
        ('collector:labels:info{collector="before",tier="3",root_cause="collector:before"}', 1),
    )
    story.check(tmp_path)


def test_flips_below_a_failing_dependency_are_its_news(tmp_path: Path) -> None:
    """A collector that recovers and fails again below a failing dependency is not flapping itself."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    orders = story.collector("orders", every="5m", depends_on=["db"]).past(3000).good(3).bad(6)
    for name in ("sales", "stock", "users"):
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(3).bad(40)
    for _ in range(4):
        orders.good(2).bad(6)
    orders.silent("CollectorFlapping")
    # Its first verdict came and went before the dependency's failures spanned long enough.
    flips = 'collector:flips:count{collector="orders"}'
    story.query(orders.now - 300, flips, (flips, 2))
    story.check(tmp_path)


def test_collectors_wait_while_a_dependency_is_suspected(tmp_path: Path) -> None:
    """The first minutes tell a failing dependency from a blip; until then nobody hears of either."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    orders, sales, stock = (
        story.collector(name, every="5m", depends_on=["db"]).past(3000)
        for name in ("orders", "sales", "stock")
    )
    orders.good(3).bad(3).silent("CollectorFailing")
    sales.good(4).bad(2)
    stock.good(4).bad(2)
    failing = 'collector:problem:value{collector="orders",problem="failing",severity="warning"}'
    story.query(orders.now - 300, failing, (failing, 3))
    for collector in (orders, sales, stock):
        collector.bad(2)
    story.query(
        orders.now - 300,
        "dependency:problem:value",
        ('dependency:problem:value{dependency="db"}', 3),
    )
    story.check(tmp_path)


def test_dependency_explains_its_last_failed_runs_until_the_next(tmp_path: Path) -> None:
    """An hourly collector waits for its next run; another one's flake changes nothing about it."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    hourly = story.collector("hourly", every="1h", depends_on=["db"]).past(400).good(1).bad(3)
    start = 2 * 3600 - 300
    for name in ("orders", "sales", "stock"):
        collector = story.collector(name, every="5m", depends_on=["db"]).past(3000)
        collector.good(int(start / 300)).bad(26).good(4)
        if name == "stock":
            collector.bad(1)
        collector.good(20)
    explained = 'collector:explained_by:info{collector="hourly"}'
    labelled = 'collector:explained_by:info{collector="hourly",dependency="db"}'
    for run in range(int(start / 300) + 12, int(hourly.now / 300)):
        story.query(run * 300.0, explained, (labelled, 1))
    story.check(tmp_path)


def test_what_a_dependency_explained_does_not_come_back_without_it(tmp_path: Path) -> None:
    """A collector that alternated before was critical below its dependency; that ends with it."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    hourly = story.collector("hourly", every="1h", depends_on=["db"])
    hourly.past(400).good(30).bad(1).good(1).bad(3)
    for name in ("orders", "sales", "stock"):
        fast = story.collector(name, every="5m", depends_on=["db"]).past(3000)
        fast.good(int(hourly.now / 300) - 14).bad(26).good(94)
    hourly.bad(2)
    grave = 'collector:failing:grave_timestamp_seconds{collector="hourly"}'
    story.query(hourly.now - 300, f"{grave} > bool 0", ('{collector="hourly"}', 1))
    for _ in range(8):
        hourly.good(1).silent("CollectorFailing")
    story.check(tmp_path)


def test_what_alternated_below_a_dependency_does_not_flap_afterwards(tmp_path: Path) -> None:
    """Its windows still see what the dependency did to it, hours after that is over."""
    story = Story(step="5m")
    story.dependencies = ["db"]
    hourly = story.collector("hourly", every="1h", depends_on=["db"]).past(400).good(30)
    for name in ("orders", "sales", "stock"):
        fast = story.collector(name, every="15m", depends_on=["db"]).past(3000)
        fast.good(int(hourly.now / 900) - 2).bad(34).good(44)
    for _ in range(3):
        hourly.bad().good()
    hourly.bad(3)
    for _ in range(10):
        hourly.good(1).silent("CollectorFlapping")
    story.check(tmp_path)


def test_undeclared_collector_belongs_to_the_dependency_that_fails_now(tmp_path: Path) -> None:
    """Another one that failed for the same reason, with more collectors, is over."""
    story = Story(step="5m")
    story.dependencies = ["db", "old"]
    for name in ("a", "b", "c", "d"):
        story.collector(name, every="5m", depends_on=["old"]).past(3000).good(3).bad(6).good(10)
    for name in ("orders", "sales", "stock"):
        story.collector(name, every="5m", depends_on=["db"]).past(3000).good(13).bad(6)
    with_it = story.collector("with_it", every="5m", registered=False).past(3000).good(13).bad(6)
    story.query(
        with_it.now - 300,
        'collector:root_dependency:info{collector="with_it"}',
        ('collector:root_dependency:info{collector="with_it",dependency="db"}', 1),
    )
    story.check(tmp_path)
