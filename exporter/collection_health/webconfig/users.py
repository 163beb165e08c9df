"""Users with bcrypt passwords: checked off the event loop, one at a time, remembered briefly."""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

REMEMBER_SECONDS = 300.0
"""How long a verified or refused password is remembered, so that a scrape every 15 s does not pay
for bcrypt.
"""

REMEMBER_ENTRIES = 128
MAX_WAITING = 16
"""Password checks that may wait at once. More than this is an attack; it is answered with 503."""


class BusyError(Exception):
    """Too many password checks are waiting."""


class Users:
    """The users of one web configuration. A change of a hash takes effect with the next request."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes: dict[str, bytes] = {}
        self._unknown = b""
        self._secret = os.urandom(32)
        self._known: tuple[dict[bytes, float], dict[bytes, float]] = ({}, {})
        self._waiting: dict[bytes, asyncio.Future[bool]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self.replace(hashes)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def replace(self, hashes: Mapping[str, str]) -> None:
        """Use the bcrypt `hashes` by user name from now on."""
        self._hashes = {user: text.encode() for user, text in hashes.items()}
        cost = max((text[4:6] for text in self._hashes.values()), default=b"10")
        # An unknown user costs as much time as a known one, so that names cannot be found by
        # timing.
        self._unknown = b"$2b$" + cost + b"$" + b"." * 53

    async def verify(self, user: str, password: str) -> bool:
        """Return whether the password is the user's.

        Raises BusyError when too many checks are waiting.
        """
        known = user in self._hashes
        expected = self._hashes.get(user, self._unknown)
        pair = hmac.digest(
            self._secret, b"\0".join((user.encode(), expected, password.encode())), hashlib.sha256
        )
        now = time.monotonic()
        for verdict, remembered in enumerate(self._known):
            if remembered.get(pair, 0.0) > now:
                return bool(verdict) and known
        check = self._waiting.get(pair)
        if check is None:
            if len(self._waiting) >= MAX_WAITING:
                raise BusyError
            loop = asyncio.get_running_loop()
            check = loop.run_in_executor(self._thread, _matches, password.encode(), expected)
            self._waiting[pair] = check
            check.add_done_callback(lambda _: self._waiting.pop(pair, None))
        matches = await asyncio.shield(check)
        self._remember(pair, matches and known, now)
        return matches and known

    def _remember(self, pair: bytes, verdict: bool, now: float) -> None:
        # Refused pairs have their own store: guessing cannot push out those who log in properly.
        remembered = self._known[verdict]
        if len(remembered) >= REMEMBER_ENTRIES:
            del remembered[next(iter(remembered))]
        remembered[pair] = now + REMEMBER_SECONDS


def _matches(password: bytes, expected: bytes) -> bool:
    try:
        # bcrypt looks at 72 bytes; htpasswd and Go cut there as well.
        return bcrypt.checkpw(password[:72], expected)
    except ValueError:
        return False
