"""Times and durations as people and programs read them."""

from datetime import UTC, datetime


def rfc3339(moment: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def seen(moment: float | None) -> str | None:
    """The same; None for never (0) and for what is not known."""
    return rfc3339(moment) if moment else None


def span(seconds: float) -> str:
    """A duration in the unit that fits: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
