"""Alerts about one collector: silent on the healthy look-alike, firing in time, resolved."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collection_health.schedule import utc
from tests.rules.story import HOUR, MINUTE, RULES, Alert, Collector, Story
from tests.tools import tool

TIMEOUT = "Reason timeout. "
BURNS = "Collector orders burns the budget of one of its objectives {} times as fast as it may."
FLAPPED = (
    "{} of the last runs of collector orders failed or needed another attempt, with good ones in between, "
    "more than its own past explains."
)
FAILED = "Collector orders failed {} runs in a row, more than its own past explains."
STILL = (
    "Collector orders still failed {} of its last runs, with good ones in between, "
    "more than its own past explains."
)
LATENCY = {"latency": "11s", "objectives": {"latency": 0.98}}


@pytest.mark.parametrize(
    ("every", "runs", "since", "severities"),
    [
        ("30s", 9, "4m 0s ago", ["critical", "warning"]),
        ("1h", 2, "1h 0m 0s ago", ["warning"]),
        ("1d", 2, "1d 0h 0m 0s ago", ["critical", "warning"]),
    ],
)
def test_failing_waits_for_what_flakes_cannot_explain(
    tmp_path: Path, every: str, runs: int, since: str, severities: list[str]
) -> None:
    """A clean collector is failing after as many runs as its cadence makes news, not before."""
    story = Story(step=every)
    orders = story.collector(every=every).past(400).good(2).bad(runs - 1).silent("CollectorFailing")
    orders.bad().fires(
        "CollectorFailing",
        *(
            Alert(
                severity,
                f"Collector orders failed {runs} runs in a row, more than its own past explains.",
                since=since,
                cause=TIMEOUT,
            )
            for severity in severities
        ),
    ).good(1).silent("CollectorFailing")
    story.check(tmp_path)


@pytest.mark.parametrize(
    ("every", "flakes", "length", "runs", "since"),
    [("30m", 12, 4, 14, "6h 30m 0s ago"), ("6h", 4, 3, 4, "18h 0m 0s ago")],
)
def test_flakes_that_go_on_for_some_runs(
    tmp_path: Path, every: str, flakes: int, length: int, runs: int, since: str
) -> None:
    """Flakes of many runs of which none became an outage: one that goes on for longer is news, and
    of a slow job sooner."""
    story = Story(step=every)
    orders = story.collector(every=every)
    for _ in range(flakes):
        orders.past(length, bad=True).past(40)
    orders.good(2).bad(runs - 1).silent("CollectorFailing").bad()
    orders.fires(
        "CollectorFailing", Alert("warning", FAILED.format(runs), since=since, cause=TIMEOUT)
    ).good(3).silent("CollectorFailing")
    story.check(tmp_path)


def test_failing_becomes_critical_with_certainty(tmp_path: Path) -> None:
    """More failed runs make the same alert critical, beside the warning that Alertmanager inhibits."""
    story = Story(step="1h")
    story.collector().past(400).good(2).bad(5, stage="fetch").fires(
        "CollectorFailing",
        *(
            Alert(
                severity,
                "Collector orders failed 5 runs in a row, more than its own past explains.",
                since="4h 0m 0s ago",
                cause="Reason timeout at stage fetch. ",
            )
            for severity in ("critical", "warning")
        ),
    ).good().silent("CollectorFailing")
    story.check(tmp_path)


def test_failing_needs_one_run_for_reasons_that_do_not_heal(tmp_path: Path) -> None:
    """One run refused for its credentials is enough, unless such refusals healed before."""
    story = Story(step="1h")
    story.collector("orders").past(100).good(2).bad(1, reason="auth").fires(
        "CollectorFailing",
        Alert(
            "warning",
            "Collector orders failed 1 runs in a row, more than its own past explains.",
            since="0s ago",
            cause="Reason auth. ",
        ),
    ).good().silent("CollectorFailing")
    story.collector("seen").past(100).bad(1, reason="auth").good(3).bad(1, reason="auth").silent(
        "CollectorFailing"
    )
    story.check(tmp_path)


def test_error_pages_of_a_collector_that_flakes(tmp_path: Path) -> None:
    """What upstreams produce by accident as well may be one more flake; a refused password is not."""
    story = Story(step="15m")
    for name, flakes, reason in (
        ("flaky", 2, "parse"),
        ("steady", 1, "parse"),
        ("refused", 2, "auth"),
    ):
        collector = story.collector(name).past(40)
        for _ in range(flakes):
            collector.past(1, bad=True).past(40)
        collector.good(2).bad(1, reason=reason)
        told = Alert(
            "warning",
            f"Collector {name} failed 1 runs in a row, more than its own past explains.",
            since="15m 0s ago",
            cause=f"Reason {reason}. ",
        )
        collector.fires("CollectorFailing", *([] if name == "flaky" else [told]), after=0.25)
    story.check(tmp_path)


def test_retries_of_one_run_are_one_run(tmp_path: Path) -> None:
    """Minutes later it may still be the same blip; the next run tells."""
    story = Story(step="5m")
    for name in ("blip", "orders"):
        collector = story.collector(name).past(400).good(2).bad()
        collector.retried("failure", 120, reason="timeout")
        collector.retried("failure", 120, reason="timeout").silent("CollectorFailing", after=0.5)
    story.collectors[0].good()
    story.collectors[1].bad().fires(
        "CollectorFailing",
        Alert("warning", FAILED.format(2), since="1h 0m 0s ago", cause=TIMEOUT),
    )
    story.check(tmp_path)


def test_retries_of_a_slow_job_are_waited_for(tmp_path: Path) -> None:
    """Its next run is a day away: once no other retry follows, it has failed."""
    story = Story(step="5m")
    for name in ("mended", "orders"):
        collector = story.collector(name, every="1d").past(400).good(2).bad()
        collector.retried("failure", 900, reason="timeout")
        collector.silent("CollectorFailing", after=0.04)
    story.collectors[0].retried("success", 1200)
    story.collectors[1].fires(
        "CollectorFailing",
        Alert("warning", FAILED.format(1), since="1h 30m 0s ago", cause=TIMEOUT),
        after=1.5 / 24,
    )
    story.check(tmp_path)


def test_run_counts_once_whatever_its_attempts(tmp_path: Path) -> None:
    """Half of the runs failed, though two thirds of the attempts did."""
    story = Story(step="5m")
    orders = story.collector(every="30m").past(400).good(2)
    for _ in range(6):
        orders.bad().retried("failure", 300, reason="timeout").good()
    orders.fires("CollectorFlapping", Alert("warning", FLAPPED.format("50%")))
    story.check(tmp_path)


def test_error_page_waits_for_a_retry(tmp_path: Path) -> None:
    """Of a collector that hardly flakes it is news, unless another attempt finds the data."""
    story = Story(step="1m")
    for name in ("mended", "orders"):
        collector = story.collector(name).past(100).good(2).bad(reason="not_found")
        collector.silent("CollectorFailing", after=9 / 60)
    story.collectors[0].retried("success", 240)
    story.collectors[1].fires(
        "CollectorFailing",
        Alert("warning", FAILED.format(1), since="11m 0s ago", cause="Reason not_found. "),
        after=11 / 60,
    )
    story.check(tmp_path)


def judge(directory: Path, story: dict[str, Any]) -> None:
    """Let promtool judge a unit test written by hand."""
    (directory / "story.yml").write_text(yaml.safe_dump(story))
    done = subprocess.run(
        [str(tool("promtool")), "test", "rules", str(directory / "story.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("healed", [True, False])
def test_reason_that_healed_before_is_known_at_once(tmp_path: Path, healed: bool) -> None:
    """Not only when the history is counted again, as happens four times an hour.

    The facts are given as their groups record them: promtool evaluates all groups alike.
    """
    groups = {g["name"]: g for g in yaml.safe_load(RULES[0].read_text())["groups"]}
    problems = groups["collection-problems"]
    wanted = [rule for rule in problems["rules"] if rule["record"] == CONFIRMED][:1]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{**problems, "rules": wanted}]}))
    before, since = 10, 10 * 5 * 60  # steps, seconds
    facts = {
        "streak:count{%s}": f"_x{before} 1x20",
        "streak:interval_seconds{%s}": f"_x{before} 900x20",
        "streak:flakes_count{%s}": f"_x{before} 1x20",
        "failing:excess_count{%s}": f"_x{before} -2x20",
        "failing_since:timestamp_seconds{%s}": f"_x{before} {since}x20",
        'last_failure:info{%s, reason="auth", stage="fetch"}': f"_x{before} 1x20",
    }
    if healed:
        facts['reason_failures:history{%s, reason="auth"}'] = f"1x{before + 2} 2x20"
    series = [
        {"series": "collector:" + name % 'collector="orders"', "values": values}
        for name, values in facts.items()
    ]
    times = [since + 300 * step for step in range(5)]
    labels = f'{CONFIRMED}{{collector="orders", severity="warning"}}'
    case = {
        "interval": "5m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": CONFIRMED,
                "eval_time": f"{time}s",
                "exp_samples": [] if healed else [{"labels": labels, "value": time}],
            }
            for time in times
        ],
    }
    judge(tmp_path, {"rule_files": ["rules.yml"], "evaluation_interval": "5m", "tests": [case]})


def test_flaky_collectors_wait_longer(tmp_path: Path) -> None:
    """A collector whose failures often come in twos is not failing at the second."""
    story = Story(step="1h")
    flaky = story.collector()
    for _ in range(12):
        flaky.past(20)
        flaky.past(2, bad=True)
    flaky.past(20).good(2).bad(6).silent("CollectorFailing").bad(14).fires(
        "CollectorFailing",
        *(
            Alert(
                severity,
                "Collector orders failed 20 runs in a row, more than its own past explains.",
                since="19h 0m 0s ago",
                cause=TIMEOUT,
            )
            for severity in ("critical", "warning")
        ),
    )
    story.check(tmp_path)


@pytest.mark.parametrize(
    ("every", "step", "late", "overdue", "since", "severities"),
    [
        ("30s", "30s", 7, "20s", "50s ago", ["warning"]),
        ("30s", "30s", 8, "50s", "1m 20s ago", ["critical", "warning"]),
        ("1h", "5m", 2, "29m 50s", "44m 50s ago", ["warning"]),
        ("1h", "5m", 2.5, "59m 50s", "1h 14m 50s ago", ["critical", "warning"]),
        ("1d", "1h", 1.125, "1h 44m 50s", "1h 59m 50s ago", ["critical", "warning"]),
    ],
)
def test_not_running(
    tmp_path: Path,
    every: str,
    step: str,
    late: float,
    overdue: str,
    since: str,
    severities: list[str],
) -> None:
    """A late run is no news before grace, usual duration and hesitation are over, and no page
    before the next one is missing too, or three quarters of an hour have passed."""
    story = Story(step=step)
    orders = story.collector(every=every).past(20).good(2)
    orders.silent("CollectorNotRunning", after=late - 3 if every == "30s" else 1)
    orders.fires(
        "CollectorNotRunning",
        *(
            Alert(
                severity,
                f"Collector orders is {overdue} past the deadline of its next run.",
                since=since,
            )
            for severity in severities
        ),
        after=late,
    )
    orders.quiet(late + 1).good().silent("CollectorNotRunning")
    story.check(tmp_path)


def test_page_waits_for_the_second_missing_run_where_single_ones_often_are(tmp_path: Path) -> None:
    """A run that is missing now and then is a warning each time; two in a row are not its habit."""
    story = Story(step="5m")
    orders = story.collector().past(50).good(2)
    for _ in range(4):
        orders.quiet(1).good(2)
    missing = "Collector orders is {} past the deadline of its next run."
    orders.fires(
        "CollectorNotRunning",
        Alert("warning", missing.format("29m 50s"), since="44m 50s ago"),
        after=2,
    )
    orders.fires(
        "CollectorNotRunning",
        *(
            Alert(severity, missing.format("1h 59m 50s"), since="2h 14m 50s ago")
            for severity in ("critical", "warning")
        ),
        after=3.5,
    )
    story.check(tmp_path)


CONFIRMED = "collector:failing:confirmed_timestamp_seconds"
NOT_RUNNING = 'count(collector:problem:value{problem="not_running", severity="warning"})'


def test_hours_at_which_it_never_runs(tmp_path: Path) -> None:
    """Two weekends without a run are told, the third is its habit; a weekday is not, nor a week."""
    story = Story(step="1h")
    orders = story.collector(every="6h", registered=False).past(20)
    for expected in ([("{}", 1.0)], [("{}", 1.0)], []):
        orders.good(20)
        story.query(orders.now + 12 * HOUR, NOT_RUNNING, *expected)
        story.query(orders.now + 30 * HOUR, NOT_RUNNING, *expected)
        orders.quiet(8)
    orders.good(8)
    story.query(orders.now + 12 * HOUR, NOT_RUNNING, ("{}", 1.0))
    orders.quiet(5).good(7)
    story.query(orders.now + 30 * HOUR, NOT_RUNNING)
    story.query(orders.now + 60 * HOUR, NOT_RUNNING, ("{}", 1.0))
    story.check(tmp_path)


def test_data_that_are_old_every_weekend(tmp_path: Path) -> None:
    """Two weekends without data are told, the third is its habit; a weekday is not."""
    stale = 'count(collector:problem:value{problem="stale"})'
    story = Story(step="1h")
    orders = story.collector(every="6h", slo={"freshness": "12h"}).past(20)
    for expected in ([("{}", 1.0)], [("{}", 1.0)], []):
        orders.good(20)
        story.query(orders.now + 40 * HOUR, stale, *expected)
        orders.skipped(8)
    orders.good(8).skipped(8)
    story.query(orders.now - 6 * HOUR, stale, ("{}", 1.0))
    story.check(tmp_path)


def test_as_late_as_its_runs_have_lately_been(tmp_path: Path) -> None:
    """What was so late and came a day ago is no news; half as late again is."""
    story = Story(step="5m")
    orders = story.collector().past(50)
    for expected in ([("{}", 1.0)], []):
        orders.good(3)
        story.query(orders.now + 40 * MINUTE, NOT_RUNNING, *expected)
        orders.quiet(0.75).good(26)
    story.query(orders.now + 90 * MINUTE, NOT_RUNNING, ("{}", 1.0))
    story.check(tmp_path)


def test_outage_is_no_habit(tmp_path: Path) -> None:
    """Runs that did not come at all for hours say nothing of how late one may be."""
    story = Story(step="5m")
    orders = story.collector().past(50).good(3).quiet(5).good(26)
    story.query(orders.now + 40 * MINUTE, NOT_RUNNING, ("{}", 1.0))
    story.check(tmp_path)


def test_hanging_run_is_not_a_missing_one(tmp_path: Path) -> None:
    """A run under way beyond its usual duration hangs; it is critical once the next one is due."""
    story = Story(step="5m")
    orders = story.collector().past(50, duration=60.0).good(1, duration=60.0).started()
    orders.silent("CollectorRunOverdue", after=1 + 30 / 60)
    hanging = "A run of collector orders has been under way for {} without an end."
    orders.fires(
        "CollectorRunOverdue",
        Alert("warning", hanging.format("35m 0s")),
        after=1 + 35 / 60,
    )
    orders.fires(
        "CollectorRunOverdue",
        *(
            Alert(severity, hanging.format("2h 0m 0s"), since="43m 0s ago")
            for severity in ("critical", "warning")
        ),
        after=3,
    )
    orders.silent("CollectorNotRunning", after=3)
    orders.quiet(3).good().silent("CollectorRunOverdue")
    story.check(tmp_path)


def test_long_run_of_a_slow_collector_is_no_second_alert(tmp_path: Path) -> None:
    """It is known to be slow; a run that is still under way when the next one is due is news."""
    story = Story(step="5m")
    orders = story.collector().past(200, duration=60.0).good(30, duration=60.0)
    orders.good(8, duration=240.0).fires(
        "CollectorSlow",
        Alert("warning", "Runs of collector orders take 4 times their usual duration."),
    ).started()
    orders.silent("CollectorRunOverdue", after=1 + 40 / 60)
    hanging = "A run of collector orders has been under way for 2h 0m 0s without an end."
    orders.fires(
        "CollectorRunOverdue",
        *(Alert(severity, hanging, since="43m 0s ago") for severity in ("critical", "warning")),
        after=3,
    )
    story.check(tmp_path)


def test_long_run_of_a_collector_that_times_out_waits_for_the_next(tmp_path: Path) -> None:
    """Its runs are long when they time out, and that is told as failures where they are too many."""
    story = Story(step="5m")
    orders = story.collector().past(50, duration=60.0)
    for _ in range(2):
        orders.past(1, bad=True, duration=900.0).past(50, duration=60.0)
    orders.good(1, duration=60.0).started().silent("CollectorRunOverdue", after=1 + 40 / 60)
    hanging = "A run of collector orders has been under way for 2h 0m 0s without an end."
    orders.fires(
        "CollectorRunOverdue",
        *(
            Alert(severity, hanging, since="43m 0s ago", cause="Reason timeout. ")
            for severity in ("critical", "warning")
        ),
        after=3,
    )
    story.check(tmp_path)


def test_data_stale_is_no_news_while_a_missed_run_is_made_up_for(tmp_path: Path) -> None:
    """The run that ends a stall is under way: what was told of the stall covers its data."""
    story = Story(step="1m")
    orders = (
        story.collector(every="30m", slo={"freshness": "2h"})
        .past(200, duration=600.0)
        .good(2, duration=600.0)
        .quiet(5)
    )
    orders.started().silent("CollectorNotRunning", after=1.1).silent(
        "CollectorDataStale", after=1.1
    )
    story.query(
        orders.now + 180,
        "collector:data_age:ratio > bool 1",
        ('{collector="orders"}', 1),
    )
    story.check(tmp_path)


def test_data_stale_although_it_runs(tmp_path: Path) -> None:
    """Skipped runs are runs, but the data grows older than its owner allows."""
    story = Story(step="30m")
    story.collector(slo={"freshness": "2h"}).past(50).good(2).skipped(1).silent(
        "CollectorDataStale"
    ).skipped(2).fires(
        "CollectorDataStale",
        Alert(
            "critical", "The newest good data of collector orders is 1.5 times as old as it may be."
        ),
    ).good().silent("CollectorDataStale")
    story.check(tmp_path)


def test_data_stale_by_minutes_is_no_page(tmp_path: Path) -> None:
    """The next run may be about to bring it; a tenth beyond the target is no longer minutes."""
    story = Story(step="5m")
    orders = story.collector(slo={"freshness": "2h"}).past(50).good(2)
    newest = orders.now - HOUR
    orders.skipped(3)
    stale = 'count(collector:problem:value{problem="stale"})'
    story.query(newest + 125 * MINUTE, stale)
    story.query(newest + 135 * MINUTE, stale, ("{}", 1.0))
    story.check(tmp_path)


def test_data_stale_is_what_its_own_flakes_do_not_explain(tmp_path: Path) -> None:
    """Of a collector that often fails for a while, a tight target is missed every other day."""
    story = Story(step="5m")
    steady = story.collector("steady", every="5m", slo={"freshness": "20m"}).past(400)
    flaky = story.collector("flaky", every="5m", slo={"freshness": "20m"})
    for _ in range(6):
        flaky.past(4, bad=True).past(30)
    for collector in (steady, flaky):
        collector.good(12).skipped().bad().skipped().bad().skipped(3)
    story.query(
        steady.now,
        'count by (collector) (collector:problem:value{problem="stale"})',
        ('{collector="steady"}', 1.0),
    )
    story.check(tmp_path)


def test_data_stale_of_a_source_that_often_has_nothing_new(tmp_path: Path) -> None:
    """Its newest record is old because there is none; of a source that always had some it stopped."""
    story = Story(step="10m")
    for name, least in (("orders", 20), ("sparse", 0)):
        collector = story.collector(name, every="30m", slo={"freshness": "1h"}).past(200)
        newest = collector.now
        for run in range(80):
            count = (least, least, 40)[run % 3]
            newest = collector.now if count else newest
            collector.good(1, records={"collected": count}, data_time=utc(newest))
        collector.good(4, records={"collected": 0}, data_time=utc(newest))
    story.query(
        collector.now - 1800,
        'count by (collector) (collector:problem:value{problem="stale"})',
        ('{collector="orders"}', 1.0),
    )
    story.check(tmp_path)


def test_data_stale_of_runs_that_skip(tmp_path: Path) -> None:
    """Nobody promised anything: they may skip over a weekend, not for a week."""
    story = Story(step="1h")
    orders = story.collector().past(50).good(2).skipped(90).silent("CollectorDataStale")
    orders.skipped(30).fires(
        "CollectorDataStale",
        Alert(
            "critical",
            "The newest good data of collector orders is 1.159 times as old as it may be.",
        ),
    ).good().silent("CollectorDataStale")
    orders.bad().skipped(90).silent("CollectorDataStale")  # nor does one failed run change that
    story.check(tmp_path)


def test_data_stale_yields_to_what_explains_it(tmp_path: Path) -> None:
    """Old data of a failing collector is one problem, not two."""
    story = Story(step="1h")
    story.collector(slo={"freshness": "2h"}).past(400).good(2).bad(4).silent("CollectorDataStale")
    story.check(tmp_path)


def test_schema_changed(tmp_path: Path) -> None:
    """The first run refused by the schema says that the upstream changed."""
    story = Story(step="1h")
    story.collector().past(100).bad(1).silent("CollectorSchemaChanged").good(2).bad(
        1, reason="schema", stage="validate"
    ).fires(
        "CollectorSchemaChanged",
        Alert(
            "warning",
            "Collector orders failed 1 runs on a schema it had always understood.",
            since="0s ago",
            cause="Reason schema at stage validate. ",
        ),
    ).good().silent("CollectorSchemaChanged")
    story.check(tmp_path)


def test_failing_since_version(tmp_path: Path) -> None:
    """Failures that begin with a release are laid at its door; later ones are not."""
    story = Story(step="1h")
    story.collector("orders").past(400, version="1").good(2, version="1").bad(2, version="2").fires(
        "CollectorFailingSinceVersion",
        Alert(
            "warning",
            "Collector orders began to fail 0s after its version changed.",
            since="1h 0m 0s ago",
            cause=TIMEOUT,
        ),
    ).good(1, version="2").silent("CollectorFailingSinceVersion")
    story.collector("stable").past(400, version="1").good(1, version="2").good(5, version="2").bad(
        2, version="2"
    ).silent("CollectorFailingSinceVersion")
    story.check(tmp_path)


def test_first_run_of_a_version_may_come_before_its_configuration(tmp_path: Path) -> None:
    """The second tells; a daily job has no second one soon."""
    story = Story(step="15m")
    for every, runs in (("1h", 1), ("1h", 2), ("1d", 1)):
        name = f"runs-{runs}-{every}"
        collector = story.collector(name, every=every).past(400, version="1").good(2, version="1")
        collector.bad(runs, reason="config", version="2")
        hour = HOUR / collector.interval
        told = Alert(
            "warning",
            f"Collector {name} failed {runs} runs in a row, more than its own past explains.",
            since="1h 15m 0s ago" if runs == 2 else "15m 0s ago",
            cause="Reason config. ",
        )
        collector.fires(
            "CollectorFailing", *([told] if (every, runs) != ("1h", 1) else []), after=hour / 4
        ).good()
    story.check(tmp_path)


def test_probe_failing(tmp_path: Path) -> None:
    """A probe that fails throughout ten minutes is news, one failed check is not."""
    story = Story(step="5m")
    orders = story.collector(
        every="5m", probes=[{"type": "connectivity", "url": "tcp://source:80", "every": "5m"}]
    )
    orders.past(50).probe(True).good(3).probe(False).good(1)
    orders.silent("CollectorProbeFailing").good(3).fires(
        "CollectorProbeFailing",
        Alert("warning", "1 probes of collector orders have failed throughout."),
    ).probe(True).good(2).silent("CollectorProbeFailing")
    story.check(tmp_path)


def test_unregistered(tmp_path: Path) -> None:
    """Collectors that the inventory lacks are told of together, once they stay."""
    story = Story(step="30m")
    orders = story.collector(registered=False)
    sales = story.collector("sales", registered=False)
    story.expect(1800, "CollectorUnregistered", None)
    for collector in (orders, sales):
        collector.good(4).leaves().quiet()
    story.expect(
        7200,
        "CollectorUnregistered",
        None,
        Alert(
            "info",
            "The inventory lacks 2 collectors that report outcomes, so their schedules are guessed "
            "and nobody owns them: orders sales.",
        ),
    )
    story.expect(orders.now + 3600, "CollectorUnregistered", None)
    story.check(tmp_path)


@pytest.mark.parametrize(("every", "runs"), [("30s", 4), ("1h", 4), ("1d", 3)])
def test_slow(tmp_path: Path, every: str, runs: int) -> None:
    """Some runs far beyond the usual duration are news at every cadence, one less is not."""
    story = Story(step=every)
    story.collector(every=every).past(100, duration=10.0).good(2, duration=10.0).good(
        runs - 1, duration=60.0
    ).silent("CollectorSlow").good(1, duration=60.0).fires(
        "CollectorSlow",
        Alert("warning", "Runs of collector orders take 6 times their usual duration."),
    ).good(3, duration=10.0).silent("CollectorSlow")
    story.check(tmp_path)


def test_longer_because_there_is_more_to_do(tmp_path: Path) -> None:
    """Runs that take three times as long for three times the records are not slow; a fifth more
    records explain nothing."""
    story = Story(step="2h")
    for name, records, duration, times in (
        ("busy", 3000, 180.0, ""), ("slow", 1000, 180.0, "3"), ("noisy", 1200, 102.0, "1.7"),
    ):  # fmt: skip
        collector = story.collector(name, every="2h").past(50, duration=60.0)
        collector.good(12 * 10, duration=60.0, records={"collected": 1000})
        collector.good(8, duration=duration, records={"collected": records})
        told = Alert(
            "warning", f"Runs of collector {name} take {times} times their usual duration."
        )
        collector.fires("CollectorSlow", *([told] if times else []))
    story.check(tmp_path)


@pytest.mark.parametrize(("every", "strays"), [("30s", 2), ("1h", 2), ("1d", 1)])
def test_slow_strays(tmp_path: Path, every: str, strays: int) -> None:
    """Two slow runs in a row, or one of a daily job, are strays."""
    story = Story(step=every)
    orders = story.collector(every=every).past(100, duration=10.0).good(2, duration=10.0)
    orders.good(strays, duration=60.0).silent("CollectorSlow")
    for _ in range(3):
        orders.good(1, duration=10.0).silent("CollectorSlow")
    story.check(tmp_path)


@pytest.mark.parametrize("every", ["30s", "1h", "1d"])
def test_volume_zero(tmp_path: Path, every: str) -> None:
    """Successful runs without records are news at the second one."""
    story = Story(step=every)
    story.collector(every=every).past(100, records={"collected": 500}).good(
        2, records={"collected": 500}
    ).good(1, records={"collected": 0}).silent("CollectorVolumeAnomaly").good(
        1, records={"collected": 0}
    ).fires(
        "CollectorVolumeAnomaly",
        Alert(
            "warning",
            "The last runs of collector orders succeeded with 0 records, which it practically never does.",
            {"direction": "zero"},
        ),
    ).good(2, records={"collected": 480}).silent("CollectorVolumeAnomaly")
    story.check(tmp_path)


def test_volume_low_and_high(tmp_path: Path) -> None:
    """A daily rhythm is expected, not news; less or more than it at that hour is."""
    story = Story(step="2h")
    rhythm = [100, 110, 120, 150, 200, 260, 300, 310, 260, 200, 150, 120]

    def day(collector: str, factor: float = 1.0) -> None:
        for number, count in enumerate(rhythm):
            jitter = 1 + 0.04 * ((number * 7) % 5 - 2)
            orders.good(1, records={"collected": int(count * jitter * factor)})

    orders = story.collector(every="2h")
    for _ in range(10):
        day("orders")
    orders.silent("CollectorVolumeAnomaly")
    day("orders", 0.3)
    orders.fires(
        "CollectorVolumeAnomaly",
        Alert(
            "warning",
            "Collector orders brings 29.71% of the records expected at this time.",
            {"direction": "low"},
        ),
    )
    day("orders")
    orders.silent("CollectorVolumeAnomaly")
    day("orders", 6)
    orders.fires(
        "CollectorVolumeAnomaly",
        Alert(
            "info",
            "Collector orders brings 6 times the records expected at this time.",
            {"direction": "high"},
        ),
    )
    story.check(tmp_path)


def test_volume_of_a_holiday(tmp_path: Path) -> None:
    """What many bring no more of than on Sundays says what day it is; of one, or of less, it is news."""
    story = Story(step="2h")
    names = ("bills", "leads", "lone", "orders", "users")
    shops = {name: story.collector(name, every="2h") for name in names}

    def day(**factors: float) -> None:
        for name, shop in shops.items():
            for number in range(12):
                jitter = 1 + 0.04 * ((number * 7) % 5 - 2)
                count = int(1000 * jitter * factors.get(name, 1.0))
                shop.good(1, records={"collected": count})

    sunday = dict.fromkeys(("bills", "leads", "orders", "users"), 0.3)
    low = 'count by (collector) (collector:problem:value{problem="volume_low"})'

    def told(*names: str) -> None:
        at = shops["orders"].now - 2 * HOUR
        story.query(at, low, *((f'{{collector="{name}"}}', 1.0) for name in names))

    for _ in range(3):
        for _ in range(6):
            day()
        day(**sunday)
    told()
    day()
    day(orders=0.3)
    told("orders")
    day()
    day(**sunday, lone=0.3)
    told("lone")
    story.check(tmp_path)


def test_one_season_at_a_time(tmp_path: Path) -> None:
    """The best model changes: the one before is held for hours and has no say."""
    groups = {g["name"]: g for g in yaml.safe_load(RULES[0].read_text())["groups"]}
    models = groups["collection-volume-models"]
    wanted = [rule for rule in models["rules"] if rule["record"] == "collector:records:season"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{**models, "rules": wanted}]}))
    at = 'collector:records:season_timestamp_seconds{collector="orders", window="3", model="%s"}'
    case = {
        "interval": "1h",
        "input_series": [
            {"series": at % "daily", "values": "0 3600 stale"},
            {"series": at % "weekly", "values": "_ _ 7200 10800"},
        ],
        "promql_expr_test": [
            {
                "expr": "count by (model) (collector:records:season)",
                "eval_time": time,
                "exp_samples": [{"labels": f'{{model="{model}"}}', "value": 1}],
            }
            for time, model in (("1h", "daily"), ("2h", "weekly"), ("3h", "weekly"))
        ],
    }
    judge(tmp_path, {"rule_files": ["rules.yml"], "evaluation_interval": "1h", "tests": [case]})


def expected_lows(directory: Path, lows: str, model: str, *expected: tuple[str, float]) -> None:
    """What the lows, one in a quarter of an hour, make the models expect at these times.

    They are given as their group records them: promtool evaluates all groups alike and would
    record them too often to miss any.
    """
    groups = {g["name"]: g for g in yaml.safe_load(RULES[0].read_text())["groups"]}
    recorded = groups["collection-volume-lows"]
    assert recorded["interval"] == "15m"
    assert recorded["rules"][0]["expr"] == "min_over_time(collector:records:level[15m])"
    wanted = [
        rule for rule in recorded["rules"] if rule["record"] == "collector:records:expected_low"
    ]
    expecting = {"groups": [{**recorded, "rules": wanted}]}
    (directory / "rules.yml").write_text(yaml.safe_dump(expecting))
    labels = f'collector:records:expected_low{{collector="orders", model="{model}", window="3"}}'
    interval = 'collector:interval:assumed_seconds{collector="orders"}'
    low = 'collector:records:quarter_low{collector="orders", window="3"}'
    case = {
        "interval": "15m",
        "input_series": [
            {"series": low, "values": lows},
            {"series": interval, "values": f"300x{16 * 96}"},
        ],
        "promql_expr_test": [
            {
                "expr": f'collector:records:expected_low{{model="{model}"}}',
                "eval_time": time,
                "exp_samples": [{"labels": labels, "value": value}],
            }
            for time, value in expected
        ],
    }
    judge(directory, {"rule_files": ["rules.yml"], "evaluation_interval": "3m", "tests": [case]})


def test_volume_rhythm_that_moves_by_an_hour(tmp_path: Path) -> None:
    """The clocks change: what came at ten yesterday comes at nine, and is no lack of records."""
    lows = f"150x{22 * 4} 60x{2 * 4 - 1} 150x{22 * 4}"
    times = (("44h33m", 150.0), ("45h3m", 60.0), ("45h48m", 60.0))
    expected_lows(tmp_path, lows, "daily", *times)


def test_volume_of_a_rush_is_not_expected_again(tmp_path: Path) -> None:
    """Of two weeks the lesser: neither a holiday's rush nor half of it is due a week later."""
    lows = f"100x{7 * 96 - 1} 300x95 100x{8 * 96}"  # the rush is on the eighth day
    times = (("347h3m", 100.0), ("351h3m", 100.0))  # the fifteenth
    expected_lows(tmp_path, lows, "weekly", *times)


