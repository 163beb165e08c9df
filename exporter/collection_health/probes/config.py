"""What a probe may be told: the keys of `expect` by type, checked when the inventory is loaded."""

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta, Struct, field

from collection_health.inventory_schema import Duration, Probe, parse_duration
from collection_health.probes import schemas

Status = Annotated[int, Meta(ge=100, le=599)]
Count = Annotated[int, Meta(ge=0)]
E = TypeVar("E", bound="Expect")

MAX_BODY = 8 << 20
"""Bytes of an answer that are read unless `max_bytes` allows fewer; more is a failure."""

SCHEMES = {
    "connectivity": ("http", "https", "tcp", "tls", "dns"),
    "parsing": ("http", "https"),
    "schema": ("http", "https"),
    "performance": ("http", "https"),
}


class Expect(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Keys every type knows."""

    status: Status | list[Status] = field(default_factory=list)
    """Allowed HTTP statuses; empty means 200 to 299."""
    ca_file: str = ""
    """PEM file with the certificate authority of the server, instead of the system's."""


class ConnectivityExpect(Expect, frozen=True, kw_only=True):
    """`connectivity`: something answers."""

    contains: str = ""
    """http(s): text that must be in the body."""
    addresses: list[str] = field(default_factory=list)
    """dns: addresses that must all be among the answers."""
    valid_for: Duration = Duration(0)
    """tls: how long the certificate must still be valid."""


class ParsingExpect(Expect, frozen=True, kw_only=True):
    """`parsing`: the answer is well-formed and holds records."""

    format: Literal["json", "xml", "csv"] = "json"
    path: str = ""
    """json: dotted path to the records (`data.items`); xml: ElementTree path (`.//item`)."""
    columns: list[str] = field(default_factory=list)
    """csv: columns the header must name; json: keys the first record must have."""
    min_records: Count = 0


class SchemaExpect(Expect, frozen=True, kw_only=True):
    """`schema`: the answer fits a JSON Schema, a file relative to the inventory."""

    json_schema: str
    path: str = ""
    """Dotted path to the part to be checked."""


class PerformanceExpect(Expect, frozen=True, kw_only=True):
    """`performance`: the answer comes in time and has a plausible size."""

    max_duration: Duration = Duration(0)
    """Seconds until the whole answer is there; 0 means only the probe's timeout."""
    min_bytes: Count = 0
    max_bytes: Annotated[int, Meta(gt=0, le=1 << 30)] = MAX_BODY


KINDS: dict[str, type[Expect]] = {
    "connectivity": ConnectivityExpect,
    "parsing": ParsingExpect,
    "schema": SchemaExpect,
    "performance": PerformanceExpect,
}


def expectation(probe: Probe, kind: type[E]) -> E:
    """Return the `expect` section of a checked probe, typed. Raises msgspec.ValidationError."""
    return msgspec.convert(dict(probe.expect), kind, dec_hook=_decode)


def problems(probe: Probe, folder: Path) -> list[tuple[str, str]]:
    """Return (path within the probe, problem) for all that is wrong with `probe`.

    Files it names are relative to `folder`.
    """
    found = []
    if probe.every < 1:
        found.append(("every", "shorter than a second; allowed: 1s and more"))
    if not 0 < probe.timeout <= 300:
        found.append(("timeout", "allowed: more than 0 and at most 5m"))
    if probe.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", probe.name):
        found.append(("name", "allowed: letters, digits and . _ -, at most 63"))
    if probe.url is not None:
        found += [("url", text) for text in url_problems(probe.type, probe.url)]
    try:
        expect = expectation(probe, KINDS[probe.type])
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `")
        return [*found, (f"expect{where.rstrip('`').removeprefix('$')}", text)]
    if isinstance(expect, SchemaExpect):
        try:
            schemas.load(folder / expect.json_schema)
        except schemas.SchemaFileError as error:
            found.append(("expect.json_schema", str(error)))
    if expect.ca_file and not (folder / expect.ca_file).is_file():
        found.append(("expect.ca_file", f"{folder / expect.ca_file}: no such file"))
    return found


def url_problems(kind: str, url: str) -> list[str]:
    """Return what is wrong with the URL of a probe, without quoting it: it may hold a password."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ["not a URL"]
    if parts.scheme not in SCHEMES[kind]:
        allowed = ", ".join(f"{scheme}://" for scheme in SCHEMES[kind])
        return [f"not a URL a {kind} probe can use; allowed: {allowed}"]
    if not parts.hostname:
        return ["names no host"]
    if parts.scheme == "tcp" and port is None:
        return ["names no port; allowed: tcp://host:port"]
    if parts.scheme in ("tcp", "tls", "dns") and (parts.path.strip("/") or parts.query):
        port_part = "" if parts.scheme == "dns" else ":port"
        return [f"has a path or query; allowed: {parts.scheme}://host{port_part}"]
    return []


def shown(parts: SplitResult, secret: bool) -> str:
    """Return a URL as messages show it: no user, password and query; only the host if secret."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{'' if secret else parts.path}"


def _decode(kind: type, value: object) -> object:
    if kind is Duration:
        return parse_duration(value)
    raise NotImplementedError(kind)
