"""Alert episodes judged against labelled incidents, counted per notification.

A notification is what a person sees: episodes of one collector or dependency, merged across
short gaps. It is right if it is about an incident's target, one of its collectors or its
dependency, and overlaps the incident from its start to a little after its end.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from collection_health.backtest.alerts import Episode
from collection_health.backtest.history import Incident

FLEET = "fleet"
PREDICTABLE = frozenset({"quota", "credential", "creeping_latency"})
AHEAD_SECONDS = 3 * 86400.0  # how early an alert of a predictable kind may come
WEEK = 7 * 86400.0
_UNKNOWN_INTERVAL = 3600.0


@dataclass(slots=True)
class Notification:
    """Merged episodes of one target; ``incidents`` are indices of those it is right about."""

    target: str
    start: float
    end: float
    episodes: list[Episode] = field(default_factory=list)
    incidents: list[int] = field(default_factory=list)

    @property
    def alerts(self) -> list[str]:
        """Names of its alerts, in order of their first start."""
        return list(dict.fromkeys(episode.alertname for episode in self.episodes))

    @property
    def severity(self) -> str:
        """The worst severity among its episodes."""
        found = {episode.labels.get("severity", "") for episode in self.episodes}
        return next((s for s in ("critical", "warning", "info") if s in found), "")

    @property
    def right(self) -> bool:
        """Whether it was about an incident."""
        return bool(self.incidents)


@dataclass(frozen=True, slots=True)
class Detection:
    """How one incident was met. Delays count from the incident's start and are never negative."""

    incident: Incident
    notifications: int
    delay_seconds: float | None = None
    delay_runs: float | None = None
    ahead_seconds: float | None = None  # of a predictable kind: how long before it began
    first_alert: str = ""

    @property
    def found(self) -> bool:
        """Whether any notification was right about it."""
        return self.notifications > 0


@dataclass(frozen=True, slots=True)
class AlertScore:
    """One alert's episodes: right, false, and the median delay of those that came first."""

    episodes: int
    right: int
    delay_seconds: float | None
    delay_runs: float | None


@dataclass(slots=True)
class Score:
    """Everything a report says of right and wrong. Ratios are None where nothing was counted."""

    notifications: list[Notification]
    detections: list[Detection]
    alerts: dict[str, AlertScore]
    collector_weeks: float

    @property
    def right(self) -> int:
        """Number of right notifications."""
        return sum(notification.right for notification in self.notifications)

    @property
    def false(self) -> int:
        """Number of notifications about nothing."""
        return len(self.notifications) - self.right

    @property
    def false_critical(self) -> int:
        """Number of false notifications with a critical alert."""
        return sum(n.severity == "critical" and not n.right for n in self.notifications)

    @property
    def precision(self) -> float | None:
        """Right notifications over all."""
        return self.right / len(self.notifications) if self.notifications else None

    @property
    def recall(self) -> float | None:
        """Incidents found over all."""
        return share(detection.found for detection in self.detections)

    def kinds(self) -> dict[str, list[Detection]]:
        """Detections by kind of incident."""
        found: dict[str, list[Detection]] = {}
        for detection in self.detections:
            found.setdefault(detection.incident.kind, []).append(detection)
        return dict(sorted(found.items()))


def counts(episode: Episode) -> bool:
    """Whether an episode is shown to a person: no shadow alert, no info except predictions."""
    labels = episode.labels
    if labels.get("shadow") == "true":
        return False
    return labels.get("severity") != "info" or labels.get("kind") == "prediction"


def target_of(episode: Episode) -> str:
    """Whom an episode is about: its collector, else its dependency, else the fleet."""
    return episode.labels.get("collector") or episode.labels.get("dependency") or FLEET


def merge(
    episodes: Iterable[Episode], intervals: Mapping[str, float | None], end: float
) -> list[Notification]:
    """Episodes as notifications: one target, gaps under an hour or two intervals closed.

    ``end`` (Unix seconds) stands in for episodes that still fire.
    """
    merged: list[Notification] = []
    current: dict[str, Notification] = {}
    for episode in sorted(episodes, key=lambda e: e.start):
        target = target_of(episode)
        until = end if episode.end is None else episode.end
        gap = max(3600.0, 2 * (intervals.get(target) or 0.0))
        notification = current.get(target)
        if notification is None or episode.start - notification.end >= gap:
            notification = current[target] = Notification(target, episode.start, until)
            merged.append(notification)
        notification.episodes.append(episode)
        notification.end = max(notification.end, until)
    return merged


RunsBetween = Callable[[str, float, float], int]