def test_volume_lacking_soon_after_a_rush(tmp_path: Path) -> None:
    """The rush widens no limit, and that it is expected again explains no lack."""
    story = Story(step="2h")
    rhythm = [100, 120, 160, 230, 350, 520, 650, 600, 420, 260, 160, 110]
    lacking = story.collector("lacking", every="2h")
    usual = story.collector("usual", every="2h")
    low = 'count by (collector) (collector:problem:value{problem="volume_low"})'
    for day in range(27):
        for count in rhythm:
            grown = count * 1.06**day * (2.5 if day in (21, 22) else 1.0)
            usual.good(1, records={"collected": int(grown)})
            lacking.good(1, records={"collected": int(grown * (0.2 if day == 25 else 1.0))})
        if day > 20:
            told = [('{collector="lacking"}', 1.0)] if day == 25 else []
            story.query(usual.now - 2 * HOUR, low, *told)
    story.check(tmp_path)


def test_volume_trending_to_zero(tmp_path: Path) -> None:
    """A volume that shrinks run by run is announced before nothing is left."""
    story = Story(step="2h")
    orders = story.collector(every="2h")
    for run in range(112):
        orders.good(1, records={"collected": 300 + 5 * (run % 3)})
    orders.silent("CollectorVolumeTrendingToZero")
    for run in range(36):
        orders.good(1, records={"collected": 300 - 8 * run})
    orders.fires(
        "CollectorVolumeTrendingToZero",
        Alert("info", "At its present decline collector orders brings nothing in 14h 0m 0s."),
    )
    orders.good(12, records={"collected": 300}).silent("CollectorVolumeTrendingToZero")
    story.check(tmp_path)


