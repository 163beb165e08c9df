"""Where notifications arrive in tests and in the demo: a real HTTP server and a real SMTP server.

A sink speaks what Slack's incoming webhooks, a mail server and any webhook speak, writes down what
arrives and can be told to fail.
"""

import email
import email.policy
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.process import free_port, wait_for

# Channels with an HTTP path of their own; everything else posted is recorded by its path as well.
HTTP_CHANNELS = ("slack", "webhook", "pager", "recovery", "deadman")
_SLACK_GOOD = "good"


@dataclass(frozen=True)
class Message:
    """One notification as it arrived.

    `channel` is slack, email or the first part of the path it was posted to; `status` is firing or
    resolved; `alerts` are Alertmanager's alerts where the channel carries them (webhooks); `raw` is
    the JSON body or the parsed email.
    """

    channel: str
    at: float
    status: str
    title: str
    text: str
    raw: Any = field(repr=False)
    alerts: tuple[dict[str, Any], ...] = ()

    @property
    def html(self) -> str:
        """The HTML part of an email, empty for other channels."""
        if not isinstance(self.raw, EmailMessage):
            return ""
        part = self.raw.get_body(("html",))
        return str(part.get_content()) if part else ""


class NotificationSink:
    """Records what it is sent on `http_url` and `smarthost`; a context manager.

    `on_message` is called for each message, in the thread that received it. `fail[channel]` makes a
    channel answer with that status (HTTP, such as 500 or 429) or SMTP reply (such as 550).
    """

    def __init__(self, on_message: Callable[[Message], None] | None = None) -> None:
        self.messages: list[Message] = []
        self.fail: dict[str, int] = {}
        self.refused: list[str] = []
        self._on_message = on_message
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self._smtp = Controller(
            _Mailbox(self), hostname="127.0.0.1", port=free_port(), ready_timeout=60
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self._smtp.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._smtp.stop()

    @property
    def http_url(self) -> str:
        """Base URL of the HTTP side; a channel listens at `/slack`, `/webhook`, ..."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def smarthost(self) -> str:
        """`host:port` of the mail server."""
        return f"127.0.0.1:{self._smtp.port}"

    def channels(self, directory: Path) -> dict[str, Any]:
        """`alertmanager.channels` of a pack.yml that delivers here; writes its secret files."""
        url = directory / "slack_url"
        url.write_text(f"{self.http_url}/slack")
        return {
            "slack": {"api_url_file": str(url), "channel": "#collectors"},
            "email": {
                "to": "oncall@example.org",
                "from": "collection-health@example.org",
                "smarthost": self.smarthost,
                "require_tls": False,
            },
            "webhook": {"url": f"{self.http_url}/webhook"},
            "pager": {"url": f"{self.http_url}/pager"},
        }

    def received(
        self, channel: str | None = None, status: str | None = None, containing: str = ""
    ) -> list[Message]:
        """Messages so far, oldest first, optionally of one channel and status."""
        with self._lock:
            present = list(self.messages)
        return [
            message
            for message in present
            if channel in (None, message.channel)
            and status in (None, message.status)
            and containing in message.title + message.text
        ]

    def wait_for(
        self, channel: str, status: str | None = None, containing: str = "", timeout: float = 60
    ) -> Message:
        """The first such message, waited for."""
        what = f"{channel} message {status or ''} {containing}"
        return wait_for(lambda: self.received(channel, status, containing), what, timeout)[0]

    def record(self, message: Message) -> None:
        """Write a message down."""
        with self._lock:
            self.messages.append(message)
        if self._on_message:
            self._on_message(message)


class _Server(ThreadingHTTPServer):
    # A refused connection would make Alertmanager try again and look like a second message.
    request_queue_size = 128
    daemon_threads = True


def message_from_json(channel: str, body: dict[str, Any]) -> Message:
    """A message from what Slack's API or a webhook is sent."""
    if channel == "slack":
        attachment = body["attachments"][0]
        status = "resolved" if attachment.get("color") == _SLACK_GOOD else "firing"
        return Message(channel, time.time(), status, attachment["title"], attachment["text"], body)
    alerts = tuple(body.get("alerts", ()))
    names = sorted({alert["labels"].get("alertname", "") for alert in alerts})
    return Message(
        channel,
        time.time(),
        str(body.get("status", "")),
        ", ".join(names),
        json.dumps(body.get("commonLabels", {})),
        body,
        alerts,
    )


def _handler(sink: NotificationSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            channel = self.path.strip("/").split("/")[0]
            status = sink.fail.get(channel, 200)
            if status == 200:
                sink.record(message_from_json(channel, json.loads(body)))
            else:
                sink.refused.append(channel)
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet: what arrives is recorded, not printed."""

    return Handler


class _Mailbox:
    def __init__(self, sink: NotificationSink) -> None:
        self._sink = sink

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if status := self._sink.fail.get("email"):
            self._sink.refused.append("email")
            return f"{status} refused by the test"
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        subject = str(mail["Subject"])
        plain = mail.get_body(("plain",))
        self._sink.record(
            Message(
                "email",
                time.time(),
                "resolved" if subject.startswith("[RESOLVED]") else "firing",
                subject,
                str(plain.get_content()) if plain else "",
                mail,
            )
        )
        return "250 OK"
