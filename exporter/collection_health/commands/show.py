"""Printing for people: aligned tables, colours only on a terminal, and JSON for programs."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from collection_health.commands.servers import RefusedError, UnreachableError
from collection_health.times import span

_CODES = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}
STATE_COLORS = {"failing": "red", "degraded": "yellow", "healthy": "green", "unknown": "dim"}
_SIGNS = {"failing": "✖", "degraded": "▲", "healthy": "●", "unknown": "?"}
_BARS = {"good": ("▂", "green"), "partial": ("▅", "yellow"), "bad": ("█", "red")}


def colored() -> bool:
    """Whether standard output is a terminal that wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, color: str) -> str:
    """``text`` in a colour, where there are colours."""
    return f"\x1b[{_CODES[color]}m{text}\x1b[0m" if colored() and text else text


def state(word: str) -> str:
    """A state as sign and word."""
    return paint(f"{_SIGNS.get(word, '?')} {word}", STATE_COLORS.get(word, "dim"))


def strip(runs: Sequence[str]) -> str:
    """Runs as bars, the newest last."""
    return "".join(paint(*_BARS[kind]) for kind in runs)


def ago(moment: str | None) -> str:
    """How long ago an RFC 3339 time was."""
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    return f"{span(max(0.0, seconds))} ago"


def clock(moment: str | None) -> str:
    """An RFC 3339 time without what nobody reads."""
    return moment.replace("T", " ").removesuffix("Z") if moment else ""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; on a terminal the last one is cut at the edge."""
    widths = [max(_width(row[index]) for row in [heads, *rows]) for index in range(len(heads))]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10**6
    room = max(20, edge - sum(widths[:-1]) - 2 * (len(widths) - 1))
    for number, row in enumerate([heads, *rows]):
        cells = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        cells[-1] = row[-1] if _width(row[-1]) <= room else row[-1][: room - 1] + "…"
        line = "  ".join(cells).rstrip()
        print(paint(line, "dim") if number == 0 else line)


def _width(text: str) -> int:
    """Characters that are seen."""
    visible, escape = 0, False
    for character in text:
        if character == "\x1b":
            escape = True
        elif escape:
            escape = character != "m"
        else:
            visible += 1
    return visible


def dump(data: Any) -> None:
    """Print JSON."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def clean(text: str) -> str:
    """Text from elsewhere on one line, without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else " " for character in " ".join(text.split())
    )


def guarded(work: Callable[[], int]) -> int:
    """Run a command's work; say on standard error what went wrong."""
    try:
        return work()
    except RefusedError as error:
        print(f"collection-health: {clean(str(error))}", file=sys.stderr)
        return 1
    except UnreachableError as error:
        print(f"collection-health: {clean(str(error))}", file=sys.stderr)
        return 3
    except ValueError as error:
        print(f"collection-health: {clean(str(error))}", file=sys.stderr)
        return 2
