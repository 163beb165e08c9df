"""Controls, feedback and their pages, over HTTP on a real exporter."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.process import wait_for
from tests.support.services import Exporter, Stack, http_json, http_text

NAME = "prod/orders:eu"
PATH = urllib.parse.quote(NAME, safe="")


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """One exporter with one failing collector."""
    stack = Stack(tmp_path_factory.mktemp("api"))
    exporter = stack.exporter(arguments=["--timers.settle=0s"])
    exporter.post(
        {
            "collector": NAME, "outcome": "failure", "reason": "auth",
            "error": {"message": "<b>denied</b>"},
        }
    )  # fmt: skip
    yield exporter
    stack.close()


def send(exporter: Exporter, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Status and JSON (or text) of a POST."""
    headers.setdefault("Content_Type", "application/json")
    request = urllib.request.Request(
        exporter.url + path,
        body,
        {name.replace("_", "-"): value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def active(exporter: Exporter, control: str) -> float | None:
    """The control's metric."""
    return exporter.sample(f'collection_control_active{{collector="{NAME}",control="{control}"}}')


def test_acknowledgement_is_seen_in_metrics_and_expires(exporter: Exporter) -> None:
    """An acknowledgement holds for its duration, then ends by itself."""
    body = json.dumps({"duration": "2s", "reason": "looking", "actor": "kim"}).encode()
    status, answer = send(exporter, f"/api/v1/collectors/{PATH}/ack", body)
    assert status == 200
    assert answer["controls"]["acknowledged"]["actor"] == "kim (unverified)"
    assert active(exporter, "acknowledged") == 1
    wait_for(lambda: active(exporter, "acknowledged") == 0, "its expiry", timeout=70)


def test_a_retired_collector_is_forgotten_at_once(exporter: Exporter) -> None:
    """Its series and its page end, the audit log says who and why; a new report starts anew."""
    series = 'collection_runs_total{collector="old/job"}'
    for _ in range(2):
        exporter.post({"collector": "old/job", "outcome": "success"})
    assert exporter.sample(series) == 2
    body = json.dumps({"reason": "retired", "actor": "kim"}).encode()
    path = "/api/v1/collectors/old%2Fjob/forget"
    assert send(exporter, path, body) == (200, {"collector": "old/job", "forgotten": True})
    assert exporter.sample(series) is None
    assert send(exporter, path, body)[0] == 404
    (entry,) = http_json(f"{exporter.url}/api/v1/audit?collector=old/job")["entries"]
    assert (entry["action"], entry["actor"]) == ("forgotten", "kim (unverified)")
    assert entry["reason"] == "retired"
    exporter.post({"collector": "old/job", "outcome": "success"})
    assert exporter.sample(series) == 1


@pytest.mark.parametrize(
    ("on", "off", "control"),
    [("pause", "resume", "paused"), ("maintenance", None, "maintenance"), ("ack", "unack", None)],
)
def test_controls_switch_on_and_off(
    exporter: Exporter, on: str, off: str | None, control: str | None
) -> None:
    """Each control begins and ends on request."""
    control = control or "acknowledged"
    assert send(exporter, f"/api/v1/collectors/{PATH}/{on}")[0] == 200
    assert active(exporter, control) == 1
    if off:
        assert send(exporter, f"/api/v1/collectors/{PATH}/{off}")[0] == 200
    else:
        assert send(exporter, f"/api/v1/collectors/{PATH}/{on}", b'{"active": false}')[0] == 200
    assert active(exporter, control) == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("nobody/ack", b"", 404, "never reported"),
        (f"{PATH}/ack", b'{"duration": "5x"}', 400, "is not a duration"),
        (f"{PATH}/ack", b'{"duration": "91d"}', 400, "allowed: up to 90 days"),
        (f"{PATH}/ack", b'{"until": "2020-01-01T00:00:00Z"}', 400, "in the past"),
        (f"{PATH}/ack", b'{"who": "me"}', 400, "who: unknown field"),
        (f"{PATH}/ack", b"{", 400, "not valid JSON"),
        (f"{PATH}/ack", b" " * 100_000, 413, "allowed: 65536 bytes"),
    ],
)
def test_bad_control_is_refused(
    exporter: Exporter, path: str, body: bytes, status: int, text: str
) -> None:
    """The answer names the field, its problem and what is allowed."""
    found, answer = send(exporter, f"/api/v1/collectors/{path}", body)
    assert found == status
    assert text in answer["detail"]


def test_get_changes_nothing(exporter: Exporter) -> None:
    """A link opened by a mail scanner only shows a form."""
    page = http_text(f"{exporter.url}/collectors/{PATH}/ack")
    assert f'action="/api/v1/collectors/{PATH}/ack"' in page
    assert active(exporter, "acknowledged") == 0
    with pytest.raises(urllib.error.HTTPError, match=r"405|404") as caught:
        http_text(f"{exporter.url}/api/v1/collectors/{PATH}/ack")
    caught.value.close()


def test_form_acknowledges_and_leads_back(exporter: Exporter) -> None:
    """Confirming the form acknowledges and shows the collector."""
    form = urllib.parse.urlencode({"duration": "1h", "actor": "kim", "reason": "on it"}).encode()
    status, page = send(
        exporter, f"/api/v1/collectors/{PATH}/ack", form, Origin=exporter.url,
        Accept="text/html", Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert status == 200
    assert "on it" in page
    assert active(exporter, "acknowledged") == 1
    assert send(exporter, f"/api/v1/collectors/{PATH}/unack")[0] == 200


def test_cross_site_form_is_refused(exporter: Exporter) -> None:
    """Another site cannot make a person's browser acknowledge."""
    status, _ = send(
        exporter, f"/api/v1/collectors/{PATH}/ack", b"duration=1h", Origin="https://evil.example",
        Accept="text/html", Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert status == 403
    assert active(exporter, "acknowledged") == 0


def test_pages_escape_what_collectors_say(exporter: Exporter) -> None:
    """An error message is text, never markup."""
    page = http_text(f"{exporter.url}/collectors/{PATH}")
    assert "<b>denied" not in page
    assert "&lt;b&gt;denied" in page
    assert "1 of the last 1 runs failed" in page


def test_feedback_is_counted_by_alert_and_verdict(exporter: Exporter) -> None:
    """A verdict reaches the scorecard's counter, and a bad one is refused."""
    query = "alertname=CollectorFailing&fingerprint=abc123&verdict=noise&collector=x"
    assert "noise" in http_text(f"{exporter.url}/feedback?{query}")
    body = b'{"alertname": "CollectorFailing", "verdict": "noise", "collector": "x"}'
    assert send(exporter, "/api/v1/alerts/abc123/feedback", body)[0] == 200
    series = 'collection_alert_feedback_total{alertname="CollectorFailing",verdict="noise"}'
    assert exporter.sample(series) == 1
    body = b'{"alertname": "CollectorFailing", "verdict": "meh"}'
    status, answer = send(exporter, "/api/v1/alerts/abc123/feedback", body)
    assert status == 400
    assert "verdict" in answer["detail"]
