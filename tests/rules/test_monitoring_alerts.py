"""Alerts about the monitoring itself, from series written by hand."""

from pathlib import Path

import pytest

from tests.rules.story import Alert, Sample, Story

EXPORTER = 'job="collection-health",instance="exporter:9036"'
N = 60  # steps of a minute


def counter(quiet: int, per_step: float, total: int = N) -> list[Sample]:
    """A counter that stands still and then rises."""
    return [0.0] * quiet + [per_step * n for n in range(1, total - quiet + 1)]


CASES: dict[str, tuple[dict[str, list[Sample]], int, int, int | None, Alert]] = {
    # alert: (series, silent at, firing at, resolved at, what it says); times in minutes
    "CollectionHealthIngestErrors": (
        {
            f'collection_health_events_total{{{EXPORTER},protocol="json",result="accepted"}}': counter(0, 10, 140),
            f'collection_health_events_total{{{EXPORTER},protocol="json",result="rejected"}}': counter(20, 5, 140),
        },
        20, 120, None,
        Alert("warning", "33.33% of the outcomes of the last hour were refused as invalid."),
    ),
    "CollectionHealthOverloaded": (
        {f"collection_health_shedding{{{EXPORTER}}}": [0] * 10 + [1] * 20 + [0] * 30},
        12, 20, 40,
        Alert("warning", "The exporter sheds optional work or turns outcomes away (1); clients retry later."),
    ),
    "CollectionHealthLedgerTrouble": (
        {f"collection_health_ledger_writable{{{EXPORTER}}}": [1] * 10 + [0] * 10 + [1] * 40},
        9, 12, 22,
        Alert("critical", "The exporter answers 503 because its ledger cannot be written (0)."),
    ),
    "CollectionHealthConfigReloadFailed": (
        {f"collection_health_config_last_reload_successful{{{EXPORTER}}}": [1] * 10 + [0] * 10 + [1] * 40},
        9, 12, 22,
        Alert("warning", "The last reload of collectors.yml failed (0); the exporter keeps the old one."),
    ),
    "CollectionHealthCollectorsRefused": (
        {f"collection_health_collectors_refused_total{{{EXPORTER}}}": [0] * 10 + [3] * 110},
        9, 12, 80,
        Alert("warning", "About 3 outcomes of unknown collectors were refused in the last hour."),
    ),
    "CollectionHealthBreakGlassActive": (
        {f'collection_health_break_glass_active{{{EXPORTER},mode="stop"}}': [0] * 10 + [1] * 10 + [0] * 40},
        9, 12, 22,
        Alert("warning", "Break-glass mode stop is active (1).", {"mode": "stop"}),
    ),
    "CollectionHealthCoverageLow": (
        {
            f'collection_health_collectors{{{EXPORTER},state="registered"}}': [10] * 140,
            f'collection_health_collectors{{{EXPORTER},state="silent"}}': [0] * 10 + [3] * 100 + [0] * 30,
        },
        60, 80, 120,
        Alert(
            "warning",
            "Only 70% of the registered collectors report in time.",
            {"promise": "coverage_ratio"},
        ),
    ),
    "CollectionHealthRulesFailing": (
        {
            'prometheus_rule_evaluation_failures_total{job="prometheus",instance="p",rule_group="r.yml;collection-sli"}':
                [0] * 10 + [1] * 110,
            'prometheus_rule_evaluations_total{job="prometheus",instance="p",rule_group="r.yml;collection-sli"}':
                counter(0, 20, 120),
        },
        9, 20, 100,
        Alert("critical", "1 evaluations of the pack failed in the last hour."),
    ),
    "CollectionHealthRulesSlow": (
        {
            'prometheus_rule_group_last_duration_seconds{job="prometheus",instance="p",rule_group="r.yml;collection-sli"}':
                [1] * 10 + [40] * 30 + [1] * 20,
            'prometheus_rule_group_interval_seconds{job="prometheus",instance="p",rule_group="r.yml;collection-sli"}':
                [30] * 60,
        },
        20, 30, 50,
        Alert("warning", "1 rule groups take longer to evaluate than their interval."),
    ),
    "CollectionHealthNotificationsFailing": (
        {
            'alertmanager_notifications_failed_total{job="alertmanager",instance="a",integration="slack",reason="other"}':
                [0] * 10 + [5] * 110,
            'alertmanager_notifications_total{job="alertmanager",instance="a",integration="slack"}': counter(0, 2, 120),
        },
        9, 20, 100,
        Alert("critical", "5 notifications by slack failed in the last hour.", {"integration": "slack"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("alertname", CASES)
def test_monitoring_alert(tmp_path: Path, alertname: str) -> None:
    """Silent before its cause, firing with it, resolved after it."""
    series, silent, firing, resolved, alert = CASES[alertname]
    story = Story(step="1m")
    for name, values in series.items():
        story.add(name, values)
    story.expect(silent * 60, alertname, None)
    story.expect(firing * 60, alertname, None, alert)
    if resolved is not None:
        story.expect(resolved * 60, alertname, None)
    story.check(tmp_path)


def test_down_and_one_of_several_down(tmp_path: Path) -> None:
    """All exporters gone is critical; one of two gone is a warning about that one."""
    story = Story(step="1m")
    story.exporters = []
    story.add(f"up{{{EXPORTER}}}", [1] * 5 + [0] * 30 + [1] * 20)
    story.add('up{job="collection-health",instance="second:9036"}', [1] * 20 + [0] * 15 + [1] * 20)
    story.expect(9 * 60, "CollectionHealthExporterDown", None)
    story.expect(
        15 * 60,
        "CollectionHealthExporterDown",
        None,
        Alert(
            "warning",
            "Exporter exporter:9036 is down (0); others are still there.",
            {"instance": "exporter:9036", "job": "collection-health"},
        ),
    )
    story.expect(15 * 60, "CollectionHealthDown", None)
    story.expect(
        25 * 60,
        "CollectionHealthDown",
        None,
        Alert(
            "critical",
            "Prometheus reaches no Collection Health exporter (0): no collector is being watched.",
        ),
    )
    story.expect(25 * 60, "CollectionHealthExporterDown", None)
    story.expect(36 * 60, "CollectionHealthDown", None)
    story.check(tmp_path)


def test_down_when_no_exporter_is_scraped_at_all(tmp_path: Path) -> None:
    """A scrape job that vanished is as bad as an exporter that is down."""
    story = Story(step="1m")
    story.exporters = []
    story.add("unrelated", [1] * 10)
    down = Alert(
        "critical",
        "Prometheus reaches no Collection Health exporter (1): no collector is being watched.",
        {"job": "collection-health"},
    )
    story.expect(60, "CollectionHealthDown", None)
    story.expect(300, "CollectionHealthDown", None, down)
    story.check(tmp_path)


def test_watchdog_always_fires(tmp_path: Path) -> None:
    """The dead-man's switch needs nothing to fire: its absence is the alarm."""
    story = Story(step="1m")
    story.exporters = []
    story.expect(
        60,
        "CollectionHealthWatchdog",
        None,
        Alert("info", "The chain from rules to notification works (1). Its absence is the alarm."),
    )
    story.check(tmp_path)
