"""History -> the series that a Prometheus scraping the exporter would have recorded.

Each collector is folded on its own, with the exporter's fold, timers and metric families, and
sampled on a grid: the value at a grid time is the state after every event up to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from collection_health import fold, metrics, timers
from collection_health.backtest.engine import Series
from collection_health.backtest.remote_write import STALE_BITS, Times
from collection_health.events import Event, Outcome, Registered
from collection_health.inventory import CollectorConfig
from collection_health.state import CollectorState
from collection_health.timing import timing

TARGET_LABELS = {"job": "collection-health", "instance": "backtest"}
Key = tuple[str, metrics.Labels]
SUFFIXES = ("", "_total", "_bucket", "_count", "_sum")


def metric_names() -> frozenset[str]:
    """Every metric name that a history can supply."""
    names: set[str] = set()
    for family in metrics.FAMILIES:
        suffixes = {"counter": ("_total",), "gauge": ("",), "summary": ("_count", "_sum")}.get(
            family.kind, ("_bucket", "_count", "_sum")
        )
        names.update(family.name + suffix for suffix in suffixes)
    return frozenset(names)


def grid(start: float, end: float, step: float) -> Times:
    """Evaluation times in milliseconds: multiples of ``step`` seconds from just before the first
    event to just before the last, because nothing is known of what came after it."""
    step_ms = round(step * 1000)
    first = int(start * 1000) // step_ms * step_ms
    return np.arange(first, int(end * 1000) + 1, step_ms, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One collector's series and how many events the exporter itself would have added."""

    series: Sequence[Series]
    derived: int
    interval: float | None


def replay(
    outcomes: Sequence[Outcome],
    config: CollectorConfig,
    times: Times,
    wanted: frozenset[str],
) -> Replayed:
    """Fold one collector and sample the metrics in ``wanted`` at ``times``.

    ``outcomes`` are in order of event time. A registered collector exists from the first grid
    time on, another from its first outcome on.
    """
    exporter = _Exporter(config, wanted)
    recorder = _Recorder(config.name, times)
    start, step = int(times[0]), int(times[1] - times[0])
    if config.registered:
        exporter.apply(Registered(config.name, start / 1000))
        recorder.record(0, exporter.samples(start / 1000))

    def slot(event: Event) -> int:
        """The first grid time that shows the event."""
        return max(0, -((start - round(_at(event) * 1000)) // step))

    for index, together in groupby(exporter.events(outcomes, float(times[-1]) / 1000), key=slot):
        for event in together:
            exporter.apply(event)
        if index < len(times):
            recorder.record(index, exporter.samples(float(times[index]) / 1000))
    return Replayed(
        [series for series in recorder.series() if series.labels["__name__"] in wanted],
        exporter.derived,
        timing(exporter.state, config).interval,
    )


class _Exporter:
    """What the exporter does with one collector: fold, timers, metric families."""

    def __init__(self, config: CollectorConfig, wanted: frozenset[str]) -> None:
        self.state = CollectorState(config.name)
        self.derived = 0
        self._config = config
        self._position = 0
        self._families = [
            family
            for family in metrics.FAMILIES
            if any(family.name + suffix in wanted for suffix in SUFFIXES)
        ]

    def events(self, outcomes: Iterable[Outcome], end: float) -> Iterator[Event]:
        """The outcomes and, in between and until ``end``, what the timers add.

        Lazy on purpose: each event must have been applied before the next one is asked for.
        """
        for outcome in outcomes:
            yield from self._due(_at(outcome))
            yield outcome
        yield from self._due(end)

    def apply(self, event: Event) -> None:
        """Fold one event."""
        self._position += 1
        fold.apply(self.state, event, self._config, self._position)

    def samples(self, now: float) -> dict[Key, float]:
        """Every sample a scrape at ``now`` would see."""
        context = metrics.Context(self.state, self._config, timing(self.state, self._config), now)
        return {
            (family.name + suffix, labels): float(value)
            for family in self._families
            for suffix, labels, value in family.samples(context)
        }

    def _due(self, moment: float) -> Iterator[Event]:
        while True:
            check = timers.next_check(self.state, self._config)
            if check is None or check > moment:
                return
            found = timers.due(self.state, self._config, check)
            if not found:
                return
            self.derived += len(found)
            yield from found


def _at(event: Event) -> float:
    return event.at or 0.0


def up(times: Times) -> Series:
    """``up`` of the exporter's own target: it was always there."""
    return Series({"__name__": "up", **TARGET_LABELS}, times, np.ones(len(times)))


class _Recorder:
    """Change points of one collector's series, expanded to full series at the end."""

    def __init__(self, collector: str, times: Times) -> None:
        self._labels = {**TARGET_LABELS, "collector": collector}
        self._times = times
        self._current: dict[Key, float] = {}
        self._changes: dict[Key, tuple[list[int], list[float]]] = {}

    def record(self, index: int, samples: dict[Key, float]) -> None:
        """What is exposed from grid index ``index`` on; series that are gone go stale."""
        current, changes = self._current, self._changes
        for key, value in samples.items():
            if current.get(key) != value:
                at, values = changes.setdefault(key, ([], []))
                at.append(index)
                values.append(value)
        if len(samples) < len(current) or current.keys() - samples.keys():
            for key in current.keys() - samples.keys():
                at, values = changes[key]
                at.append(index)
                values.append(np.nan)
        self._current = samples

    def series(self) -> Iterator[Series]:
        """Full series with one sample a grid time, ended by a stale marker where they end."""
        total = len(self._times)
        for (name, labels), (at, values) in self._changes.items():
            starts = np.array(at, dtype=np.int64)
            lengths = np.diff(np.append(starts, total))
            points = np.array(values)
            gone = np.isnan(points)
            points.view(np.uint64)[gone] = STALE_BITS
            held = np.repeat(np.arange(len(starts)), lengths)
            offsets = np.arange(starts[0], total)
            kept = ~gone[held] | np.isin(offsets, starts)  # one marker, then nothing
            yield Series(
                {"__name__": name, **self._labels, **dict(labels)},
                self._times[offsets[kept]],
                points[held[kept]],
            )
