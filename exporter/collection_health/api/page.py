"""The frame of every HTML page: one stylesheet, one small script, no build step.

Everything works without the script; it keeps a page current. A policy with a fresh nonce lets
nothing else run, and forms go nowhere but here.
"""

import secrets
from html import escape
from pathlib import Path

from aiohttp import web

from collection_health import __version__

_HERE = Path(__file__).parent
STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
SCRIPT = (_HERE / "live.js").read_text(encoding="utf-8")
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M1 8h3l2-5 4 10 2-5h3' fill='none' stroke='%232e7d32' stroke-width='2'/%3E"
    "%3C/svg%3E"
)
LINKS = (
    ("/metrics", "metrics"), ("/-/healthy", "healthy"), ("/-/ready", "ready"),
    ("/api/v1/health", "health as JSON"), ("/openapi.json", "API"),
)  # fmt: skip


def page(title: str, body: str, status: int = 200, *, stream: str = "") -> web.Response:
    """A whole page; ``body`` is HTML, ``title`` is text, ``stream`` what keeps it live."""
    nonce = secrets.token_urlsafe(16)
    links = "".join(f'<a href="{path}">{text}</a>' for path, text in LINKS)
    live = '<span id="live" class="soft" role="status"></span>' if stream else ""
    script = f'<script nonce="{nonce}">{SCRIPT}</script>' if stream else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)} – Collection Health</title><link rel="icon" href="{_ICON}">'
        f'<style nonce="{nonce}">{STYLE}</style></head>'
        f'<body data-stream="{escape(stream)}"><a class="skip" href="#main">Skip to content</a>'
        f'<header><a class="home" href="/">Collection Health</a>{live}</header>'
        f'<main id="main">{body}</main><footer><p>{links}</p><p>Version {escape(__version__)}</p>'
        f"</footer>{script}</body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=_headers(nonce))


def _headers(nonce: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'nonce-{nonce}'; "
        f"script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
