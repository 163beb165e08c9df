"""What the API answers: one type a body, also the schemas of ``/openapi.json``.

Times are RFC 3339 in UTC; None means never or not known. ``sources`` says where facts and
conclusions come from and how old they are.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from collection_health.events import NAME_PATTERN

StateName = Literal["healthy", "degraded", "failing", "unknown"]
Basis = Literal["rules", "facts"]
RunKind = Literal["good", "partial", "bad"]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]


class Source(Struct, kw_only=True):
    """Where something comes from; ``problem`` says why it is absent."""

    source: Literal["exporter", "prometheus"]
    as_of: str | None = None
    age_seconds: float | None = None
    problem: str | None = None


class Sources(Struct, kw_only=True):
    """Facts come from the exporter, conclusions from the rules in Prometheus."""

    facts: Source
    conclusions: Source


class Answer(Struct, kw_only=True):
    """Base of what holds facts and conclusions; ``sources`` does not count for the ETag."""

    sources: Sources | None = None


class ActiveControl(Struct, kw_only=True):
    """A control that holds."""

    since: str
    until: str | None
    actor: str
    reason: str


class ProbeFact(Struct, kw_only=True):
    """The newest result of one probe."""

    success: bool
    at: str
    message: str | None = None


class RecoveryFact(Struct, kw_only=True):
    """The newest automated recovery."""

    id: str
    phase: str
    at: str
    action: str | None = None
    result: str | None = None
    text: str = ""


class Facts(Struct, kw_only=True):
    """What the exporter knows of one collector."""

    first_seen: str | None
    last_run: str | None
    last_success: str | None
    last_failure: str | None
    failing_since: str | None
    consecutive_failures: int
    reason: str | None
    stage: str | None
    message: str | None
    running: int
    next_run: str | None
    deadline: str | None
    interval_seconds: float | None
    interval_confidence: float | None
    last_duration_seconds: float | None
    last_records: int | None
    last_quality: float | None
    version: str | None
    runs: list[RunKind]  # newest last
    probes: dict[str, ProbeFact]


class Problem(Struct, kw_only=True):
    """One thing the rules find wrong; ``value`` is the number that matters."""

    problem: str
    severity: str
    value: float


class Prediction(Struct, kw_only=True):
    """Something that will go wrong in ``seconds``."""

    prediction: str
    seconds: float


class Conclusions(Struct, kw_only=True):
    """What the rules conclude of one collector."""

    state: StateName = "unknown"
    score: float | None = None
    problems: list[Problem] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    explained_by: list[str] = field(default_factory=list)  # failing dependencies
    alerts: list[str] = field(default_factory=list)
    impact_score: float | None = None
    cost: float | None = None
    records_missed: float | None = None
    error_budget: dict[str, float] = field(default_factory=dict)  # share left, by SLI


class Collector(Struct, kw_only=True):
    """One collector; ``basis`` says whether ``state`` is a conclusion or taken from facts.

    ``why`` and ``doing`` are for people: what is wrong, and what is being done about it.
    """

    name: str
    team: str
    owner: str
    tier: int
    registered: bool
    depends_on: list[str]
    state: StateName
    basis: Basis
    why: list[str]
    doing: list[str]
    facts: Facts
    controls: dict[str, ActiveControl]
    recovery: RecoveryFact | None
    conclusions: Conclusions | None


class CollectorAnswer(Answer, kw_only=True):
    """One collector."""

    collector: Collector


class CollectorList(Answer, kw_only=True):
    """A page of collectors by name; ``next`` is the ``after`` of the next page."""

    collectors: list[Collector]
    total: int
    next: str | None = None


class ControlAnswer(Struct, kw_only=True):
    """The controls of a collector after a change."""

    collector: str
    controls: dict[str, ActiveControl]


class ForgetAnswer(Struct, kw_only=True):
    """A collector whose state and series are gone."""

    collector: str
    forgotten: bool


class FeedbackAnswer(Struct, kw_only=True):
    """The verdict that was noted."""

    alertname: str
    verdict: str


class Health(Answer, kw_only=True):
    """The fleet, or the part of it asked for, in a few numbers."""

    status: Literal["healthy", "degraded", "failing"]
    reasons: list[str]
    basis: Basis
    collectors: dict[StateName, int]
    failing: list[str]
    recording: bool  # outcomes can be recorded
    score: float | None = None


class Ready(Answer, kw_only=True):
    """Whether what a collector delivers may be used now."""

    collector: str
    ready: bool
    fresh: bool | None
    healthy: bool | None
    reasons: list[str]
    basis: Basis
    last_success: str | None
    data_time: str | None


class Impact(Struct, kw_only=True):
    """What one open incident costs; money and records are conclusions."""

    collector: str
    team: str
    failing_since: str
    weight: float
    consumers: list[str]
    cost_per_hour: float | None
    score: float | None = None
    cost: float | None = None
    records_missed: float | None = None


class ImpactAnswer(Answer, kw_only=True):
    """Open incidents, the weightiest first, and who is affected."""

    incidents: list[Impact]
    consumers: dict[str, list[str]]  # consumer -> collectors
    cost: float | None = None


class Run(Struct, kw_only=True, omit_defaults=True):
    """One recorded run."""

    id: str
    at: str
    outcome: str
    reason: str | None = None
    stage: str | None = None
    message: str | None = None
    duration_seconds: float | None = None
    records: int | None = None
    run_id: str | None = None
    attempt: int | None = None
    version: str | None = None
    source: str | None = None


class RunList(Struct, kw_only=True):
    """A page of runs, the newest first; ``next`` is the ``before`` of the next page."""

    collector: str
    runs: list[Run]
    next: str | None = None


class Incident(Struct, kw_only=True):
    """From the first bad run to the next good one."""

    started_at: str
    ended_at: str | None
    duration_seconds: float
    bad_runs: int
    reasons: dict[str, int]
    message: str | None
    ended_by: str | None
    done: list[str]  # controls and recovery steps, oldest first


class IncidentList(Struct, kw_only=True):
    """Incidents, the newest first, derived from what was recorded since ``since``."""

    collector: str
    incidents: list[Incident]
    since: str | None
    complete: bool  # nothing older was recorded


class AuditEntry(Struct, kw_only=True, omit_defaults=True):
    """One thing that was done, by whom, why and with what result."""

    id: str
    at: str
    kind: Literal["control", "recovery", "break_glass", "feedback"]
    actor: str
    action: str
    collector: str | None = None
    until: str | None = None
    reason: str | None = None
    result: str | None = None
    recovery: str | None = None


class AuditList(Struct, kw_only=True):
    """A page of the audit log, the newest first."""

    entries: list[AuditEntry]
    next: str | None = None


class Refusal(Struct, kw_only=True):
    """Why one item of a batch was not recorded."""

    index: int
    error: str


class Accepted(Struct, kw_only=True):
    """What became of a batch of outcomes."""

    accepted: int
    rejected: int
    errors: list[Refusal]


class Badge(Struct, kw_only=True, rename="camel"):
    """A badge in the format of shields.io's endpoint."""

    schema_version: int = 1
    label: str
    message: str
    color: str


class ProblemDocument(Struct, kw_only=True):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
