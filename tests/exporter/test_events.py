"""The event schema: what is accepted, what is refused and how the refusal reads."""

import json
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from urllib.error import HTTPError, URLError

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collection_health import reasons
from collection_health.decoding import decode_json, decode_lines
from collection_health.events import (
    MAX_NAME,
    Control,
    Event,
    Outcome,
    Quota,
    Records,
    clean_name,
    decode_events,
    encode_events,
    prepare,
    redact,
    valid_name,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86400.0


def problem_of(**fields: Any) -> str | None:
    """What decoding or preparing one outcome with these fields complains about."""
    item = decode_json(json.dumps({"collector": "orders", "outcome": "success", **fields}).encode())
    outcome = item[0]
    return outcome if isinstance(outcome, str) else prepare(outcome, NOW, 400 * DAY)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outcome": "succeeded"}, "outcome: invalid enum value 'succeeded'; allowed: started, "),
        ({"outcome": "failure", "reason": "boom"}, "reason: invalid enum value 'boom'; allowed: "),
        ({"outcome": "failure", "reason": "missed"}, "reason: 'missed' is written by the exporter"),
        ({"reason": "missed"}, "reason: 'missed' is written by the exporter"),
        ({"outcome": "partial", "reason": "overrun"}, "reason: 'overrun' is written by the "),
        ({"stage": "sleep"}, "stage: invalid enum value 'sleep'; allowed: connect, auth, "),
        ({"duration_seconds": -1}, "duration_seconds: expected `float` >= 0"),
        ({"duration_seconds": "3"}, "duration_seconds: expected `float | null`, got `str`"),
        ({"records": {"collected": 1.5}}, "records.collected: expected `int | null`"),
        ({"records": {"colected": 1}}, "records.colected: unknown field; allowed: expected, "),
        ({"quality": {"score": 1.2}}, "quality.score: expected `float` <= 1"),
        ({"recrods": {}}, "recrods: unknown field; allowed: collector, outcome, event_id"),
        ({"at": 5.0}, "at: unknown field"),
        ({"occurred_at": "2026-03-01T12:05:01Z"}, "occurred_at: 301 s in the future; allowed: "),
        ({"finished_at": "2024-01-01T00:00:00Z"}, "finished_at: 790.5 days old; allowed: at most"),
        ({"occurred_at": "2026-03-01 12:00"}, "occurred_at: invalid RFC3339"),
        ({"occurred_at": "2026-03-01T12:00:00"}, "occurred_at: expected `datetime`"),
        (
            {"started_at": "2026-03-01T12:00:00Z", "finished_at": "2026-03-01T11:00:00Z"},
            "finished_at: before started_at",
        ),
        (
            {"occurred_at": "2026-03-01T12:00:00Z", "finished_at": "2026-03-01T12:05:01Z"},
            "finished_at: 301 s in the future; allowed: ",
        ),
        ({"started_at": "2026-03-01T12:05:01Z"}, "started_at: 301 s in the future; allowed: "),
        ({"scheduled_for": "2099-03-01T12:00:00Z"}, "scheduled_for: 2303683200 s in the future"),
        ({"scheduled_for": "0001-01-01T00:00:00+14:00"}, "scheduled_for: out of range; allowed"),
        ({"data_time": "0001-01-01T00:00:00+14:00"}, "data_time: out of range; allowed: "),
        ({"quota": {"resets_at": "9999-12-31T23:59:59-14:00"}}, "quota.resets_at: out of range"),
        (
            {"credential_expires_at": "9999-12-31T23:59:59-14:00"},
            "credential_expires_at: out of range; allowed: ",
        ),
        ({"http_status": 42}, "http_status: expected `int` >= 100"),
        ({"event_id": ""}, "event_id: expected `str` of length >= 1"),
        ({"attempt": 2**70}, "attempt: "),
    ],
)
def test_refusal_names_field_problem_and_what_is_allowed(
    fields: dict[str, Any], expected: str
) -> None:
    """A refused item says which field is wrong, how, and what would be right."""
    problem = problem_of(**fields)
    assert problem is not None
    assert problem.lower().startswith(expected.lower()), problem


