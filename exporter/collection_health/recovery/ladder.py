"""What happens next in one recovery: a pure function of what was recorded.

The engine performs each move, records it and asks again, so a restart continues where the
record stands and nothing depends on what a process remembered.
"""

import random
from dataclasses import dataclass

from collection_health.events import RecoveryPhase, RecoveryResult
from collection_health.fold_recovery import proved_ineffective
from collection_health.inventory_schema import RecoveryConfig, Step
from collection_health.recovery.eligibility import person_needed
from collection_health.state import RECOVERY_OVER, RecoveryRecord, RecoveryState

HOUR, DAY = 3600.0, 86400.0
HELD_SECONDS = 10.0  # a recovery that must wait is looked at again this often


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides beside the record; times are Unix seconds."""

    now: float
    policy: RecoveryConfig | None
    reason: str  # why the target fails now; "" when it is not known to fail
    over: bool  # a good run came since the recovery was queued
    quiet: str = ""  # "paused" or "maintenance" while that holds
    stopped: str = ""  # why break-glass stops everything; "" when it does not
    forced: bool = False  # break-glass: modes, breaker and fleet guard do not hold it back
    approval_seconds: float = HOUR


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until`` unless something happens."""

    until: float


@dataclass(frozen=True, slots=True)
class Start:
    """Run one attempt of a step."""

    step: int
    attempt: int
    action: str


@dataclass(frozen=True, slots=True)
class Change:
    """Record another phase; ``output`` says why."""

    phase: RecoveryPhase
    output: str
    result: RecoveryResult | None = None
    until: float | None = None


Move = Wait | Start | Change


def decide(state: RecoveryState, situation: Situation) -> Move | None:
    """The next move of ``state.current``; None when it is over."""
    record = state.current
    if record is None or record.phase in RECOVERY_OVER:
        return None
    policy = situation.policy
    if record.phase == "started":  # recorded before it ran, and nobody runs it any more
        return Change("finished", "the exporter ended while the step ran", "unknown")
    if situation.over and record.trigger != "prediction":
        return _over(record)
    if policy is None:
        return Change("cancelled", "the inventory has no recovery section for it any more")
    verdict: RecoveryResult | None = None
    if record.tries:
        waiting = _verification(record, policy, situation.now)
        if waiting is not None:
            return waiting
        verdict = _verdict(record)
    return _next(state, record, policy, situation, verdict)


def opened_breaker(
    state: RecoveryState, policy: RecoveryConfig | None, change: Change, now: float
) -> Change | None:
    """The circuit breaker's opening, when ``change`` is one fruitless recovery too many."""
    if policy is None or change.phase != "exhausted" or change.result == "skipped":
        return None
    fruitless = state.fruitless + 1
    if fruitless < policy.breaker.failures:
        return None
    said = f"{fruitless} recoveries in a row brought no good data"
    return Change("circuit_open", said, until=now + policy.breaker.open_for)


def is_automatic(record: RecoveryRecord) -> bool:
    """Whether no person asked for it."""
    return record.trigger != "manual"


def needs_guard(record: RecoveryRecord, situation: Situation) -> bool:
    """Whether the share of the fleet that fails decides too."""
    return is_automatic(record) and not situation.forced


def _over(record: RecoveryRecord) -> Change:
    if any(attempt.result in ("succeeded", "unknown") for attempt in record.tries):
        return Change("verified", "a good run followed", "recovered")
    return Change("cancelled", "the incident ended by itself")


def _verification(record: RecoveryRecord, policy: RecoveryConfig, now: float) -> Move | None:
    """Wait for the next good run after an attempt that may have helped."""
    last = record.tries[-1]
    if last.result in ("failed", "timed_out"):
        return None
    if record.trigger == "prediction":
        return Change("prevented", f"{last.action}: {last.result}")
    if proved_ineffective(record):
        return None
    until = (last.ended or last.at) + policy.verify_within
    return Wait(until) if now < until else None


def _verdict(record: RecoveryRecord) -> RecoveryResult:
    last = record.tries[-1]
    if last.result == "failed":
        return "failed"
    if last.result == "timed_out":
        return "timed_out"
    return "ineffective" if record.bad_runs else "not_verified"