@pytest.mark.parametrize("every", ["30s", "1h", "1d"])
def test_partial(tmp_path: Path, every: str) -> None:
    """A partial run now and then is usual; that most runs are is not, unless they always were."""
    story = Story(step=every)
    orders = story.collector("orders", every=every).past(400).good(12)
    always = story.collector("always", every=every).partial(40)
    orders.partial().good(6).partial().silent("CollectorPartial").partial(5).fires(
        "CollectorPartial",
        Alert(
            "warning",
            "60% of the last runs of collector orders ended as partial, more than its own past explains.",
        ),
    )
    always.silent("CollectorPartial")
    orders.good(150 if every == "30s" else 16).silent("CollectorPartial")
    story.check(tmp_path)


def test_quality_low(tmp_path: Path) -> None:
    """Quality far below the collector's own past is news; a slightly worse run is not."""
    story = Story(step="1h")
    usual = {"quality": {"score": 0.98}}
    story.collector().past(100, **usual).good(26, **usual).good(2, quality={"score": 0.97}).silent(
        "CollectorQualityLow"
    ).good(3, quality={"score": 0.7}).silent("CollectorQualityLow").good(
        1, quality={"score": 0.7}
    ).fires(
        "CollectorQualityLow",
        Alert(
            "warning", "Quality of collector orders fell to 70%, below its target or its own past."
        ),
    ).good(2, **usual).good(5, **usual).silent("CollectorQualityLow")
    story.check(tmp_path)


