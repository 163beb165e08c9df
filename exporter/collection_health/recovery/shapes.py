"""What the recovery endpoints take and answer; ``/openapi.json`` describes it from here."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from collection_health.api.bodies import Text
from collection_health.api.shapes import ActiveControl
from collection_health.events import RecoveryPhase
from collection_health.inventory_schema import Duration

MAX_ALERTS = 10_000  # of one webhook


class RecoverBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a person recovers, approves or cancels."""

    reason: Text = ""
    actor: Text = ""


class BulkBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which failing collectors to recover: those that match every selector given."""

    team: Text = ""
    dependency: Text = ""
    failure_reason: Text = ""
    reason: Text = ""
    actor: Text = ""


class BreakGlassBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Stop or force everything, with a reason and an expiry; ``active`` false ends it."""

    mode: Literal["stop", "force"]
    reason: Text = ""
    duration: Duration | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    actor: Text = ""
    active: bool = True


class WebhookAlert(Struct):
    """What is read of one alert; further fields are ignored."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]


class Webhook(Struct, rename="camel"):
    """What is read of Alertmanager's webhook, version 4."""

    version: str
    alerts: Annotated[list[WebhookAlert], Meta(max_length=MAX_ALERTS)]
    truncated_alerts: int = 0


class RecoveryQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which recoveries to list, newest first."""

    collector: str = ""
    phase: RecoveryPhase | None = None
    open: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    offset: Annotated[int, Meta(ge=0, le=10**9)] = 0


class Asked(Struct, kw_only=True, omit_defaults=True):
    """What became of one wish: ``id`` of the recovery, or ``reason`` why there is none.

    ``index`` is the alert's place in its webhook, ``plan`` the ladder in words.
    """

    collector: str | None = None
    dependency: str | None = None
    index: int | None = None
    id: str | None = None
    plan: str | None = None
    reason: str | None = None


def about(kind: str, name: str) -> dict[str, Any]:
    """The field that names a target: ``collector`` or ``dependency``."""
    return {kind: name}


class WebhookAnswer(Struct, kw_only=True):
    """The recoveries that a webhook led to, and why its other alerts led to none."""

    queued: list[Asked]
    ignored: list[Asked]


class BulkAnswer(Struct, kw_only=True):
    """The recoveries of the collectors that matched, and why others have none."""

    queued: list[Asked]
    refused: list[Asked]


class TryItem(Struct, kw_only=True):
    """One attempt of one step; ``result`` null while it runs."""

    step: int
    attempt: int
    action: str
    started_at: str
    ended_at: str | None
    result: str | None
    output: str


class RecoveryItem(Struct, kw_only=True, omit_defaults=True):
    """One recovery and all it tried. Times are RFC 3339; ``said`` tells why it is as it is."""

    id: str
    collector: str | None = None
    dependency: str | None = None
    phase: str
    since: str
    result: str | None
    said: str
    trigger: str
    cause: str
    actor: str
    failing_since: str
    queued_at: str
    expires_at: str | None
    tries: list[TryItem]


class BreakGlassAnswer(Struct, kw_only=True):
    """Break-glass modes that hold now."""

    break_glass: dict[str, ActiveControl]


class RecoveryList(Struct, kw_only=True):
    """A page of recoveries; ``total`` counts all that match."""

    recoveries: list[RecoveryItem]
    total: int
    break_glass: dict[str, ActiveControl]
