"""Judging what a probe fetched: pure functions that run in a worker thread."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from typing import Any
from xml.parsers import expat

from jsonschema.protocols import Validator

from collection_health.probes import schemas
from collection_health.probes.config import ParsingExpect


class ContentError(Exception):
    """The content is not what was expected; `reason` is one of the taxonomy's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse(body: bytes, expect: ParsingExpect) -> str:
    """Parse `body` as the expected format and return what was found. Raises ContentError."""
    readers = {"json": _json_records, "xml": _xml_records, "csv": _csv_records}
    count = readers[expect.format](body, expect)
    if count < expect.min_records:
        reason = "quality" if count else "empty"
        raise ContentError(reason, f"{count} records, expected at least {expect.min_records}")
    return f"{count} records"


def validate(body: bytes, validator: Validator, path: str) -> str:
    """Check `body`, or the part at `path`, against a JSON Schema. Raises ContentError."""
    try:
        broken = schemas.violation(validator, _at(_json(body), path))
    except RecursionError:
        raise ContentError("parse", "nested too deeply") from None
    if broken is not None:
        raise ContentError("schema", broken)
    return "fits the schema"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = (
            f" at line {line}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError) and line
            else ""
        )
        raise ContentError("parse", f"not JSON{where}") from None


def _at(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise ContentError("schema", f"nothing at {path!r}: {name!r} is missing")
    return value


def _json_records(body: bytes, expect: ParsingExpect) -> int:
    records = _at(_json(body), expect.path)
    if isinstance(records, list):
        first, count = records[0] if records else None, len(records)
    else:
        first, count = records, int(records is not None)
    if expect.columns and count:
        keys = first.keys() if isinstance(first, dict) else ()
        _require(expect.columns, list(keys), "key")
    return count


def _csv_records(body: bytes, expect: ParsingExpect) -> int:
    try:
        rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        _require(expect.columns, header, "column")
        count = 0
        for row in rows:
            if row and len(row) != len(header):
                raise ContentError(
                    "parse", f"line {rows.line_num} has {len(row)} fields, the header {len(header)}"
                )
            count += bool(row)
    except UnicodeDecodeError as error:
        raise ContentError("parse", f"not UTF-8 at byte {error.start}") from None
    except csv.Error as error:
        raise ContentError("parse", f"not CSV at line {rows.line_num}: {error}") from None
    return count


def _xml_records(body: bytes, expect: ParsingExpect) -> int:
    _refuse_entities(body)
    try:
        root = ET.fromstring(body)  # noqa: S314 entities, the danger, were refused above
        return len(root.findall(expect.path)) if expect.path else len(root)
    except ET.ParseError as error:
        line, column = error.position
        raise ContentError("parse", f"not XML at line {line}, column {column}") from None
    except (SyntaxError, KeyError):
        raise ContentError("config", f"{expect.path!r} is not an ElementTree path") from None


def _refuse_entities(body: bytes) -> None:
    """Refuse entity declarations, which can expand a few bytes to gigabytes."""

    def declared(*_: object) -> None:
        raise ContentError("parse", "XML with entity declarations is refused")

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = declared
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        message = f"not XML at line {error.lineno}, column {error.offset}"
        raise ContentError("parse", message) from None


def _require(expected: list[str], found: list[str], kind: str) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise ContentError("schema", f"{kind} {missing[0]!r} is missing")