def test_flapping_outcomes(tmp_path: Path) -> None:
    """Every other run failing is told apart from one short streak of failures."""
    story = Story(step="1h")
    story.collector("orders").past(400).good(2).bad().good().bad().silent(
        "CollectorFlapping"
    ).good().bad().good().bad().fires(
        "CollectorFlapping",
        Alert(
            "warning",
            FLAPPED.format("40%"),
            since="0s ago",
            cause=TIMEOUT,
        ),
    ).good(10).silent("CollectorFlapping")
    story.collector("once").past(400).good(2).bad(4).good(2).silent("CollectorFlapping")
    story.check(tmp_path)


def test_flapping_that_is_long_over_does_not_return_with_one_failure(tmp_path: Path) -> None:
    """The last hundred runs still hold it; that it goes on takes two failures among the last ten."""
    story = Story(step="1h")
    for name, again in (("once", 0), ("orders", 1)):
        collector = story.collector(name).past(20000).good(2)
        for _ in range(14):
            collector.bad().good()
        collector.good(40)
        for _ in range(2):
            collector.bad(again).good(2 - again)
        collector.bad()
        told = Alert("warning", FLAPPED.format("30%"), since="0s ago", cause=TIMEOUT)
        collector.fires("CollectorFlapping", *([told] if again else []))
    story.check(tmp_path)


