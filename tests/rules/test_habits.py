"""What comes and goes by itself every day is no news until there is more of it."""

from pathlib import Path

import pytest

from collection_health.schedule import utc
from tests.rules.story import DAY, HOUR, MINUTE, Collector, Story

RUNS_A_DAY = 96
PROBLEM = 'count by (collector) (collector:problem:value{problem="flapping"})'
TOLD = 'count by (collector) (max_over_time(collector:problem:value{problem=~"slow|partial|flapping|not_running", severity="warning"}[23h]))'


def saved(collector: Collector, runs: int) -> None:
    """Runs that a second attempt saves."""
    for _ in range(runs):
        collector.bad(attempt=1).retried("success", after=10)


def troubled(collector: Collector, runs: int) -> None:
    """So many runs with the trouble that the collector is named after."""
    match collector.name:
        case "slow":
            collector.good(runs, duration=60.0)
        case "partial":
            collector.partial(runs)
        case "retried":
            saved(collector, runs)
        case "flapping":
            for _ in range(4):
                collector.bad().good()
        case "missing":
            collector.quiet(runs)


def day(collector: Collector, *bursts: int) -> None:
    """A day that begins with its bursts of trouble, an hour and a half apart."""
    tomorrow = collector.now + DAY
    for runs in bursts:
        troubled(collector, runs)
        collector.good(6, duration=10.0)
    collector.good(round((tomorrow - collector.now) / collector.interval), duration=10.0)


def test_habits(tmp_path: Path) -> None:
    """Told on the first days, then no more, and again on the day on which it lasts for longer."""
    story = Story(step="15m")
    collectors = [
        story.collector(name, every="15m").past(300, duration=10.0)
        for name in ("slow", "partial", "retried", "flapping", "missing")
    ]
    everybody = [(f'{{collector="{collector.name}"}}', 1.0) for collector in collectors]

    def days(number: int, *bursts: int) -> float:
        for _ in range(number):
            for collector in collectors:
                day(collector, *bursts)
        return collectors[0].now - 900

    story.query(days(2, 6), TOLD, *everybody)
    story.query(days(5, 6), TOLD, ('{collector="missing"}', 1.0))
    story.query(days(3, 6), TOLD)
    story.query(days(1, 6, 6, 6), TOLD, *everybody)
    story.check(tmp_path)


def test_what_goes_on_is_no_habit(tmp_path: Path) -> None:
    """An incident of several days stays told until it is over."""
    story = Story(step="15m")
    retried = story.collector("retried", every="15m").past(300)
    retried.good(8 * RUNS_A_DAY)
    saved(retried, 5 * RUNS_A_DAY)
    story.query(retried.now - 900, PROBLEM, ('{collector="retried"}', 1.0))
    story.check(tmp_path)


def test_runs_that_come_by_themselves(tmp_path: Path) -> None:
    """Where single runs are often missing in the fleet, the second one is waited for."""
    missing = (
        'count by (collector) (collector:problem:value{problem="not_running", severity="warning"})'
    )
    story = Story(step="5m")
    early, one, two, late = (
        story.collector(name, every="30m").past(50) for name in ("early", "one", "two", "late")
    )
    early.good(50).quiet().good(123)
    story.query(51 * 30 * MINUTE + 25 * MINUTE, missing, ('{collector="early"}', 1.0))
    for other in (one, two):
        other.good(52).quiet().good(121)
    late.good(170).quiet(3)
    story.query(late.now - 65 * MINUTE, missing)
    story.query(late.now - 5 * MINUTE, missing, ('{collector="late"}', 1.0))
    story.check(tmp_path)


@pytest.mark.parametrize(("usual", "longer"), [(7, 30), (24, 60)])
def test_dependency_in_its_nightly_maintenance(tmp_path: Path, usual: int, longer: int) -> None:
    """After some nights neither it nor its collectors are news, until it takes longer. Short nights
    become flakes of its collectors as well."""
    told = 'count(ALERTS{alertstate="firing", alertname=~"DependencyFailing|CollectorFailing"}) > bool 0'
    story = Story(
        step="5m"
    )  # what is evaluated every 15 minutes is three times as fast: so are days
    story.dependencies = ["warehouse"]
    collectors = [
        story.collector(name, every="5m", depends_on=["warehouse"]).past(4000)
        for name in ("orders", "stock", "prices")
    ]

    def night(runs: int) -> float:
        for collector in collectors:
            collector.bad(runs).good(288 - runs)
        return collectors[0].now - DAY + (runs - 1) * 5 * MINUTE

    story.query(night(usual), told, ("{}", 1.0))
    for _ in range(3):
        night(usual)
    story.query(night(usual), told)
    story.query(night(longer), told, ("{}", 1.0))
    story.check(tmp_path)


def test_quota_that_runs_low_every_day(tmp_path: Path) -> None:
    """It is full again before it is used up, as on the days before; used up it is told."""
    predicted = 'count by (collector) (collector:prediction:value{prediction="quota"})'
    story = Story(step="15m")
    orders = story.collector(every="15m").past(300)

    def workday(least: float) -> float:
        begin = orders.now
        for run in range(RUNS_A_DAY):
            left = max(least, 1.0 - max(0, run - 32) * 0.06)
            quota = {"limit": 1000, "remaining": round(1000 * left), "resets_at": utc(begin + DAY)}
            orders.good(quota=quota)
        return begin + 45 * 15 * MINUTE

    told = ('{collector="orders"}', 1.0)
    story.query(workday(0.1), predicted, told)
    for _ in range(4):
        workday(0.1)
    story.query(workday(0.1), predicted)
    story.query(workday(0.0) + 5 * HOUR, predicted, told)
    story.check(tmp_path)
