"""The evaluation: the pack and three baselines on the same simulated fleets.

    python -m tests.backtest.evaluate --seeds evaluation --write

replays every fleet (see `SCENARIOS`), prints the tables of tests/backtest/README.md and, with
``--write``, puts them there. Results are kept under ``--output`` and used again for the same
fleet and rules, so that an interrupted evaluation goes on where it stopped.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from collection_health.backtest import report, score, session
from collection_health.backtest.engine import EngineName
from collection_health.inventory import Inventory
from collection_health.inventory import load as load_inventory
from tests.backtest import fleet
from tests.backtest.fleet import Fleet
from tests.backtest.incidents import PREDICTABLE
from tests.backtest.profiles import HEALING

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACK = "the pack"
BASELINES = {
    "any failure": HERE / "rules_any_failure.yml",
    "3 in a row": HERE / "rules_three_in_a_row.yml",
    "burn rates": HERE / "rules_burn_rate.yml",
}
DEGRADATIONS = ("partial_failure", "slowness", "volume_drop", "zero_records", "quality", "flapping")
DIAL = (0.005, 0.02, 0.05, 0.2, 1.0)
SMALL_MIX = {"5m": 5, "15m": 5, "30m": 3, "1h": 6, "6h": 1, "1d": 2}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fleet of the evaluation."""

    seed: int
    flakes: str
    one_minute: bool = False
    quiet: bool = False
    small: bool = False  # a third of the collectors, for the dial

    @property
    def name(self) -> str:
        """Directory name."""
        words = [str(self.seed), self.flakes]
        marks = {"1m": self.one_minute, "quiet": self.quiet, "small": self.small}
        return "-".join([*words, *(mark for mark, is_set in marks.items() if is_set)])

    def make(self) -> Fleet:
        """Simulate it."""
        more: dict[str, Any] = {}
        if self.one_minute:
            more = {"mix": fleet.ONE_MINUTE_MIX, "warm_days": 8, "scored_days": 4,
                    "incident_share": 1.3}  # fmt: skip
        return fleet.generate(self.seed, bursty=self.flakes == "bursty", quiet=self.quiet, **more)


def scenarios(seeds: Sequence[int]) -> list[Scenario]:
    """For each seed: a fleet with independent and one with bursty flakes; then small one-minute
    fleets and fleets in which nothing is wrong."""
    both = ("independent", "bursty")
    return [
        *(Scenario(seed, flakes) for seed in seeds for flakes in both),
        *(
            Scenario(seeds[i % len(seeds)], flakes, one_minute=True)
            for i, flakes in enumerate(both)
        ),
        *(Scenario(seeds[i % len(seeds)], flakes, quiet=True) for i, flakes in enumerate(both)),
    ]


def evaluate(
    scenario: Scenario, rules: Path, output: Path, engine: EngineName = "prometheus"
) -> dict[str, Any]:
    """Replay one fleet through one rule set; the figures as JSON-ready data."""
    digest = hashlib.sha256(
        b"".join(p.read_bytes() for p in _rule_files(rules))
        + b"".join(p.read_bytes() for p in sorted(HERE.glob("[fip]*.py")))
    ).hexdigest()[:12]
    kept = output / scenario.name / f"{digest}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    made = scenario.make()
    directory = output / scenario.name
    fleet.write(made, directory)
    begun = time.monotonic()
    result = session.run(
        session.Options(
            history=directory / "outcomes.ndjson",
            rules=[rules],
            config=directory / "collectors.yml",
            incidents=directory / "incidents.csv",
            score_from=made.scored_from,
            step=60.0 if scenario.one_minute else 300.0,
            engine=engine,
        ),
        lambda text: print(f"    {text}", file=sys.stderr) if not text.startswith("  ") else None,
    )
    data = _figures(scenario, made, result, load_inventory(directory / "collectors.yml"))
    data["seconds"] = time.monotonic() - begun
    data["peak_bytes"] = result.peak_bytes
    kept.write_text(json.dumps(data))
    return data


def _rule_files(rules: Path) -> list[Path]:
    return sorted(rules.glob("*.yml")) if rules.is_dir() else [rules]


