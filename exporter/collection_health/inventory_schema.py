"""The shape of `collectors.yml`: every key, its type, its default and what it is for."""

import re
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct, field

from collection_health.events import NAME_PATTERN, Ratio

DEFAULT_AVAILABILITY = 0.99
DEFAULT_OBJECTIVE = 0.95  # share of runs that must meet a latency, freshness, … target


class Duration(float):
    """Seconds; in YAML a number of seconds or a text such as ``90s``, ``15m``, ``1h30m``."""


_DURATION = re.compile(r"^(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$")
_UNITS = (604800, 86400, 3600, 60, 1)


def parse_duration(value: object) -> Duration:
    """``15m`` or ``900`` as seconds. Raises `ValueError` naming the value and what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return Duration(value)
    match = _DURATION.match(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(
            f"{value!r} is not a duration; allowed: seconds or text like 90s 15m 1h 1d"
        )
    parts = zip(match.groups(), _UNITS, strict=True)
    return Duration(sum(float(count) * unit for count, unit in parts if count))


# Protocols whose own names for a collector `aliases` may map.
Protocol = Literal["openlineage", "ping", "pushgateway"]
ProbeType = Literal["connectivity", "parsing", "schema", "performance"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Mode = Literal["dry_run", "approve", "auto"]
TargetSli = Literal["latency", "freshness", "quality", "volume"]
# What may stand at a key that takes one of a few words, for error messages.
ALLOWED_WORDS = {
    "aliases": get_args(Protocol), "type": get_args(ProbeType), "method": get_args(Method),
    "mode": get_args(Mode), "objectives": get_args(TargetSli),
}  # fmt: skip
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Tier = Annotated[int, Meta(ge=1, le=3)]
Positive = Annotated[float, Meta(ge=0)]


class Strict(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in the file: a misspelt key is an error, not a silent default."""


class Cadence(Strict):
    """`schedule`: exactly one of `every`, `cron`, or `streaming` (with an optional `every`)."""

    every: Duration | None = None
    cron: str | None = None
    timezone: str | None = None
    streaming: bool = False


class Slo(Strict):
    """Targets one run is judged by, and the share of runs (`objectives`) that must meet them."""

    availability: Annotated[float, Meta(gt=0, lt=1)] = DEFAULT_AVAILABILITY
    latency: Duration | None = None
    freshness: Duration | None = None
    quality: Ratio | None = None
    min_records: Annotated[int, Meta(ge=0)] | None = None
    objectives: dict[TargetSli, Ratio] = field(default_factory=dict)

    def objective(self, sli: str) -> float:
        """The objective of ``sli`` as a ratio."""
        if sli == "availability":
            return self.availability
        return dict(self.objectives).get(sli, DEFAULT_OBJECTIVE)  # type: ignore[call-overload,no-any-return]


class Impact(Strict):
    """What a broken collector costs: relative weight, consumers downstream, money an hour."""

    weight: Positive = 1.0
    consumers: list[str] = field(default_factory=list)
    cost_per_hour: Positive | None = None


class Probe(Strict):
    """An active check (see probes/)."""

    type: ProbeType
    name: str | None = None
    url: str | None = None
    url_file: str | None = None  # for a URL that holds a secret
    token_file: str | None = None  # sent as bearer token
    every: Duration = Duration(60)
    timeout: Duration = Duration(10)
    expect: dict[str, Any] = field(default_factory=dict)


class HttpAction(Strict):
    """An HTTP call a recovery may make; the URL may come from a file because it may be secret."""

    method: Method = "POST"
    url: str | None = None
    url_file: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    token_file: str | None = None


class Action(Strict):
    """One thing a recovery may do: exactly one of `http` and `command` (argv, no shell)."""

    http: HttpAction | None = None
    command: list[str] | None = None
    env: list[str] = field(default_factory=list)  # names passed through from the environment
    timeout: Duration = Duration(60)
    safe: bool = False  # may run on a prediction, before anything failed


class Step(Strict):
    """One rung of the ladder."""

    action: str
    attempts: Annotated[int, Meta(ge=1, le=20)] = 1


class Backoff(Strict):
    """Wait between attempts: initial x factor^n, at most max, +- jitter."""

    initial: Duration = Duration(30)
    factor: Annotated[float, Meta(ge=1)] = 2.0
    max: Duration = Duration(900)
    jitter: Ratio = 0.2


class Limits(Strict):
    """Caps that hold across restarts."""

    per_hour: Annotated[int, Meta(ge=0)] = 3
    per_day: Annotated[int, Meta(ge=0)] = 8


class Breaker(Strict):
    """Open after so many recoveries in a row that did not bring good data."""

    failures: Annotated[int, Meta(ge=1)] = 3
    open_for: Duration = Duration(7200)


class RecoveryConfig(Strict):
    """How a collector may be repaired automatically."""

    mode: Mode = "dry_run"
    reasons: list[str] = field(default_factory=list)  # empty: every transient reason
    steps: list[Step] = field(default_factory=list)
    on_prediction: list[Step] = field(default_factory=list)
    backoff: Backoff = field(default_factory=Backoff)
    verify_within: Duration = Duration(1200)
    limits: Limits = field(default_factory=Limits)
    breaker: Breaker = field(default_factory=Breaker)


class Dependency(Strict):
    """What several collectors stand on."""

    probes: list[Probe] = field(default_factory=list)
    recovery: RecoveryConfig | None = None


class Defaults(Strict):
    """What a collector gets unless it says otherwise."""

    grace: Duration | None = None
    tier: Tier = 3
    timezone: str = "UTC"
    team: str = ""
    timeout: Duration | None = None
    slo: Slo = field(default_factory=Slo)


class Entry(Strict):
    """One collector as written in the file."""

    name: Name
    aliases: dict[Protocol, str | list[str]] = field(default_factory=dict)
    team: str | None = None
    owner: str = ""
    tier: Tier | None = None
    schedule: Cadence | None = None
    grace: Duration | None = None
    timeout: Duration | None = None
    depends_on: list[Name] = field(default_factory=list)
    slo: Slo | None = None
    impact: Impact = field(default_factory=Impact)
    probes: list[Probe] = field(default_factory=list)
    recovery: RecoveryConfig | None = None


class File(Strict):
    """The whole file."""

    defaults: Defaults = field(default_factory=Defaults)
    dependencies: dict[Name, Dependency | None] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    collectors: list[Entry] = field(default_factory=list)
