"""The evaluation: the pack and three baselines on the same simulated fleets.

    python -m tests.backtest.evaluate --seeds evaluation --write

replays every fleet (see `SCENARIOS`), prints the tables of tests/backtest/README.md and, with
``--write``, puts them there. Results are kept under ``--output`` and used again for the same
fleet and rules, so that an interrupted evaluation goes on where it stopped.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from collection_health.backtest import report, session
from collection_health.backtest.engine import EngineName
from collection_health.inventory import Inventory
from collection_health.inventory import load as load_inventory
from tests.backtest import fleet, tables
from tests.backtest.fleet import Fleet
from tests.backtest.profiles import Profile

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACK = "the pack"
BASELINES = {
    "any failure": HERE / "rules_any_failure.yml",
    "3 in a row": HERE / "rules_three_in_a_row.yml",
    "burn rates": HERE / "rules_burn_rate.yml",
}
DIAL = (0.005, 0.02, 0.05, 0.2, 1.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fleet of the evaluation."""

    seed: int
    flakes: str
    one_minute: bool = False
    quiet: bool = False

    @property
    def name(self) -> str:
        """Directory name."""
        words = [str(self.seed), self.flakes]
        marks = {"1m": self.one_minute, "quiet": self.quiet}
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
                "due_seconds": _first_due(profile, incident.start) if profile else None,
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


def _first_due(profile: Profile, start: float) -> float:
    """Seconds from ``start`` to the first run that should have come."""
    slots = profile.slots(fleet.START, start + 3 * profile.interval)
    return next(slot for slot in slots if slot >= start) - start


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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engine ends with us
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
        sections = {"promises": tables.overall_table(results), "kinds": tables.kind_table(results)}
    if PACK in results and chosen:
        sections["cadences"] = tables.cadence_table(results[PACK])
    if args.dial or args.only_dial:
        sections["dial"] = tables.dial_table(_dial(seeds, args.output, args.engine))
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
            evaluate(Scenario(seeds[0], flakes), rules, output, engine)
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
