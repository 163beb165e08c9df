"""Which alerts may lead to a recovery: by kind, by root cause and by the reason of the failure."""

from collections.abc import Mapping

from collection_health.inventory_schema import RecoveryConfig
from collection_health.reasons import CLASS_OF

KINDS = ("failure", "freshness", "hanging", "probe", "dependency")
# What a person is asked to do where no step can help.
RECOMMENDED = {
    "access": "renew the credential or restore the access",
    "data": "compare what the source delivers with what the collector expects",
    "environment": "mend the platform: disk, memory, configuration or what it depends on",
    "transient": "the inventory does not list this reason",
}


def person_needed(reason: str, policy: RecoveryConfig) -> str | None:
    """Why a failure for ``reason`` goes straight to a person, or None when steps may help.

    The inventory's ``reasons`` decide; without them transient reasons are tried.
    """
    if not reason:
        return None
    kind = CLASS_OF.get(reason, "transient")
    if reason in policy.reasons if policy.reasons else kind == "transient":
        return None
    return f"reason {reason} needs a person: {RECOMMENDED[kind]}"


def not_for_recovery(labels: Mapping[str, str]) -> str | None:
    """Why an alert with ``labels`` never starts a recovery of its own, or None."""
    kind = labels.get("kind", "")
    if kind != "prediction" and kind not in KINDS:
        return f"kind {kind[:50]!r} is not for recovery"
    if labels.get("shadow") == "true":
        return "the alert is on trial (shadow)"
    if not labels.get("collector") and not labels.get("dependency"):
        return "neither a collector nor a dependency label"
    if labels.get("root_cause") in ("fleet", "monitoring"):
        return f"root cause {labels['root_cause']}: not one collector's fault"
    return None


def explaining_dependency(labels: Mapping[str, str]) -> str | None:
    """The failing dependency that explains a collector's alert, or None."""
    kind, _, name = labels.get("root_cause", "").partition(":")
    return name if kind == "dependency" and name and labels.get("collector") else None
