"""What a back-test found, as JSON-ready data and as tables for a terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from collection_health.backtest import score
from collection_health.backtest.alerts import Episode
from collection_health.backtest.history import History, Incidents, Skipped
from collection_health.backtest.score import Detection
from collection_health.backtest.session import Result

SHOWN_LINES = 20  # skipped lines listed; all of them are counted
ALERT_COLUMNS = [
    "alert", "episodes", "scored", "right", "false", "precision", "first for", "median delay",
]  # fmt: skip
NOT_SCORED = (
    "episodes: of the whole history; scored: of the judged time and neither shadow nor info "
    "(predictions apart)"
)


def rfc3339(moment: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def episode(item: Episode) -> dict[str, Any]:
    """One line of ``episodes.ndjson``."""
    return {
        "alertname": item.alertname,
        "labels": dict(item.labels),
        "start": rfc3339(item.start),
        "end": None if item.end is None else rfc3339(item.end),
    }


def as_data(result: Result) -> dict[str, Any]:
    """The content of ``report.json``; times RFC 3339, durations seconds, ratios 0 to 1."""
    judged = result.score
    labelled = result.incidents is not None
    return {
        "history": _history(result),
        "rules": {
            "replayed": len(result.plan.rules),
            "unread": [rule.name for rule in result.plan.unread],
            "left_out": [
                {"rule": rule.name, "where": rule.where, "why": why}
                for rule, why in result.plan.left_out
            ],
        },
        "incidents": _incidents(result),
        "score": {
            "notifications": len(judged.notifications),
            "right": judged.right if labelled else None,
            "false": judged.false if labelled else None,
            "false_critical": judged.false_critical if labelled else None,
            "precision": judged.precision if labelled else None,
            "recall": judged.recall if labelled else None,
            "collector_weeks": judged.collector_weeks,
            "notifications_per_collector_week": len(judged.notifications) / judged.collector_weeks,
            "false_per_collector_week": judged.false / judged.collector_weeks if labelled else None,
            "messages_per_incident": messages_per_incident(judged.detections),
        },
        "kinds": {kind: kind_data(found) for kind, found in judged.kinds().items()},
        "alerts": _alerts(result),
        "notifications": [
            {
                "target": item.target,
                "start": rfc3339(item.start),
                "end": rfc3339(item.end),
                "alerts": item.alerts,
                "severity": item.severity,
                "right": item.right if labelled else None,
            }
            for item in judged.notifications
        ],
        "took": {
            "seconds": result.phase_seconds,
            "cpu_seconds": result.cpu_seconds,
            "peak_bytes": result.peak_bytes,
            "samples_written": result.samples_written,
            "samples_recorded": result.samples_recorded,
            "slowest_rules": dict(
                sorted(result.rule_seconds.items(), key=lambda item: -item[1])[:10]
            ),
        },
    }


def kind_data(found: Sequence[Detection]) -> dict[str, Any]:
    """One kind of incident: how many, how many found, how soon."""
    ahead = [d.ahead_seconds for d in found if d.ahead_seconds is not None]
    return {
        "incidents": len(found),
        "found": sum(detection.found for detection in found),
        "recall": score.share(detection.found for detection in found),
        "median_delay_seconds": score.middle(detection.delay_seconds for detection in found),
        "median_delay_runs": score.middle(detection.delay_runs for detection in found),
        "found_ahead": sum(seconds > 0 for seconds in ahead),
        "messages_per_incident": messages_per_incident(found),
    }


def messages_per_incident(found: Sequence[Detection]) -> float | None:
    """Notifications that were right, per incident found."""
    counts = [detection.notifications for detection in found if detection.found]
    return sum(counts) / len(counts) if counts else None


def input_notes(result: Result) -> list[str]:
    """Everything the reader should know about the inputs: nothing is dropped in silence."""
    return [
        *_history_notes(result.history),
        *_inventory_notes(result),
        *_incident_notes(result.incidents),
        *(f"not replayed: {rule.name} ({why})" for rule, why in result.plan.left_out),
    ]


def _history_notes(past: History) -> Iterator[str]:
    if past.skipped:
        yield f"{len(past.skipped)} of {past.lines} lines of the history were skipped:"
        yield from _lines(past.skipped)
    if past.duplicates:
        yield f"{past.duplicates} duplicate outcomes were counted once"
    if past.out_of_order:
        yield f"{past.out_of_order} outcomes were out of order and have been sorted"
    if past.derived:
        yield f"{past.derived} missed or overrun events were derived again from the schedule"
    if past.unknown_fields:
        fields = ", ".join(f"{name} ({n})" for name, n in past.unknown_fields.most_common(10))
        yield f"unknown fields were ignored: {fields}"


def _inventory_notes(result: Result) -> Iterator[str]:
    known = result.history.outcomes.keys()
    guessed = sorted(known - result.declared)
    if guessed:
        yield (
            f"{len(guessed)} collectors are not in the inventory, their intervals are inferred: "
            + _names(guessed)
        )
    unknown = [name for name in guessed if result.intervals.get(name) is None]
    if unknown:
        yield f"no interval could be inferred for {_names(unknown)}"
    silent = sorted(result.declared - known)
    if silent:
        yield f"in the inventory without any outcome: {_names(silent)}"


def _incident_notes(found: Incidents | None) -> Iterator[str]:
    if found is not None and found.skipped:
        yield f"{len(found.skipped)} incidents were skipped:"
        yield from _lines(found.skipped)
    if found is not None and found.warnings:
        yield f"{len(found.warnings)} remarks on incidents:"
        yield from _lines(found.warnings)


def tables(result: Result) -> Iterator[str]:
    """The report for a terminal, line by line."""
    judged = result.score
    labelled = result.incidents is not None
    yield from input_notes(result)
    yield ""
    if labelled:
        yield (
            f"precision {ratio(judged.precision)} ({judged.false} false of "
            f"{len(judged.notifications)} notifications, {judged.false_critical} of them critical; "
            f"{judged.false / judged.collector_weeks:.3f} false a collector-week), "
            f"recall {ratio(judged.recall)} of {len(judged.detections)} incidents"
        )
        yield ""
        yield from table(
            ["kind", "incidents", "found", "recall", "median delay", "in runs", "messages"],
            [
                [kind, data["incidents"], data["found"], ratio(data["recall"]),
                 duration(data["median_delay_seconds"]), number(data["median_delay_runs"]),
                 number(data["messages_per_incident"])]
                for kind, found in judged.kinds().items()
                for data in [kind_data(found)]
            ],
        )  # fmt: skip
        yield ""
    alerts = _alerts(result)
    if labelled:
        yield from table(ALERT_COLUMNS, alert_rows(alerts))
        yield NOT_SCORED
    else:
        yield f"{len(judged.notifications)} notifications would have been sent"
        yield ""
        yield from table(
            ["alert", "episodes", "collectors"],
            [[name, data["episodes"], data["targets"]] for name, data in alerts.items()],
        )


def alert_rows(alerts: Mapping[str, Mapping[str, Any]]) -> list[list[object]]:
    """Rows under ``ALERT_COLUMNS`` for what ``as_data`` says of alerts."""
    return [
        [
            name,
            data["episodes"],
            *("–" if data[key] is None else data[key] for key in ("scored", "right", "false")),
            ratio(data["precision"]),
            data["first_for"],
            duration(data["median_delay_seconds"]),
        ]
        for name, data in alerts.items()
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Aligned text columns, the first to the left, the others to the right."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first = row[0].ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([first, *others]).rstrip()


def ratio(value: float | None) -> str:
    """A ratio for people."""
    return "–" if value is None else f"{value:.1%}"


def number(value: float | None) -> str:
    """A small number for people."""
    return "–" if value is None else f"{value:.1f}".removesuffix(".0")


def duration(seconds: float | None) -> str:
    """Seconds for people: two units at most."""
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 1440:.1f} d"


def _history(result: Result) -> dict[str, Any]:
    past = result.history
    return {
        "outcomes": past.accepted,
        "collectors": len(past.outcomes),
        "start": rfc3339(result.span[0]),
        "end": rfc3339(result.span[1]),
        "step_seconds": result.step,
        "lines": past.lines,
        "skipped_lines": len(past.skipped),
        "skipped": [{"line": s.line, "problem": s.problem} for s in past.skipped[:1000]],
        "duplicates": past.duplicates,
        "out_of_order": past.out_of_order,
        "unknown_fields": dict(past.unknown_fields),
        "events_derived": result.derived_events,
        "notes": input_notes(result),
    }


def _incidents(result: Result) -> dict[str, Any] | None:
    if result.incidents is None:
        return None
    return {
        "scored": len(result.score.detections),
        "skipped": [{"line": s.line, "problem": s.problem} for s in result.incidents.skipped],
        "warnings": [{"line": s.line, "problem": s.problem} for s in result.incidents.warnings],
        "list": [
            {
                "target": d.incident.target,
                "kind": d.incident.kind,
                "start": rfc3339(d.incident.start),
                "end": rfc3339(d.incident.end),
                "collectors": list(d.incident.collectors),
                "found": d.found,
                "first_alert": d.first_alert or None,
                "delay_seconds": d.delay_seconds,
                "delay_runs": d.delay_runs,
                "ahead_seconds": d.ahead_seconds,
                "messages": d.notifications,
            }
            for d in result.score.detections
        ],
    }


def _alerts(result: Result) -> dict[str, dict[str, Any]]:
    labelled = result.incidents is not None
    targets: dict[str, set[str]] = {}
    for item in result.episodes:
        targets.setdefault(item.alertname, set()).add(score.target_of(item))
    everything = Counter(item.alertname for item in result.episodes)
    first = Counter(d.first_alert for d in result.score.detections)
    found = {}
    for name in sorted(everything):
        scored = result.score.alerts.get(name)
        counted = scored is not None and labelled
        found[name] = {
            "episodes": everything[name],
            "scored": scored.episodes if scored and counted else None,
            "targets": len(targets[name]),
            "right": scored.right if scored and counted else None,
            "false": scored.episodes - scored.right if scored and counted else None,
            "precision": scored.right / scored.episodes if scored and counted else None,
            "first_for": first[name] if counted else 0,
            "median_delay_seconds": scored.delay_seconds if scored and counted else None,
            "median_delay_runs": scored.delay_runs if scored and counted else None,
        }
    return found


def _lines(skipped: Sequence[Skipped]) -> list[str]:
    shown = [f"  line {item.line}: {item.problem}" for item in skipped[:SHOWN_LINES]]
    if len(skipped) > SHOWN_LINES:
        shown.append(f"  and {len(skipped) - SHOWN_LINES} more (report.json lists them)")
    return shown


def _names(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")


def took(result: Result) -> str:
    """What the back-test itself took, in one line."""
    wall = sum(result.phase_seconds.values())
    cpu = sum(result.cpu_seconds.values())
    peak = sum(result.peak_bytes.values()) / 2**30
    samples = result.samples_written + result.samples_recorded
    return (
        f"took {duration(wall)} ({cpu:.0f} s of CPU, {peak:.1f} GiB) "
        f"for {samples:,} samples and {len(result.plan.rules)} rules"
    )


def comparison(first: Result, second: Result) -> Iterator[str]:
    """Two rule sets on the same history, side by side."""
    one, two = first.score, second.score
    labelled = first.incidents is not None
    rows: list[list[object]] = [
        ["notifications", len(one.notifications), len(two.notifications)],
        ["episodes", len(first.episodes), len(second.episodes)],
    ]
    if labelled:
        rows += [
            ["precision", ratio(one.precision), ratio(two.precision)],
            ["recall", ratio(one.recall), ratio(two.recall)],
            ["false", one.false, two.false],
            ["false critical", one.false_critical, two.false_critical],
            [
                "false a collector-week",
                f"{one.false / one.collector_weeks:.3f}",
                f"{two.false / two.collector_weeks:.3f}",
            ],
        ]
        other = two.kinds()
        for kind, found in one.kinds().items():
            data, theirs = kind_data(found), kind_data(other.get(kind, []))
            rows.append([f"{kind}: found", f"{data['found']}/{data['incidents']}",
                         f"{theirs['found']}/{theirs['incidents']}"])  # fmt: skip
            rows.append([f"{kind}: median delay", duration(data["median_delay_seconds"]),
                         duration(theirs["median_delay_seconds"])])  # fmt: skip
    yield from table(["", "first", "second"], rows)
    yield ""
    mine, theirs_alerts = _alerts(first), _alerts(second)
    yield from table(
        ["episodes of", "first", "second"],
        [
            [
                name,
                mine.get(name, {}).get("episodes", 0),
                theirs_alerts.get(name, {}).get("episodes", 0),
            ]
            for name in sorted(mine.keys() | theirs_alerts.keys())
        ],
    )
