"""JSON bodies -> outcomes, with an error that names field, problem and what is allowed."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from collection_health import reasons
from collection_health.events import (
    Error,
    Outcome,
    Parent,
    Quality,
    Quota,
    Records,
    Requests,
)

_one: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_many: msgspec.json.Decoder[list[Outcome]] = msgspec.json.Decoder(list[Outcome])
_raw_many: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])

Decoded = list[Outcome | str]


def decode_json(body: bytes) -> Decoded:
    """Outcomes of one JSON object or array; a text in an item's place says what is wrong.

    Raises `ValueError` when the body as a whole is not JSON of that shape.
    """
    start = body.lstrip()[:1]
    if start == b"[":
        try:
            return list(_many.decode(body))
        except msgspec.ValidationError:
            return [_decode_item(raw) for raw in _items(body)]
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"body: not valid JSON: {error}") from error
    if start == b"{":
        item = _decode_item(body, whole=True)
        return [item]
    raise ValueError("body: allowed: one JSON object, an array of objects, or NDJSON lines")


def decode_lines(body: bytes) -> Decoded:
    """Outcomes of an NDJSON body, in the order of its non-empty lines."""
    try:
        return list(_one.decode_lines(body))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [_decode_item(line) for line in body.splitlines() if line.strip()]


def _items(body: bytes) -> list[msgspec.Raw]:
    """The items of an array, still as text: the slow path once one of them is invalid."""
    try:
        return _raw_many.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"body: not valid JSON: {error}") from error


def _decode_item(raw: bytes | msgspec.Raw, whole: bool = False) -> Outcome | str:
    try:
        return _one.decode(raw)
    except msgspec.ValidationError as error:
        return explain(error)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if whole:
            raise ValueError(f"body: not valid JSON: {error}") from error
        return f"not valid JSON: {error}"


_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_ALLOWED: dict[str, Sequence[str]] = {
    "outcome": ("started", "success", "partial", "failure", "skipped", "aborted"),
    "reason": reasons.REASONS,
    "stage": reasons.STAGES,
}


def explain(error: msgspec.ValidationError) -> str:
    """A decoder's complaint as ``field: problem; allowed: …``."""
    match = _PATH.match(str(error))
    problem, path = (match["problem"], match["path"] or "") if match else (str(error), "")
    unknown = re.search(r"unknown field `([^`]*)`", problem)
    if unknown:
        field = f"{path}.{unknown[1]}".lstrip(".")
        known = _fields_at(path)
        return f"{field}: unknown field; allowed: {', '.join(known)}"
    missing = re.search(r"missing required field `([^`]*)`", problem)
    if missing:
        return f"{missing[1]}: missing; it is required"
    allowed = _ALLOWED.get(path)
    suffix = f"; allowed: {', '.join(allowed)}" if allowed else ""
    return f"{path or 'item'}: {problem[:1].lower()}{problem[1:]}{suffix}"


_NESTED: dict[str, Any] = {
    "records": Records, "requests": Requests, "quality": Quality, "error": Error,
    "parent": Parent, "quota": Quota,
}  # fmt: skip


def _fields_at(path: str) -> list[str]:
    fields = (_NESTED.get(path) or Outcome).__struct_fields__
    return [field for field in fields if field not in ("source", "at")]
