"""The inventory: what `collectors.yml` says of collectors, dependencies and actions.

Everything is optional; unknown keys, wrong types and impossible values are refused with file,
line and path. An empty file is a valid inventory.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct, field

from collection_health.events import NAME_PATTERN, Ratio, valid_name
from collection_health.schedule import STREAMING_INTERVAL, Cron, Every, Schedule

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
    objectives: dict[Literal["latency", "freshness", "quality", "volume"], Ratio] = field(
        default_factory=dict
    )

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

    type: Literal["connectivity", "parsing", "schema", "performance"]
    name: str | None = None
    url: str | None = None
    url_file: str | None = None
    every: Duration = Duration(60)
    timeout: Duration = Duration(10)
    expect: dict[str, Any] = field(default_factory=dict)


class HttpAction(Strict):
    """An HTTP call a recovery may make; the URL may come from a file because it may be secret."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
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

    mode: Literal["dry_run", "approve", "auto"] = "dry_run"
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
    aliases: dict[str, str | list[str]] = field(default_factory=dict)
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


class CollectorConfig:
    """What holds for one collector after defaults: plain attributes, read on the hot path."""

    __slots__ = (
        "aliases", "depends_on", "grace", "impact", "interval", "name", "owner", "probes",
        "recovery", "registered", "schedule", "slo", "team", "tier", "timeout",
    )  # fmt: skip

    def __init__(self, entry: Entry, defaults: Defaults, registered: bool) -> None:
        self.name = entry.name
        self.registered = registered
        self.aliases = entry.aliases
        self.team = defaults.team if entry.team is None else entry.team
        self.owner = entry.owner
        self.tier = entry.tier or defaults.tier
        self.schedule = _schedule(entry.schedule, defaults.timezone)
        self.interval = self.schedule.interval if self.schedule else None
        grace = defaults.grace if entry.grace is None else entry.grace
        self.grace = None if grace is None else float(grace)
        timeout = entry.timeout or defaults.timeout
        self.timeout = float(timeout) if timeout else None
        self.depends_on = tuple(entry.depends_on)
        self.slo = entry.slo or defaults.slo
        self.impact = entry.impact
        self.probes = tuple(entry.probes)
        self.recovery = entry.recovery


class InventoryError(Exception):
    """The inventory cannot be used; the text names file, line and path."""


class Inventory:
    """The current inventory: lookup of collectors (explicit or by default) and of aliases."""

    def __init__(self, file: File | None = None, path: Path | None = None) -> None:
        self.file = file or File()
        self.path = path
        self.dependencies = {
            name: dependency or Dependency() for name, dependency in self.file.dependencies.items()
        }
        self.actions = self.file.actions
        defaults = self.file.defaults
        self.registered = {
            entry.name: CollectorConfig(entry, defaults, True) for entry in self.file.collectors
        }
        self._discovered: dict[str, CollectorConfig] = {}
        self._aliases = {
            (protocol, alias): entry.name
            for entry in self.file.collectors
            for protocol, given in entry.aliases.items()
            for alias in ([given] if isinstance(given, str) else given)
        }

    def collector(self, name: str) -> CollectorConfig:
        """What holds for ``name``: its own entry, else the defaults."""
        config = self.registered.get(name) or self._discovered.get(name)
        if config is None:
            config = CollectorConfig(Entry(name=name), self.file.defaults, False)
            self._discovered[name] = config
        return config

    def alias(self, protocol: str, name: str) -> str | None:
        """The collector that calls itself ``name`` in ``protocol``, or None."""
        return self._aliases.get((protocol, name))


def load(path: Path) -> Inventory:
    """Read and check an inventory file. Raises `InventoryError` naming file, line and path."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InventoryError(f"{path}: cannot be read: {error}") from error
    return parse(text, path)


def parse(text: str, path: Path | None = None) -> Inventory:
    """An inventory from YAML text; ``path`` names it in errors."""
    name = str(path or "inventory")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicates(root, name)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InventoryError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InventoryError(f"{name}:1: not valid YAML: {error}") from error
    try:
        file = msgspec.convert(data or {}, File, dec_hook=_decode_duration)
        return _checked(Inventory(_validated(file), path))
    except msgspec.ValidationError as error:
        raise InventoryError(_located(str(error), root, name)) from error
    except _ValueProblemError as problem:
        raise InventoryError(_at(problem.path, problem.text, root, name)) from problem


class _ValueProblemError(Exception):
    """A value that is well-formed and wrong; ``path`` leads to it."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(text)
        self.path, self.text = path, text


def _decode_duration(kind: type, value: object) -> object:
    if kind is Duration:
        return parse_duration(value)
    raise NotImplementedError(kind)


def _schedule(cadence: Cadence | None, timezone: str) -> Schedule | None:
    if cadence is None:
        return None
    if cadence.streaming:
        return Every(float(cadence.every or STREAMING_INTERVAL), streaming=True)
    if cadence.every is not None:
        return Every(float(cadence.every))
    if cadence.cron is not None:
        return Cron(cadence.cron, cadence.timezone or timezone)
    return None