def score(
    episodes: Sequence[Episode],
    incidents: Sequence[Incident],
    intervals: Mapping[str, float | None],
    runs_between: RunsBetween,
    span: tuple[float, float],
) -> Score:
    """Judge the episodes of a history.

    ``intervals`` are the collectors' expected intervals in seconds, ``runs_between`` counts the
    runs of a collector that ended in ``(from, to]``. ``span`` is the time that is judged:
    notifications that ended before it and incidents that started outside of it are left out.
    """
    shown = [episode for episode in episodes if counts(episode)]
    notifications = [n for n in merge(shown, intervals, span[1]) if n.end >= span[0]]
    judged = [incident for incident in incidents if span[0] <= incident.start <= span[1]]
    detections = []
    first_alerts: dict[str, list[tuple[float, float]]] = {}
    for index, incident in enumerate(judged):
        matching = [n for n in notifications if _about(n, incident, intervals)]
        for notification in matching:
            notification.incidents.append(index)
        detection = _detection(incident, matching, intervals, runs_between)
        detections.append(detection)
        if detection.delay_seconds is not None and detection.delay_runs is not None:
            first_alerts.setdefault(detection.first_alert, []).append(
                (detection.delay_seconds, detection.delay_runs)
            )
    # Incidents outside of the judged time still excuse an alert.
    others = [incident for incident in incidents if incident not in judged]
    notifications = [
        item
        for item in notifications
        if item.right or not any(_about(item, incident, intervals) for incident in others)
    ]
    weeks = max(1, len(intervals)) * (span[1] - span[0]) / WEEK
    return Score(
        notifications, detections, _by_alert(notifications, judged, intervals, first_alerts), weeks
    )


def share(flags: Iterable[bool]) -> float | None:
    """The share that is true, None of nothing."""
    known = list(flags)
    return sum(known) / len(known) if known else None


def middle(values: Iterable[float | None]) -> float | None:
    """The median of what is known, None of nothing."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def window(incident: Incident, intervals: Mapping[str, float | None]) -> tuple[float, float]:
    """When an alert about the incident is right: from its start (three days before, if it is of
    a predictable kind) to an hour or four intervals after its end."""
    early = AHEAD_SECONDS if incident.kind in PREDICTABLE else 0.0
    after = max(3600.0, 4 * _interval(incident, intervals, longest=True))
    return incident.start - early, incident.end + after


def _about(
    notification: Notification, incident: Incident, intervals: Mapping[str, float | None]
) -> bool:
    if notification.target != FLEET and notification.target not in incident.names:
        return False
    start, end = window(incident, intervals)
    return notification.start <= end and notification.end >= start


def _interval(incident: Incident, intervals: Mapping[str, float | None], *, longest: bool) -> float:
    known = [interval for name in incident.names if (interval := intervals.get(name)) is not None]
    return (max if longest else min)(known, default=_UNKNOWN_INTERVAL)


def _detection(
    incident: Incident,
    matching: Sequence[Notification],
    intervals: Mapping[str, float | None],
    runs_between: RunsBetween,
) -> Detection:
    start, end = window(incident, intervals)
    own = [
        episode
        for notification in matching
        for episode in notification.episodes
        if episode.start <= end and (episode.end is None or episode.end >= start)
    ]
    if not own:
        return Detection(incident, len(matching))
    first = min(own, key=lambda episode: episode.start)
    delay = max(0.0, first.start - incident.start)
    ahead = incident.start - first.start if incident.kind in PREDICTABLE else None
    collector = first.labels.get("collector", "")
    names = [collector] if collector in incident.names else sorted(incident.names)
    runs = float(max([0, *(runs_between(n, incident.start, first.start) for n in names)]))
    if incident.kind == "stall" or (runs == 0 and delay > 0):
        runs = delay / _interval(incident, intervals, longest=False)
    return Detection(incident, len(matching), delay, runs, ahead, first.alertname)


def _by_alert(
    notifications: Sequence[Notification],
    incidents: Sequence[Incident],
    intervals: Mapping[str, float | None],
    first: Mapping[str, Sequence[tuple[float, float]]],
) -> dict[str, AlertScore]:
    counted: dict[str, list[bool]] = {}
    for notification in notifications:
        about = [incidents[index] for index in notification.incidents]
        spans = [window(incident, intervals) for incident in about]
        for episode in notification.episodes:
            right = any(
                episode.start <= end and (episode.end is None or episode.end >= start)
                for start, end in spans
            )
            counted.setdefault(episode.alertname, []).append(right)
    return {
        name: AlertScore(
            len(flags),
            sum(flags),
            middle(seconds for seconds, _ in first.get(name, ())),
            middle(runs for _, runs in first.get(name, ())),
        )
        for name, flags in sorted(counted.items())
    }
