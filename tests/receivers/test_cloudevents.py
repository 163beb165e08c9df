"""CloudEvents 1.0, encoded by the project's own SDK."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

from tests.receivers.conftest import Exporter

_BODY = b'{"collector":"orders","outcome":"success"}'


def send(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
    """Status and JSON answer of a POST to the outcomes route."""
    request = urllib.request.Request(f"{url}/api/v1/outcomes", body, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def cloudevent(data: Any, **attributes: Any) -> CloudEvent:
    """An event of the SDK."""
    given = {
        "id": "1", "source": "/jobs/nightly", "type": "com.example.collection.success",
        "datacontenttype": "application/json", **attributes,
    }  # fmt: skip
    return CloudEvent(attributes=given, data=data)


def test_binary_and_structured_events_are_outcomes(exporter: Exporter) -> None:
    """Both HTTP modes of the SDK reach the same collector; source and id make a repeat."""
    exporter.start()
    event = cloudevent({"collector": "orders", "outcome": "success"})
    for encode in (http.to_binary_event, http.to_structured_event):
        message = encode(event)
        assert send(exporter.url, message.headers, message.body)[0] == 200
    assert exporter.kinds("orders") == ["success"]
    assert exporter.recorded[0].event_id == "/jobs/nightly#1"
    assert exporter.counted("cloudevents", "accepted") == 1
    assert exporter.counted("cloudevents", "duplicate") == 1


def test_the_envelope_fills_in_what_the_data_leaves_out(exporter: Exporter) -> None:
    """Subject, time and type of the envelope name collector, event time and outcome."""
    exporter.start()
    moment = datetime.now(UTC).replace(microsecond=0)
    event = cloudevent(
        {"reason": "timeout"}, id="2", type="com.example.job.failure", subject="orders",
        time=moment,
    )  # fmt: skip
    message = http.to_binary_event(event)
    assert send(exporter.url, message.headers, message.body)[0] == 200
    (outcome,) = exporter.recorded
    assert (outcome.collector, outcome.outcome, outcome.reason) == ("orders", "failure", "timeout")
    assert outcome.occurred_at == moment


def test_a_batch_loses_only_its_invalid_events(exporter: Exporter) -> None:
    """Batched mode answers like an array of outcomes: every refusal by its index."""
    exporter.start()
    envelope = {"specversion": "1.0", "source": "/a", "type": "x.success"}
    events = [
        {**envelope, "id": "1", "data": {"collector": "orders"}},
        {**envelope, "data": {"collector": "orders"}},
        {**envelope, "id": "3", "data": {"collector": "orders", "records": {"collected": -1}}},
        {
            **envelope,
            "id": "4",
            "data_base64": base64.b64encode(b'{"collector":"orders"}').decode(),
        },
        {**envelope, "id": "5", "specversion": "0.3", "data": {"collector": "orders"}},
    ]
    headers = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
    status, answer = send(exporter.url, headers, json.dumps(events).encode())
    assert (status, answer["accepted"]) == (207, 2)
    assert [error["index"] for error in answer["errors"]] == [1, 2, 4]
    words = [error["error"].partition(":")[0] for error in answer["errors"]]
    assert words == ["id", "records.collected", "specversion"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/cloudevents+json", b"nonsense"),
        ("application/cloudevents+json", b"[]"),
        ("application/cloudevents-batch+json", b"{}"),
        ("application/cloudevents+protobuf", b"\x00"),
    ],
)
def test_what_is_no_cloudevent_is_a_clear_error(
    exporter: Exporter, content_type: str, body: bytes
) -> None:
    """A body that is not of its announced shape is refused as a whole, in words."""
    exporter.start()
    status, answer = send(exporter.url, {"Content-Type": content_type}, body)
    assert status == 400
    assert "allowed" in json.dumps(answer) or "JSON" in json.dumps(answer)
    assert exporter.recorded == []


def test_the_format_can_be_switched_off(exporter: Exporter) -> None:
    """With ``--disable cloudevents`` a structured event is an outcome with unknown fields."""
    exporter.start(disable=["cloudevents"])
    message = http.to_structured_event(cloudevent({"collector": "orders", "outcome": "success"}))
    assert send(exporter.url, message.headers, message.body)[0] == 400


def test_an_identity_that_is_not_unicode_is_refused(exporter: Exporter) -> None:
    """Raw bytes in a header are no id; what comes after is recorded as ever."""
    exporter.start()
    headers = {"ce-specversion": "1.0", "ce-source": "/x", "ce-type": "success"}
    address = exporter.url.removeprefix("http://")
    with closing(HTTPConnection(address, timeout=60)) as connection:
        connection.putrequest("POST", "/api/v1/outcomes")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("ce-id", b"\xff")
        connection.putheader("Content-Length", str(len(_BODY)))
        connection.endheaders(_BODY)
        answer = connection.getresponse()
        assert answer.status == 400
        assert "ce-id: not UTF-8" in json.load(answer)["detail"]
    assert send(exporter.url, headers | {"ce-id": "caf%C3%A9"}, _BODY)[0] == 200
    assert exporter.recorded[-1].event_id == "/x#café"
