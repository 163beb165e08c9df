"""The event: what a collector says happened, and everything else the ledger records.

`Outcome` is the wire shape of ``POST /api/v1/outcomes``, the shape of a history file and the
shape in the ledger. The other events (probe results, controls, recovery steps, feedback) come
from the exporter itself. The ``event`` tag tells them apart in the ledger.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from collection_health import reasons

MAX_NAME = 150
MAX_TEXT = 1_000  # characters of an error message that are kept
MAX_FUTURE_SECONDS = 300.0  # a clock ahead by more than this is refused
# Years 1 to 9999 in UTC: a time zone may put a moment beyond them, where nothing can record it.
_FIRST_MOMENT, _END_OF_TIME = -62_135_596_800.0, 253_402_300_800.0

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,149}$"
_NAME = re.compile(NAME_PATTERN)
_FOREIGN = re.compile(r"[^A-Za-z0-9._:/@+-]")

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Id = Annotated[str, Meta(min_length=1, max_length=300)]
Label = Annotated[str, Meta(max_length=150)]
Instant = Annotated[datetime, Meta(tz=True)]
OutcomeKind = Literal["started", "success", "partial", "failure", "skipped", "aborted"]
Reason = Literal[
    "connection", "timeout", "auth", "rate_limited", "blocked", "upstream", "not_found",
    "parse", "schema", "quality", "empty", "storage", "resource", "config", "dependency",
    "unknown", "missed", "overrun",
]  # fmt: skip
Stage = Literal["connect", "auth", "fetch", "parse", "validate", "load"]


class Records(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """Counts of records of one run."""

    expected: Count | None = None
    collected: Count | None = None
    written: Count | None = None
    rejected: Count | None = None
    duplicate: Count | None = None


class Requests(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """Upstream requests of one run; ``retried`` feeds ``collection_retries_total``."""

    total: Count | None = None
    failed: Count | None = None
    retried: Count | None = None


class Quality(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """Data quality of one run as ratios from 0 (worst) to 1."""

    score: Ratio | None = None
    completeness: Ratio | None = None
    validity: Ratio | None = None
    uniqueness: Ratio | None = None
    consistency: Ratio | None = None


class Error(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """What went wrong in the collector's own words; cut and redacted before it is stored."""

    type: str | None = None
    message: str | None = None


