"""Pictures of sample messages for alertmanager/README.md: `python -m tests.alertmanager.pictures`.

Emails are shown as they are; Slack messages by a small imitation of Slack's own rendering.
"""

import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.alertmanager.samples import sample_file
from tests.alertmanager.support import SAMPLES
from tests.tools import ensure

# Sample, format and the height of the picture in pixels.
PICTURES = (
    ("firing", "email.html", 520),
    ("resolved", "email.html", 330),
    ("firing", "slack.txt", 330),
    ("dependency", "slack.txt", 300),
    ("resolved", "slack.txt", 220),
)
WIDTH = 720
_COLORS = {"danger": "#c62828", "warning": "#daa038", "good": "#2eb67d"}
_PAGE = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0;padding:16px;background:#fff;
font:15px/1.46 Lato,'DejaVu Sans',Arial,sans-serif;color:#1d1c1d">
<div style="display:flex;gap:8px"><div style="width:36px;height:36px;border-radius:6px;
background:#1f2328;color:#fff;text-align:center;line-height:36px;font-weight:700">CH</div><div>
<b>Collection Health</b> <span style="font-size:11px;background:#e8e8e8;color:#616061;padding:1px
3px;border-radius:2px">APP</span> <span style="font-size:12px;color:#616061">14:22</span>
<div style="border-left:4px solid {color};padding-left:12px;margin-top:4px">
<div style="font-weight:700;color:#1264a3">{title}</div>
<div style="white-space:pre-wrap">{text}</div>
<div style="font-size:12px;color:#616061;margin-top:4px">Collection Health · data/critical</div>
</div></div></div>"""


def slack_page(sample: str) -> str:
    """HTML that shows a Slack sample roughly as Slack would."""
    title, color, _, text = sample.split("\n", 3)
    color = color.strip("()")
    text = re.sub(
        r"<([^|>]+)\|([^>]+)>", r'<a style="color:#1264a3" href="\1">\2</a>', text.rstrip()
    )
    text = re.sub(r"(?m)(^|(?<=\s))\*([^*\n]+)\*", r"<b>\2</b>", text)
    return _PAGE.format(color=_COLORS.get(color, color), title=html.escape(title), text=text)


def main() -> int:
    """Take every picture."""
    chromium = ensure("chromium")
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind, height in PICTURES:
            text = sample_file(name, kind).read_text()
            page = Path(scratch) / "page.html"
            page.write_text(slack_page(text) if kind == "slack.txt" else text)
            picture = SAMPLES / f"{name}.{kind.split('.')[0]}.png"
            command = [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={scratch}/profile",
                f"--window-size={WIDTH},{height}",
                f"--screenshot={picture}",
                page.as_uri(),
            ]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            print(picture.relative_to(Path.cwd()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
