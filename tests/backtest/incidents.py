"""What goes wrong in a simulated fleet: one function of time per incident, and its label."""

from dataclasses import dataclass, field

import numpy as np

from tests.backtest.profiles import DAY, HEALING, HOUR, PERMANENT, Profile

# Every kind the rules must find; the share of incidents each gets.
KINDS: dict[str, float] = {
    "stall": 1.2, "hard_failure": 1.6, "partial_failure": 1.0, "slowness": 1.0,
    "creeping_latency": 0.8, "volume_drop": 1.0, "zero_records": 0.9, "quality": 1.0,
    "quota": 0.8, "credential": 0.7, "flapping": 0.9,
}  # fmt: skip
PREDICTABLE = ("quota", "credential", "creeping_latency")
CREEP_SECONDS = (1.2 * DAY, 2.6 * DAY)


@dataclass(frozen=True, slots=True)
class Incident:
    """One labelled fault; Unix seconds. ``detail`` holds what the kind needs."""

    target: str
    kind: str
    start: float
    end: float
    collectors: tuple[str, ...]
    begins: float = 0.0  # when the first effect is there (creeping, quota: before `start`)
    reason: str = ""
    strength: float = 1.0
    seed: int = 0
    detail: dict[str, float] = field(default_factory=dict)


def possible(kind: str, profile: Profile) -> bool:
    """Whether this collector reports what this kind of fault would show in."""
    if kind in ("volume_drop", "zero_records"):
        return profile.volume is not None and profile.volume >= 40
    if kind == "quality":
        return profile.quality is not None
    if kind == "quota":
        return profile.quota_limit is not None and profile.interval <= HOUR
    if kind == "credential":
        return profile.credential_days is not None
    if kind == "creeping_latency":
        return profile.timeout is not None and profile.interval <= HOUR
    if kind == "flapping":
        return profile.interval <= 6 * HOUR
    return True


def length(rng: np.random.Generator, kind: str, interval: float) -> float:
    """Seconds an incident lasts: long enough to matter at the collector's own cadence."""
    if kind in ("stall", "hard_failure", "zero_records", "credential"):
        runs = rng.uniform(4, 8) if interval >= DAY else rng.uniform(6, 20)
        return float(max(runs * interval, rng.uniform(1.0, 4.0) * HOUR))
    if kind == "quota":
        return float(rng.uniform(3, 8) * HOUR)
    runs = rng.uniform(4, 7) if interval >= DAY else rng.uniform(14, 40)
    return float(max(runs * interval, rng.uniform(2.0, 8.0) * HOUR))


def draw(
    rng: np.random.Generator, profile: Profile, window: tuple[float, float], kind: str
) -> Incident | None:
    """One incident of ``kind`` on this collector within the window, or None if it cannot fit."""
    lasts = min(length(rng, kind, profile.interval), 6.5 * DAY)
    lead = float(rng.uniform(*CREEP_SECONDS)) if kind in ("creeping_latency", "quota") else 0.0
    if kind == "quota":
        lead = float(rng.uniform(5, 14) * HOUR)
    latest = window[1] - lasts - max(HOUR, 4 * profile.interval)
    earliest = window[0] + lead
    if latest <= earliest:
        return None
    start = float(rng.uniform(earliest, latest))
    strength, reason = _strength(rng, kind)
    return Incident(
        target=profile.name,
        kind=kind,
        start=start,
        end=start + lasts,
        collectors=(profile.name,),
        begins=start - lead,
        reason=reason,
        strength=strength,
        seed=int(rng.integers(2**31)),
    )


def draw_dependency(
    rng: np.random.Generator, dependency: str, members: list[Profile], window: tuple[float, float]
) -> Incident:
    """An outage of what several collectors stand on."""
    slowest = sorted(member.interval for member in members)[len(members) // 2]
    lasts = float(min(max(rng.uniform(4, 10) * slowest, rng.uniform(1, 4) * HOUR), 3 * DAY))
    start = float(rng.uniform(window[0], window[1] - lasts - HOUR))
    return Incident(
        target=dependency,
        kind="dependency",
        start=start,
        end=start + lasts,
        collectors=tuple(member.name for member in members),
        begins=start,
        reason=str(rng.choice(["connection", "upstream", "timeout"])),
        strength=float(rng.uniform(0.85, 1.0)),
        seed=int(rng.integers(2**31)),
    )


def _strength(rng: np.random.Generator, kind: str) -> tuple[float, str]:
    match kind:
        case "hard_failure":
            healing = rng.random() < 0.5
            return 1.0, str(rng.choice(HEALING[:3] if healing else PERMANENT))
        case "partial_failure":
            return float(rng.uniform(0.4, 0.75)), str(rng.choice(["timeout", "upstream", "parse"]))
        case "slowness":
            return float(rng.uniform(2.5, 5.0)), ""
        case "volume_drop":
            return float(rng.uniform(0.08, 0.4)), ""
        case "quality":
            return float(rng.uniform(0.45, 0.8)), ""
        case "quota":
            return 1.0, "rate_limited"
        case "credential":
            return 1.0, "auth"
        case "flapping":
            return 1.0, str(rng.choice(HEALING[:3]))
        case "creeping_latency":
            return 1.0, "timeout"
    return 1.0, ""
