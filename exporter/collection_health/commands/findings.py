"""What `doctor` finds."""

import re
from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "error"]
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


class Finding(NamedTuple):
    """One check: ``about`` what, how it stands and, unless well, what to do."""

    level: Level
    about: str
    text: str


def seconds(text: str) -> float:
    """A Prometheus duration such as ``1d12h`` in seconds; 0 for anything else."""
    found = re.findall(r"(\d+)(ms|[smhdwy])", text)
    return float(sum(int(count) * _UNITS[unit] for count, unit in found))


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def some(names: list[str], limit: int = 5) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
