"""What collectors call: a client, and functions that use the process's own one."""

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from collection_health.client._run import Event, Run, current_run, new_id
from collection_health.client._sender import Sender
from collection_health.client._settings import Settings
from collection_health.client._stats import Stats
from collection_health.client._values import Instant

__all__ = ["Client", "configure", "current_run", "flush", "track", "tracked"]

_log = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., Any])


class RunOptions(TypedDict, total=False):
    """What may be known of a run before it starts."""

    run_id: str | None  # ties the run to the scheduler's own id; made up by default
    version: str | None  # of the collector
    attempt: int | None  # 1 for the first, 2 for the first retry
    parent: Mapping[str, str] | None  # {"collector": …, "run_id": …} of the run that fanned out
    scheduled_for: Instant | None  # the time the run was due; an old one marks a back-fill


class Client:
    """Reports to one exporter. Most programs need none of their own: see `track`."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Raise `ValueError` when the environment's or given settings cannot work."""
        self.settings = Settings.read() if settings is None else settings
        self._sender = Sender(self.settings) if self.settings.url else None

    @property
    def stats(self) -> Stats:
        """What became of the events so far."""
        return Stats() if self._sender is None else self._sender.stats

    def track(self, collector: str, **options: Unpack[RunOptions]) -> Run:
        """A run of ``collector`` to use in ``with`` or ``async with``."""
        return Run(collector, self.send, **options)

    def tracked(
        self, collector: str, **options: Unpack[RunOptions]
    ) -> Callable[[_Function], _Function]:
        """Decorate a function, coroutine function or generator: every call is a run."""
        return _decorator(lambda: self.track(collector, **options))

    def send(self, event: Event) -> None:
        """Send one event of the shape of ``POST /api/v1/outcomes``; never raises."""
        if self._sender is None:
            return
        try:
            if "event_id" not in event:
                event["event_id"] = new_id()
            self._sender.put(event)
        except Exception:  # noqa: BLE001  # monitoring must not break what it monitors
            _log.exception("an outcome of %r could not be taken", event.get("collector"))

    def flush(self, timeout: float = 5.0) -> bool:
        """Deliver now, the spool included; False if ``timeout`` seconds passed or some is kept."""
        return True if self._sender is None else self._sender.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Deliver within ``timeout`` seconds or spool what is left; happens by itself at exit."""
        if self._sender is not None:
            self._sender.close(timeout)


_default: Client | None = None
_making = threading.Lock()


def configure(**arguments: str | Path | float | None) -> Client:
    """Set where `track` and `tracked` report to; the arguments are the fields of `Settings`.

    What is not given comes from the environment. Raises `ValueError` for an unusable setting
    and `TypeError` for an unknown one.
    """
    global _default  # the process's one client
    client = Client(Settings.read(**arguments))
    with _making:
        previous, _default = _default, client
    if previous is not None:
        previous.close()
    return client


def track(collector: str, **options: Unpack[RunOptions]) -> Run:
    """A run of ``collector`` to use in ``with`` or ``async with``; see `Run` and `RunOptions`."""
    return _client().track(collector, **options)


def tracked(collector: str, **options: Unpack[RunOptions]) -> Callable[[_Function], _Function]:
    """Decorate a function, coroutine function or generator: every call is a run of ``collector``.

    Inside, `current_run` gives the run.
    """
    return _decorator(lambda: track(collector, **options))


def flush(timeout: float = 5.0) -> bool:
    """Deliver now what is buffered or spooled; False if something is kept for later."""
    return _client().flush(timeout)


def _client() -> Client:
    global _default  # noqa: PLW0603  # the process's one client
    client = _default
    if client is None:
        with _making:
            if _default is None:
                try:
                    _default = Client()
                except ValueError as error:  # the environment is wrong: the collector goes on
                    _log.error("nothing is reported: %s", error)
                    _default = Client(Settings(url=""))
            client = _default
    return client


def _decorator(run: Callable[[], Run]) -> Callable[[_Function], _Function]:
    import inspect  # costs more than the rest of the client

    def decorate(function: _Function) -> _Function:
        if inspect.isasyncgenfunction(function):
            raise TypeError("tracked: use `async with track(…)` inside an async generator")
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with run():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with run():
                    return (yield from function(*args, **kwargs))

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with run():
                    return function(*args, **kwargs)

        return wrapper  # type: ignore[no-any-return]

    return decorate
