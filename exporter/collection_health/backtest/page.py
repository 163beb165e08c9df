"""``report.html``: one self-contained page with the figures and a timeline per collector."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from collection_health.backtest import report, score
from collection_health.backtest.alerts import Episode
from collection_health.backtest.history import Incident
from collection_health.backtest.score import Detection
from collection_health.backtest.session import Result
from collection_health.events import Outcome

_BINS = 1500  # a row is about as many pixels wide


def render(result: Result) -> str:
    """The whole page."""
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    start, end = result.span
    return template.substitute(
        title=escape(
            f"{report.rfc3339(start)[:10]} to {report.rfc3339(end)[:10]}, "
            f"{len(result.history.outcomes)} collectors, {result.history.accepted} outcomes"
        ),
        start=f"{start:.0f}",
        end=f"{end:.0f}",
        tiles="".join(_tiles(result)),
        notes="".join(f"<li>{escape(note)}</li>" for note in report.input_notes(result)),
        kinds=_kinds(result),
        alerts=_alert_table(result),
        missed=_missed(result),
        false=_false(result),
        rows="".join(_rows(result)),
    )


def _tiles(result: Result) -> Iterator[str]:
    judged = result.score

    def tile(value: str, label: str) -> str:
        return f"<div class=tile><b>{escape(value)}</b><span>{escape(label)}</span></div>"

    if result.incidents is None:
        yield tile(str(len(judged.notifications)), "notifications would have been sent")
        per_week = len(judged.notifications) / judged.collector_weeks
        yield tile(f"{per_week:.2f}", "per collector-week")
        yield tile("–", "precision and recall need --incidents")
        return
    yield tile(report.ratio(judged.precision), "precision per notification")
    yield tile(
        report.ratio(judged.recall),
        f"recall: {sum(d.found for d in judged.detections)} of {len(judged.detections)} incidents",
    )
    yield tile(str(judged.right), "right notifications")
    yield tile(str(judged.false), f"false, {judged.false_critical} of them critical")
    yield tile(f"{judged.false / judged.collector_weeks:.3f}", "false a collector-week")
    yield tile(
        report.number(report.messages_per_incident(judged.detections)), "messages an incident"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _kinds(result: Result) -> str:
    kinds = result.score.kinds()
    if not kinds:
        return "<p>No labelled incidents.</p>"
    rows = []
    for kind, found in kinds.items():
        data = report.kind_data(found)
        rows.append(
            [kind, data["incidents"], data["found"], report.ratio(data["recall"]),
             report.duration(data["median_delay_seconds"]),
             report.number(data["median_delay_runs"]),
             report.number(data["messages_per_incident"])]
        )  # fmt: skip
    return _table(
        ["kind", "incidents", "found", "recall", "median delay", "in runs", "messages"], rows
    )


def _alert_table(result: Result) -> str:
    data: dict[str, dict[str, Any]] = report.as_data(result)["alerts"]
    if result.incidents is None:
        return _table(
            ["alert", "episodes", "collectors"],
            ([name, item["episodes"], item["targets"]] for name, item in data.items()),
        )
    rows = report.alert_rows(data)
    return f"{_table(report.ALERT_COLUMNS, rows)}<p>{report.NOT_SCORED}</p>"


def _missed(result: Result) -> str:
    rows = [
        [d.incident.kind, d.incident.target, report.rfc3339(d.incident.start),
         report.duration(d.incident.end - d.incident.start)]
        for d in result.score.detections
        if not d.found
    ]  # fmt: skip
    return _table(["kind", "target", "start", "lasted"], rows) if rows else "<p>None.</p>"


def _false(result: Result) -> str:
    if result.incidents is None:
        shown = result.score.notifications
    else:
        shown = [item for item in result.score.notifications if not item.right]
    rows = [
        [n.target, n.severity, ", ".join(n.alerts), report.rfc3339(n.start),
         report.duration(n.end - n.start)]
        for n in shown
    ]  # fmt: skip
    return (
        _table(["target", "severity", "alerts", "start", "lasted"], rows)
        if rows
        else "<p>None.</p>"
    )


def _rows(result: Result) -> Iterator[str]:
    judged = result.score
    spans: dict[str, list[tuple[Detection, Incident]]] = {}
    for detection in judged.detections:
        for name in sorted(detection.incident.names):
            spans.setdefault(name, []).append((detection, detection.incident))
    fired: dict[str, list[tuple[Episode, str]]] = {}
    counted = {
        id(episode): ("right" if notification.right else "false")
        for notification in judged.notifications
        for episode in notification.episodes
    }
    for episode in result.episodes:
        verdict = counted.get(id(episode), "info")
        if result.incidents is None and verdict != "info":
            verdict = "fired"
        fired.setdefault(score.target_of(episode), []).append((episode, verdict))
    names = sorted({*result.history.outcomes, *spans, *fired})
    eventful = [name for name in names if name in spans or name in fired]
    quiet = [name for name in names if name not in spans and name not in fired]
    for name in eventful:
        yield _row(result, name, spans.get(name, []), fired.get(name, []))
    if quiet:
        yield f"<details><summary>{len(quiet)} collectors without incident or alert</summary>"
        for name in quiet:
            yield _row(result, name, [], [])
        yield "</details>"


def _row(
    result: Result,
    name: str,
    incidents: Sequence[tuple[Detection, Incident]],
    fired: Sequence[tuple[Episode, str]],
) -> str:
    start, end = result.span
    width = end - start
    parts = [_runs(result.history.outcomes.get(name, []), start, width)]
    for detection, incident in incidents:
        state = "found" if detection.found else "missed"
        text = (
            f"{incident.kind} {report.rfc3339(incident.start)} – {report.rfc3339(incident.end)}, "
        )
        text += state
        if detection.found:
            delay = report.duration(detection.delay_seconds)
            text += f" by {detection.first_alert} after {delay}"
        length = incident.end - incident.start
        parts.append(
            _rect(f"incident {state}", incident.start - start, length, y=0, height=14, text=text)
        )
    for episode, verdict in fired:
        until = end if episode.end is None else episode.end
        severity = episode.labels.get("severity", "")
        text = (
            f"{episode.alertname} ({severity}, {verdict}) {report.rfc3339(episode.start)}, "
            f"{report.duration(until - episode.start)}"
        )
        place = {"y": 22, "height": 2} if verdict == "info" else {"y": 15, "height": 7}
        length = max(until - episode.start, width / _BINS)
        parts.append(_rect(f"alert {verdict}", episode.start - start, length, text=text, **place))
    label = escape(name)
    return (
        f'<div class=row><span class=name title="{label}">{label}</span>'
        f'<svg viewBox="0 0 {width:.0f} 26" preserveAspectRatio="none">{"".join(parts)}</svg></div>'
    )


def _runs(outcomes: Sequence[Outcome], start: float, width: float) -> str:
    """Runs as one line: good stretches joined, bins with failures by their share of failures."""
    size = width / _BINS
    bins: dict[int, list[int]] = {}
    for event in outcomes:
        if event.outcome in ("started", "skipped"):
            continue
        counts = bins.setdefault(int(((event.at or 0.0) - start) / size), [0, 0])
        counts[event.outcome in ("failure", "aborted")] += 1
    parts = []
    run_start: int | None = None
    last = -1
    spread = max(1, round(_BINS / max(1, len(bins)))) if bins else 1
    for index in [*sorted(bins), _BINS + 10 * spread]:
        if run_start is not None and index - last > 2 * spread + 1:
            parts.append(
                _rect(
                    "good", run_start * size, (last + 1 - run_start) * size, y=5, height=4, text=""
                )
            )
            run_start = None
        if index <= _BINS:
            run_start = index if run_start is None else run_start
        last = index
    for index, (good, bad) in sorted(bins.items()):
        if bad:
            share = bad / (good + bad)
            parts.append(
                f'<rect class=bad opacity="{0.35 + 0.65 * share:.2f}" x="{index * size:.0f}" '
                f'y="3" width="{size:.0f}" height="8"><title>{bad} of {good + bad} runs failed'
                "</title></rect>"
            )
    return "".join(parts)


def _rect(kind: str, x: float, width: float, *, y: int, height: int, text: str) -> str:
    title = f"<title>{escape(text)}</title>" if text else ""
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y}" width="{max(width, 1):.0f}" '
        f'height="{height}">{title}</rect>'
    )
