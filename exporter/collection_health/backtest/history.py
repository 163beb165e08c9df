"""The inputs of a back-test: outcomes as NDJSON and incidents as CSV, with everything wrong
in them counted and shown by line number."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from collection_health.backtest.remote_write import EARLIEST_MS
from collection_health.decoding import explain
from collection_health.events import (
    NAME_PATTERN,
    Error,
    Outcome,
    Parent,
    Quality,
    Quota,
    Records,
    Requests,
    prepare,
    valid_name,
)
from collection_health.reasons import EXPORTER_REASONS

INCIDENT_HEADER = ["target", "start", "end", "kind", "collectors"]
_NESTED: dict[str, type[msgspec.Struct]] = {
    "records": Records, "requests": Requests, "quality": Quality, "error": Error,
    "parent": Parent, "quota": Quota,
}  # fmt: skip
_FOREVER = float("inf")
_decoder = msgspec.json.Decoder(Outcome)


class InputError(Exception):
    """An input file cannot be used at all; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """One line that was not used and why."""

    line: int
    problem: str


@dataclass(slots=True)
class History:
    """Outcomes by collector in order of event time, and what reading them met."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    derived: int = 0  # missed and overrun events of an exporter: the replay derives them again
    unknown_fields: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def start(self) -> float:
        """Event time of the first outcome, Unix seconds."""
        return min(events[0].at or 0.0 for events in self.outcomes.values())

    @property
    def end(self) -> float:
        """When the last run began, Unix seconds.

        Not when it ended: one long run that outlasts the history would make every other collector
        look as if it had stopped.
        """
        return max(_begin(event) for events in self.outcomes.values() for event in events)


@dataclass(frozen=True, slots=True)
class Incident:
    """One labelled fault. ``collectors`` always holds the target when it is a collector."""

    target: str
    start: float
    end: float
    kind: str
    collectors: tuple[str, ...]
    line: int = 0

    @property
    def names(self) -> frozenset[str]:
        """Everything an alert may be about to be about this incident."""
        return frozenset((self.target, *self.collectors)) - {""}


@dataclass(slots=True)
class Incidents:
    """Labelled faults in order of their start, and what reading them met."""

    incidents: list[Incident] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[Skipped] = field(default_factory=list)


def read(path: Path) -> History:
    """Read an NDJSON history. Raises `InputError` if nothing in it can be used."""
    history = History()
    seen: set[tuple[object, ...]] = set()
    latest = -_FOREVER
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                # Some programs begin a file with a byte order mark.
                line = text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
                if not line.strip():
                    continue
                history.lines += 1
                outcome = _outcome(line, number, history)
                if outcome is None or _is_duplicate(outcome, seen, history):
                    continue
                at = _event_time(outcome)
                history.out_of_order += at < latest
                latest = max(latest, at)
                history.accepted += 1
                history.outcomes.setdefault(outcome.collector, []).append(outcome)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not history.accepted:
        first = (
            f"; line {history.skipped[0].line}: {history.skipped[0].problem}"
            if history.skipped
            else ""
        )
        raise InputError(f"{path}: no usable outcome in {history.lines} lines{first}")
    for events in history.outcomes.values():
        events.sort(key=_event_time)
    return history


def read_incidents(path: Path, known: Iterable[str], span: tuple[float, float]) -> Incidents:
    """Read the incidents that a history is judged by.

    ``known`` are the names of the history's collectors and dependencies, ``span`` its first and
    last event time: an incident outside of either cannot be found and is skipped. Raises
    `InputError` for a file without the right header.
    """
    found = Incidents()
    names = frozenset(known)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [cell.strip() for cell in next(rows, [])]
            if header != INCIDENT_HEADER:
                wanted = ",".join(INCIDENT_HEADER)
                raise InputError(f"{path}:1: header is {','.join(header)!r}; allowed: {wanted}")
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                incident = _incident(row, rows.line_num, names, span, found)
                if incident is not None:
                    found.incidents.append(incident)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    found.incidents.sort(key=lambda incident: incident.start)
    _warn_of_overlaps(found)
    return found


def _outcome(line: bytes, number: int, history: History) -> Outcome | None:
    """The line's outcome, or None after counting why there is none."""
    try:
        outcome = _decode(line, history)
    except msgspec.ValidationError as error:
        history.skipped.append(Skipped(number, explain(error)))
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        history.skipped.append(Skipped(number, f"not valid JSON: {error}"))
        return None
    if outcome.reason in EXPORTER_REASONS:
        history.derived += 1
        return None
    problem = _problem(outcome)
    if problem is not None:
        history.skipped.append(Skipped(number, problem))
        return None
    return outcome


