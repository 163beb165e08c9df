"""Strict YAML files whose errors name the file, the line and the path, and which are noticed when
they change.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

T = TypeVar("T")

MAX_BYTES = 1 << 20
"""Largest security file read. The largest sensible one is a few kilobytes."""


class ConfigError(ValueError):
    """A configuration file cannot be used.

    The text names file, line, path, problem and what is allowed.
    """


class FieldError(ValueError):
    """A value is wrong: `path` (such as `tls_server_config.min_version`) says which, the text says
    why.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path


class YamlFile:
    """A parsed YAML file that can still say on which line each of its values stands."""

    def __init__(self, path: Path) -> None:
        """Read and parse `path`.

        Raises ConfigError; never quotes the file's content, which may hold secrets.
        """
        self.path = path
        try:
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                raise ConfigError(f"{path}: larger than the allowed {MAX_BYTES} bytes")
            text = raw.decode()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
        try:
            self._root = yaml.compose(text, yaml.SafeLoader)
            self._refuse_repeats()
            self._data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise ConfigError(f"{path}{line}: not valid YAML: {error.problem}") from None
        except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path}: not valid YAML ({type(error).__name__})") from None

    def convert(self, kind: type[T]) -> T:
        """Return the content as `kind`. Raises ConfigError for unknown keys and wrong types."""
        data = {} if self._data is None else self._data
        try:
            return msgspec.convert(data, kind, strict=True)
        except msgspec.ValidationError as error:
            text, _, where = str(error).partition(" - at `")
            raise self.error(where.rstrip("`").removeprefix("$").lstrip("."), text) from None
        except RecursionError:
            raise ConfigError(f"{self.path}: nested too deeply") from None

    def error(self, path: str, problem: str) -> ConfigError:
        """Return the ConfigError for the value at `path`, with its line."""
        unknown = re.search(r"unknown field `(.*)`", problem)
        line = self._line(path, unknown[1] if unknown else None)
        where = f"{path}: " if path else ""
        return ConfigError(f"{self.path}:{line}: {where}{problem}")

    def _line(self, path: str, key: str | None) -> int:
        node = self._root
        line = node.start_mark.line + 1 if node else 1
        for name in [*re.findall(r"[^.\[\]]+", path), *([key] if key else [])]:
            if isinstance(node, yaml.MappingNode):
                found = [(k, v) for k, v in node.value if k.value == name]
                if not found:
                    break
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif (
                isinstance(node, yaml.SequenceNode)
                and name.isdigit()
                and int(name) < len(node.value)
            ):
                node = node.value[int(name)]
                line = node.start_mark.line + 1
            else:
                break
        return line

    def _refuse_repeats(self) -> None:
        """Refuse a key given twice: YAML would silently keep the last one."""
        waiting, seen = [self._root], set[int]()
        while waiting:
            node = waiting.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                waiting.extend(node.value)
            elif isinstance(node, yaml.MappingNode):
                keys = set[str]()
                for key, value in node.value:
                    name = str(key.value)
                    if name in keys:
                        raise ConfigError(
                            f"{self.path}:{key.start_mark.line + 1}: the key is given twice"
                        )
                    keys.add(name)
                    waiting.append(value)


class Watch:
    """Notices when any of some files changes, by modification time, size and inode."""

    interval = 1.0
    """Seconds between two looks at most."""

    def __init__(self) -> None:
        self._next = 0.0
        self._seen: dict[Path, tuple[int, int, int] | None] = {}

    def follow(self, files: Iterable[Path]) -> None:
        """Watch `files` from now on; a watched one in the state last seen."""
        self._seen = {file: self._seen.get(file) or _stat(file) for file in files}

    def changed(self) -> bool:
        """Return whether a file has changed since the last call that returned true."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.interval
        seen = {file: _stat(file) for file in self._seen}
        if seen == self._seen:
            return False
        self._seen = seen
        return True


def _stat(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