def test_flapping_for_a_day(tmp_path: Path) -> None:
    """Bursts are usual here; a day of them is not, though ten runs alone never tell."""
    story = Story(step="1h")
    orders = story.collector("orders")
    for _ in range(12):  # a burst of two or three every 50 runs
        orders.past(50).past(2, bad=True).past(50).past(3, bad=True)
    orders.past(60).good(2).bad(3).good(3).silent("CollectorFlapping")
    for _ in range(5):
        orders.bad(3).good(3)
    orders.fires(
        "CollectorFlapping",
        Alert(
            "warning",
            FLAPPED.format("50%"),
        ),
    ).good(12).silent("CollectorFlapping")
    story.check(tmp_path)


@pytest.mark.parametrize("every", ["30s", "1h", "1d"])
def test_retried(tmp_path: Path, every: str) -> None:
    """A run that another attempt saves now and then is usual; that most need one is not."""

    def saved(collector: Collector, runs: int) -> None:
        for _ in range(runs):
            collector.bad(attempt=1).retried("success", after=10)

    story = Story(step=every)
    orders = story.collector("orders", every=every).past(400).good(26)
    always = story.collector("always", every=every)
    saved(always, 41)
    saved(orders, 1)
    orders.good(6)
    saved(orders, 1)
    orders.silent("CollectorFlapping")
    saved(orders, 6)
    orders.good().fires("CollectorFlapping", Alert("warning", FLAPPED.format("70%")))
    always.silent("CollectorFlapping").silent("CollectorFailing")
    orders.good(250 if every == "30s" else 26).silent("CollectorFlapping")
    story.check(tmp_path)