def _next(
    state: RecoveryState,
    record: RecoveryRecord,
    policy: RecoveryConfig,
    situation: Situation,
    verdict: RecoveryResult | None,
) -> Move:
    """The next attempt, or why there is none (``verdict``: of the attempt before)."""
    refused: RecoveryResult = verdict or "skipped"
    start = _next_attempt(record, policy)
    if start is None:
        return _give_up(record, "every step was tried", refused)
    held = _held(record, situation)
    if held:
        if record.phase == "held" and record.output == held:
            return Wait(situation.now + HELD_SECONDS)
        return Change("held", held)
    if is_automatic(record):
        stop = _automatic(state, record, policy, situation, refused)
        if stop is not None:
            return stop
    reached = cap_reached(state, policy, situation.now)
    if reached:
        return _give_up(record, reached, refused)
    ready = _ready_at(record, policy)
    return Wait(ready) if situation.now < ready else start


def _give_up(record: RecoveryRecord, why: str, result: RecoveryResult) -> Change:
    """Automation ends here. A person is needed only where something has failed already."""
    if record.trigger == "prediction":
        return Change("prevented", f"not done: {why}" if not record.tries else f"{result}: {why}")
    return Change("exhausted", why, result)


def _held(record: RecoveryRecord, situation: Situation) -> str:
    if situation.stopped:
        return situation.stopped
    if situation.quiet and is_automatic(record):
        return f"the collector is {situation.quiet}"
    return ""


def _automatic(
    state: RecoveryState,
    record: RecoveryRecord,
    policy: RecoveryConfig,
    situation: Situation,
    refused: RecoveryResult,
) -> Move | None:
    """What holds only while no person asked: eligibility, mode and circuit breaker."""
    person = person_needed(situation.reason, policy) if record.trigger == "alert" else None
    if person is not None:
        return Change("exhausted", person, refused)
    if situation.forced:
        return None
    if state.circuit_open_until > situation.now:
        minutes = (state.circuit_open_until - situation.now) / 60
        return _give_up(
            record, f"the circuit breaker is open for {minutes:.0f} more minutes", refused
        )
    if policy.mode == "dry_run":
        return Change("cancelled", "the mode is dry_run now")
    if policy.mode == "approve" and not record.approved:
        if record.phase != "proposed":
            until = situation.now + situation.approval_seconds
            return Change("proposed", f"would {plan(policy, record.trigger)}", until=until)
        if record.until is not None and situation.now >= record.until:
            return Change("cancelled", "nobody approved it in time", "skipped")
        return Wait(record.until or situation.now + HELD_SECONDS)
    return None


def cap_reached(state: RecoveryState, policy: RecoveryConfig, now: float) -> str | None:
    """Which cap forbids another attempt now, or None."""
    limits = policy.limits
    if sum(at > now - HOUR for at in state.starts) >= limits.per_hour:
        return f"the cap of {limits.per_hour} attempts an hour is reached"
    if sum(at > now - DAY for at in state.starts) >= limits.per_day:
        return f"the cap of {limits.per_day} attempts a day is reached"
    return None


def steps_of(policy: RecoveryConfig, trigger: str) -> list[Step]:
    """The ladder for what began the recovery."""
    return policy.on_prediction if trigger == "prediction" else policy.steps


def plan(policy: RecoveryConfig, trigger: str) -> str:
    """The ladder in words: ``run rerun (up to 2 times), then restart``."""
    words = [
        step.action + (f" (up to {step.attempts} times)" if step.attempts > 1 else "")
        for step in steps_of(policy, trigger)
    ]
    return "run " + ", then ".join(words)


def _next_attempt(record: RecoveryRecord, policy: RecoveryConfig) -> Start | None:
    ladder = steps_of(policy, record.trigger)
    step, attempt = 1, 1
    if record.tries:
        step, attempt = record.tries[-1].step, record.tries[-1].attempt + 1
    if step <= len(ladder) and attempt > ladder[step - 1].attempts:
        step, attempt = step + 1, 1
    return Start(step, attempt, ladder[step - 1].action) if step <= len(ladder) else None


def _ready_at(record: RecoveryRecord, policy: RecoveryConfig) -> float:
    """When the backoff since the last attempt is over; the jitter is the same after a restart."""
    if not record.tries:
        return record.queued_at
    last, backoff, count = record.tries[-1], policy.backoff, len(record.tries)
    pause = min(float(backoff.max), backoff.initial * backoff.factor ** (count - 1))
    jitter = random.Random(f"{record.id}/{count}").uniform(-backoff.jitter, backoff.jitter)  # noqa: S311
    return (last.ended or last.at) + pause * (1 + jitter)
