"""What the rules in Prometheus conclude: one query for the whole fleet, kept for a few seconds."""

import asyncio
import math
from dataclasses import dataclass, field

from aiohttp import web

from collection_health import prometheus
from collection_health.api.shapes import Conclusions, Prediction, Problem, StateName
from collection_health.prometheus import PrometheusError, Sample
from collection_health.server import PIPELINE

KEPT_SECONDS = 5.0
STATES: tuple[StateName, ...] = ("healthy", "degraded", "failing", "unknown")
_NAMES = (
    "collector:health:state", "collector:health:score", "collector:problem:value",
    "collector:prediction:value", "collector:explained_by:info", "collector:impact:score",
    "collector:impact:cost", "collector:impact:records_missed",
    "collector:error_budget:remaining_ratio", "fleet:health:score", "ALERTS",
)  # fmt: skip
# The rules' own clock tells how old their newest conclusion is.
QUERY = (
    f'{{__name__=~"{"|".join(_NAMES)}"}} or '
    'label_replace(max(timestamp(collector:health:state)), "clock", "rules", "", "")'
)


@dataclass
class Verdicts:
    """The conclusions of one moment; ``problem`` says why there are none."""

    asked_at: float
    evaluated_at: float | None = None
    problem: str | None = None
    score: float | None = None
    collectors: dict[str, Conclusions] = field(default_factory=dict)
    alerts: set[tuple[str, str, str]] = field(default_factory=set)  # name, severity, about

    @property
    def known(self) -> bool:
        """Whether the rules were there to conclude anything."""
        return self.evaluated_at is not None


class Oracle:
    """Asks for all conclusions, at most once every `KEPT_SECONDS` whoever wants them."""

    def __init__(self, app: web.Application) -> None:
        self._client = prometheus.client(app)
        self._clock = app[PIPELINE].clock
        self._lock = asyncio.Lock()
        self._newest: Verdicts | None = None

    async def verdicts(self) -> Verdicts:
        """The conclusions of now or of a few seconds ago."""
        async with self._lock:
            now = self._clock()
            if self._newest is None or not 0 <= now - self._newest.asked_at < KEPT_SECONDS:
                self._newest = await self._ask(now)
            return self._newest

    async def _ask(self, now: float) -> Verdicts:
        if self._client is None:
            return Verdicts(now, problem="no Prometheus is configured (--prometheus.url)")
        try:
            samples = await self._client.query(QUERY)
        except PrometheusError as error:
            return Verdicts(now, problem=f"Prometheus {error}")
        verdicts = await asyncio.to_thread(read, samples, now)
        if not verdicts.known:
            verdicts.problem = (
                "Prometheus has no collector:health:state: are the rules loaded? "
                "(a new one needs some minutes)"
            )
        return verdicts


ORACLE = web.AppKey("oracle", Oracle)


def setup(app: web.Application) -> None:
    """Make `app[ORACLE]`."""
    app[ORACLE] = Oracle(app)


def read(samples: list[Sample], now: float) -> Verdicts:
    """The answer to `QUERY`, sorted by collector."""
    verdicts = Verdicts(now)
    for sample in samples:
        labels, value = sample.metric, float(sample.value[1])
        name = labels.get("__name__", "")
        if labels.get("clock") == "rules" and not name:
            verdicts.evaluated_at = value
        elif name == "fleet:health:score":
            verdicts.score = value
        elif name == "ALERTS":
            _read_alert(verdicts, labels)
        elif "collector" in labels and not math.isnan(value):
            found = verdicts.collectors.setdefault(labels["collector"], Conclusions())
            _read_conclusion(found, name, labels, value)
    for found in verdicts.collectors.values():
        found.problems.sort(key=lambda problem: (problem.severity, problem.problem))
    return verdicts


def _read_alert(verdicts: Verdicts, labels: dict[str, str]) -> None:
    if labels.get("alertstate") != "firing" or "alertname" not in labels:
        return
    collector = labels.get("collector")
    about = collector or labels.get("dependency") or ""
    verdicts.alerts.add((labels["alertname"], labels.get("severity", ""), about))
    if collector:
        alerts = verdicts.collectors.setdefault(collector, Conclusions()).alerts
        if labels["alertname"] not in alerts:
            alerts.append(labels["alertname"])


def _read_conclusion(found: Conclusions, name: str, labels: dict[str, str], value: float) -> None:
    match name:
        case "collector:health:state":
            found.state = STATES[int(value)] if 0 <= value < len(STATES) else "unknown"
        case "collector:health:score":
            found.score = value
        case "collector:problem:value":
            found.problems.append(
                Problem(
                    problem=labels.get("problem", ""),
                    severity=labels.get("severity", ""),
                    value=value,
                )
            )
        case "collector:prediction:value":
            found.predictions.append(
                Prediction(prediction=labels.get("prediction", ""), seconds=value)
            )
        case "collector:explained_by:info":
            found.explained_by.append(labels.get("dependency", ""))
        case "collector:impact:score":
            found.impact_score = value
        case "collector:impact:cost":
            found.cost = value
        case "collector:impact:records_missed":
            found.records_missed = value
        case "collector:error_budget:remaining_ratio":
            found.error_budget[labels.get("sli", "")] = value
