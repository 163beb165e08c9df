"""What asks for a recovery — an alert, a prediction or a person — and whether it gets one."""

from dataclasses import dataclass
from typing import Literal

from collection_health.events import RecoveryResult
from collection_health.inventory_schema import RecoveryConfig
from collection_health.recovery.eligibility import person_needed
from collection_health.recovery.ladder import cap_reached, plan, steps_of
from collection_health.recovery.targets import Key, Target
from collection_health.state import RECOVERY_OVER

PREVENT_AGAIN_SECONDS = 86400.0  # one prediction is acted on once a day


@dataclass(frozen=True, slots=True)
class Request:
    """One wish: ``cause`` is the alert's name or what a person said."""

    key: Key
    trigger: Literal["alert", "prediction", "manual"]
    cause: str
    actor: str = ""
    kind: str = ""  # the alert's
    explained_by: str = ""  # the failing dependency that explains a collector's alert


@dataclass(frozen=True, slots=True)
class Verdict:
    """``phase`` is what is recorded (None: nothing), ``said`` is why."""

    phase: Literal["queued", "skipped", "exhausted", "cancelled"] | None
    said: str
    result: RecoveryResult | None = None


def judge(
    request: Request, target: Target | None, now: float, forced: bool, stopped: str
) -> Verdict:
    """Whether a request becomes a recovery. Repeats of what is known change nothing."""
    if target is None:
        return Verdict(None, f"{request.key[0]} {request.key[1]!r} is unknown")
    policy = target.policy
    if policy is None:
        return Verdict(None, f"{target.name} has no recovery section in the inventory")
    if not steps_of(policy, request.trigger):
        section = "on_prediction" if request.trigger == "prediction" else "steps"
        return Verdict(None, f"the recovery section of {target.name} has no {section}")
    record = target.state.current
    if record is not None and record.phase not in RECOVERY_OVER:
        if request.explained_by and record.trigger == "alert" and record.phase != "started":
            return Verdict("cancelled", f"explained by dependency {request.explained_by}")
        return Verdict(None, f"recovery {record.id} is {record.phase} already")
    if request.trigger == "manual":
        return _by_hand(target, policy, now, stopped)
    if request.trigger == "prediction":
        refusal = _needless_prevention(request, target, now)
    else:
        refusal = _needless(request, target)
    if refusal:
        return Verdict(None, refusal)
    return _automatic(request, target, policy, forced)


def _by_hand(target: Target, policy: RecoveryConfig, now: float, stopped: str) -> Verdict:
    refusal = stopped or cap_reached(target.state, policy, now)
    return Verdict(None, refusal) if refusal else Verdict("queued", plan(policy, "manual"))


def _needless(request: Request, target: Target) -> str:
    """Why an alert needs no recovery now: nothing failed, or the incident has had its own."""
    silent = target.silent_since if request.kind in ("freshness", "hanging") else 0.0
    if not target.incident and not silent:
        return "no incident is open: nothing to recover"
    record = target.state.current
    if record is not None and target.covered() and record.phase != "skipped":
        return f"recovery {record.id} of this incident is {record.phase}"
    return ""


def _needless_prevention(request: Request, target: Target, now: float) -> str:
    if target.incident:
        return "it fails already: the incident has a recovery of its own"
    acted = target.state.prevented.get(request.cause, 0.0)
    if now - acted < PREVENT_AGAIN_SECONDS:
        return f"{request.cause} was acted on {(now - acted) / 60:.0f} minutes ago"
    return ""


def _automatic(request: Request, target: Target, policy: RecoveryConfig, forced: bool) -> Verdict:
    dry_run = policy.mode == "dry_run" and not forced
    if request.explained_by:
        return _skipped(target, f"explained by dependency {request.explained_by}")
    person = person_needed(target.reason, policy) if request.trigger == "alert" else None
    if person is not None:
        if dry_run:
            return _skipped(target, f"dry run: {person}")
        return Verdict("exhausted", person, "skipped")
    if dry_run:
        return _skipped(target, f"dry run: would {plan(policy, request.trigger)}")
    return Verdict("queued", plan(policy, request.trigger))


def _skipped(target: Target, said: str) -> Verdict:
    """Recorded once an incident and reason, however often the alert is sent again."""
    record = target.state.current
    if record is not None and record.phase == "skipped" and record.output == said:
        same = record.incident in (target.incident, target.silent_since)
        if same or record.trigger == "prediction":
            return Verdict(None, f"skipped already: {said}")
    return Verdict("skipped", said, "skipped")
