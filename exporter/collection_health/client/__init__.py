"""Report how a collector's runs went, from Python; it never raises into them nor delays them.

    from collection_health.client import track

    with track("orders") as run:
        rows = fetch()
        run.records(collected=len(rows))

An exception becomes a failure with its reason and is re-raised untouched. Outcomes are sent by
a background thread, spooled to disk while the exporter is away, and delivered later. `configure`
or the environment say where the exporter is (see `Settings`). Linux and macOS.
"""

from collection_health.client._client import (
    Client,
    configure,
    current_run,
    flush,
    track,
    tracked,
)
from collection_health.client._run import Run
from collection_health.client._settings import Settings
from collection_health.client._stats import Stats

__all__ = [
    "Client",
    "Run",
    "Settings",
    "Stats",
    "configure",
    "current_run",
    "flush",
    "track",
    "tracked",
]