def test_flapping_is_news_when_it_fails_again(tmp_path: Path) -> None:
    """Not with the good run that ends a streak and makes the many streaks evident."""
    story = Story(step="5m")
    orders = story.collector("orders", every="5m").past(20).past(8, bad=True).past(3600).good(12)
    for length in (6, 6, 5):
        orders.bad(length).good(14)
    orders.bad(2).good(3)
    flapping = 'count(collector:problem:value{problem="flapping", severity="warning"}) or vector(0)'
    before = orders.now - 5 * MINUTE
    story.query(before, "count(collector:flapping:evident_timestamp_seconds)", ("{}", 1))
    story.query(before, flapping, ("{}", 0))
    orders.bad()
    story.query(orders.now, flapping, ("{}", 1))
    story.check(tmp_path)


def test_failing_that_begins_to_alternate_keeps_its_name(tmp_path: Path) -> None:
    """Good runs in between neither end the alert nor bring a second one."""
    story = Story(step="1h")
    orders = story.collector().past(400).good(30).bad().good().bad(6).silent("CollectorFlapping")
    for _ in range(2):
        orders.good().fires(
            "CollectorFailing",
            Alert(
                "critical",
                "Collector orders still failed 70% of its last runs, with good ones in between, "
                "more than its own past explains.",
            ),
        ).silent("CollectorFlapping")
        orders.bad().good()
    orders.good(10).silent("CollectorFailing").silent("CollectorFlapping")
    story.check(tmp_path)


