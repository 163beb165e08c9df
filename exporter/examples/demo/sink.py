"""Where the demo's notifications land: a Slack-compatible endpoint, a mail server, a webhook."""

import email
import email.policy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Notification:
    """One message as it arrived: channel, ``firing`` or ``resolved``, one line of text."""

    at: float
    channel: str
    status: str
    text: str


class Sink:
    """Receives on all three channels and hands each message to ``on_message``."""

    def __init__(self, on_message: Callable[[Notification], None]) -> None:
        self._on_message = on_message
        self._runner: web.AppRunner | None = None
        self._smtp: Controller | None = None

    async def start(self, port: int, smtp_port: int) -> None:
        """Listen for HTTP on ``port`` and for mail on ``smtp_port``."""
        app = web.Application()
        app.router.add_post("/slack", self._slack)
        app.router.add_post("/webhook", self._webhook)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self._smtp = Controller(self, hostname="127.0.0.1", port=smtp_port)
        self._smtp.start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._smtp is not None:
            self._smtp.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    def _landed(self, channel: str, resolved: bool, text: str) -> None:
        status = "resolved" if resolved else "firing"
        self._on_message(Notification(time.time(), channel, status, text.strip()))

    async def _slack(self, request: web.Request) -> web.Response:
        message: dict[str, Any] = await request.json()
        first: dict[str, Any] = (message.get("attachments") or [{}])[0]
        title = str(first.get("title") or first.get("fallback") or message.get("text", ""))
        self._landed("slack", "resolved" in title.lower(), title)
        return web.Response(text="ok")

    async def _webhook(self, request: web.Request) -> web.Response:
        message: dict[str, Any] = json.loads(await request.text())
        names = sorted({alert["labels"]["alertname"] for alert in message["alerts"]})
        where = message["commonLabels"].get("root_cause", "")
        self._landed("webhook", message["status"] == "resolved", f"{', '.join(names)} {where}")
        return web.Response(text="ok")

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        """Called by aiosmtpd for every mail, on its own thread."""
        message = email.message_from_bytes(
            envelope.content if isinstance(envelope.content, bytes) else b"",
            EmailMessage, policy=email.policy.default,
        )  # fmt: skip
        subject = str(message["Subject"])
        self._landed("email", "resolved" in subject.lower(), subject)
        return "250 OK"
