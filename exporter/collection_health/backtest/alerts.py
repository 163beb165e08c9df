"""The alert state machine: `for` and `keep_firing_for` over the points where a condition held.

Follows Prometheus' ``AlertingRule.Eval`` (rules/alerting.go): pending from the first point,
firing once active for `for`, resolved at the first point without the condition unless
`keep_firing_for` has not passed since the condition was last seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collection_health.backtest.remote_write import Times


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of one alert with one label set; Unix seconds, ``end`` None while firing.

    ``end`` is the evaluation at which the alert was no longer firing.
    """

    alertname: str
    labels: Mapping[str, str]
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class States:
    """When one alert was pending and firing, as evaluation times in milliseconds."""

    pending: Times = field(repr=False)
    firing: Times = field(repr=False)


def states(active: Times, grid: Times, hold: float, keep: float) -> States:
    """Pending and firing points of an alert whose condition held at ``active``.

    ``grid`` are all evaluation times (ascending, holding ``active``), ``hold`` and ``keep`` are
    `for` and `keep_firing_for` in seconds.
    """
    index = np.searchsorted(grid, active)
    pending: list[int] = []
    firing: list[NDArray[np.int64]] = []
    hold_ms, keep_ms = round(hold * 1000), round(keep * 1000)
    runs = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1) if len(index) else []
    kept_until = -2  # grid index up to which keep_firing_for still holds the alert
    for run in runs:
        first, last = int(run[0]), int(run[-1])
        if first <= kept_until + 1:  # came back before it was resolved: it never stopped firing
            fires = first
        else:
            fires = int(np.searchsorted(grid, grid[first] + hold_ms))
            pending += range(first, min(fires, last + 1))
            if fires > last:
                continue
        # Prometheus keeps the alert through the last evaluation at which less than
        # keep_firing_for has passed since the condition was first seen gone.
        kept_until = last
        if keep_ms and last + 1 < len(grid):
            until = int(np.searchsorted(grid, grid[last + 1] + keep_ms)) - 1
            kept_until = max(last, until)
        firing.append(np.arange(fires, kept_until + 1))
    indices = np.unique(np.concatenate(firing)) if firing else np.array([], dtype=np.int64)
    return States(grid[np.array(pending, dtype=np.int64)], grid[indices])


def episodes(name: str, labels: Mapping[str, str], firing: Times, grid: Times) -> list[Episode]:
    """Contiguous firing points of one alert as episodes."""
    if not len(firing):
        return []
    index = np.searchsorted(grid, firing)
    found = []
    for run in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1):
        after = int(run[-1]) + 1
        end = float(grid[after]) / 1000 if after < len(grid) else None
        found.append(Episode(name, dict(labels), float(grid[run[0]]) / 1000, end))
    return found
