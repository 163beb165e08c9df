"""The Python client as a collector sees it: what a run reports, and that it never gets hurt."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collection_health import client as public
from collection_health import decoding, events
from collection_health.client import Client, Run, Settings, _client, _sender, _values, current_run
from tests.support.recorder import Recorder

Event = dict[str, Any]


@pytest.fixture
def sent() -> list[Event]:
    """What runs reported."""
    return []


@pytest.fixture
def reporting(sent: list[Event], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The process's own client, reporting into ``sent``."""
    client = Client(Settings(url=""))
    monkeypatch.setattr(client, "send", sent.append)
    monkeypatch.setattr(_client, "_default", client)
    return client


def decoded(event: Event) -> events.Outcome:
    """The event as the exporter decodes it."""
    (item,) = decoding.decode_lines(_sender.encode(dict(event)))
    assert isinstance(item, events.Outcome), item
    assert events.prepare(item, datetime.now(UTC).timestamp(), 86400 * 400) is None
    return item


def test_public_surface_is_the_documented_one() -> None:
    """A new public name is a decision, not an accident."""
    assert public.__all__ == [
        "Client", "Run", "Settings", "Stats", "configure", "current_run", "flush", "track",
        "tracked",
    ]  # fmt: skip
    assert all(hasattr(public, name) for name in public.__all__)


