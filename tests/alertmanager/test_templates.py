"""What people read: every message, rendered by the real amtool, against committed samples.

`python -m tests.alertmanager.samples` writes the samples anew after a change of the templates.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.alertmanager.samples import FORMATS, NAMES, rendered, sample_file
from tests.alertmanager.support import SUITES, generate, render

ORDER = [
    "Since",
    "last 3 runs",
    "Why",
    "Cost",
    "Being done",
    "Do",
    "Acknowledge",
    "Silence",
    "Noise",
]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_message_is_the_committed_sample(default: Path, name: str, kind: str) -> None:
    """A template renders exactly the sample that readers see in alertmanager/samples."""
    assert rendered(default, name, kind) == sample_file(name, kind).read_text()


@pytest.mark.compat
@pytest.mark.parametrize("suite", SUITES)
def test_messages_are_the_same_on_every_release(default: Path, suite: str) -> None:
    """Every supported Alertmanager renders the samples alike."""
    for name in NAMES:
        for kind in FORMATS:
            expected = sample_file(name, kind).read_text()
            assert rendered(default, name, kind, suite) == expected, (name, kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_message_answers_in_order(default: Path, kind: str) -> None:
    """What and since when, why, what it costs, what is being done, what to do."""
    text = _visible(rendered(default, "firing", kind))
    positions = [text.find(part) for part in ORDER]
    assert -1 not in positions, dict(zip(ORDER, positions, strict=True))
    # The links of Slack and email are sorted differently; what people read first is not.
    assert positions[:6] == sorted(positions[:6])
    assert max(positions[:6]) < min(positions[6:])


@pytest.mark.parametrize("kind", FORMATS)
def test_resolved_message_says_how_long_and_what_ended_it(default: Path, kind: str) -> None:
    """A resolved message gives duration, times, and what made the alert end."""
    text = _visible(rendered(default, "resolved", kind))
    assert "42m42s, Mon 2 Mar 13:21 to 14:03 UTC" in text
    assert "A run succeeded again" in text
    assert "restart, attempt 1 of 2" in text
    assert "Acknowledge" not in text


def test_error_messages_cannot_mention_or_link_in_slack(default: Path) -> None:
    """Text from a collector's error can neither notify a channel nor hide a link."""
    text = rendered(default, "hostile", "slack.txt")
    assert "<!channel>" not in text
    assert "<https://evil" not in text
    assert "javascript:" not in text
    assert "{{ .Values }}" in text


def test_error_messages_cannot_run_scripts_in_email(default: Path) -> None:
    """HTML from a collector's error is shown, not executed."""
    text = rendered(default, "hostile", "email.html")
    assert "<script" not in text
    assert "javascript:" not in text
    assert "&lt;script&gt;" in text
    assert "ZgotmplZ" not in text


def test_links_name_the_collector_and_lead_to_forms(tmp_path: Path) -> None:
    """Links go to the configured exporter, with foreign characters of names encoded."""
    config = generate(tmp_path, {}, exporterUrl="https://collectors.example.org/ch")
    text = rendered(config, "hostile", "slack.txt")
    links = re.findall(r"<([^|>]+)\|([^>]+)>", text)
    base = "https://collectors.example.org/ch"
    name = "shop%2Feu%3Aprices%2Btax"
    feedback = (
        f"{base}/feedback?alertname=CollectorFailing&collector={name}"
        "&fingerprint=ffffffffffffffff&verdict="
    )
    assert {label: url for url, label in links} == {
        "Acknowledge": f"{base}/collectors/{name}/ack",
        "Silence": "http://alertmanager.example.org:9093/#/silences/new"
        f"?filter=%7Bcollector%3D%22{name}%22%7D",
        "Relevant": f"{feedback}relevant",
        "Noise": f"{feedback}noise",
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_a_storm_is_cut_short(default: Path, kind: str) -> None:
    """Thirty alerts show the most important in full, more as a line each, and stay readable."""
    text = rendered(default, "many", kind)
    visible = _visible(text)
    assert visible.index("feed-29") < visible.index("feed-01") < visible.index("feed-00")
    in_full = len(re.findall(r"of feed-\d+ is \d+ minutes old", visible))
    assert in_full == (5 if kind == "slack.txt" else 10)
    assert len(text) < 40_000, "Slack cuts longer messages"


@pytest.mark.compat
def test_newer_alertmanagers_say_why_they_notify(tmp_path: Path) -> None:
    """From 0.32 a message may tell a repetition from news."""
    config = generate(tmp_path, {"version": "0.32"})
    assert "{{ .NotificationReason }}" in (config.parent / "templates/links.tmpl").read_text()
    assert render(config, "slack.text", "firing", suite="sid")


class _Text(HTMLParser):
    """Collects what a mail program would show."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def _visible(text: str) -> str:
    if "<html" not in text:
        return text
    reader = _Text()
    reader.feed(text)
    return " ".join(reader.parts)
