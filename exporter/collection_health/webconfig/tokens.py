"""Bearer tokens from files, each with a name and scopes.

tokens:
  - name: airflow                       # appears in the audit log
    token_file: /run/secrets/airflow    # relative to this file; or sha256: <64 hex digits>
    scopes: [write]                     # read, write, control, recovery
users:                                  # optional: narrows users of basic_auth_users
  - {name: grafana, scopes: [read]}
"""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Literal

import msgspec

from collection_health.webconfig.files import ConfigError, FieldError, YamlFile
from collection_health.webconfig.format import resolve

Scope = Literal["read", "write", "control", "recovery"]
SCOPES: frozenset[str] = frozenset({"read", "write", "control", "recovery"})
MIN_LENGTH, MAX_LENGTH = 16, 4096
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,149}")


class Actor(msgspec.Struct, frozen=True):
    """Who asks. `name` goes to the audit log; `scopes` is what they may do."""

    name: str
    scopes: frozenset[str]


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token: its secret is in `token_file`, or only its SHA-256 is known."""

    name: str
    scopes: list[Scope]
    token_file: str = ""
    sha256: str = ""


class UserEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scopes of one user of the web configuration file. Users not listed have all scopes."""

    name: str
    scopes: list[Scope]


class TokenConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole token file."""

    tokens: list[TokenEntry] = []
    users: list[UserEntry] = []


class Tokens:
    """The tokens of one token file, held only as digests."""

    def __init__(self, path: Path | None, files: list[Path]) -> None:
        """Read `path` and the token files it names, adding each to `files`; no path, no tokens.

        Raises ConfigError.
        """
        self._files = files
        self.granted: frozenset[str] = frozenset()
        self._actors: list[tuple[bytes, Actor]] = []
        self._users: dict[str, Actor] = {}
        if path is not None:
            self._load(path)

    def __bool__(self) -> bool:
        return bool(self._actors)

    def find(self, token: str) -> Actor | None:
        """Return whose token it is. Takes the same time whichever matches, and if none does."""
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found = None
        for known, actor in self._actors:
            if hmac.compare_digest(known, digest):
                found = actor
        return found

    def user(self, name: str) -> Actor:
        """Return the verified user `name` with the scopes the token file gives them, or all."""
        return self._users.get(name) or Actor(name, SCOPES)

    def _load(self, path: Path) -> None:
        self._files.append(path)
        file = YamlFile(path)
        config = file.convert(TokenConfig)
        try:
            for index, user in enumerate(config.users):
                self._users[_name(f"users[{index}]", user.name, self._users)] = Actor(
                    user.name, frozenset(user.scopes)
                )
            seen: set[str] = set()
            for index, entry in enumerate(config.tokens):
                where = f"tokens[{index}]"
                seen.add(_name(where, entry.name, seen))
                digest = self._digest(where, path, entry)
                if any(digest == other for other, _ in self._actors):
                    raise FieldError(where, "the same token is listed twice")
                self._actors.append((digest, Actor(entry.name, frozenset(entry.scopes))))
        except FieldError as error:
            raise file.error(error.path, str(error)) from None
        self.granted = frozenset().union(*(actor.scopes for _, actor in self._actors))

    def _digest(self, where: str, path: Path, entry: TokenEntry) -> bytes:
        if not entry.scopes:
            raise FieldError(f"{where}.scopes", f"is empty; allowed: {', '.join(sorted(SCOPES))}")
        if bool(entry.token_file) == bool(entry.sha256):
            raise FieldError(where, "give either token_file or sha256")
        if entry.sha256:
            if not re.fullmatch(r"[0-9a-fA-F]{64}", entry.sha256):
                raise FieldError(f"{where}.sha256", "not 64 hexadecimal digits")
            return bytes.fromhex(entry.sha256)
        secret = resolve(path, entry.token_file)
        self._files.append(secret)
        try:
            with secret.open("rb") as stream:
                token = stream.read(MAX_LENGTH + 2).strip()
        except OSError as error:
            raise FieldError(
                f"{where}.token_file", f"{secret} cannot be read: {error.strerror}"
            ) from None
        if not MIN_LENGTH <= len(token) <= MAX_LENGTH or any(
            byte <= 32 or byte > 126 for byte in token
        ):
            raise FieldError(
                f"{where}.token_file",
                f"{secret} must hold {MIN_LENGTH} to {MAX_LENGTH} printable ASCII "
                "characters without spaces",
            )
        return hashlib.sha256(token).digest()


def _name(where: str, name: str, seen: set[str] | dict[str, Actor]) -> str:
    if not NAME.fullmatch(name):
        raise FieldError(f"{where}.name", "allowed: letters, digits and . _ : / @ + -, at most 150")
    if name in seen:
        raise FieldError(f"{where}.name", "the name is given twice")
    return name


__all__ = ["SCOPES", "Actor", "ConfigError", "Scope", "Tokens"]
