"""JSON Schemas from files: local references work, nothing is ever fetched."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource, Unresolvable
from referencing.jsonschema import DRAFT202012

MAX_BYTES = 4 << 20


class SchemaFileError(ValueError):
    """A schema file cannot be used."""


def load(path: Path) -> Validator:
    """Return a validator for the schema in `path`. Raises SchemaFileError.

    `$ref` may name files in the same folder or below it; remote references are refused.
    """
    folder = path.parent.resolve()

    def retrieve(uri: str) -> Resource[Any]:
        parts = urlsplit(uri)
        file = Path(unquote(parts.path)).resolve()
        if parts.scheme != "file" or not file.is_relative_to(folder):
            raise NoSuchResource(uri)
        try:
            return Resource.from_contents(_read(file), default_specification=DRAFT202012)
        except SchemaFileError:
            raise NoSuchResource(uri) from None

    schema = _read(path)
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise SchemaFileError(f"{path}: not a JSON Schema: {error.message[:200]}") from None
    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    if isinstance(schema, dict):
        schema = {"$id": path.resolve().as_uri(), **schema}
    validator: Validator = kind(schema, registry=registry)
    try:
        next(iter(validator.iter_errors(None)), None)
    except Unresolvable as error:
        raise SchemaFileError(f"{path}: $ref {error.ref!r} is not a file beside it") from None
    return validator


def violation(validator: Validator, value: Any) -> str | None:
    """Return where and how `value` breaks the schema, or None. Values themselves are not quoted."""
    error = best_match(validator.iter_errors(value))
    if error is None:
        return None
    rule = json.dumps(error.validator_value, default=str)
    return f"{error.json_path}: breaks {error.validator}: {rule[:200]}"


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SchemaFileError(f"{path}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise SchemaFileError(f"{path}: larger than {MAX_BYTES} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise SchemaFileError(f"{path}: not JSON: {error}") from None
