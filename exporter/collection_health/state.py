"""What is known of one collector: the value the fold carries from event to event."""

from typing import Literal

import msgspec
from msgspec import Struct, field

SLIS = ("availability", "latency", "freshness", "quality", "volume")
RECORD_KINDS = ("expected", "collected", "written", "rejected", "duplicate")
CONTROLS = ("paused", "maintenance", "acknowledged")
# Few, useful buckets: pollers, ordinary jobs, long loads.
DURATION_BUCKETS = (1.0, 10.0, 60.0, 600.0, 3600.0)
WINDOW = 100  # runs that are remembered; the longest window
STREAKS = (1, 2, 3, 8)  # lengths at which a streak of bad runs is counted
STARTS = 24  # run times kept for inferring an interval

# Phases of a recovery: at work (escalation waits for it), and over.
RECOVERY_UNDER_WAY = ("queued", "approved", "started", "finished")
RECOVERY_OVER = ("verified", "exhausted", "skipped", "cancelled", "prevented")

# Codes in `CollectorState.outcomes`; RETRIED ended well after failed attempts.
GOOD, BAD, PARTIAL, RETRIED = 0, 1, 2, 3


class ControlState(Struct, gc=False):
    """An active control: until when (None: until ended), by whom and why."""

    since: float
    until: float | None
    actor: str
    reason: str


class ProbeState(Struct, gc=False):
    """The newest result of one probe."""

    success: bool
    at: float
    duration_seconds: float
    message: str | None = None
    expires_at: float | None = None


class Try(Struct, gc=False):
    """One attempt of one step of a recovery; ``result`` None: not known to have ended."""

    step: int
    attempt: int
    action: str
    at: float
    ended: float | None = None
    result: str | None = None
    output: str | None = None


class RecoveryRecord(Struct):
    """One recovery: what it is about, where it stands and what was tried."""

    id: str
    incident: float  # first bad run
    trigger: Literal["alert", "prediction", "manual"]
    actor: str
    queued_at: float
    cause: str = ""  # the alert, or what the person said
    phase: str = ""
    at: float = 0.0  # when the phase began
    until: float | None = None  # an approval's expiry
    result: str | None = None
    output: str = ""  # why it is held, was skipped, ended
    approved: bool = False
    open: bool = True  # no good run since it was queued
    bad_runs: int = 0  # since the newest attempt began: 2 each, 1 if it may have begun before
    tries: list[Try] = field(default_factory=list)


class RecoveryState(Struct):
    """The recoveries of one collector or dependency and what limits the next one."""

    current: RecoveryRecord | None = None
    earlier: list[RecoveryRecord] = field(default_factory=list)  # newest last
    starts: list[float] = field(default_factory=list)  # attempts of the last day
    fruitless: int = 0  # recoveries in a row that brought no good data
    circuit_open_until: float = 0.0
    prevented: dict[str, float] = field(default_factory=dict)  # prediction -> last acted on
    attempts: dict[str, int] = field(default_factory=dict)  # by action
    results: dict[str, int] = field(default_factory=dict)  # by result


class CollectorState(Struct):
    """Counters and gauges of one collector; times are Unix seconds, 0 means never.

    Lists named in the plural hold the newest values last; the fold trims them to at least
    `WINDOW` and at most twice as many entries.
    """

    name: str
    position: int = 0  # ledger position of the newest folded event
    first_seen: float = 0.0
    registered_at: float = 0.0
    resumed_at: float = 0.0  # when a pause or a maintenance last ended
    source: str = ""

    runs: int = 0
    failures: dict[str, int] = field(default_factory=dict)  # by reason
    partials: int = 0
    retried_runs: int = 0  # ended well after failed attempts
    skips: int = 0
    records: list[int] = field(default_factory=lambda: [0] * len(RECORD_KINDS))
    bytes: int = 0
    retries: int = 0
    sli_events: list[int] = field(default_factory=lambda: [0] * len(SLIS))
    sli_errors: list[int] = field(default_factory=lambda: [0] * len(SLIS))
    incidents: dict[str, int] = field(default_factory=dict)  # by ended_by
    incident_seconds: float = 0.0
    manual_interventions: int = 0
    duration_buckets: list[int] = field(
        default_factory=lambda: [0] * (len(DURATION_BUCKETS) + 1)
    )  # not cumulative
    duration_sum: float = 0.0

    last_run: float = 0.0
    last_success: float = 0.0
    last_failure: float = 0.0
    last_started: float = 0.0
    last_duration: float | None = None
    last_records: int | None = None
    last_quality: float | None = None
    newest_data: float = 0.0
    newest_slot: float = 0.0  # newest scheduled_for seen
    missed_until: float = 0.0  # newest scheduled time written off as missed

    consecutive_failures: int = 0
    streaks: list[int] = field(
        default_factory=lambda: [0] * len(STREAKS)
    )  # streaks of bad runs that reached each length
    failing_since: float = 0.0  # first bad run of the open incident
    failure_reason: str = ""
    failure_stage: str = ""
    failure_message: str = ""
    failed_run: str = ""  # run id of the newest run, if it failed
    awaits_retry: bool = False  # the newest run failed and is not yet counted in sli_events
    version: str = ""
    version_changed: float = 0.0

    outcomes: list[int] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)  # of good runs
    volumes: list[int] = field(default_factory=list)  # records of good runs
    qualities: list[float] = field(default_factory=list)  # of good runs
    run_times: list[float] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # ledger positions of the newest runs
    running: dict[str, float] = field(default_factory=dict)  # run id -> start
    overran: list[str] = field(default_factory=list)  # run ids counted as overrun

    controls: dict[str, ControlState] = field(default_factory=dict)
    probes: dict[str, ProbeState] = field(default_factory=dict)
    quota_remaining: float | None = None  # ratio
    quota_resets_at: float = 0.0
    credential_expires_at: float = 0.0
    intervened: bool = False  # a person acted on the open incident
    recovery_acted: bool = False  # an automatic step finished during the open incident
    recovery_exhausted: bool = False
    recoveries: RecoveryState | None = None


class FleetState(Struct):
    """What belongs to no single collector."""

    position: int = 0
    feedback: dict[str, int] = field(default_factory=dict)  # "alertname verdict" -> count
    dependency_probes: dict[str, dict[str, ProbeState]] = field(default_factory=dict)
    break_glass: dict[str, ControlState] = field(default_factory=dict)  # by mode
    recoveries: dict[str, RecoveryState] = field(default_factory=dict)  # by dependency


_MAX_TOTAL = 2**64 - 1  # the largest integer of the stored form
_encode = msgspec.msgpack.Encoder().encode


def encode_state(state: CollectorState | FleetState) -> bytes:
    """A state as a snapshot stores it; totals of what collectors claim end where 64 bits do."""
    try:
        return _encode(state)
    except OverflowError:
        if not isinstance(state, CollectorState):
            raise
        state.records = [min(total, _MAX_TOTAL) for total in state.records]
        state.bytes = min(state.bytes, _MAX_TOTAL)
        state.retries = min(state.retries, _MAX_TOTAL)
        return _encode(state)
