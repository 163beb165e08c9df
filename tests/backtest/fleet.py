"""A seeded generator of labelled fleets: outcomes, inventory and incidents as files.

    python -m tests.backtest.fleet --seed 1 --output DIR [--flakes bursty] [--quiet]

writes ``outcomes.ndjson``, ``collectors.yml`` and ``incidents.csv``. The same arguments give the
same files, byte for byte.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.backtest import incidents as faults
from tests.backtest import profiles
from tests.backtest.incidents import Incident
from tests.backtest.profiles import DAY, HOUR, Profile

# A Monday; the scored fortnight then holds the European change to summer time (29 March).
START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
MIX = {"5m": 12, "15m": 12, "30m": 6, "1h": 16, "6h": 4, "1d": 10}  # 60 collectors
ONE_MINUTE_MIX = {"1m": 8}
DEPENDENCIES = 6
DEVELOPMENT_SEEDS = (11, 12, 13, *range(9001, 9061))  # the 9000s were looked at
EVALUATION_SEEDS = (9061, 9062, 9063)


@dataclass(frozen=True, slots=True)
class Fleet:
    """One simulated fleet with everything that went wrong in it."""

    profiles: Sequence[Profile]
    incidents: Sequence[Incident]
    outcomes: Sequence[dict[str, Any]]
    start: float
    scored_from: float
    end: float


def generate(
    seed: int,
    *,
    mix: dict[str, int] | None = None,
    warm_days: float = 21,
    scored_days: float = 14,
    bursty: bool = False,
    quiet: bool = False,
    incident_share: float = 0.75,
) -> Fleet:
    """Simulate one fleet; ``incident_share`` is incidents per collector in the scored days."""
    mix = mix or MIX
    rng = np.random.default_rng([seed, int(bursty), int(quiet)])
    fleet: list[Profile] = []
    for cadence, count in mix.items():
        for _ in range(count):
            index = len(fleet)
            dependency = f"source-{index % DEPENDENCIES}" if rng.random() < 0.6 else None
            fleet.append(profiles.draw(rng, index, cadence, dependency, bursty=bursty))
    start, scored = START, START + warm_days * DAY
    end = scored + scored_days * DAY
    found = [] if quiet else _incidents(rng, fleet, (scored, end), incident_share)
    outcomes: list[dict[str, Any]] = []
    blips = _blips(rng, (start, end))
    for index, profile in enumerate(fleet):
        own = [incident for incident in found if profile.name in incident.collectors]
        own_rng = np.random.default_rng([seed, 1 + index, int(bursty)])
        outcomes += _Simulation(profile, own, own_rng, (start, end), blips).outcomes()
    outcomes.sort(key=lambda outcome: outcome.get("finished_at") or outcome["started_at"])
    return Fleet(fleet, found, outcomes, start, scored, end)


def write(fleet: Fleet, directory: Path) -> None:
    """The fleet as the three files that `collection-health backtest` reads."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "outcomes.ndjson").open("w") as file:
        for outcome in fleet.outcomes:
            file.write(json.dumps(outcome, separators=(",", ":")) + "\n")
    (directory / "collectors.yml").write_text(yaml.safe_dump(_inventory(fleet), sort_keys=False))
    with (directory / "incidents.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["target", "start", "end", "kind", "collectors"])
        for incident in fleet.incidents:
            rows.writerow(
                [incident.target, _text(incident.start), _text(incident.end), incident.kind,
                 " ".join(incident.collectors)]
            )  # fmt: skip


def _incidents(
    rng: np.random.Generator, fleet: list[Profile], window: tuple[float, float], share: float
) -> list[Incident]:
    busy: dict[str, list[tuple[float, float]]] = {profile.name: [] for profile in fleet}
    found: list[Incident] = []

    def free(incident: Incident) -> bool:
        return all(
            incident.end + 2 * DAY < begin or incident.begins - 2 * DAY > end
            for name in incident.collectors
            for begin, end in busy[name]
        )

    def add(incident: Incident) -> None:
        found.append(incident)
        for name in incident.collectors:
            busy[name].append((incident.begins, incident.end))

    for index in range(DEPENDENCIES):
        name = f"source-{index}"
        members = [profile for profile in fleet if profile.dependency == name]
        if len(members) >= 3 and rng.random() < 0.6:
            add(faults.draw_dependency(rng, name, members, window))
    # Kinds take turns so that the rare ones occur in every fleet.
    wanted = round(share * len(fleet))
    kinds = list(faults.KINDS)
    weights = np.array([faults.KINDS[kind] for kind in kinds])
    order = [*rng.permutation(kinds), *rng.choice(kinds, size=wanted, p=weights / weights.sum())]
    for kind in order[:wanted]:
        candidates = [profile for profile in fleet if faults.possible(str(kind), profile)]
        for _ in range(20):
            if not candidates:
                break
            profile = candidates[int(rng.integers(len(candidates)))]
            incident = faults.draw(rng, profile, window, str(kind))
            if incident is not None and free(incident):
                add(incident)
                break
    return sorted(found, key=lambda incident: incident.start)


def _blips(
    rng: np.random.Generator, span: tuple[float, float]
) -> dict[str, Sequence[tuple[float, float]]]:
    """Moments of a few minutes when a dependency answers nobody: gone before anyone could act."""
    found: dict[str, Sequence[tuple[float, float]]] = {}
    for index in range(DEPENDENCIES):
        begins = rng.uniform(*span, size=int(rng.integers(1, 5)))
        found[f"source-{index}"] = [(float(b), float(b) + 240.0) for b in sorted(begins)]
    return found


class _Simulation:
    """One collector from start to end of the history."""

    def __init__(
        self,
        profile: Profile,
        incidents: Sequence[Incident],
        rng: np.random.Generator,
        span: tuple[float, float],
        blips: dict[str, Sequence[tuple[float, float]]],
    ) -> None:
        self.profile, self.incidents, self.rng, self.span = profile, incidents, rng, span
        self.failed_before = False
        self.version = 1
        self.next_deploy = span[0] + rng.uniform(0.3, 1) * profile.deploy_days * DAY
        self.speed = 1.0
        self.flap_left, self.flap_bad = 0, True
        self.credential = span[0] + (profile.credential_days or 0) * DAY
        for incident in incidents:
            if incident.kind == "credential":
                self.credential = incident.start
        self.busy_days = set(rng.choice(35, size=2, replace=False)) if rng.random() < 0.3 else set()
        self.runs = 0
        self.blips = blips.get(profile.dependency or "", ())

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Every outcome, in the order of the schedule."""
        profile, rng = self.profile, self.rng
        for slot in profile.slots(*self.span):
            active = self._active(slot)
            if active is not None and active.kind == "stall":
                if active.strength and profile.reports_start and not active.detail:
                    active.detail["hung"] = 1.0
                    yield self._event("started", slot, slot, run=f"r{slot:.0f}")
                continue
            if rng.random() < profile.skip_rate:
                yield self._event("skipped", slot, slot + 1)
                continue
            begin = slot + float(rng.exponential(min(5.0, 0.01 * profile.interval)))
            if rng.random() < 0.001:  # a hiccup: the scheduler was busy
                begin += float(rng.uniform(0.1, 0.6)) * min(profile.interval, HOUR)
            yield from self._run(slot, begin, active)
        if profile.interval <= HOUR and rng.random() < 0.15:
            yield from self._backfill()

    def _run(self, slot: float, begin: float, active: Incident | None) -> Iterator[dict[str, Any]]:
        profile, rng = self.profile, self.rng
        self._deploy(slot)
        self.runs += 1
        duration = profile.duration * self.speed * float(
            rng.lognormal(0, profile.duration_spread)
        ) * self._slow(slot)  # fmt: skip
        if rng.random() < 0.004:
            duration *= float(rng.uniform(1.5, 3))
        reason = self._failure(slot, active)
        if profile.timeout is not None and duration >= profile.timeout:
            duration, reason = profile.timeout, "timeout"
        elif reason is not None and reason != "timeout":
            duration *= float(rng.uniform(0.1, 1.0))
        run = f"r{slot:.0f}"
        if profile.reports_start:
            yield self._event("started", begin, begin, run=run)
        end = begin + duration
        if reason is None:
            yield self._good(slot, begin, end, run, active)
            return
        yield self._event("failure", begin, end, run=run, reason=reason, attempt=1)
        if profile.retries and active is None and rng.random() < 0.7:
            again = end + min(30.0, 0.05 * profile.interval)
            done = again + profile.duration * float(rng.lognormal(0, profile.duration_spread))
            event = self._good(slot, again, done, run, None)
            yield {**event, "attempt": 2}
            self.failed_before = False

    def _good(
        self, slot: float, begin: float, end: float, run: str, active: Incident | None
    ) -> dict[str, Any]:
        profile, rng = self.profile, self.rng
        event = self._event("success", begin, end, run=run)
        factor = 1.0
        quality = None
        if profile.quality is not None:
            quality = profile.quality + float(rng.normal(0, profile.quality_spread))
        if active is not None:
            if active.kind == "volume_drop":
                factor = active.strength
            elif active.kind == "zero_records":
                factor = 0.0
            elif active.kind == "quality" and quality is not None:
                quality *= active.strength + float(rng.normal(0, 0.03))
        if profile.volume is not None:
            expected = profile.volume * profile.season(slot) * self._busy(slot)
            noisy = expected * float(rng.lognormal(0, profile.volume_spread))
            if rng.random() < 0.002:  # one odd run is not an incident
                noisy *= float(rng.uniform(0.3, 3))
            collected = int(rng.poisson(noisy * factor)) if noisy < 1e6 else int(noisy * factor)
            event["records"] = {"collected": collected}
        if quality is not None:
            event["quality"] = {"score": round(min(1.0, max(0.0, quality)), 4)}
        return event

    def _event(
        self,
        outcome: str,
        begin: float,
        end: float,
        *,
        run: str | None = None,
        reason: str | None = None,
        attempt: int | None = None,
    ) -> dict[str, Any]:
        profile = self.profile
        event: dict[str, Any] = {"collector": profile.name, "outcome": outcome}
        if run is not None:
            event["run_id"] = run
        event["started_at"] = _text(begin)
        if outcome != "started":
            event["finished_at"] = _text(end)
        if reason is not None:
            event["reason"] = reason
            if profiles.STAGE.get(reason):
                event["stage"] = profiles.STAGE[reason]
            if attempt is not None and profile.retries:
                event["attempt"] = attempt
        event["version"] = f"1.{self.version}"
        if profile.quota_limit is not None and outcome != "started":
            event["quota"] = self._quota(end)
        if profile.token_hours is not None and profile.credential_days is None:
            life = profile.token_hours * HOUR
            event["credential_expires_at"] = _text((end // life + 1.2) * life)
        if profile.credential_days is not None:
            event["credential_expires_at"] = _text(self._credential(end))
        return event

    def _active(self, slot: float) -> Incident | None:
        for incident in self.incidents:
            if incident.start <= slot < incident.end:
                return incident
        return None

    def _failure(self, slot: float, active: Incident | None) -> str | None:
        profile, rng = self.profile, self.rng
        if active is not None:
            match active.kind:
                case "hard_failure" | "quota" | "credential":
                    return active.reason
                case "dependency" | "partial_failure":
                    if rng.random() < active.strength:
                        return active.reason
                case "flapping":
                    if self.flap_left == 0:
                        self.flap_bad = not self.flap_bad
                        self.flap_left = int(rng.integers(2, 5))
                    self.flap_left -= 1
                    return active.reason if self.flap_bad else None
        if any(begin <= slot < end for begin, end in self.blips):
            return "connection"
        rate = profile.flake_rate
        if profile.burst and rate:
            chance = (
                profile.burst if self.failed_before else rate * (1 - profile.burst) / (1 - rate)
            )
        else:
            chance = rate
        self.failed_before = bool(rng.random() < chance)
        return str(rng.choice(profile.flake_reasons)) if self.failed_before else None

    def _slow(self, slot: float) -> float:
        factor = 1.2 if self._busy(slot) > 1 else 1.0
        for incident in self.incidents:
            if incident.kind == "slowness" and incident.start <= slot < incident.end:
                factor *= incident.strength
            if incident.kind == "creeping_latency" and incident.begins <= slot < incident.end:
                timeout = self.profile.timeout or 8 * self.profile.duration
                done = min(1.15, (slot - incident.begins) / (incident.start - incident.begins))
                factor *= 1 + done * (timeout / self.profile.duration - 1)
        return factor

    def _busy(self, slot: float) -> float:
        """A month-end or sale: half as much again, for a day; nothing is wrong."""
        return 1.5 if int((slot - self.span[0]) // DAY) in self.busy_days else 1.0

    def _deploy(self, slot: float) -> None:
        if slot >= self.next_deploy:
            self.version += 1
            self.next_deploy = (
                slot + float(self.rng.uniform(0.5, 1.5)) * self.profile.deploy_days * DAY
            )
            self.speed = float(self.rng.uniform(0.85, 1.2))

    def _quota(self, moment: float) -> dict[str, Any]:
        """A daily quota of which a good day uses about half; the incident's day uses it up."""
        limit = self.profile.quota_limit or 1
        reset = (moment // DAY + 1) * DAY
        used = 0.55 * (1 - (reset - moment) / DAY)
        for incident in self.incidents:
            if incident.kind == "quota" and incident.begins <= moment < incident.end:
                reset = incident.end
                used = (moment - incident.begins) / (incident.start - incident.begins)
                used = max(used, 0.0)
        noisy = used * (1 + 0.03 * float(self.rng.normal()))
        remaining = int(limit * max(0.0, 1 - noisy)) if used < 1 else 0
        return {"limit": limit, "remaining": remaining, "resets_at": _text(reset)}

    def _credential(self, moment: float) -> float:
        for incident in self.incidents:
            if incident.kind == "credential" and moment >= incident.end:
                return incident.end + (self.profile.credential_days or 60) * DAY
        if not any(incident.kind == "credential" for incident in self.incidents):
            # Renewed in good time, five to nine days ahead.
            life = (self.profile.credential_days or 60) * DAY
            renew = life - 8 * DAY
            return self.span[0] + life + ((moment - self.span[0]) // renew) * renew
        return self.credential

    def _backfill(self) -> Iterator[dict[str, Any]]:
        """A person reloads two past days in one evening: long, large, and not news."""
        profile, rng = self.profile, self.rng
        begin = float(rng.uniform(0.3, 0.9)) * (self.span[1] - self.span[0]) + self.span[0]
        for step in range(6):
            slot = begin - (3 - step / 3) * DAY
            at = begin + step * min(600.0, profile.interval)
            event = self._good(slot, at, at + 4 * profile.duration, f"backfill-{step}", None)
            event["scheduled_for"] = _text(slot)
            yield event


def _inventory(fleet: Fleet) -> dict[str, Any]:
    collectors = []
    for profile in fleet.profiles:
        if not profile.declared:
            continue
        every = {"every": f"{profile.interval:.0f}s"}
        cron = {"cron": profile.cron, "timezone": profile.timezone}
        entry: dict[str, Any] = {
            "name": profile.name,
            "team": f"team-{int(profile.name[-2:]) % 4}",
            "tier": profile.tier,
            "schedule": cron if profile.cron else every,
            "slo": dict(profile.targets),
        }
        if profile.grace is not None:
            entry["grace"] = f"{profile.grace}s"
        if profile.timeout is not None:
            entry["timeout"] = f"{profile.timeout}s"
        if profile.dependency is not None:
            entry["depends_on"] = [profile.dependency]
        collectors.append(entry)
    used = sorted({profile.dependency for profile in fleet.profiles if profile.dependency})
    return {"dependencies": dict.fromkeys(used), "collectors": collectors}


def _text(moment: float) -> str:
    text = datetime.fromtimestamp(round(moment, 3), UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one fleet (see the module's docstring)."""
    parser = argparse.ArgumentParser(description="simulate a labelled fleet of collectors")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--flakes", choices=["independent", "bursty"], default="independent")
    parser.add_argument("--quiet", action="store_true", help="no incident at all")
    parser.add_argument(
        "--one-minute", action="store_true", help="8 one-minute collectors, 12 days"
    )
    args = parser.parse_args(arguments)
    bursty = args.flakes == "bursty"
    if args.one_minute:
        fleet = generate(
            args.seed, mix=ONE_MINUTE_MIX, warm_days=8, scored_days=4,
            bursty=bursty, quiet=args.quiet, incident_share=1.3,
        )  # fmt: skip
    else:
        fleet = generate(args.seed, bursty=bursty, quiet=args.quiet)
    write(fleet, args.output)
    print(f"{len(fleet.outcomes)} outcomes, {len(fleet.incidents)} incidents in {args.output}")


if __name__ == "__main__":
    main()