def test_failing_again_is_not_over_with_one_good_run(tmp_path: Path) -> None:
    """The first good run ends the first failure; what came back within a day must be good for longer."""
    story = Story(step="1h")
    orders = (
        story.collector()
        .past(400)
        .good(30)
        .bad(2)
        .fires(
            "CollectorFailing",
            Alert("warning", FAILED.format(2), since="1h 0m 0s ago", cause=TIMEOUT),
        )
        .good(3)
        .silent("CollectorFailing")
    )
    orders.bad(2).good(2).fires("CollectorFailing", Alert("warning", STILL.format("40%")))
    orders.good(9).silent("CollectorFailing").silent("CollectorFlapping")
    story.check(tmp_path)


def test_one_good_run_of_a_fast_collector_is_not_the_end(tmp_path: Path) -> None:
    """What failed and fails again minutes later is one message; the fourth good run ends it."""
    story = Story(step="5m")
    orders = story.collector(every="5m").past(3000).good(300).bad(3)
    orders.fires(
        "CollectorFailing",
        Alert("warning", FAILED.format(3), since="10m 0s ago", cause=TIMEOUT),
    )
    orders.good(2).fires("CollectorFailing", Alert("warning", STILL.format("30%")))
    orders.bad(1).fires(
        "CollectorFailing",
        Alert("warning", STILL.format("40%"), since="0s ago", cause=TIMEOUT),
    )
    orders.good(2).silent("CollectorFailing")
    story.check(tmp_path)


def test_failing_again_after_a_critical_failure_is_told_once(tmp_path: Path) -> None:
    """Neither as a warning first nor, after the next good run, as one that is left."""
    story = Story(step="1h")
    orders = story.collector().past(400).good(30).bad(8).good(3).silent("CollectorFailing")
    orders.bad(2).fires(
        "CollectorFailing",
        Alert("critical", STILL.format("70%"), since="1h 0m 0s ago", cause=TIMEOUT),
        Alert("warning", FAILED.format(2), since="1h 0m 0s ago", cause=TIMEOUT),
    )
    orders.good(2).fires("CollectorFailing", Alert("critical", STILL.format("50%")))
    orders.good(9).silent("CollectorFailing").silent("CollectorFlapping")
    story.check(tmp_path)


def test_what_was_critical_does_not_come_back_as_a_warning(tmp_path: Path) -> None:
    """Half a day after its last critical run the windows still hold it, and it has long been over."""
    story = Story(step="30m")
    orders = story.collector().past(2000).good(30).bad(3).good().bad(6)
    orders.good(1).bad(1).good(3).bad(1)
    for _ in range(20):
        orders.good(1)
        hours = (orders.now - HOUR) / HOUR
        if hours > 52:
            orders.silent("CollectorFailing").silent("CollectorFlapping")
    story.check(tmp_path)


def test_confirmed_failure_stays_one_until_the_next_good_run(tmp_path: Path) -> None:
    """A wrong password was enough; that the next run failed otherwise does not end it."""
    story = Story(step="5m")
    orders = story.collector()
    for _ in range(20):  # four in a row are usual here
        orders.past(30).past(4, bad=True)
    orders.past(30).good(2).bad(3).silent("CollectorFailing").good(8)
    orders.bad(1, reason="auth").bad(1).fires(
        "CollectorFailing",
        Alert("warning", FAILED.format(2), since="1h 30m 0s ago", cause=TIMEOUT),
        after=0.5,
    )
    orders.good(1).silent("CollectorFailing")
    story.check(tmp_path)


def test_slow_until_nearly_as_fast_as_before(tmp_path: Path) -> None:
    """Half as slow as it was is no end; that is when the last runs take nearly as long as usual."""
    story = Story(step="1h")
    orders = story.collector().past(200, duration=60.0).good(30, duration=60.0)
    orders.good(8, duration=240.0).good(8, duration=105.0).fires(
        "CollectorSlow",
        Alert("warning", "Runs of collector orders take 1.75 times their usual duration."),
    )
    orders.good(3, duration=70.0).silent("CollectorSlow")
    story.check(tmp_path)


def test_flapping_that_fails_for_longer_keeps_its_name(tmp_path: Path) -> None:
    """Alertmanager holds back what also fires as failing, so flapping must not end."""
    story = Story(step="1h")
    orders = story.collector().past(400).good(2).bad().good().bad().good().bad().good().bad()
    for share, since in (("40%", "0s ago"), ("70%", "4h 0m 0s ago")):
        orders.fires(
            "CollectorFlapping",
            Alert("warning", FLAPPED.format(share), since=since, cause=TIMEOUT),
        ).bad(4)
    story.check(tmp_path)


def test_flapping_verdicts(tmp_path: Path) -> None:
    """A verdict that comes and goes becomes one flapping alert in place of a stream, until it is steady.

    Whoever was told within the day that it fails critically hears of one failure that goes on.
    """
    story = Story(step="30m")
    orders = story.collector(every="1h").past(2000).good(30)
    for _ in range(3):
        orders.good(2).bad(2)
    orders.silent("CollectorFlapping").good(1).fires(
        "CollectorFlapping",
        Alert("critical", "Collector orders changed between good and bad 6 times lately."),
    ).good(10).silent("CollectorFlapping")
    paged = Story(step="10m")
    orders = paged.collector(every="10m").past(2000)
    for _ in range(3):
        orders.good(2).bad(9)
    orders.good(1).silent("CollectorFlapping").fires(
        "CollectorFailing", Alert("critical", STILL.format("90%"))
    ).good(9)
    # Steady for eight runs: nobody is called any more, though it flipped less than two hours ago.
    paged.query(
        orders.now - 600,
        'collector:page:bool{collector="orders"}',
        ('collector:page:bool{collector="orders"}', 0),
    )
    orders.good(15).silent("CollectorFailing").silent("CollectorFlapping")
    story.check(tmp_path)
    paged.check(tmp_path)


