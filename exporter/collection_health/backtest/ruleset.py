"""Rule files read, checked and put in the order in which they depend on each other."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ALERTS = "ALERTS"
DEFAULT_INTERVAL = 60.0  # Prometheus' global evaluation_interval default

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNIT_SECONDS = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0,
}  # fmt: skip
_LABEL_TEMPLATE = re.compile(r"\{\{-?\s*\$labels\.([A-Za-z_]\w*)\s*-?\}\}")


class RuleError(Exception):
    """A rule file cannot be read or a rule cannot be replayed; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Selector:
    """One vector selector of an expression: metric name and its matchers as (name, op, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()

    def may_select(self, labels: Mapping[str, str]) -> bool:
        """Whether an output with these fixed labels could be among the selected series."""
        return all(
            name not in labels
            or _LABEL_TEMPLATE.search(labels[name])
            or _matches(op, want, labels[name])
            for name, op, want in self.matchers
        )


@dataclass(frozen=True)
class Rule:
    """One recording or alerting rule; times in seconds."""

    name: str
    alerting: bool
    expr: str
    group: str
    interval: float | None
    where: str
    labels: Mapping[str, str] = field(default_factory=dict)
    hold: float = 0.0  # `for`
    keep: float = 0.0  # `keep_firing_for`

    @cached_property
    def selectors(self) -> tuple[Selector, ...]:
        """Every series selector that the expression reads."""
        return tuple(_selectors(promql_parser.parse(self.expr)))

    @cached_property
    def or_with_matching(self) -> bool:
        """Whether it has an ``or`` with ``on`` or ``ignoring``."""
        return any(
            str(node.op) == "or"
            and node.modifier is not None
            and node.modifier.matching is not None
            for node in nodes(promql_parser.parse(self.expr))
            if isinstance(node, promql_parser.BinaryExpr)
        )

    @cached_property
    def bottomk(self) -> bool:
        """Whether it takes the least of several series."""
        return any(
            str(node.op) == "bottomk"
            for node in nodes(promql_parser.parse(self.expr))
            if isinstance(node, promql_parser.AggregateExpr)
        )

    def expand_labels(self, found: Mapping[str, str]) -> dict[str, str]:
        """The rule's labels on top of ``found`` with ``{{ $labels.x }}`` filled in."""
        labels = {name: value for name, value in found.items() if name != "__name__"}
        for name, value in self.labels.items():
            filled = _LABEL_TEMPLATE.sub(lambda match: found.get(match[1], ""), value)
            if filled:
                labels[name] = filled
            else:
                labels.pop(name, None)
        return labels


@dataclass(frozen=True, slots=True)
class Plan:
    """Rules to replay, each with the indices of the rules it must wait for, and those left out."""

    rules: Sequence[Rule]
    waits_for: Sequence[frozenset[int]]
    inputs: frozenset[str]  # names of the history's series that the rules read
    left_out: Sequence[tuple[Rule, str]]  # rule and the reason in words
    unread: Sequence[Rule]  # recorded for people and dashboards: no alert depends on them


