"""The inventory: what `collectors.yml` says of collectors, dependencies and actions.

Everything is optional; unknown keys, wrong types and impossible values are refused with file,
line and path. An empty file is a valid inventory.
"""

import re
from pathlib import Path

import msgspec
import yaml

from collection_health.events import NAME_PATTERN, valid_name
from collection_health.inventory_schema import (
    ALLOWED_WORDS,
    Action,
    Cadence,
    Defaults,
    Dependency,
    Duration,
    Entry,
    File,
    HttpAction,
    Probe,
    RecoveryConfig,
    parse_duration,
)
from collection_health.reasons import ALL_REASONS
from collection_health.schedule import STREAMING_INTERVAL, Cron, Every, Schedule


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
        self.configs = dict(self.registered)  # and, on demand, what holds for the others
        self._aliases: dict[tuple[str, str], str] = {
            (protocol, alias): entry.name
            for entry in self.file.collectors
            for protocol, given in entry.aliases.items()
            for alias in ([given] if isinstance(given, str) else given)
        }

    def collector(self, name: str) -> CollectorConfig:
        """What holds for ``name``: its own entry, else the defaults."""
        config = self.configs.get(name)
        if config is None:
            config = CollectorConfig(Entry(name=name), self.file.defaults, False)
            self.configs[name] = config
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
        return _checked(Inventory(_validated(file, path), path))
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


def _validated(file: File, path: Path | None) -> File:
    """Refuse what types alone cannot: before anything is built from the file."""
    folder = path.parent if path is not None else Path()
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
        _check_probes(entry.probes, f"{at}.probes", folder)
    for name, dependency in file.dependencies.items():
        if dependency is not None:
            _check_recovery(dependency.recovery, f"dependencies.{name}.recovery", file.actions)
            _check_probes(dependency.probes, f"dependencies.{name}.probes", folder)
    for name, action in file.actions.items():
        if (action.http is None) == (action.command is None):
            raise _ValueProblemError(f"actions.{name}", "needs exactly one of http and command")
        if action.command is not None and not action.command:
            raise _ValueProblemError(
                f"actions.{name}.command", "empty; allowed: a list of words (argv)"
            )
        if action.http is not None:
            _check_call(action.http, f"actions.{name}.http")
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


def _check_probes(probes: list[Probe], path: str, folder: Path) -> None:
    if not probes:
        return
    # Imported only for those who have probes: JSON Schema support takes long to load.
    from collection_health.probes.config import problems

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
        for at, text in problems(probe, folder):
            raise _ValueProblemError(f"{path}[{index}].{at}", text)


def _check_call(call: HttpAction, path: str) -> None:
    if (call.url is None) == (call.url_file is None):
        raise _ValueProblemError(path, "needs exactly one of url and url_file")
    if call.url is not None and not call.url.startswith(("http://", "https://")):
        raise _ValueProblemError(f"{path}.url", f"{call.url!r}; allowed: http:// and https://")


def _check_recovery(recovery: RecoveryConfig | None, path: str, actions: dict[str, Action]) -> None:
    if recovery is None:
        return
    for index, reason in enumerate(recovery.reasons):
        if reason not in ALL_REASONS:
            raise _ValueProblemError(
                f"{path}.reasons[{index}]", f"{reason!r}; allowed: {', '.join(ALL_REASONS)}"
            )
    for kind in ("steps", "on_prediction"):
        for index, step in enumerate(getattr(recovery, kind)):
            if step.action not in actions:
                allowed = ", ".join(sorted(actions)) or "none is declared under actions"
                raise _ValueProblemError(
                    f"{path}.{kind}[{index}].action", f"{step.action!r}; allowed: {allowed}"
                )
            if kind == "on_prediction" and not actions[step.action].safe:
                raise _ValueProblemError(
                    f"{path}.{kind}[{index}].action",
                    f"{step.action!r} is not marked safe; allowed: actions with safe: true",
                )


def _checked(inventory: Inventory) -> Inventory:
    bad = [name for name in inventory.registered if not valid_name(name)]
    if bad:
        raise InventoryError(f"collector name {bad[0]!r} does not match {NAME_PATTERN}")
    return inventory


_MESSAGE = re.compile(r"^(?P<text>.*?)(?: - at `(?:key` in `)?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)


def _located(message: str, root: yaml.Node | None, name: str) -> str:
    match = _MESSAGE.match(message)
    text, path = (match["text"], match["path"] or "") if match else (message, "")
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        path = f"{path}.{unknown[1]}".lstrip(".")
        text = "unknown key"
    elif text.startswith("Invalid enum value"):
        words = ALLOWED_WORDS.get(path.rsplit(".", 1)[-1])
        text += f"; allowed: {', '.join(words)}" if words else ""
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


def _refuse_duplicates(root: yaml.Node | None, name: str) -> None:
    """YAML lets a later key silently win; here that is an error."""
    waiting, visited = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in visited:  # an alias; following each would take for ever in a hostile file
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line, text = key.start_mark.line + 1, str(key.value)  # a key may be a list
                if text in seen:
                    raise InventoryError(
                        f"{name}:{line}: {text}: given twice; first in line {seen[text]}"
                    )
                seen[text] = line
                waiting.append(value)
