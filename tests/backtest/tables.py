"""The evaluation's figures as the Markdown tables of README.md."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from collection_health.backtest import report, score
from tests.backtest.incidents import PREDICTABLE
from tests.backtest.profiles import HEALING

DEGRADATIONS = ("partial_failure", "slowness", "volume_drop", "zero_records", "quality", "flapping")


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The promised figures over several fleets."""
    busy = [item for item in found if not item["quiet"]]
    quiet = [item for item in found if item["quiet"]]
    detections = [d for item in busy for d in item["detections"]]
    total = sum(item["notifications"] for item in busy)
    right = sum(item["right"] for item in busy)
    hard = [d for d in detections if d["kind"] == "hard_failure" and d["clean"]]
    stalls = [d for d in detections if d["kind"] == "stall" and d["found"] and d["interval"]]
    predicted = [d for d in detections if d["kind"] in PREDICTABLE]
    return {
        "notifications": total,
        "precision": right / total if total else None,
        "recall": score.share(d["found"] for d in detections),
        "incidents": len(detections),
        "false": total - right,
        "false_critical": sum(f["severity"] == "critical" for item in found for f in item["false"]),
        "quiet_false_per_week": sum(len(item["false"]) for item in quiet)
        / sum(item["collector_weeks"] for item in quiet)
        if quiet
        else None,
        "hard_healing_runs": _median(d["delay_runs"] for d in hard if d["reason"] in HEALING),
        "hard_permanent_runs": _median(d["delay_runs"] for d in hard if d["reason"] not in HEALING),
        "stall_intervals_after_grace": _median(
            (d["delay_seconds"] - d["due_seconds"] - d["grace"]) / d["interval"] for d in stalls
        ),
        "degradation_runs": _median(
            d["delay_runs"] for d in detections if d["kind"] in DEGRADATIONS
        ),
        "predicted_ahead": score.share((d["ahead_seconds"] or 0) > 0 for d in predicted),
        "messages": _mean(d["messages"] for d in detections if d["found"]),
    }


def _median(values: Iterator[Any] | Any) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _mean(values: Iterator[Any] | Any) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


_ROWS: tuple[tuple[str, str, str], ...] = (
    ("precision", "precision per notification (≥ 95 %)", "ratio"),
    ("false", "false notifications", "number"),
    ("false_critical", "false critical, quiet fleets included (≤ 1)", "number"),
    ("quiet_false_per_week", "quiet fleets: false a collector-week (≤ 0.05)", "fine"),
    ("incidents", "incidents", "number"),
    ("recall", "recall (≥ 90 %)", "ratio"),
    ("hard_healing_runs", "hard failure, clean past: median runs (≤ 2)", "number"),
    ("hard_permanent_runs", "the same, reason that does not heal (1)", "number"),
    ("stall_intervals_after_grace", "stall: median intervals after grace (≤ 0.5)", "fine"),
    ("degradation_runs", "degradations: median runs (≤ 8)", "number"),
    ("predicted_ahead", "predictions ahead of the failure (≥ 80 %)", "ratio"),
    ("messages", "messages an incident", "number"),
)


def overall_table(by_rules: Mapping[str, Sequence[dict[str, Any]]]) -> list[str]:
    """One column a rule set, one row a promise."""
    figures = {name: summary(found) for name, found in by_rules.items()}
    lines = ["| | " + " | ".join(figures) + " |", "|---|" + "---|" * len(figures)]
    for key, label, form in _ROWS:
        cells = [_cell(figure[key], form) for figure in figures.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def kind_table(by_rules: Mapping[str, Sequence[dict[str, Any]]]) -> list[str]:
    """Found of all, median delay and runs per kind and rule set."""
    kinds = sorted(
        {d["kind"] for found in by_rules.values() for f in found for d in f["detections"]}
    )
    lines = ["| kind | " + " | ".join(by_rules) + " |", "|---|" + "---|" * len(by_rules)]
    for kind in kinds:
        cells = [_found(found, kind=kind) for found in by_rules.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return lines


def cadence_table(found: Sequence[dict[str, Any]]) -> list[str]:
    """The pack alone: one row a kind, one column a cadence."""
    detections = [d for f in found for d in f["detections"]]
    kinds = sorted({d["kind"] for d in detections})
    order = ["1m", "5m", "15m", "30m", "1h", "6h", "1d", "several"]
    cadences = [c for c in order if any(d["cadence"] == c for d in detections)]
    lines = ["| kind | " + " | ".join(cadences) + " |", "|---|" + "---|" * len(cadences)]
    for kind in kinds:
        cells = [_found(found, kind=kind, cadence=cadence) for cadence in cadences]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return lines


def dial_table(rows: Mapping[float, Sequence[dict[str, Any]]]) -> list[str]:
    """Precision, recall and delay against the expected false alarms per collector-week."""
    lines = [
        "| dial | precision | false a collector-week | recall | median delay, runs | mean |",
        "|---|---|---|---|---|---|",
    ]
    for dial, found in rows.items():
        figures = summary(found)
        weeks = sum(item["collector_weeks"] for item in found)
        delays = [d["delay_runs"] for f in found for d in f["detections"]]
        known = [delay for delay in delays if delay is not None]
        false = sum(len(item["false"]) for item in found)
        lines.append(
            f"| {dial:g} | {_cell(figures['precision'], 'ratio')} | {false / weeks:.3f} | "
            f"{_cell(figures['recall'], 'ratio')} | {_cell(_median(known), 'number')} | "
            f"{_cell(_mean(known), 'number')} |"
        )
    return lines


def _found(found: Sequence[dict[str, Any]], *, kind: str, cadence: str | None = None) -> str:
    own = [
        d for f in found for d in f["detections"]
        if d["kind"] == kind and cadence in (None, d["cadence"])
    ]  # fmt: skip
    if not own:
        return ""
    text = f"{sum(d['found'] for d in own)}/{len(own)}"
    delay = _median(d["delay_seconds"] for d in own)
    if delay is not None:
        runs = report.number(_median(d["delay_runs"] for d in own))
        text += f", {report.duration(delay)} ({runs} runs)"
    return text


def _cell(value: float | None, form: str) -> str:
    if value is None:
        return "–"
    if form == "ratio":
        return f"{value:.1%}"
    return f"{value:.3f}" if form == "fine" else report.number(float(value))