def load(paths: Iterable[Path]) -> list[Rule]:
    """All rules of the YAML files named, or found in the directories named.

    Raises `RuleError` with file and line for unreadable YAML, a rule without ``record`` or
    ``alert``, a duration or an expression that does not parse.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted([*path.glob("*.yml"), *path.glob("*.yaml")])
        elif path.is_file():
            files.append(path)
        else:
            raise RuleError(f"{path}: no such file or directory")
    if not files:
        raise RuleError(f"{', '.join(map(str, paths))}: no .yml or .yaml rule file found")
    rules = [rule for file in files for rule in _load_file(file)]
    if not rules:
        raise RuleError(f"{', '.join(map(str, files))}: no rule found")
    return rules


def plan(rules: Sequence[Rule], available: frozenset[str], *, everything: bool = False) -> Plan:
    """Order rules by dependency; leave out what reads nothing of the history.

    ``available`` are the metric names the history can supply. A rule that reads no such series,
    directly or through other rules, says nothing about history (a dead-man's switch, the
    monitoring of Prometheus itself) and is listed in ``left_out``; one that no alert depends on
    need not be replayed, and is only with ``everything``. Raises `RuleError` for rules that
    depend on themselves.
    """
    writers: dict[str, list[int]] = {}
    for index, rule in enumerate(rules):
        writers.setdefault(ALERTS if rule.alerting else rule.name, []).append(index)
    reads = [_writers_read(rule, rules, writers) for rule in rules]
    order = _topological(rules, reads)
    useful: set[int] = set()
    left_out: list[tuple[Rule, str]] = []
    for index in order:
        names = {selector.name for selector in rules[index].selectors}
        if names & available or reads[index] & useful:
            useful.add(index)
        else:
            missing = sorted(names - writers.keys() - available)
            what = f"reads only {', '.join(missing)}" if missing else "reads no series of history"
            left_out.append((rules[index], what))
    needed: set[int] = set(order) if everything else set()
    for index in reversed(order):
        if rules[index].alerting or index in needed:
            needed.add(index)
            needed.update(reads[index])
    kept = [index for index in order if index in useful & needed]
    position = {index: place for place, index in enumerate(kept)}
    return Plan(
        rules=[rules[index] for index in kept],
        waits_for=[
            frozenset(position[other] for other in reads[index] if other in useful)
            for index in kept
        ],
        inputs=frozenset(
            selector.name for index in kept for selector in rules[index].selectors
        ) & available,
        left_out=[(rule, why) for rule, why in left_out if rule.alerting],
        unread=[rules[index] for index in order if index in useful - needed],
    )  # fmt: skip


def _writers_read(
    rule: Rule, rules: Sequence[Rule], writers: Mapping[str, Sequence[int]]
) -> frozenset[int]:
    return frozenset(
        index
        for selector in rule.selectors
        for index in writers.get(selector.name, ())
        if selector.may_select(_output_labels(rules[index]))
    )


def _output_labels(rule: Rule) -> Mapping[str, str]:
    return {**rule.labels, "alertname": rule.name} if rule.alerting else rule.labels


def _topological(rules: Sequence[Rule], reads: Sequence[frozenset[int]]) -> list[int]:
    done: set[int] = set()
    order: list[int] = []
    waiting = list(range(len(rules)))
    while waiting:
        ready = [index for index in waiting if reads[index] <= done]
        if not ready:
            circle = "; ".join(f"{rules[index].name} ({rules[index].where})" for index in waiting)
            raise RuleError(f"rules that depend on themselves cannot be replayed: {circle}")
        order += ready
        done.update(ready)
        waiting = [index for index in waiting if index not in done]
    return order


def _load_file(file: Path) -> Iterator[Rule]:
    try:
        document = yaml.load(file.read_text(), Loader=_LineLoader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RuleError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("groups"), list):
        raise RuleError(f"{file}: not a rule file: allowed is a mapping with a list 'groups'")
    for group in document["groups"]:
        line = group.get(_LINE, 1) if isinstance(group, dict) else 1
        if not isinstance(group, dict) or "name" not in group:
            raise RuleError(f"{file}:{line}: a group needs a name")
        interval = _seconds(group.get("interval"), f"{file}:{line}: interval")
        for item in group.get("rules") or []:
            yield _rule(item, file, group, interval)


def _rule(item: Any, file: Path, group: dict[str, Any], interval: float | None) -> Rule:
    line = item.get(_LINE, 1) if isinstance(item, dict) else 1
    where = f"{file}:{line}"
    if not isinstance(item, dict) or ("record" in item) == ("alert" in item):
        raise RuleError(f"{where}: a rule needs either 'record' or 'alert'")
    name = str(item.get("record") or item.get("alert"))
    expr = item.get("expr")
    if expr is None:
        raise RuleError(f"{where}: {name}: 'expr' is missing")
    labels = {**(group.get("labels") or {}), **(item.get("labels") or {})}
    rule = Rule(
        name=name,
        alerting="alert" in item,
        expr=str(expr).strip(),
        group=str(group["name"]),
        interval=interval,
        where=where,
        labels={k: str(v) for k, v in labels.items() if k != _LINE},
        hold=_seconds(item.get("for"), f"{where}: {name}: for") or 0.0,
        keep=_seconds(item.get("keep_firing_for"), f"{where}: {name}: keep_firing_for") or 0.0,
    )
    try:
        _ = rule.selectors
    except ValueError as error:
        raise RuleError(f"{where}: {name}: expression does not parse: {error}") from error
    return rule


def _seconds(value: Any, where: str) -> float | None:
    if value is None:
        return None
    text = str(value)
    parts = _DURATION.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise RuleError(f"{where}: {text!r} is not a duration; allowed: 30s, 5m, 1h30m, 2d, 1w")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


_LINE = "__line__"


class _LineLoader(yaml.SafeLoader):
    """Keeps the line number of every mapping under `_LINE`."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        mapping[_LINE] = node.start_mark.line + 1
        return mapping


def nodes(expr: Any) -> Iterator[Any]:
    """A parsed expression and every part of it, except the selectors inside of ranges."""
    yield expr
    for attribute in ("lhs", "rhs", "expr", "param"):
        child = getattr(expr, attribute, None)
        if child is not None:
            yield from nodes(child)
    for argument in getattr(expr, "args", ()):
        yield from nodes(argument)


def _selectors(expr: Any) -> Iterator[Selector]:
    for node in nodes(expr):
        if isinstance(node, promql_parser.VectorSelector):
            yield _selector(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            yield _selector(node.vector_selector)


def _selector(vector: Any) -> Selector:
    name = vector.name
    matchers = []
    for matcher in vector.matchers.matchers:
        op = str(matcher.op)
        if matcher.name == "__name__":
            name = matcher.value if op in ("MatchOp.Equal", "=") else name
        else:
            matchers.append((matcher.name, _OPS.get(op, op), matcher.value))
    if name is None:
        raise ValueError(f"a selector without a metric name cannot be replayed: {vector}")
    return Selector(name, tuple(matchers))


_OPS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def _matches(op: str, want: str, value: str) -> bool:
    if op == "=":
        return value == want
    if op == "!=":
        return value != want
    matched = re.fullmatch(want, value) is not None
    return matched if op == "=~" else not matched
