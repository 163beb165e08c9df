"""Why a collector is not well and what is being done about it, in words for people.

Without ages, which change by the second: `failing_since` and `until` are there for that.
"""

from collection_health.api import shapes
from collection_health.times import span

_PHASES = {
    "queued": "recovery is queued", "proposed": "recovery waits for approval",
    "approved": "recovery is approved", "held": "recovery is held back",
    "started": "recovery is running", "finished": "recovery ran; waiting for good data",
    "exhausted": "recovery has nothing left to try; a person is needed",
    "skipped": "no recovery", "circuit_open": "recovery is stopped by its circuit breaker",
}  # fmt: skip


def why(facts: shapes.Facts, found: shapes.Conclusions | None) -> list[str]:
    """What is wrong: the open incident, then what the rules find, then probes."""
    lines: list[str] = []
    if facts.failing_since:
        lines.append(_incident(facts))
    if found is not None:
        lines += [f"explained by {name}, which fails too" for name in found.explained_by]
        problems = sorted({item.problem.replace("_", " ") for item in found.problems})
        if problems:
            lines.append(f"rules: {', '.join(problems)}")
        lines += [
            f"predicted: {item.prediction.replace('_', ' ')} in {span(item.seconds)}"
            for item in found.predictions
        ]
    lines += [
        f"probe {name} fails: {probe.message or 'no message'}"
        for name, probe in facts.probes.items()
        if not probe.success
    ]
    return lines


def _incident(facts: shapes.Facts) -> str:
    where = f" at {facts.stage}" if facts.stage else ""
    streak = facts.consecutive_failures
    row = f", {streak} runs in a row" if streak > 1 else ""
    line = f"{facts.reason or 'unknown'}{where}{row}"
    return f"{line}: {facts.message}" if facts.message else line


def doing(
    controls: dict[str, shapes.ActiveControl], recovery: shapes.RecoveryFact | None, failing: bool
) -> list[str]:
    """What is being done: controls that hold, the recovery of the open incident."""
    lines = []
    for name, control in controls.items():
        word = "in maintenance" if name == "maintenance" else name
        by = f" by {control.actor}" if control.actor else ""
        until = f" until {control.until[:16].replace('T', ' ')} UTC" if control.until else ""
        reason = f": {control.reason}" if control.reason else ""
        lines.append(f"{word}{by}{until}{reason}")
    if recovery is not None and recovery.phase in _PHASES and failing:
        action = f" ({recovery.action})" if recovery.action else ""
        text = f": {recovery.text}" if recovery.text else ""
        lines.append(f"{_PHASES[recovery.phase]}{action}{text}")
    return lines
