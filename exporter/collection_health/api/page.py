"""The frame of every HTML page: one stylesheet, no scripts, readable on a phone."""

from html import escape

from aiohttp import web

STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:44rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}
label{display:block;margin:.6rem 0 .2rem}input,select,textarea,button{font:inherit;padding:.4rem}
input,textarea{width:100%;box-sizing:border-box}button{margin-top:1rem;cursor:pointer}
.strip{display:flex;gap:2px;flex-wrap:wrap}.strip span{width:.7rem;height:1.4rem;border-radius:2px}
.good{background:#2e7d32}.partial{background:#f9a825}.bad{background:#c62828}
"""
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
)


def page(title: str, body: str, status: int = 200) -> web.Response:
    """A whole page; ``body`` is HTML, ``title`` is text."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} – Collection Health</title><style>{STYLE}</style></head>"
        f'<body><p><a href="/">Collection Health</a></p><h1>{escape(title)}</h1>{body}'
        "</body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