@given(
    field=st.sampled_from(
        ["occurred_at", "started_at", "finished_at", "scheduled_for", "data_time",
         "credential_expires_at", "resets_at"]
    ),
    clock=st.datetimes(),
    hours=st.integers(-23, 23),
)  # fmt: skip
def test_every_time_that_is_accepted_can_be_recorded(
    field: str, clock: datetime, hours: int
) -> None:
    """A moment that its time zone puts beyond the calendar in UTC is refused, not recorded."""
    text = f"{clock:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{hours:+03}:00"
    time = {"quota": {field: text}} if field == "resets_at" else {field: text}
    (item,) = decode_json(json.dumps({"collector": "a", "outcome": "success", **time}).encode())
    if isinstance(item, Outcome) and prepare(item, NOW, 400 * DAY) is None:
        assert decode_events(encode_events([item])) == [item]


def test_missing_field_is_named() -> None:
    """An item without its required fields says which one is missing."""
    assert decode_json(b'{"outcome":"success"}') == ["collector: missing; it is required"]


def test_batch_keeps_valid_items_and_their_order() -> None:
    """An invalid item takes its own place only."""
    body = b'[{"collector":"a","outcome":"success"},7,{"collector":"b","outcome":"failure"}]'
    first, second, third = decode_json(body)
    assert isinstance(first, Outcome)
    assert second == "item: expected `object`, got `int`"
    assert isinstance(third, Outcome)
    assert (first.collector, third.collector) == ("a", "b")


def test_lines_keep_valid_items() -> None:
    """A broken NDJSON line takes its own place only; empty lines have none."""
    body = (
        b'{"collector":"a","outcome":"success"}\n\n'
        b'{"collector":"b",\n{"collector":"c","outcome":"skipped"}\n'
    )
    first, second, third = decode_lines(body)
    assert isinstance(first, Outcome)
    assert isinstance(second, str)
    assert "not valid JSON" in second
    assert isinstance(third, Outcome)


@pytest.mark.parametrize(
    "body",
    [b"", b"7", b'"x"', b"{", b"[1,", b"\xff\xfe", b'{"collector": NaN}', b"[" * 100_000],
)
def test_malformed_body_is_a_value_error(body: bytes) -> None:
    """What is not JSON of the right shape is one error about the whole body."""
    with pytest.raises(ValueError, match="body: "):
        decode_json(body)


def test_event_time_prefers_occurred_then_finished_then_started() -> None:
    """The event time follows the documented order and falls back to arrival."""
    at = [datetime.fromtimestamp(NOW - n, UTC) for n in (1, 2, 3)]
    outcome = Outcome("a", "success", occurred_at=at[0], finished_at=at[1], started_at=at[2])
    assert prepare(outcome, NOW, DAY) is None
    assert (outcome.at, outcome.duration_seconds) == (NOW - 1, 1.0)
    outcome = Outcome("a", "success", started_at=at[2])
    prepare(outcome, NOW, DAY)
    assert outcome.at == NOW - 3
    outcome = Outcome("a", "success")
    prepare(outcome, NOW, DAY)
    assert outcome.at == NOW


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"http_status": 401}, "auth"),
        ({"http_status": 429}, "rate_limited"),
        ({"http_status": 503}, "upstream"),
        ({"http_status": 410}, "not_found"),
        ({"exit_code": 124}, "timeout"),
        ({"exit_code": 137}, "resource"),
        ({"error": {"type": "requests.exceptions.ConnectTimeout"}}, "timeout"),
        ({"error": {"type": "json.decoder.JSONDecodeError"}}, "parse"),
        ({"error": {"type": "Surprise"}, "exit_code": 1}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_failure_without_reason_gets_one(fields: dict[str, Any], reason: str) -> None:
    """HTTP status, exception name and exit code map to the closed set of reasons."""
    body = json.dumps({"collector": "a", "outcome": "failure", **fields}).encode()
    (outcome,) = decode_json(body)
    assert isinstance(outcome, Outcome)
    assert prepare(outcome, NOW, DAY) is None
    assert outcome.reason == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError(ConnectionRefusedError(111, "refused")), "connection"),
        (URLError(TimeoutError("slow")), "timeout"),
        (HTTPError("http://x", 429, "slow down", Message(), None), "rate_limited"),
        (HTTPError("http://x", 502, "bad", Message(), None), "upstream"),
        (json.JSONDecodeError("bad", "x", 0), "parse"),
        (KeyError("value"), "schema"),
        (OSError(28, "No space left on device"), "storage"),
        (MemoryError(), "resource"),
        (RuntimeError("?"), "unknown"),
    ],
)
def test_exception_tells_its_reason(error: BaseException, reason: str) -> None:
    """HTTP status, errno, class and the wrapped cause of an exception decide."""
    assert reasons.from_exception(error) == reason