def _problem(outcome: Outcome) -> str | None:
    if not valid_name(outcome.collector):
        return f"collector: {outcome.collector!r}; allowed: {NAME_PATTERN}"
    if not (outcome.occurred_at or outcome.finished_at or outcome.started_at):
        return "no time: one of occurred_at, finished_at, started_at is required in a history"
    problem = prepare(outcome, _FOREVER, _FOREVER)
    if problem is None and _event_time(outcome) < EARLIEST_MS / 1000:
        return "occurred_at: before 1971; allowed: times a history can hold"
    return problem


def _begin(outcome: Outcome) -> float:
    if outcome.started_at is not None:
        return outcome.started_at.timestamp()
    return _event_time(outcome) - (outcome.duration_seconds or 0.0)


def _event_time(outcome: Outcome) -> float:
    return outcome.at or 0.0


def _decode(line: bytes, history: History) -> Outcome:
    """Decode strictly; where that fails, once more without the fields we do not know, counted."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        data: Any = msgspec.json.decode(line)
        if not isinstance(data, dict):
            raise
    unknown = [name for name in data if name not in Outcome.__struct_fields__]
    for name in unknown:
        del data[name]
    for name, struct in _NESTED.items():
        inner = data.get(name)
        if isinstance(inner, dict):
            for key in [key for key in inner if key not in struct.__struct_fields__]:
                unknown.append(f"{name}.{key}")
                del inner[key]
    outcome = msgspec.convert(data, Outcome)
    history.unknown_fields.update(unknown)
    return outcome


def _is_duplicate(outcome: Outcome, seen: set[tuple[object, ...]], history: History) -> bool:
    key: tuple[object, ...]
    if outcome.event_id is not None:
        key = (outcome.event_id,)
    elif outcome.run_id is not None:
        key = (outcome.collector, outcome.run_id, outcome.attempt, outcome.outcome)
    else:
        return False
    if key in seen:
        history.duplicates += 1
        return True
    seen.add(key)
    return False


def _incident(
    row: Sequence[str],
    line: int,
    known: frozenset[str],
    span: tuple[float, float],
    found: Incidents,
) -> Incident | None:
    def skip(problem: str) -> Incident | None:
        found.skipped.append(Skipped(line, problem))
        return None

    if len(row) != len(INCIDENT_HEADER):
        return skip(f"{len(row)} columns; allowed: {len(INCIDENT_HEADER)}")
    target, start_text, end_text, kind, members = (cell.strip() for cell in row)
    times: list[float] = []
    for name, text in (("start", start_text), ("end", end_text)):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return skip(f"{name}: {text!r} is not RFC 3339, such as 2026-03-02T10:00:00Z")
        if moment.tzinfo is None:
            return skip(f"{name}: {text!r} has no time zone; allowed: Z or an offset like +01:00")
        times.append(moment.timestamp())
    start, end = times
    if end < start:
        return skip(f"end: {end_text} is before start {start_text}")
    collectors = tuple(members.split())
    if not target and not collectors:
        return skip("target: names nobody; allowed: a collector, a dependency, or collectors")
    incident = Incident(target, start, end, kind or "unknown", collectors, line)
    if not incident.names & known:
        return skip(f"target: {target or members!r} is no collector or dependency of this history")
    if end < span[0] or start > span[1]:
        return skip("outside of the history's time")
    missing = sorted(incident.names - known)
    if missing:
        found.warnings.append(Skipped(line, f"not in the history: {', '.join(missing)}"))
    return incident


def _warn_of_overlaps(found: Incidents) -> None:
    open_by_name: dict[str, Incident] = {}
    for incident in found.incidents:
        for name in sorted(incident.names):
            other = open_by_name.get(name)
            if other is not None and incident.start < other.end:
                found.warnings.append(
                    Skipped(incident.line, f"{name}: overlaps line {other.line}; both are scored")
                )
                break
        for name in incident.names:
            other = open_by_name.get(name)
            if other is None or incident.end > other.end:
                open_by_name[name] = incident
