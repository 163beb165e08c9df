"""Writes generated files, or says how those on disk differ."""

import difflib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from collection_health.pack.errors import PackError
from collection_health.pack.yamltext import HEADER

# What tells a file of ours from one that a user put beside it.
_MARKS = (HEADER, '"uid": "collection-health-')
_SHOWN_LINES = 40


def write(output: Path, wanted: Mapping[str, str]) -> list[str]:
    """Bring `output` in line with `wanted`; returns one line for each file touched."""
    done = []
    try:
        for name, text in sorted(wanted.items()):
            if _read(output / name) == text:
                continue
            target = output / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Replaced in one step: Prometheus or Grafana may be reading it.
            scratch = target.with_name(f".{target.name}.new")
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(target)
            done.append(f"wrote {target}")
        for stale in _stale(output, wanted):
            stale.unlink()
            done.append(f"removed {stale}")
    except OSError as error:
        raise PackError(f"{error.filename}: {error.strerror}") from None
    return done or [f"{len(wanted)} files below {output} are up to date"]


def differences(output: Path, wanted: Mapping[str, str]) -> list[str]:
    """Lines that show what `write` would change; none when everything is up to date."""
    found = []
    for name, text in sorted(wanted.items()):
        present = _read(output / name)
        if present is None:
            found.append(f"missing: {output / name}")
        elif present != text:
            changes = difflib.unified_diff(
                present.splitlines(),
                text.splitlines(),
                str(output / name),
                "generated",
                lineterm="",
            )
            found += islice(changes, _SHOWN_LINES)
    found += [f"no longer generated: {path}" for path in _stale(output, wanted)]
    return found


def _stale(output: Path, wanted: Mapping[str, str]) -> list[Path]:
    """Files of an earlier run, in the directories of this one, that are no longer wanted."""
    directories = {(output / name).parent for name in wanted}
    keep = {output / name for name in wanted}
    present = (path for directory in directories for path in directory.glob("*.*"))
    return sorted(
        path
        for path in present
        if path.is_file()
        and path not in keep
        and any(mark in (_read(path) or "") for mark in _MARKS)
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""
