"""Turn what collectors pass into what the exporter accepts, or say why not.

The exporter refuses an outcome with one wrong field. A run's ending must not be lost to a
mistyped count, so the client drops the field instead. Limits are those of ``events.Outcome``.
"""

import math
import operator
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import SupportsFloat, SupportsIndex

Instant = datetime | float | str  # a naive datetime is local time; a number is Unix seconds

MAX_NAME = 150
MAX_ID = 300
MAX_TEXT = 1_000
_MAX_COUNT = 2**63 - 1
_FOREIGN = re.compile(r"[^A-Za-z0-9._:/@+-]")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def collector_name(name: str) -> str:
    """``name`` as the exporter accepts it: other characters become ``_``, 150 are kept."""
    cleaned = _FOREIGN.sub("_", name)[:MAX_NAME] or "unnamed"
    return cleaned if cleaned[0].isalnum() else f"x{cleaned}"[:MAX_NAME]


def count(value: SupportsIndex) -> int:
    """A count: any integer type from 0. Raises `ValueError` or `TypeError`."""
    number = operator.index(value)
    if not 0 <= number <= _MAX_COUNT:
        raise ValueError("allowed: an integer from 0")
    return number


def amount(value: SupportsFloat) -> float:
    """A finite number from 0. Raises `ValueError` or `TypeError`."""
    number = float(value)
    if not 0 <= number <= 1e10:
        raise ValueError("allowed: a number from 0")
    return number


def ratio(value: SupportsFloat) -> float:
    """A ratio from 0 to 1. Raises `ValueError` or `TypeError`."""
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError("allowed: a ratio from 0 to 1")
    return number


def instant(value: Instant) -> str:
    """A point in time as RFC 3339. Raises `ValueError` or `TypeError`."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if not math.isfinite(value):
        raise ValueError("allowed: a datetime, RFC 3339 text or Unix seconds")
    return datetime.fromtimestamp(value, UTC).isoformat()


def parent(value: Mapping[str, str]) -> dict[str, str]:
    """The run that fanned out. Raises `ValueError` or `TypeError`."""
    value = dict(value)
    if not value.keys() <= {"collector", "run_id"}:
        raise ValueError("allowed: a mapping with collector and run_id")
    return {key: str(text)[:MAX_ID] for key, text in value.items() if text}


def duration(text: str) -> float:
    """Seconds of ``10s``, ``5m``, ``2h``, ``1d``, ``250ms`` or a plain number of seconds.

    Raises `ValueError` for anything else.
    """
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; allowed: 250ms, 10s, 5m, 2h, 1d or seconds")
    return float(match[1]) * _SECONDS[match[2] or "s"]