def test_cause_of_an_exception_counts() -> None:
    """A wrapper that says nothing leaves the word to what it came from."""
    error = RuntimeError("failed")
    error.__cause__ = TimeoutError()
    assert reasons.from_exception(error) == "timeout"


def test_every_reason_has_a_class() -> None:
    """Recovery decides by class, so no reason may be without one."""
    assert set(reasons.CLASS_OF) == set(reasons.ALL_REASONS)
    assert set(reasons.CLASS_OF.values()) == {"transient", "access", "data", "environment"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://user:hunter2@db/x", "hunter2"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("GET /x?api_key=sk-12345&page=2", "sk-12345"),
        ('{"password": "hunter2"}', "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=AKIA/abc+def", "AKIA/abc+def"),
        ("token ghp_0123456789abcdef", "ghp_0123456789abcdef"),
    ],
)
def test_error_messages_lose_their_secrets(text: str, secret: str) -> None:
    """What looks like a credential never reaches the disk."""
    outcome = decode_json(
        json.dumps(
            {"collector": "a", "outcome": "failure", "error": {"type": "X", "message": text}}
        ).encode()
    )[0]
    assert isinstance(outcome, Outcome)
    prepare(outcome, NOW, DAY)
    stored = encode_events([outcome])
    assert secret.encode() not in stored
    assert b"[redacted]" in stored


def test_redaction_keeps_ordinary_text() -> None:
    """Messages without credentials stay as they are, cut at the limit."""
    text = "connection to 10.0.0.1:5432 refused after 3 attempts"
    assert redact(text) == text
    assert len(redact("x" * 5000)) == 1000


@given(st.text(max_size=300))
def test_any_foreign_name_becomes_a_valid_one(name: str) -> None:
    """Whatever another system calls its job, the cleaned name is allowed."""
    cleaned = clean_name(name)
    assert valid_name(cleaned)
    assert not valid_name(cleaned + "\n")
    assert len(cleaned) <= MAX_NAME


instants = st.datetimes(
    min_value=datetime(2025, 6, 1),  # noqa: DTZ001  # hypothesis wants naive bounds
    max_value=datetime(2026, 3, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
outcomes = st.builds(
    Outcome,
    collector=st.sampled_from(["a", "b/c", "d.e"]),
    outcome=st.sampled_from(["started", "success", "partial", "failure", "skipped", "aborted"]),
    event_id=st.none() | st.text(min_size=1, max_size=20),
    run_id=st.none() | st.sampled_from(["r1", "r2"]),
    occurred_at=st.none() | instants,
    scheduled_for=st.none() | instants,
    duration_seconds=st.none() | st.floats(0, 1e6),
    reason=st.none() | st.sampled_from(reasons.REASONS),
    records=st.none() | st.builds(Records, collected=st.none() | st.integers(0, 2**40)),
    quota=st.none() | st.builds(Quota, limit=st.floats(1, 1e6), remaining=st.floats(0, 1e6)),
    version=st.none() | st.text(max_size=10),
)


@given(st.lists(outcomes, max_size=5))
def test_ledger_encoding_gives_back_what_was_recorded(items: list[Outcome]) -> None:
    """Stored events decode to the same values."""
    events: list[Event] = [*items, Control("a", "paused", True, 5.0)]
    decoded = decode_events(encode_events(events))
    assert [msgspec.structs.astuple(event) for event in decoded] == [
        msgspec.structs.astuple(event) for event in events
    ]


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["collector", "outcome", "records", "quality", "error", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_decoding_never_raises_anything_but_value_error(document: Any) -> None:
    """Whatever JSON arrives, the answer is outcomes or clear errors."""
    body = json.dumps(document).encode()
    try:
        items = decode_json(body)
    except ValueError:
        return
    for item in items:
        if isinstance(item, Outcome):
            problem = prepare(item, NOW, DAY)
            assert problem is None or ": " in problem
        else:
            assert item