def test_import_is_light() -> None:
    """A collector that imports the client loads neither HTTP nor the exporter's libraries."""
    heavy = ("aiohttp", "yaml", "msgspec", "http.client", "ssl", "inspect", "asyncio", "email")
    program = (
        f"import sys, collection_health.client; print([m for m in {heavy} if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_run_reports_its_start_and_its_end(reporting: Client, sent: list[Event]) -> None:
    """Both events carry one run id and different event ids; counts of several calls add up."""
    with public.track("orders", version="1.4", attempt=2) as run:
        run.records(collected=100, expected=120)
        run.records(collected=20, rejected=1)
        run.requests(total=3, retried=1)
        run.bytes(1000)
        run.bytes(24)
        run.quality(0.9, completeness=1)
        run.quota(limit=5000, remaining=10.5, resets_at=1_800_000_000)
        run.data_time(datetime(2026, 1, 2, tzinfo=UTC))
        run.credential_expires_at("2027-01-01T00:00:00Z")
        run.stage("load")
    started, ended = sent
    assert started["outcome"] == "started"
    assert ended["outcome"] == "success"
    assert started["run_id"] == ended["run_id"]
    assert started["event_id"] != ended["event_id"]
    assert started["version"] == ended["version"] == "1.4"
    outcome = decoded(ended)
    assert outcome.records == events.Records(expected=120, collected=120, rejected=1)
    assert outcome.requests == events.Requests(total=3, retried=1)
    assert outcome.bytes == 1024
    assert outcome.quality == events.Quality(score=0.9, completeness=1.0)
    assert outcome.quota is not None
    assert outcome.quota.remaining == 10.5
    assert outcome.data_time == datetime(2026, 1, 2, tzinfo=UTC)
    assert outcome.credential_expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert outcome.attempt == 2
    assert outcome.stage is None  # a success has no failing stage
    assert outcome.duration_seconds is not None
    decoded(started)


class UpstreamError(Exception):
    """Carries an HTTP status as requests and httpx do."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


def chained() -> Exception:
    """An exception whose cause tells the reason."""
    error = RuntimeError("could not sync")
    error.__cause__ = ConnectionRefusedError("refused")
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError("no"), "connection"),
        (TimeoutError(), "timeout"),
        (UpstreamError(401), "auth"),
        (UpstreamError(429), "rate_limited"),
        (UpstreamError(503), "upstream"),
        (json.JSONDecodeError("bad", "x", 0), "parse"),
        (KeyError("price"), "schema"),
        (OSError(28, "No space left on device"), "storage"),
        (MemoryError(), "resource"),
        (RuntimeError("what?"), "unknown"),
        (chained(), "connection"),
        (ExceptionGroup("tasks", [TimeoutError()]), "timeout"),
    ],
)
def test_an_exception_is_a_failure_with_its_reason(
    reporting: Client, sent: list[Event], error: Exception, reason: str
) -> None:
    """The collector's exception passes untouched; the outcome says why and where it failed."""
    with pytest.raises(type(error)) as caught, public.track("orders") as run:  # noqa: PT012
        run.stage("fetch")
        raise error
    assert caught.value is error
    outcome = decoded(sent[-1])
    assert (outcome.outcome, outcome.reason, outcome.stage) == ("failure", reason, "fetch")
    assert outcome.error is not None
    assert outcome.error.type


@pytest.mark.parametrize(
    ("error", "outcome", "exit_code"),
    [
        (KeyboardInterrupt(), "aborted", None),
        (asyncio.CancelledError(), "aborted", None),
        (GeneratorExit(), "aborted", None),
        (SystemExit(143), "aborted", 143),
        (SystemExit("a message"), "aborted", None),
        (SystemExit(0), "success", None),
        (SystemExit(None), "success", None),
    ],
)
def test_being_stopped_is_aborted_and_a_clean_exit_is_success(
    reporting: Client, sent: list[Event], error: BaseException, outcome: str, exit_code: int | None
) -> None:
    """Ctrl-C, cancellation and sys.exit are told apart from failures."""
    with pytest.raises(type(error)), public.track("orders"):
        raise error
    assert decoded(sent[-1]).outcome == outcome
    assert sent[-1].get("exit_code") == exit_code


def test_a_run_may_say_itself_how_it_ended(reporting: Client, sent: list[Event]) -> None:
    """partial, skip and fail need no exception; a later exception overrides them."""
    with public.track("orders") as run:
        run.partial("upstream", "page 3 of 5 was missing")
    with public.track("orders") as run:
        run.skip("holiday")
    with public.track("orders") as run:
        run.fail("quality", "half of it is empty")
    with pytest.raises(TimeoutError), public.track("orders") as run:  # noqa: PT012
        run.partial()
        raise TimeoutError
    ends = [decoded(event) for event in sent if event["outcome"] != "started"]
    assert [end.outcome for end in ends] == ["partial", "skipped", "failure", "failure"]
    assert [end.reason for end in ends] == ["upstream", None, "quality", "timeout"]


def test_wrong_values_are_left_out_and_never_raise(
    reporting: Client, sent: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """The run's ending is not lost to a mistyped count, and the log says which one it was."""
    with public.track("orders") as run:
        run.records(collected=-1, written=7)
        run.records(collected="many")  # type: ignore[arg-type]
        run.quality(float("nan"), validity=1.5)
        run.bytes(1.5)  # type: ignore[arg-type]
        run.stage("nowhere")
        run.data_time("yesterday")
        run.fail("tuesday")
    outcome = decoded(sent[-1])
    assert outcome.records == events.Records(written=7)
    assert outcome.quality == events.Quality()
    assert outcome.outcome == "failure"
    assert "records.collected -1 is left out" in caplog.text
    assert "allowed: connection" in caplog.text


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.datetimes(),
    st.binary(max_size=3), st.lists(st.integers(), max_size=2),
)  # fmt: skip


@given(
    name=st.text(max_size=200),
    values=st.lists(anything, min_size=12, max_size=12),
    text=st.text(st.characters(exclude_categories=()), max_size=2000),  # half pairs too
)
def test_whatever_a_collector_passes_the_exporter_accepts(
    name: str, values: list[Any], text: str
) -> None:
    """No argument of any method can make the exporter refuse the outcome, or raise."""
    sent: list[Event] = []
    run = Run(name, sent.append, run_id=text, version=text, attempt=values[0], parent=values[1])
    with pytest.raises(ZeroDivisionError), run:  # noqa: PT012
        run.records(expected=values[2], collected=values[3])
        run.requests(total=values[4])
        run.bytes(values[5])
        run.quality(values[6], consistency=values[7])
        run.quota(limit=values[8], resets_at=values[9])
        run.data_time(values[10])
        run.credential_expires_at(values[11])
        run.version(values[0])
        run.stage(text)
        run.fail(text, text)
        raise ZeroDivisionError(text)
    for event in sent:
        decoded(event)


@given(st.text(max_size=200))
def test_names_are_cleaned_as_the_exporter_does(name: str) -> None:
    """Client and exporter agree on names without the client importing the schema."""
    assert _values.collector_name(name) == events.clean_name(name)
    assert events.valid_name(_values.collector_name(name))
    assert (events.MAX_NAME, events.MAX_TEXT) == (_values.MAX_NAME, _values.MAX_TEXT)


async def test_the_same_object_works_in_async_with(reporting: Client, sent: list[Event]) -> None:
    """A cancelled coroutine is an aborted run; concurrent runs do not mix."""

    async def collect(name: str, count: int) -> None:
        async with public.track(name) as run:
            await asyncio.sleep(0)
            assert current_run() is run
            run.records(collected=count)

    await asyncio.gather(collect("one", 1), collect("two", 2))
    stuck = asyncio.create_task(collect_forever())
    await asyncio.sleep(0)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    ends = {event["collector"]: event for event in sent if event["outcome"] != "started"}
    assert ends["one"]["records"] == {"collected": 1}
    assert ends["two"]["records"] == {"collected": 2}
    assert ends["forever"]["outcome"] == "aborted"


async def collect_forever() -> None:
    """A run that has to be cancelled."""
    async with public.track("forever"):
        await asyncio.sleep(60)


async def test_decorated_functions_coroutines_and_generators(
    reporting: Client, sent: list[Event]
) -> None:
    """Every call is one run from start to end; the function keeps its name and result."""

    @public.tracked("sync", version="2")
    def plain(count: int) -> int:
        current_run().records(collected=count)
        return count

    @public.tracked("async")
    async def coroutine() -> str:
        await asyncio.sleep(0)
        raise TimeoutError

    @public.tracked("pages")
    def pages() -> Iterator[int]:
        for page in range(3):
            current_run().records(collected=10)
            yield page

    assert plain(5) == 5
    assert plain.__name__ == "plain"
    with pytest.raises(TimeoutError):
        await coroutine()
    assert list(pages()) == [0, 1, 2]
    ends = {event["collector"]: event for event in sent if event["outcome"] != "started"}
    assert ends["sync"]["records"] == {"collected": 5}
    assert ends["async"]["reason"] == "timeout"
    assert ends["pages"]["records"] == {"collected": 30}
    assert len(sent) == 6


def test_current_run_outside_of_a_run_reports_nothing(sent: list[Event]) -> None:
    """Library code may always talk to the current run."""
    current_run().records(collected=1)
    assert sent == []


def test_arguments_come_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """COLLECTION_HEALTH_* configure a program without touching its code; code may override."""
    monkeypatch.setenv("COLLECTION_HEALTH_URL", "https://health.example:9036/")
    monkeypatch.setenv("COLLECTION_HEALTH_SPOOL", str(tmp_path))
    monkeypatch.setenv("COLLECTION_HEALTH_TOKEN_FILE", "/run/secrets/token")
    settings = Settings.read(token_file="/other")
    assert settings.url == "https://health.example:9036"
    assert settings.spool == tmp_path
    assert settings.token_file == Path("/other")
    assert Settings.read(url="http://[::1]:9036/health").url == "http://[::1]:9036/health"
    for wrong in ("ftp://x", "localhost:9036", "http://me:pw@x", "http://x:port", "http://x?y"):
        with pytest.raises(ValueError, match="is not usable"):
            Settings.read(url=wrong)
    with pytest.raises(TypeError, match="unexpected"):
        Settings.read(urll="http://x")


def test_a_wrong_environment_does_not_stop_the_collector(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A typo in the URL is logged; the run goes on unreported."""
    monkeypatch.setattr(_client, "_default", None)
    monkeypatch.setenv("COLLECTION_HEALTH_URL", "localhost:9036")
    with public.track("orders") as run:
        run.records(collected=1)
    assert public.flush()
    assert "nothing is reported: COLLECTION_HEALTH_URL" in caplog.text


def test_configure_replaces_the_client_and_closes_the_old_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was tracked before is still delivered to where it belonged."""
    monkeypatch.setattr(_client, "_default", None)
    with Recorder() as first, Recorder() as second:
        public.configure(url=first.url, spool=tmp_path)
        with public.track("before"):
            pass
        client = public.configure(url=second.url, spool=tmp_path)
        with public.track("after"):
            pass
        assert public.flush()
        client.close()
        assert {event["collector"] for event in first.events} == {"before"}
        assert {event["collector"] for event in second.events} == {"after"}
