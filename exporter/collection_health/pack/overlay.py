"""Reads pack.yml strictly against the mixin's `_config`.

Every mistake is reported with file, line and the path of the knob, all of them at once.
"""

import difflib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import yaml

from collection_health.pack.errors import PackError

KnobPath = tuple[str, ...]


def read_overlay(
    file: Path, defaults: dict[str, Any], extensible: AbstractSet[KnobPath] = frozenset()
) -> dict[str, Any]:
    """The knobs that `file` changes, as nested mappings; empty for an empty file.

    A knob must exist in `defaults` and keep its kind (number, text, ...); a default of null takes
    any kind, and null switches off a mapping. Below the paths in `extensible` keys are free.
    Raises PackError with one line a mistake: `pack.yml:12: alerts.X: problem, what is allowed`.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        reader = _Reader(loader, extensible)
        overlay = {} if node is None else reader.value(node, defaults, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PackError(f"{file}:{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise PackError(f"{file}: {error}") from None
    if reader.mistakes:
        raise PackError("\n".join(f"{file}:{line}: {what}" for line, what in reader.mistakes))
    return overlay if isinstance(overlay, dict) else {}


class _Reader:
    """Walks YAML nodes (which know their lines) beside the defaults."""

    def __init__(self, loader: yaml.SafeLoader, extensible: AbstractSet[KnobPath]) -> None:
        self.mistakes: list[tuple[int, str]] = []
        self._loader = loader
        self._extensible = extensible

    def value(self, node: yaml.Node, default: object, path: KnobPath) -> object:
        """The Python value of a node whose default is known."""
        if isinstance(node, yaml.MappingNode) and isinstance(default, dict):
            return self._mapping(node, default, path)
        found = self._free(node, path)
        if default is None or (found is None and isinstance(default, dict) and path):
            return found
        if _kind(found) != _kind(default):
            self._refuse(node, path, f"must be {_kind(default)}, is {_kind(found)}: {found!r}")
        return found

    def _mapping(
        self, node: yaml.MappingNode, default: dict[str, Any], path: KnobPath
    ) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, key_node, value_node in self._items(node, path):
            below = (*path, key)
            if key in default:
                found[key] = self.value(value_node, default[key], below)
            elif path in self._extensible:
                found[key] = self._free(value_node, below)
            else:
                self._refuse(key_node, below, f"unknown knob{_hint(key, default)}")
        return found

    def _items(
        self, node: yaml.MappingNode, path: KnobPath
    ) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        self._loader.flatten_mapping(node)
        seen = set()
        for key_node, value_node in node.value:
            key = self._loader.construct_object(key_node)
            if not isinstance(key, str):
                self._refuse(key_node, (*path, key_node.value), f"is read as {key!r}: quote it")
            elif key in seen:
                self._refuse(key_node, (*path, key), "is given twice")
            else:
                seen.add(key)
                yield key, key_node, value_node

    def _free(self, node: yaml.Node, path: KnobPath) -> object:
        """A value with no default to compare with: only what JSON can hold is allowed."""
        if isinstance(node, yaml.MappingNode):
            return {
                key: self._free(value, (*path, key)) for key, _, value in self._items(node, path)
            }
        if isinstance(node, yaml.SequenceNode):
            return [self._free(item, (*path, str(index))) for index, item in enumerate(node.value)]
        found = self._loader.construct_object(node)
        if found is not None and not isinstance(found, bool | int | str) and not _finite(found):
            self._refuse(node, path, f"is read as {found!r}: quote it")
        return found

    def _refuse(self, node: yaml.Node, path: KnobPath, problem: str) -> None:
        self.mistakes.append(
            (node.start_mark.line + 1, f"{'.'.join(path) or 'the file'}: {problem}")
        )


def _finite(value: object) -> bool:
    return isinstance(value, float) and abs(value) < float("inf")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _hint(key: str, known: dict[str, Any]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if nearest:
        return f"; did you mean {nearest[0]}?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""
