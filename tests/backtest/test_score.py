"""Right, false and missed: how alert episodes are judged against incidents."""

from typing import Any

import pytest

from collection_health.backtest import score
from collection_health.backtest.alerts import Episode
from collection_health.backtest.history import Incident

HOUR = 3600.0
INTERVALS: dict[str, float | None] = {"a": HOUR, "b": 300.0, "c": None}
SPAN = (0.0, 14 * 86400.0)


def firing(start: float, end: float | None, name: str = "A", **labels: str) -> Episode:
    """One episode of collector ``a`` unless labels say otherwise; hours."""
    found = {"collector": "a", "severity": "warning", **labels}
    return Episode(name, found, start * HOUR, None if end is None else end * HOUR)


def incident(start: float, end: float, kind: str = "hard_failure", target: str = "a") -> Incident:
    """One incident; hours."""
    return Incident(target, start * HOUR, end * HOUR, kind, (target,))


def judge(episodes: list[Episode], *incidents: Incident) -> score.Score:
    """Score with a run every interval."""

    def runs(name: str, start: float, end: float) -> int:
        return max(0, int((end - start) / (INTERVALS.get(name) or HOUR)))

    return score.score(episodes, incidents, INTERVALS, runs, SPAN)


def test_episodes_become_notifications_across_short_gaps() -> None:
    """Gaps under an hour or two intervals are closed; targets are kept apart."""
    merged = score.merge(
        [firing(10, 11), firing(12.9, 13, "B"), firing(15.1, 16), firing(10, 11, collector="b"),
         firing(11.9, 12, collector="b"), firing(13.1, None, collector="b")],
        INTERVALS, 20 * HOUR,
    )  # fmt: skip
    assert [(n.target, n.start / HOUR, n.end / HOUR, n.alerts) for n in merged] == [
        ("a", 10, 13, ["A", "B"]),
        ("b", 10, 12, ["A"]),
        ("b", 13.1, 20, ["A"]),
        ("a", 15.1, 16, ["A"]),
    ]


@pytest.mark.parametrize(
    ("episode", "right"),
    [
        (firing(9, 9.9), False),
        (firing(9, 10), True),
        (firing(11, 12), True),
        (firing(23.9, 25), True),  # within four intervals after the end
        (firing(24.1, 25), False),
        (firing(11, 12, collector="b"), False),
    ],
)
def test_a_notification_is_right_on_its_target_and_in_its_time(
    episode: Episode, right: bool
) -> None:
    """From the incident's start to an hour or four intervals after its end."""
    judged = judge([episode], incident(10, 20))
    assert [n.right for n in judged.notifications] == [right]
    assert (judged.right, judged.false) == (int(right), int(not right))
    assert judged.recall == float(right)


@pytest.mark.parametrize(("kind", "right"), [("quota", True), ("stall", False)])
def test_predictable_kinds_may_be_announced_three_days_ahead(kind: str, right: bool) -> None:
    """An early warning of quota, credential or creeping latency is right and ahead."""
    episode = firing(30, 31, severity="info", kind="prediction")
    judged = judge([episode], incident(100, 110, kind))
    assert judged.notifications[0].right is right
    [detection] = judged.detections
    assert detection.ahead_seconds == (70 * HOUR if right else None)
    assert detection.delay_seconds == (0.0 if right else None)


def test_shadow_and_info_are_not_counted_but_predictions_are() -> None:
    """What nobody is told counts neither for nor against."""
    labels: list[dict[str, Any]] = [
        {"shadow": "true"}, {"severity": "info"}, {"severity": "info", "kind": "prediction"},
    ]  # fmt: skip
    episodes = [firing(1 + 10 * i, 2 + 10 * i, f"A{i}", **item) for i, item in enumerate(labels)]
    assert [n.alerts for n in judge(episodes).notifications] == [["A2"]]


def test_delays_count_from_the_start_in_seconds_and_in_runs() -> None:
    """The first alert in the incident's time counts, in the runs that ended until then."""
    judged = judge(
        [firing(12.5, 13, "Second", severity="critical"), firing(12, 13, "First")],
        incident(9.9, 20), incident(40, 50),
    )  # fmt: skip
    first, second = judged.detections
    assert first.first_alert == "First"
    assert first.delay_seconds == pytest.approx(2.1 * HOUR)
    assert first.delay_runs == 2
    assert (second.found, second.delay_seconds) == (False, None)
    assert judged.alerts["First"].delay_runs == 2
    assert judged.notifications[0].severity == "critical"


def test_a_dependency_incident_excuses_its_collectors_and_itself() -> None:
    """Alerts on the dependency or any of its collectors are about the one incident."""
    outage = Incident("db", 10 * HOUR, 20 * HOUR, "dependency", ("a", "b"))
    judged = judge(
        [firing(11, 12), firing(11, 12, collector="b"), firing(11, 12, collector="c"),
         Episode("D", {"dependency": "db", "severity": "critical"}, 11 * HOUR, 12 * HOUR)],
        outage,
    )  # fmt: skip
    assert {n.target: n.right for n in judged.notifications} == {
        "a": True, "b": True, "c": False, "db": True,
    }  # fmt: skip
    assert judged.detections[0].notifications == 3


def test_the_judged_time_leaves_warm_up_out() -> None:
    """Incidents before it are not scored, and alerts about them are not false."""
    judged = score.score(
        [firing(10, 30), firing(100, 101)], [incident(10, 25)], INTERVALS, lambda *_: 0,
        (26 * HOUR, SPAN[1]),
    )  # fmt: skip
    assert judged.detections == []
    assert [n.start / HOUR for n in judged.notifications] == [100]