class Parent(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """The run this run belongs to (fan-out)."""

    run_id: Id | None = None
    collector: str | None = None


class Quota(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """Upstream quota after the run; makes exhaustion predictable."""

    limit: Seconds | None = None
    remaining: Seconds | None = None
    resets_at: Instant | None = None


class Outcome(
    Struct,
    forbid_unknown_fields=True,
    gc=False,
    omit_defaults=True,
    tag_field="event",
    tag="outcome",
):
    """How one run of a collector started or ended (field meanings: exporter/README.md)."""

    collector: str
    outcome: OutcomeKind
    event_id: Id | None = None
    run_id: Id | None = None
    attempt: Count | None = None
    parent: Parent | None = None
    occurred_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    scheduled_for: Instant | None = None
    duration_seconds: Seconds | None = None
    reason: Reason | None = None
    stage: Stage | None = None
    error: Error | None = None
    exit_code: Annotated[int, Meta(ge=-255, le=2**32)] | None = None
    http_status: Annotated[int, Meta(ge=100, le=599)] | None = None
    records: Records | None = None
    bytes: Count | None = None
    requests: Requests | None = None
    quality: Quality | None = None
    data_time: Instant | None = None
    version: Label | None = None
    quota: Quota | None = None
    credential_expires_at: Instant | None = None
    source: str | None = None  # the protocol it came by; set by the receiver, not by clients
    at: float | None = None  # event time in Unix seconds; set by `prepare`, not by clients


class ProbeResult(Struct, gc=False, tag_field="event", tag="probe"):
    """One active check of a collector or a dependency."""

    target_kind: Literal["collector", "dependency"]
    target: str
    probe: str
    success: bool
    at: float
    duration_seconds: float = 0.0
    message: str | None = None
    reason: Reason | None = None
    expires_at: float | None = None


class Control(Struct, gc=False, tag_field="event", tag="control"):
    """A person (or an integration) paused, maintained, acknowledged — or ended that."""

    collector: str
    control: Literal["paused", "maintenance", "acknowledged"]
    active: bool
    at: float
    until: float | None = None
    actor: str = ""
    reason: str = ""


class Registered(Struct, gc=False, tag_field="event", tag="registered"):
    """A collector entered the inventory; a job that never ran is judged from here on."""

    collector: str
    at: float


class Forgotten(Struct, gc=False, tag_field="event", tag="forgotten"):
    """A collector is no longer of interest: it retired, or was never more than a typing error."""

    collector: str
    at: float
    actor: str = ""
    reason: str = ""


class BreakGlass(Struct, gc=False, tag_field="event", tag="break_glass"):
    """A person stopped (or forced) all automatic recovery at once, or ended that."""

    mode: Literal["stop", "force"]
    active: bool
    at: float
    until: float | None = None
    actor: str = ""
    reason: str = ""


RecoveryPhase = Literal[
    "queued", "proposed", "approved", "held", "started", "finished",
    "verified", "exhausted", "skipped", "cancelled", "prevented",
    "circuit_open", "circuit_closed", "manual",
]  # fmt: skip
RecoveryResult = Literal[
    "recovered", "ineffective", "failed", "timed_out", "not_verified", "skipped",
    "succeeded", "unknown",
]  # fmt: skip


class Recovery(Struct, gc=False, tag_field="event", tag="recovery"):
    """A recovery changed its phase: the audit trail and, folded, what is known of it.

    ``collector`` is a dependency's name when ``kind`` says so; ``cause`` is the alert (or what
    a person said) that began it; ``until`` is when an approval or an open circuit breaker
    expires; ``step`` and ``attempt`` count from 1.
    """

    id: str
    collector: str
    incident: float
    step: int
    attempt: int
    action: str
    phase: RecoveryPhase
    at: float
    result: RecoveryResult | None = None
    output: str | None = None
    actor: str = ""
    kind: Literal["collector", "dependency"] = "collector"
    trigger: Literal["alert", "prediction", "manual"] = "alert"
    cause: str = ""
    until: float | None = None


class Feedback(Struct, gc=False, tag_field="event", tag="feedback"):
    """A person's verdict on one alert."""

    alertname: str
    collector: str
    fingerprint: str
    verdict: Literal["relevant", "noise"]
    at: float
    actor: str = ""
    comment: str = ""


Event = Outcome | ProbeResult | Control | Registered | Forgotten | BreakGlass | Recovery | Feedback


def valid_name(name: str) -> bool:
    """Whether ``name`` may be a collector's name (`NAME_PATTERN`)."""
    return _NAME.fullmatch(name) is not None  # `match` would let a line end follow


def clean_name(name: str) -> str:
    """A foreign name as a collector name: other characters become ``_``, 150 characters kept."""
    cleaned = _FOREIGN.sub("_", name)[:MAX_NAME]
    if not cleaned:
        return "unnamed"
    return cleaned if cleaned[0].isalnum() else f"x{cleaned}"[:MAX_NAME]


_SECRETS = re.compile(
    r"(?i)(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)"
    r"|(?P<bearer>\b(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<key>[\"']?\b[\w-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key"
    r"|signature|authorization|credential|private[_-]?key)[\w-]*[\"']?\s*[=:]\s*[\"']?"
    r"(?:(?:bearer|basic|token)\s+)?)"
    r"[^\s\"'&;,}]+"
)


def redact(text: str) -> str:
    """``text`` with what looks like a credential replaced by ``[redacted]``, cut to MAX_TEXT."""
    return _hide_secrets(text[: MAX_TEXT * 4])[:MAX_TEXT]


def redact_end(text: str) -> str:
    """As `redact`, but the last MAX_TEXT characters: where a program says what went wrong."""
    return _hide_secrets(text[-MAX_TEXT * 4 :])[-MAX_TEXT:]


def _hide_secrets(text: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        kept = match["scheme"] or match["bearer"] or match["key"] or ""
        return f"{kept}[redacted]"

    return _SECRETS.sub(replacement, text)


def prepare(outcome: Outcome, now: float, retention: float) -> str | None:
    """Complete a decoded outcome in place and return what is wrong with it, or None.

    Sets ``at`` (``occurred_at``, else ``finished_at``, else ``started_at``, else ``now``),
    derives ``duration_seconds`` and ``reason``, cuts and redacts the error. ``now`` and
    ``retention`` are Unix seconds and seconds.
    """
    if outcome.at is not None:
        return "at: unknown field; the event time is occurred_at, finished_at or started_at"
    problem = _date(outcome, now, retention) or _data_time_problem(outcome)
    if problem is not None:
        return problem
    if outcome.duration_seconds is None and outcome.finished_at and outcome.started_at:
        seconds = (outcome.finished_at - outcome.started_at).total_seconds()
        if seconds < 0:
            return "finished_at: before started_at; allowed: at or after started_at"
        outcome.duration_seconds = seconds
    if outcome.error is not None:
        _tidy_error(outcome.error)
    if outcome.reason is None:
        if outcome.outcome in ("failure", "aborted"):
            outcome.reason = derive_reason(outcome)
    elif outcome.reason in reasons.EXPORTER_REASONS and outcome.source != "exporter":
        return f"reason: {outcome.reason!r} is written by the exporter alone; allowed: " + (
            ", ".join(reasons.REASONS)
        )
    return None


def derive_reason(outcome: Outcome) -> Reason:
    """The reason of a failure that names none: HTTP status, exit code, then exception name."""
    found: str | None = None
    if outcome.http_status is not None:
        found = reasons.from_http_status(outcome.http_status)
    if found is None and outcome.error is not None and outcome.error.type:
        found = reasons.from_exception_name(outcome.error.type)
    if found is None and outcome.exit_code is not None:
        found = reasons.from_exit_code(outcome.exit_code)
    return found or "unknown"  # type: ignore[return-value]  # the table holds only reasons


def _date(outcome: Outcome, now: float, retention: float) -> str | None:
    """Set the event time, and return what is wrong with when the run was due, began or ended.

    One slot far ahead would make every later run a back-fill.
    """
    instant = outcome.occurred_at or outcome.finished_at or outcome.started_at
    if instant is None:
        outcome.at = now
    else:
        at = outcome.at = instant.timestamp()
        if at > now + MAX_FUTURE_SECONDS:
            return _too_far_ahead(_name_of(outcome, instant), at - now)
        if at < now - retention:
            return (
                f"{_name_of(outcome, instant)}: {(now - at) / 86400:.1f} days old; allowed: at "
                f"most the retention of {retention / 86400:g} days"
            )
    for other in (outcome.finished_at, outcome.started_at, outcome.scheduled_for):
        if other is None or other is instant:
            continue
        at = other.timestamp()
        if at > now + MAX_FUTURE_SECONDS:
            return _too_far_ahead(_name_of(outcome, other), at - now)
        if at < _FIRST_MOMENT:
            return _out_of_range(_name_of(outcome, other))
    return None


def _name_of(outcome: Outcome, instant: datetime) -> str:
    fields = ("occurred_at", "finished_at", "started_at", "scheduled_for")
    return next(field for field in fields if getattr(outcome, field) is instant)


def _data_time_problem(outcome: Outcome) -> str | None:
    """What is wrong with the times of what was collected: any will do that can be recorded."""
    if not (outcome.data_time or outcome.quota or outcome.credential_expires_at):
        return None
    for field, instant in (
        ("data_time", outcome.data_time),
        ("credential_expires_at", outcome.credential_expires_at),
        ("quota.resets_at", outcome.quota.resets_at if outcome.quota else None),
    ):
        if instant is not None and not _FIRST_MOMENT <= instant.timestamp() < _END_OF_TIME:
            return _out_of_range(field)
    return None


def _too_far_ahead(field: str, seconds: float) -> str:
    return (
        f"{field}: {seconds:.0f} s in the future; allowed: at most "
        f"{MAX_FUTURE_SECONDS:.0f} s ahead of the exporter's clock"
    )


def _out_of_range(field: str) -> str:
    return f"{field}: out of range; allowed: years 1 to 9999 in UTC"


def _tidy_error(error: Error) -> None:
    if error.message:
        error.message = redact(error.message)
    if error.type:
        error.type = error.type[:MAX_NAME]


# --- what the ledger stores -----------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()
_stored: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: Sequence[Event]) -> bytes:
    """Events as the ledger stores them: a MessagePack list of maps of what is set."""
    return _encoder.encode(events)


def decode_events(body: bytes) -> list[Event]:
    """The inverse of `encode_events`."""
    return _stored.decode(body)
