"""CloudEvents 1.0 on ``/api/v1/outcomes``: binary, structured and batched.

The event's ``data`` is an outcome (or an array of them). What ``data`` leaves out is taken from
the envelope: ``collector`` from ``subject``, ``occurred_at`` from ``time``, ``outcome`` from the
last word of ``type`` (``com.example.collection.failure``). ``source`` and ``id`` together are the
event's identity, so a redelivery is acknowledged and counted once.

It is a further format of the JSON receiver, which answers as it does for its own.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import unquote

import msgspec
from aiohttp import web

from collection_health.decoding import Decoded, explain
from collection_health.events import Outcome, OutcomeKind
from collection_health.receivers import json

PROTOCOL = "cloudevents"
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_REQUIRED = ("id", "source", "type")
_MAX_ID = 300  # characters of an event_id


def setup(app: web.Application) -> None:
    """Teach the JSON receiver this format; without that receiver there is nothing to teach."""
    if json.FORMATS in app:
        app[json.FORMATS].append(json.Format(PROTOCOL, is_cloudevent, decode))


def is_cloudevent(headers: Mapping[str, str]) -> bool:
    """Whether a request carries CloudEvents; ``headers`` ignore case, as aiohttp's do."""
    return _media_type(headers).startswith("application/cloudevents") or (
        "ce-specversion" in headers
    )


def decode(headers: Mapping[str, str], body: bytes) -> Decoded:
    """The outcomes of one request; a text in an item's place says what is wrong with it.

    Raises `ValueError` when the body as a whole is not of the announced shape.
    """
    media_type = _media_type(headers)
    if media_type == _BATCH:
        events = _json(body)
        if not isinstance(events, list):
            raise ValueError("body: not an array; allowed: an array of CloudEvents")
    elif media_type == _STRUCTURED:
        events = [_json(body)]
    elif media_type.startswith("application/cloudevents"):
        raise ValueError(f"content-type: {media_type}; allowed: {_STRUCTURED}, {_BATCH}")
    else:
        attributes = {
            name[3:].lower(): _text(name, value)
            for name, value in headers.items()
            if name.lower().startswith("ce-")
        }
        events = [{**attributes, "data": _json(body)}]
    return [outcome for event in events for outcome in to_outcomes(event)]


def to_outcomes(event: Any) -> Decoded:
    """The outcomes of one CloudEvent given as a JSON object, or one text with its problem."""
    problem = _envelope_problem(event)
    if problem is not None:
        return [problem]
    try:
        data = _data(event)
    except ValueError as error:
        return [str(error)]
    items = data if isinstance(data, list) else [data]
    identity = f"{event['source']}#{event['id']}"
    return [
        _outcome(event, item, identity if len(items) == 1 else f"{identity}#{index}")
        for index, item in enumerate(items)
    ]


def _envelope_problem(event: Any) -> str | None:
    if not isinstance(event, dict):
        return "item: not a CloudEvent; allowed: a JSON object"
    if event.get("specversion") != "1.0":
        return f"specversion: {str(event.get('specversion'))[:20]!r}; allowed: '1.0'"
    for name in _REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value:
            return f"{name}: missing or not a text; CloudEvents 1.0 requires it"
    length = len(event["source"]) + len(event["id"]) + len("##") + 10
    if length > _MAX_ID:
        return f"source, id: {length} characters together; allowed: {_MAX_ID}"
    return None


def _data(event: dict[str, Any]) -> Any:
    encoded = event.get("data_base64")
    if encoded is None:
        data = event.get("data")
        return _json(data.encode()) if isinstance(data, str) else data
    try:
        return _json(base64.b64decode(encoded, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"data_base64: {error}; allowed: base64 of a JSON outcome") from error


def _outcome(event: dict[str, Any], item: Any, identity: str) -> Outcome | str:
    if not isinstance(item, dict):
        return "data: not an outcome; allowed: a JSON object or an array of objects"
    kind = event["type"].rpartition(".")[2]
    from_envelope = {
        "collector": event.get("subject"),
        "occurred_at": event.get("time"),
        "outcome": kind if kind in get_args(OutcomeKind) else None,
    }
    given = {name: value for name, value in from_envelope.items() if value is not None}
    try:
        outcome = msgspec.convert({**given, **item, "event_id": identity}, Outcome)
    except msgspec.ValidationError as error:
        return explain(error)
    outcome.source = PROTOCOL
    return outcome


def _text(name: str, value: str) -> str:
    """A header's value; bytes that are no UTF-8 stand in it as lone surrogates."""
    try:
        return unquote(value.encode().decode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: not UTF-8; allowed: percent-encoded UTF-8") from error


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"body: not valid JSON: {error}") from error