def _figures(
    scenario: Scenario, made: Fleet, result: session.Result, inventory: Inventory
) -> dict[str, Any]:
    profiles = {profile.name: profile for profile in made.profiles}
    reasons = {(i.target, i.kind, round(i.start)): i.reason for i in made.incidents}
    detections = []
    for found in result.score.detections:
        incident = found.incident
        profile = profiles.get(incident.target)
        config = inventory.collector(incident.target)
        interval = result.intervals.get(incident.target) or 0.0
        grace = config.grace
        if grace is None and interval:
            from collection_health.schedule import derived_grace

            grace = derived_grace(interval, config.schedule is not None)
        detections.append(
            {
                "kind": incident.kind,
                "target": incident.target,
                "cadence": profile.cadence if profile else "several",
                "start": report.rfc3339(incident.start),
                "hours": (incident.end - incident.start) / 3600,
                "found": found.found,
                "delay_seconds": found.delay_seconds,
                "delay_runs": found.delay_runs,
                "ahead_seconds": found.ahead_seconds,
                "alert": found.first_alert,
                "messages": found.notifications,
                "clean": profile is not None and profile.flake_rate == 0,
                "flake_rate": profile.flake_rate if profile else None,
                "reason": next(
                    (reason for (target, kind, start), reason in reasons.items()
                     if target == incident.target and kind == incident.kind
                     and abs(start - incident.start) < 2), ""),
                "interval": interval,
                "grace": grace,
            }
        )  # fmt: skip
    false = [
        {
            "target": item.target,
            "alerts": item.alerts,
            "severity": item.severity,
            "start": report.rfc3339(item.start),
            "hours": (item.end - item.start) / 3600,
        }
        for item in result.score.notifications
        if not item.right
    ]
    return {
        "scenario": scenario.name,
        "quiet": scenario.quiet,
        "flakes": scenario.flakes,
        "notifications": len(result.score.notifications),
        "right": result.score.right,
        "false": false,
        "collector_weeks": result.score.collector_weeks,
        "detections": detections,
        "outcomes": result.history.accepted,
    }


# --- tables -----------------------------------------------------------------------------------


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
            (d["delay_seconds"] - d["grace"]) / d["interval"] for d in stalls
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
        "| dial | precision | false a collector-week | recall | median delay, runs |",
        "|---|---|---|---|---|",
    ]
    for dial, found in rows.items():
        figures = summary(found)
        weeks = sum(item["collector_weeks"] for item in found)
        delay = _median(d["delay_runs"] for f in found for d in f["detections"])
        false = sum(len(item["false"]) for item in found)
        lines.append(
            f"| {dial:g} | {_cell(figures['precision'], 'ratio')} | {false / weeks:.3f} | "
            f"{_cell(figures['recall'], 'ratio')} | {_cell(delay, 'number')} |"
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


def generate_pack(directory: Path, overlay: dict[str, Any] | None = None) -> Path:
    """The pack's rules, with an overlay of its configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "collection_health", "generate", "--output", str(directory)]
    if overlay:
        (directory / "pack.yml").write_text(yaml.safe_dump(overlay))
        command += ["--config", str(directory / "pack.yml")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return directory / "rules" / "generated"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the evaluation (see the module's docstring)."""
    parser = argparse.ArgumentParser(description="evaluate the alert rules on simulated fleets")
    parser.add_argument("--seeds", choices=["development", "evaluation"], default="development")
    parser.add_argument("--rules", type=Path, default=ROOT / "rules" / "generated")
    parser.add_argument("--output", type=Path, default=ROOT / ".backtest")
    parser.add_argument("--only", metavar="TEXT", default="", help="fleets whose name holds TEXT")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--no-pack", action="store_true")
    parser.add_argument("--engine", choices=["prometheus", "victoriametrics"], default="prometheus")
    parser.add_argument("--dial", action="store_true", help="the curve over the dial as well")
    parser.add_argument("--only-dial", action="store_true", help="nothing but the curve")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    args = parser.parse_args(arguments)
    seeds = fleet.EVALUATION_SEEDS if args.seeds == "evaluation" else fleet.DEVELOPMENT_SEEDS
    chosen = [s for s in scenarios(seeds) if args.only in s.name and not args.only_dial]
    sets = {} if args.no_pack else {PACK: args.rules}
    sets |= {} if args.no_baselines else BASELINES
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in sets}
    for scenario in chosen:
        for name, rules in sets.items():
            print(f"{scenario.name}: {name}", file=sys.stderr, flush=True)
            results[name].append(evaluate(scenario, rules, args.output, args.engine))
    sections: dict[str, list[str]] = {}
    if chosen:
        sections = {"promises": overall_table(results), "kinds": kind_table(results)}
    if PACK in results and chosen:
        sections["cadences"] = cadence_table(results[PACK])
    if args.dial or args.only_dial:
        sections["dial"] = dial_table(_dial(seeds, args.output, args.engine))
    for title, lines in sections.items():
        print(f"\n{title}\n" + "\n".join(lines))
    for item in results.get(PACK, []):
        for wrong in item["false"]:
            print(f"false {item['scenario']}: {wrong}")
        for detection in item["detections"]:
            if not detection["found"]:
                print(f"missed {item['scenario']}: {detection}")
    if args.write:
        _write(sections)
    return 0


def _dial(
    seeds: Sequence[int], output: Path, engine: EngineName
) -> dict[float, list[dict[str, Any]]]:
    rows: dict[float, list[dict[str, Any]]] = {}
    for dial in DIAL:
        rules = generate_pack(output / f"dial-{dial:g}", {"falseAlertsPerCollectorWeek": dial})
        rows[dial] = [
            evaluate(Scenario(seeds[0], flakes, small=True), rules, output, engine)
            for flakes in ("independent", "bursty")
        ]
    return rows


def _write(sections: dict[str, list[str]]) -> None:
    readme = HERE / "README.md"
    text = readme.read_text()
    for title, lines in sections.items():
        begin, end = f"<!-- {title} -->\n", f"<!-- /{title} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = head + begin + "\n".join(lines) + "\n" + end + tail
    readme.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
