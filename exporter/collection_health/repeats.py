"""Idempotency: which events were recorded lately, so that a repeat counts once."""

from collections.abc import Iterable

from collection_health.events import Event, Outcome


class Repeats:
    """The keys of the newest events: two generations, so that forgetting costs nothing.

    Remembers at least ``window / 2`` and at most ``window`` keys.
    """

    def __init__(self, window: int) -> None:
        self._half = window // 2
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def __contains__(self, key: int) -> bool:
        return key in self._recent or key in self._older

    def add(self, key: int) -> None:
        """Remember a key."""
        self._recent.add(key)

    def update(self, events: Iterable[Event]) -> None:
        """Remember the keys of recorded events."""
        self._recent.update(key for event in events if (key := key_of(event)) is not None)

    def forget(self, keys: Iterable[int]) -> None:
        """Take keys back: what they stood for could not be recorded."""
        self._recent.difference_update(keys)
        self._older.difference_update(keys)

    def rotate(self) -> None:
        """Begin a new generation once this one is full."""
        if len(self._recent) > self._half:
            self._older, self._recent = self._recent, set()


def key_of(event: Event) -> int | None:
    """The idempotency key of an event as a keyed 64-bit hash, or None when it has none.

    Python's string hash is SipHash with a key of this process: not to be forged, and two of
    the last million keys collide with a probability below 1e-7.
    """
    if not isinstance(event, Outcome):
        return None
    if event.event_id is not None:
        return hash((event.collector, event.event_id))
    if event.run_id is not None:
        return hash((event.collector, event.run_id, event.attempt, event.outcome))
    return None
