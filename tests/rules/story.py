"""Stories of collectors as promtool tests: outcomes in, expected alerts out.

A story is written run by run (`good`, `bad`, `quiet`, ...). The exporter's own fold turns it into
the series that Prometheus would have scraped; promtool evaluates the generated rules over them
and holds what fires, with all labels and annotations, against what the story expects.
"""

import math
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

from collection_health import fold, inventory, metrics, timers
from collection_health.events import (
    Control,
    Event,
    Outcome,
    ProbeResult,
    Quality,
    Quota,
    Records,
    Recovery,
    Registered,
)
from collection_health.state import CollectorState
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
RULES = [ROOT / "rules/generated/rules.yml", ROOT / "rules/generated/alerts.yml"]
TARGET = {"job": "collection-health", "instance": "exporter:9036"}
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
AGES = 1000 * DAY  # promtool's time begins at 0: what was before is folded this much later
UNITS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}

Labels = Mapping[str, str]
Sample = float | None  # None: not scraped


def seconds(duration: str) -> float:
    """'30s', '5m', '1h', '1d' as seconds."""
    return float(duration[:-1]) * UNITS[duration[-1]]


class Collector:
    """One collector's life: outcomes at its cadence, written in order."""

    def __init__(self, story: "Story", name: str, every: str, **config: Any) -> None:
        self.name, self.interval, self._story = name, seconds(every), story
        self.registered = config.pop("registered", True)
        self.entry = {
            "name": name,
            "team": "data",
            "tier": 1,
            "schedule": {"every": every},
            **config,
        }
        self.events: list[Event] = []
        self.before: list[tuple[str, Mapping[str, Any]]] = []
        self.now = self.interval
        self.gone_at = math.inf

    def past(self, runs: int, bad: bool = False, **outcome: Any) -> Self:
        """Runs before the story begins; the exporter remembers them, Prometheus does not."""
        fields = {"reason": "timeout", **outcome} if bad else outcome
        self.before += [("failure" if bad else "success", fields)] * runs
        return self

    def good(self, runs: int = 1, **outcome: Any) -> Self:
        """Good runs; keywords are fields of the outcome."""
        return self._runs(runs, "success", outcome)

    def bad(self, runs: int = 1, reason: str = "timeout", **outcome: Any) -> Self:
        """Failed runs."""
        return self._runs(runs, "failure", {"reason": reason, **outcome})

    def partial(self, runs: int = 1, **outcome: Any) -> Self:
        """Runs that brought only part of their data."""
        return self._runs(runs, "partial", outcome)

    def skipped(self, runs: int = 1) -> Self:
        """Runs that decided to do nothing."""
        return self._runs(runs, "skipped", {})

    def retried(self, outcome: str, after: float, **fields: Any) -> Self:
        """Another attempt of the newest run, ``after`` seconds later."""
        newest = self.events[-1]
        assert isinstance(newest, Outcome)
        assert newest.at is not None
        again = {"run_id": newest.run_id, "attempt": (newest.attempt or 1) + 1}
        self.events.append(self.run(outcome, fields | again, newest.at + after))
        return self

    def started(self) -> Self:
        """A run begins, and nothing is heard of its end."""
        self.events.append(Outcome(self.name, "started", run_id=f"{self.now:.0f}", at=self.now))
        return self

    def quiet(self, intervals: float = 1) -> Self:
        """Nothing happens."""
        self.now += intervals * self.interval
        return self

    def control(self, control: str, active: bool = True) -> Self:
        """Pause, maintenance or acknowledgement."""
        self.events.append(Control(self.name, control, active, self.now, None, "ada", "test"))  # type: ignore[arg-type]
        return self

    def probe(self, success: bool, probe: str = "connectivity") -> Self:
        """The newest result of an active check."""
        self.events.append(
            ProbeResult("collector", self.name, probe, success, self.now, 0.1, None, None, None)
        )
        return self

    def recovery(self, phase: str) -> Self:
        """A step of automatic recovery."""
        self.events.append(
            Recovery("r1", self.name, 0.0, 1, 1, "rerun", phase, self.now, None, None, "test")  # type: ignore[arg-type]
        )
        return self

    def leaves(self) -> Self:
        """The collector is taken out of the exporter."""
        self.gone_at = self.now
        return self

    def silent(self, alertname: str, after: float = 0) -> Self:
        """Nothing of that name fires for it now (or ``after`` intervals).

        promtool compares all alerts of a name: at one time every collector's must be declared.
        """
        self._story.expect(self.now - self.interval + after * self.interval, alertname, self.name)
        return self

    def fires(self, alertname: str, *alerts: "Alert", after: float = 0) -> Self:
        """Exactly these fire for it now (or ``after`` intervals)."""
        moment = self.now - self.interval + after * self.interval
        self._story.expect(moment, alertname, self.name, *alerts)
        return self

    def run(self, outcome: str, fields: Mapping[str, Any], at: float) -> Outcome:
        """One ended run as the event that the exporter folds."""
        made = dict(fields)
        for key, kind in (("records", Records), ("quality", Quality), ("quota", Quota)):
            if isinstance(made.get(key), dict):
                made[key] = kind(**made[key])
        duration = made.pop("duration", 5.0)
        made.setdefault("run_id", f"{at:.0f}")
        return Outcome(
            self.name,
            outcome,
            duration_seconds=duration,
            at=at,
            **made,  # type: ignore[arg-type]
        )

    def _runs(self, runs: int, outcome: str, fields: Mapping[str, Any]) -> Self:
        for _ in range(runs):
            self.events.append(self.run(outcome, fields, self.now))
            self.now += self.interval
        return self


