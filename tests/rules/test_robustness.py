"""Nothing of how metrics are gathered looks like a failing collector."""

from pathlib import Path

from tests.rules.story import TARGET, Alert, Story

VERDICTS = (
    "CollectorFailing", "CollectorFlapping", "CollectorNotRunning", "CollectorDataStale",
    "CollectorBudgetBurn", "CollectorSlow", "CollectorVolumeAnomaly", "CollectorQualityLow",
    "CollectorRunOverdue", "CollectorUnacknowledged",
)  # fmt: skip


def nothing(story: Story, at: float) -> None:
    """No verdict on any collector at a time."""
    for alertname in VERDICTS:
        story.expect(at, alertname, None)


def test_cold_start(tmp_path: Path) -> None:
    """The first run of a new daily job failed: nobody knows yet whether that is news."""
    story = Story(step="1h")
    story.collector(every="1d").bad(1)
    story.collector("fresh", every="1d").good(1).good(1, duration=500.0, records={"collected": 0})
    for hours in (1, 24, 25, 30, 47):
        nothing(story, hours * 3600)
    story.check(tmp_path)


def test_missed_scrapes(tmp_path: Path) -> None:
    """A missed scrape neither resolves a firing alert nor makes one."""
    story = Story(step="1m")
    story.missed = {14 * 60.0, 15 * 60.0, 21 * 60.0}
    orders = story.collector(every="2m").past(4000).good(3)
    nothing(story, 6 * 60)
    orders.bad(5)
    expected = [
        Alert(
            severity,
            "Collector orders failed 3 runs in a row, more than its own past explains.",
            since="7m 0s ago",
            cause="Reason timeout. ",
        )
        for severity in ("warning",)
    ]
    story.expect(15 * 60, "CollectorFailing", "orders", *expected)
    story.check(tmp_path)


def test_exporter_restart(tmp_path: Path) -> None:
    """While the exporter was away nothing could report: silence is not news until it settles."""
    story = Story(step="1m")
    story.exporters = []
    story.add(
        'up{job="collection-health",instance="exporter:9036"}', [1] * 15 + [0] * 10 + [1] * 40
    )
    story.missed = {minute * 60.0 for minute in range(15, 25)}
    orders = story.collector(every="5m").past(4000).good(3).quiet(4)
    story.exporters = [TARGET]
    for minute in (16, 24, 26, 30, 33):
        nothing(story, minute * 60)
    orders.good(3)
    nothing(story, 44 * 60)
    story.series['up{job="collection-health",instance="exporter:9036"}'] = (
        [1] * 15 + [0] * 10 + [1] * 40
    )
    story.check(tmp_path)


def test_two_exporters(tmp_path: Path) -> None:
    """Two exporters that state the same collector are one collector and one alert."""
    story = Story(step="1h")
    story.exporters = [TARGET, {**TARGET, "instance": "second:9036"}]
    story.collector().past(400).good(2).bad(2).fires(
        "CollectorFailing",
        Alert(
            "warning",
            "Collector orders failed 2 runs in a row, more than its own past explains.",
            since="1h 0m 0s ago",
            cause="Reason timeout. ",
        ),
    )
    story.query(3600 * 4, "count(collector:health:state)", ("{}", 1))
    story.check(tmp_path)


def test_nan_poisons_nothing(tmp_path: Path) -> None:
    """A figure that is not a number leaves the other verdicts on the collector standing."""
    story = Story(step="1h")
    story.collector().past(400).good(2).bad(2).fires(
        "CollectorFailing",
        Alert(
            "warning",
            "Collector orders failed 2 runs in a row, more than its own past explains.",
            since="1h 0m 0s ago",
            cause="Reason timeout. ",
        ),
    )
    labels = '{job="collection-health",instance="exporter:9036",collector="orders",window="3"}'
    nan = [float("nan")] * 8
    story.add(f"collection_window_quality_ratio{labels}", nan)
    for alertname in ("CollectorSlow", "CollectorVolumeAnomaly", "CollectorQualityLow"):
        story.expect(4 * 3600, alertname, None)
    story.query(
        4 * 3600, "collector:health:state", ('collector:health:state{collector="orders"}', 2)
    )
    story.check(tmp_path)


def test_removed_collector_leaves_no_alert(tmp_path: Path) -> None:
    """A collector taken out of the inventory is forgotten within minutes."""
    story = Story(step="1m")
    orders = story.collector(every="2m").past(4000).good(2).bad(6)
    orders.leaves()
    nothing(story, 24 * 60)
    story.check(tmp_path)


def test_maintenance_and_pause_are_quiet(tmp_path: Path) -> None:
    """Whatever happens in maintenance or a pause is no news; failing on afterwards is."""
    story = Story(step="1h")
    orders = story.collector().past(400).good(2).control("maintenance").bad(4)
    nothing(story, orders.now - 3600)
    orders.control("maintenance", active=False).bad(1).fires(
        "CollectorFailing",
        *(
            Alert(
                severity,
                "Collector orders failed 5 runs in a row, more than its own past explains.",
                since="4h 0m 0s ago",
                cause="Reason timeout. ",
            )
            for severity in ("critical", "warning")
        ),
    )
    orders.good(1)
    paused = story.collector("paused").past(400).good(2).control("paused").quiet(7)
    story.expect(paused.now - 3600, "CollectorNotRunning", None)
    story.check(tmp_path)
