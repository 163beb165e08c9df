"""Where the exporter is and how much the client may keep: arguments before environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_URL = re.compile(r"^https?://(\[[0-9A-Fa-f:.]+\]|[^][/?#@:\s]+)(:\d{1,5})?(/[^?#\s]*)?$")


class Settings(NamedTuple):
    """How a client reaches the exporter. `Settings.read` fills what is not given."""

    url: str = "http://127.0.0.1:9036"  # COLLECTION_HEALTH_URL; empty: report nothing
    token_file: Path | None = None  # COLLECTION_HEALTH_TOKEN_FILE: a bearer token, re-read
    ca_file: Path | None = None  # COLLECTION_HEALTH_CA_FILE: trust only this PEM bundle
    spool: Path | None = None  # COLLECTION_HEALTH_SPOOL: a directory; None: memory only
    buffer_events: int = 10_000  # kept in memory before the oldest go to the spool
    spool_bytes: int = 64 * 2**20  # of the directory; beyond it the oldest are deleted
    exit_seconds: float = 2.0  # how long a process may wait at its exit for the last delivery

    @classmethod
    def read(cls, **arguments: str | Path | float | None) -> "Settings":
        """Settings from ``arguments`` (named as the fields), else from the environment.

        Raises `ValueError` for an unusable URL or limit and `TypeError` for an unknown name.
        """
        env = os.environ
        values: dict[str, object] = {
            "url": env.get("COLLECTION_HEALTH_URL", cls().url),
            "token_file": env.get("COLLECTION_HEALTH_TOKEN_FILE") or None,
            "ca_file": env.get("COLLECTION_HEALTH_CA_FILE") or None,
            "spool": env.get("COLLECTION_HEALTH_SPOOL") or _default_spool(env),
        }
        values.update(arguments)
        for name in ("token_file", "ca_file", "spool"):
            if isinstance(values[name], str):
                values[name] = Path(str(values[name])).expanduser()
        settings = cls(**values)  # type: ignore[arg-type]  # checked below and by _check
        settings._check()
        return settings._replace(url=settings.url.rstrip("/"))

    def _check(self) -> None:
        if self.url and not _URL.match(self.url):
            raise ValueError(
                f"COLLECTION_HEALTH_URL: {self.url!r} is not usable; allowed: http(s)://host:port, "
                "without user or query, or empty to report nothing"
            )
        for name in ("buffer_events", "spool_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)}; allowed: at least 1")


def _default_spool(env: Mapping[str, str]) -> str:
    state = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME") or "~") / ".local/state")
    return f"{state}/collection-health/spool"
