"""The committed sample messages: `python -m tests.alertmanager.samples` writes them anew."""

import sys
import tempfile
from pathlib import Path

from tests.alertmanager.support import NOTIFICATIONS, SAMPLES, generate, render

NAMES = tuple(sorted(file.stem for file in NOTIFICATIONS.glob("*.json")))
# File ending to the template and whether it is rendered as HTML.
FORMATS = {
    "slack.txt": ("slack.text", False),
    "email.html": ("email.html", True),
    "email.txt": ("email.text", False),
}


def sample_file(name: str, kind: str) -> Path:
    """Where the sample of a notification in one format is kept."""
    return SAMPLES / f"{name}.{kind}"


def rendered(config: Path, name: str, kind: str, suite: str | None = None) -> str:
    """A notification in one format; a Slack message begins with its title and colour."""
    template, html = FORMATS[kind]
    text = render(config, template, name, html=html, suite=suite)
    if kind == "slack.txt":
        title, color = (
            render(config, part, name, suite=suite) for part in ("title", "slack.color")
        )
        text = f"{title.strip()}\n({color.strip()})\n\n{text}"
    return text.rstrip() + "\n"


def main() -> int:
    """Write every sample."""
    SAMPLES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        config = generate(Path(scratch), {})
        for name in NAMES:
            for kind in FORMATS:
                sample_file(name, kind).write_text(rendered(config, name, kind))
    return 0


if __name__ == "__main__":
    sys.exit(main())
