"""What a simulated collector is like while nothing is wrong: cadence, flakes, volume, habits."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np

from collection_health.schedule import Cron

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
CADENCES: dict[str, float] = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
    "1h": HOUR, "6h": 6 * HOUR, "1d": DAY,
}  # fmt: skip
HEALING = ("connection", "timeout", "upstream", "rate_limited")
PERMANENT = ("auth", "schema", "not_found", "parse", "config")
STAGE = {
    "connection": "connect", "timeout": "fetch", "upstream": "fetch", "rate_limited": "fetch",
    "auth": "auth", "schema": "validate", "not_found": "fetch", "parse": "parse", "config": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """One collector in good health. Times in seconds, rates and factors as ratios."""

    name: str
    cadence: str
    cron: str | None
    timezone: str
    phase: float
    declared: bool
    tier: int
    dependency: str | None
    flake_rate: float
    burst: float  # P(fail | previous failed); 0 = independent
    flake_reasons: tuple[str, ...]
    duration: float
    duration_spread: float
    volume: float | None  # None: reports no records
    volume_spread: float
    daily_amplitude: float
    weekend_factor: float
    quality: float | None
    quality_spread: float
    timeout: float | None
    grace: float | None
    targets: dict[str, float] = field(default_factory=dict)
    reports_start: bool = False
    retries: bool = False
    quota_limit: int | None = None
    credential_days: float | None = None
    token_hours: float | None = None  # a short-lived credential renewed by the collector itself
    deploy_days: float = 12.0
    skip_rate: float = 0.0

    @property
    def interval(self) -> float:
        """Seconds between runs."""
        return CADENCES[self.cadence]

    def slots(self, start: float, end: float) -> list[float]:
        """Scheduled run times between two moments."""
        if self.cron is None:
            first = start + self.phase
            return [float(slot) for slot in np.arange(first, end, self.interval)]
        schedule, slots = Cron(self.cron, self.timezone), []
        slot = schedule.next_after(start)
        while slot < end:
            slots.append(slot)
            slot = schedule.next_after(slot)
        return slots

    def season(self, moment: float) -> float:
        """Volume factor at a moment: time of day and weekend in the collector's own zone."""
        from datetime import datetime

        local = datetime.fromtimestamp(moment, ZoneInfo(self.timezone))
        hour = local.hour + local.minute / 60
        factor = 1 + self.daily_amplitude * float(np.sin((hour - 8) / 24 * 2 * np.pi))
        return factor * (self.weekend_factor if local.weekday() >= 5 else 1.0)


def draw(
    rng: np.random.Generator, index: int, cadence: str, dependency: str | None, *, bursty: bool
) -> Profile:
    """One collector at random."""
    interval = CADENCES[cadence]
    timezone = str(rng.choice(["UTC", "Europe/Berlin", "America/New_York"]))
    cron = None
    if cadence == "1d" or (cadence == "1h" and rng.random() < 0.4):
        minute, hour = int(rng.integers(0, 60)), int(rng.integers(0, 24))
        cron = f"{minute} {hour} * * *" if cadence == "1d" else f"{minute} * * * *"
    kind = rng.random()
    top = 0.10 if interval <= HOUR else 0.04
    flake_rate = 0.0 if kind < 0.25 else float(np.exp(rng.uniform(np.log(0.003), np.log(top))))
    duration = float(np.clip(np.exp(rng.uniform(np.log(2), np.log(0.12 * interval))), 1, 2400))
    has_volume = rng.random() < 0.85
    seasonal = rng.random()
    volume = float(np.exp(rng.uniform(np.log(40), np.log(50_000)))) if has_volume else None
    quality = float(rng.uniform(0.955, 0.999)) if rng.random() < 0.7 else None
    targets: dict[str, float] = {"availability": float(rng.choice([0.95, 0.99, 0.995]))}
    if rng.random() < 0.4:
        targets["latency"] = round(4 * duration, 1)
    if quality is not None and rng.random() < 0.4:
        targets["quality"] = 0.9
    reasons = tuple(str(r) for r in rng.choice(HEALING, size=2, replace=False))
    return Profile(
        name=f"{cadence}-{index:02d}",
        cadence=cadence,
        cron=cron,
        timezone=timezone,
        phase=float(rng.uniform(0, interval)),
        declared=bool(rng.random() < 0.85),
        tier=int(rng.choice([1, 2, 3], p=[0.3, 0.4, 0.3])),
        dependency=dependency,
        flake_rate=flake_rate,
        burst=float(rng.uniform(0.35, 0.65)) if bursty else 0.0,
        flake_reasons=reasons,
        duration=duration,
        duration_spread=float(rng.uniform(0.08, 0.35)),
        volume=volume,
        volume_spread=float(rng.uniform(0.05, 0.3)),
        daily_amplitude=float(rng.uniform(0.3, 0.8)) if seasonal < 0.45 else 0.0,
        weekend_factor=float(rng.uniform(0.4, 0.9)) if 0.25 < seasonal < 0.6 else 1.0,
        quality=quality,
        quality_spread=float(rng.uniform(0.002, 0.012)),
        timeout=round(max(8 * duration, 30.0)) if rng.random() < 0.7 else None,
        grace=None if rng.random() < 0.7 else round(max(0.2 * interval, 120.0)),
        targets=targets,
        reports_start=bool(rng.random() < 0.3),
        retries=bool(rng.random() < 0.15),
        quota_limit=int(rng.choice([1_000, 10_000])) if rng.random() < 0.3 else None,
        credential_days=float(rng.uniform(60, 120)) if rng.random() < 0.35 else None,
        token_hours=float(rng.choice([1.0, 12.0, 48.0])) if rng.random() < 0.1 else None,
        deploy_days=float(rng.uniform(6, 20)),
        skip_rate=0.05 if rng.random() < 0.08 else 0.0,
    )