def _validated(file: File) -> File:
    """Refuse what types alone cannot: before anything is built from the file."""
    seen: dict[str, int] = {}
    aliases: dict[tuple[str, str], str] = {}
    for index, entry in enumerate(file.collectors):
        at = f"collectors[{index}]"
        if entry.name in seen:
            first = f"collectors[{seen[entry.name]}]"
            raise _ValueProblemError(f"{at}.name", f"{entry.name!r} is already {first}")
        seen[entry.name] = index
        _check_cadence(entry.schedule, f"{at}.schedule", file.defaults.timezone)
        for protocol, given in entry.aliases.items():
            for alias in [given] if isinstance(given, str) else given:
                owner = aliases.setdefault((protocol, alias), entry.name)
                if owner != entry.name:
                    raise _ValueProblemError(
                        f"{at}.aliases.{protocol}", f"{alias!r} already names {owner!r}"
                    )
        _check_recovery(entry.recovery, f"{at}.recovery", file.actions)
        _check_probes(entry.probes, f"{at}.probes")
    for name, dependency in file.dependencies.items():
        if dependency is not None:
            _check_recovery(dependency.recovery, f"dependencies.{name}.recovery", file.actions)
            _check_probes(dependency.probes, f"dependencies.{name}.probes")
    for name, action in file.actions.items():
        if (action.http is None) == (action.command is None):
            raise _ValueProblemError(f"actions.{name}", "needs exactly one of http and command")
        if action.command is not None and not action.command:
            raise _ValueProblemError(
                f"actions.{name}.command", "empty; allowed: a list of words (argv)"
            )
        if action.http is not None and (action.http.url is None) == (action.http.url_file is None):
            raise _ValueProblemError(
                f"actions.{name}.http", "needs exactly one of url and url_file"
            )
    return file


def _check_cadence(cadence: Cadence | None, path: str, timezone: str) -> None:
    if cadence is None:
        return
    if cadence.cron is not None and (cadence.every is not None or cadence.streaming):
        raise _ValueProblemError(path, "cron stands alone; allowed: one of every, cron, streaming")
    if cadence.cron is None and cadence.every is None and not cadence.streaming:
        raise _ValueProblemError(path, "empty; allowed: one of every, cron, streaming")
    if cadence.every is not None and cadence.every < 1:
        raise _ValueProblemError(f"{path}.every", "shorter than a second; allowed: 1s and more")
    try:
        _schedule(cadence, timezone)
    except ValueError as error:
        raise _ValueProblemError(f"{path}.{'timezone' if 'time zone' in str(error) else 'cron'}",
                       str(error)) from error  # fmt: skip


def _check_probes(probes: list[Probe], path: str) -> None:
    names: set[str] = set()
    for index, probe in enumerate(probes):
        if (probe.url is None) == (probe.url_file is None):
            raise _ValueProblemError(f"{path}[{index}]", "needs exactly one of url and url_file")
        name = probe.name or probe.type
        if name in names:
            raise _ValueProblemError(
                f"{path}[{index}]", f"a second probe called {name!r}: give it a name"
            )
        names.add(name)


def _check_recovery(recovery: RecoveryConfig | None, path: str, actions: dict[str, Action]) -> None:
    if recovery is None:
        return
    for kind in ("steps", "on_prediction"):
        for index, step in enumerate(getattr(recovery, kind)):
            if step.action not in actions:
                allowed = ", ".join(sorted(actions)) or "none is declared under actions"
                raise _ValueProblemError(
                    f"{path}.{kind}[{index}].action", f"{step.action!r}; allowed: {allowed}"
                )


def _checked(inventory: Inventory) -> Inventory:
    bad = [name for name in inventory.registered if not valid_name(name)]
    if bad:
        raise InventoryError(f"collector name {bad[0]!r} does not match {NAME_PATTERN}")
    return inventory


_MESSAGE = re.compile(r"^(?P<text>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)


def _located(message: str, root: yaml.Node | None, name: str) -> str:
    match = _MESSAGE.match(message)
    text, path = (match["text"], match["path"] or "") if match else (message, "")
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        path = f"{path}.{unknown[1]}".lstrip(".")
        text = "unknown key"
    return _at(path, text, root, name)


def _at(path: str, text: str, root: yaml.Node | None, name: str) -> str:
    line = _line_of(root, path)
    return f"{name}:{line}: {path}: {text}" if path else f"{name}:{line}: {text}"


def _line_of(node: yaml.Node | None, path: str) -> int:
    """The line (from 1) of the node that ``path`` (``a.b[0].c``) leads to, as far as it goes."""
    line = 1
    for part in re.findall(r"[^.\[\]]+|\[\d+\]|\[\.\.\.\]", path):
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and part[1:-1].isdigit():
            child = node.value[int(part[1:-1])]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line


def _refuse_duplicates(node: yaml.Node | None, name: str) -> None:
    """YAML lets a later key silently win; here that is an error."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise InventoryError(
                    f"{name}:{line}: {key.value}: given twice; first in line {seen[key.value]}"
                )
            seen[key.value] = line
            _refuse_duplicates(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, name)