@dataclass(frozen=True)
class Alert:
    """What is expected of a firing alert beyond what its rule says for all."""

    severity: str
    description: str
    labels: Labels = field(default_factory=dict)
    since: str = ""
    cause: str = ""  # said before the static cause
    impact: str = ""  # said after the static impact
    recovery: str = ""


class Story:
    """Collectors and other series over a time, and what must fire when."""

    def __init__(self, step: str = "1m", rules: Iterable[Path] = RULES) -> None:
        self.step = seconds(step)
        self.collectors: list[Collector] = []
        self.series: dict[str, list[Sample]] = {}
        self.missed: set[float] = set()
        self.exporters: list[Labels] = [TARGET]
        self._rules = list(rules)
        self._expected: list[tuple[float, str, str | None, tuple[Alert, ...]]] = []
        self._queries: list[dict[str, Any]] = []
        self.dependencies: list[str] = []

    def collector(self, name: str = "orders", every: str = "1h", **config: Any) -> Collector:
        """A collector of this story; keywords are those of the inventory."""
        found = Collector(self, name, every, **config)
        self.collectors.append(found)
        return found

    def expect(self, at: float, alertname: str, about: str | None, *alerts: Alert) -> None:
        """Exactly ``alerts`` of that name fire at a time (for one collector, dependency or None)."""
        self._expected.append((at, alertname, about, alerts))

    def query(self, at: float, expr: str, *samples: tuple[str, float]) -> None:
        """An expression has these samples at a time."""
        self._queries.append(
            {
                "expr": expr,
                "eval_time": f"{self._slot(at) * self.step:.0f}s",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
            }
        )

    def add(self, series: str, values: Iterable[Sample]) -> None:
        """A series of its own, one value a step."""
        self.series[series] = list(values)

    def check(self, directory: Path) -> None:
        """Let promtool judge; raises AssertionError with its report."""
        file = directory / "story.yml"
        file.write_text(yaml.safe_dump(self.document(), sort_keys=False, width=10_000))
        done = subprocess.run(
            [str(tool("promtool")), "test", "rules", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def document(self) -> dict[str, Any]:
        """The story as a promtool unit test."""
        groups = [group["name"] for file in self._rules for group in _groups(file)]
        last = max(
            [at for at, *_ in self._expected] + [float(q["eval_time"][:-1]) for q in self._queries]
        )
        count = self._slot(last) + 2
        series = {f"up{_braced(labels)}": [1.0] * count for labels in self.exporters}
        for collector in self.collectors:
            series |= self._facts(collector, count)
        series.update(self.series)
        return {
            "rule_files": [str(path) for path in self._rules],
            "evaluation_interval": f"{self.step:.0f}s",
            "group_eval_order": groups,
            "tests": [
                {
                    "interval": f"{self.step:.0f}s",
                    "input_series": [
                        {"series": name, "values": _notation(values)}
                        for name, values in series.items()
                    ],
                    "alert_rule_test": self._alert_tests(),
                    "promql_expr_test": self._queries,
                }
            ],
        }

    def _facts(self, collector: Collector, count: int) -> dict[str, list[Sample]]:
        text = yaml.safe_dump(
            {
                "dependencies": dict.fromkeys(self.dependencies),
                "actions": {"rerun": {"command": ["true"]}},
                "collectors": [collector.entry] if collector.registered else [],
            }
        )
        config = inventory.parse(text).collector(collector.name)
        state = _remembered(collector, config)
        waiting = sorted(collector.events, key=lambda event: event.at or 0.0)
        found: dict[str, list[Sample]] = {}
        position = 0
        for slot in range(count):
            now = slot * self.step
            while waiting and (waiting[0].at or 0.0) <= now:
                event = waiting.pop(0)
                for written in timers.due(state, config, event.at or 0.0):
                    fold.apply(state, written, config, position := position + 1)
                fold.apply(state, event, config, position := position + 1)
            for written in timers.due(state, config, now):
                fold.apply(state, written, config, position := position + 1)
            if now >= collector.gone_at or now in self.missed:
                continue
            for name, labels, value in metrics.samples(state, config, now):
                for exporter in self.exporters:
                    key = name + _braced({**exporter, **dict(labels)})
                    values = found.setdefault(key, [None] * count)
                    values[slot] = value
        return found

    def _slot(self, at: float) -> int:
        return math.ceil(at / self.step)

    def _alert_tests(self) -> list[dict[str, Any]]:
        known = _annotations(self._rules)
        firing: dict[tuple[int, str], list[dict[str, Any]]] = {}
        for at, alertname, about, alerts in self._expected:
            firing.setdefault((self._slot(at), alertname), []).extend(
                self._expectation(alertname, about, alert, known) for alert in alerts
            )
        return [
            {
                "eval_time": f"{slot * self.step:.0f}s",
                "alertname": alertname,
                "exp_alerts": expected,
            }
            for (slot, alertname), expected in firing.items()
        ]

    def _expectation(
        self,
        alertname: str,
        about: str | None,
        alert: Alert,
        known: Mapping[tuple[str, str], list[dict[str, Any]]],
    ) -> dict[str, Any]:
        rules = [
            rule
            for rule in known[alertname, alert.severity]
            if all(
                rule["labels"].get(k, v) == v or "{{" in rule["labels"][k]
                for k, v in alert.labels.items()
            )
        ]
        rule = rules[0]
        collector = next((c for c in self.collectors if c.name == about), None)
        labels = {k: v for k, v in rule["labels"].items() if "{{" not in v}
        if collector is not None:
            labels |= {
                "collector": collector.name,
                "team": collector.entry["team"] if collector.registered else "",
                "tier": str(collector.entry["tier"]) if collector.registered else "3",
                "root_cause": f"collector:{collector.name}",
            }
        labels = {name: value for name, value in (labels | alert.labels).items() if value}
        written = rule["annotations"]
        annotations = {key: text for key, text in written.items() if "{{" not in text} | {
            "description": alert.description
        }
        if collector is not None:
            annotations["dashboard_url"] = written["dashboard_url"].replace(
                "{{ $labels.collector | urlquery }}", collector.name
            )
        for key, said in (("since", alert.since), ("recovery", alert.recovery)):
            if key in written:
                annotations[key] = said
        if "{{" in written["cause"]:
            annotations["cause"] = alert.cause + written["cause"].rsplit("}}", 1)[1]
            annotations["impact"] = written["impact"].split("{{", 1)[0] + alert.impact
        return {"exp_labels": labels, "exp_annotations": annotations}


def _remembered(collector: Collector, config: inventory.CollectorConfig) -> CollectorState:
    """The state at the beginning of the story."""
    state = CollectorState(collector.name)
    fold.apply(state, Registered(collector.name, 1.0), config, 0)
    for index, (outcome, fields) in enumerate(collector.before):
        at = AGES - (len(collector.before) - index) * collector.interval
        fold.apply(state, collector.run(outcome, fields, at), config, 0)
    for name in ("last_run", "last_success", "last_failure", "first_seen", "version_changed"):
        value = getattr(state, name)
        setattr(state, name, value - AGES if value > DAY else value)
    state.run_times = [moment - AGES for moment in state.run_times]
    return state


@cache  # reading the generated rules takes a second, and stories only look at them
def _groups(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text())["groups"]
    return found


def _annotations(files: Iterable[Path]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for file in files:
        for group in _groups(file):
            for rule in group["rules"]:
                if "alert" in rule:
                    found.setdefault((rule["alert"], rule["labels"]["severity"]), []).append(rule)
    return found


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _notation(values: list[Sample]) -> str:
    """Values in promtool's run-length notation."""
    parts: list[str] = []
    index = 0
    while index < len(values):
        end = index
        while end < len(values) and _same(values[end], values[index]):
            end += 1
        value, count = _number(values[index]), end - index
        if value == "_":
            parts.append(f"_x{count}")
        elif value == "NaN":  # promtool knows no repeated NaN
            parts += [value] * count
        else:
            parts.append(f"{value}x{count - 1}" if count > 1 else value)
        index = end
    return " ".join(parts)


def _same(a: Sample, b: Sample) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def _number(value: Sample) -> str:
    if value is None:
        return "_"
    return "NaN" if math.isnan(value) else repr(float(value))