def test_budget_burns_fast(tmp_path: Path) -> None:
    """A third of an hour's runs beyond their latency target spends that budget in no time."""
    story = Story(step="5m")
    usual, late = {"duration": 10.0}, {"duration": 12.0}
    orders = story.collector(every="5m", slo=LATENCY).past(3000, **usual).good(14, **usual)
    orders.good(1, **late).good(2, **usual).good(1, **late).silent("CollectorBudgetBurn")
    orders.good(1, **usual).good(5, **late).fires(
        "CollectorBudgetBurn", Alert("warning", BURNS.format("29.17"), {"speed": "fast"})
    )
    orders.good(30, **usual).silent("CollectorBudgetBurn")
    story.check(tmp_path)


def test_budget_burns_slowly(tmp_path: Path) -> None:
    """Runs beyond their target, spread over hours, spend the budget slowly."""
    story = Story(step="30m")
    usual, late = {"duration": 10.0}, {"duration": 12.0}
    orders = story.collector(every="30m", slo=LATENCY).past(600, **usual).good(50, **usual)
    orders.good(1, **late).silent("CollectorBudgetBurn").good(1, **usual)
    for _ in range(6):
        orders.good(1, **late).good(1, **usual)
    orders.fires("CollectorBudgetBurn", Alert("warning", BURNS.format("7.292"), {"speed": "slow"}))
    orders.good(20, **usual).silent("CollectorBudgetBurn")
    story.check(tmp_path)


def test_budget_burn_says_nothing_beside_a_failing_collector(tmp_path: Path) -> None:
    """What an incident costs is no second message about it."""
    story = Story(step="5m")
    orders = story.collector(every="5m").past(3000).good(14).bad(12).silent("CollectorBudgetBurn")
    story.query(
        orders.now - 300,
        "collector:health:state",
        ('collector:health:state{collector="orders"}', 2),
    )
    story.check(tmp_path)


def test_budget_exhaustion_predicted(tmp_path: Path) -> None:
    """The end of a budget is announced while some of it is left."""
    story = Story(step="30m")
    usual, late = {"duration": 10.0}, {"duration": 12.0}
    orders = story.collector(every="30m", slo=LATENCY).past(600, **usual).good(50, **usual)
    orders.good(1, **late).silent("CollectorBudgetExhaustionPredicted").good(1, **usual)
    for _ in range(6):
        orders.good(1, **late).good(1, **usual)
    orders.fires(
        "CollectorBudgetExhaustionPredicted",
        Alert(
            "info", "At its present rate collector orders has spent an error budget in 21h 47m 27s."
        ),
    )
    orders.good(40, **usual).silent("CollectorBudgetExhaustionPredicted")
    story.check(tmp_path)


def test_stale_predicted(tmp_path: Path) -> None:
    """When the next run is due too late for the freshness target, it is said before it is missed,
    unless it is missed by minutes."""
    story = Story(step="15m")
    orders = story.collector("orders", slo={"freshness": "105m"}).past(400).good(2).bad(1)
    orders.silent("CollectorStalePredicted").fires(
        "CollectorStalePredicted",
        Alert(
            "info",
            "Data of collector orders will miss its freshness target in 30m 0s, before the next run can be done.",
            since="15m 0s ago",
            cause=TIMEOUT,
        ),
        after=0.25,
    ).good().silent("CollectorStalePredicted")
    flaky = story.collector("flaky", slo={"freshness": "105m"})
    for _ in range(6):
        flaky.past(2, bad=True).past(30)
    others = [
        story.collector(name, slo={"freshness": freshness}).past(400)
        for name, freshness in (("hardly", "2h"), ("patient", "3h"))
    ]
    for collector in (flaky, *others):
        collector.good(2).bad(1).silent("CollectorStalePredicted", after=0.25)
    story.check(tmp_path)


def test_timeout_predicted(tmp_path: Path) -> None:
    """Runs that grow hour by hour towards the timeout are announced; steady ones near it are not."""
    story = Story(step="1h")
    orders = story.collector("orders", timeout="10m").past(100, duration=100.0)
    orders.good(40, duration=100.0).silent("CollectorTimeoutPredicted")
    for run in range(28):
        orders.good(1, duration=100.0 + 15 * run)
    orders.fires(
        "CollectorTimeoutPredicted",
        Alert("info", "At its present growth collector orders reaches its timeout in 10h 50m 0s."),
    )
    orders.good(14, duration=100.0).silent("CollectorTimeoutPredicted")
    steady = story.collector("steady", timeout="10m").past(100, duration=400.0)
    for run in range(82):
        steady.good(1, duration=400.0 + 10 * (run % 3))
    steady.silent("CollectorTimeoutPredicted")
    story.check(tmp_path)


def test_quota_exhaustion_predicted(tmp_path: Path) -> None:
    """A quota that will be gone before its reset is announced; one that lasts is not."""
    story = Story(step="30m")
    for name, use in (("orders", 90), ("modest", 30)):
        collector = story.collector(name, every="30m").past(50)
        for run in range(10):
            collector.good(
                1, quota={"limit": 1000, "remaining": 1000 - use * run, "resets_at": utc(86400.0)}
            )
        if name == "modest":
            collector.silent("CollectorQuotaExhaustionPredicted")
        else:
            collector.fires(
                "CollectorQuotaExhaustionPredicted",
                Alert(
                    "info",
                    "At its present use collector orders has no quota left in 1h 3m 20s, before the reset.",
                ),
            )
            collector.good(
                1, quota={"limit": 1000, "remaining": 1000, "resets_at": utc(86400.0 * 2)}
            )
            collector.silent("CollectorQuotaExhaustionPredicted")
    story.check(tmp_path)


def test_credential_expiring(tmp_path: Path) -> None:
    """A credential's end is announced three days ahead, critical on the last; tokens renewed daily are not."""
    story = Story(step="1h")
    orders = story.collector("orders", every="6h").past(50)
    expires = {"credential_expires_at": utc(6 * 86400.0)}
    orders.good(11, **expires).silent("CollectorCredentialExpiring").good(2, **expires)
    said = "The credential of collector orders expires in {}."
    orders.fires("CollectorCredentialExpiring", Alert("info", said.format("2d 18h 0m 0s")))
    orders.good(8, **expires).fires(
        "CollectorCredentialExpiring",
        *(Alert(severity, said.format("18h 0m 0s")) for severity in ("info", "critical")),
    )
    orders.good(1, credential_expires_at=utc(90 * 86400.0)).silent("CollectorCredentialExpiring")
    token = story.collector("token", every="6h").past(50)
    for run in range(21):
        token.good(1, credential_expires_at=utc((run // 4 + 1.2) * 86400.0))
    token.silent("CollectorCredentialExpiring")
    story.check(tmp_path)
