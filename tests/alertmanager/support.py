"""What the tests of the Alertmanager configuration share: generating, asking amtool, samples."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from collection_health.pack import mixin, plain
from tests.tools import ensure, tool

ROOT = Path(__file__).resolve().parents[2]
NOTIFICATIONS = Path(__file__).parent / "notifications"
SAMPLES = ROOT / "alertmanager" / "samples"
# Debian releases whose Alertmanager the generated files must work with, and the versions they
# carry: the oldest supported, the one where newer fields begin, and the newest there is.
SUITES = {"bookworm": "0.25", "trixie": "0.28", "sid": "0.32"}

# Parts that a test does not look at would take most of the time.
_SOURCES = """
(import '{root}/config.libsonnet') +
(import '{root}/alertmanager/alertmanager.libsonnet') +
{{ prometheusRules: {{}}, prometheusAlerts: {{}}, grafanaDashboards: {{}} }} +
{rules}
"""

# `alertmanager.when` of tests, which must not depend on the hour they run at.
ALWAYS = {severity: dict.fromkeys("123", "always") for severity in ("critical", "warning", "info")}

# Every kind of channel, a team with its own, one that shares, and a dependency with an owner.
EVERYTHING: dict[str, Any] = {
    "channels": {
        "slack": {"api_url_file": "/etc/alertmanager/slack_url", "channel": "#collectors"},
        "email": {"to": "oncall@example.org", "from": "a@example.org", "smarthost": "mail:587"},
        "webhook": {"url": "http://chatops:8080/alerts"},
        "pager": {"url": "http://pager:8080/", "credentials_file": "/etc/alertmanager/pager"},
    },
    "teams": {
        "data": {
            "slack": "#data",
            "email": "data@example.org",
            "dependencies": ["warehouse", "orders.api"],
        },
        "web": {"slack": {"channel": "#web"}, "email": None, "timezone": "Europe/Berlin"},
    },
    "deadMansSwitch": {"url": "http://deadman:8080/"},
}


def generate(
    directory: Path, section: Mapping[str, Any], *, rules: bool = False, **knobs: Any
) -> Path:
    """Write alertmanager.yml and its templates for a pack.yml whose `alertmanager` is `section`.

    With `rules` also rules.yml and alerts.yml. Returns the path of alertmanager.yml. Raises
    PackError.
    """
    sources = directory / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    rules_source = f"(import '{ROOT}/rules/rules.libsonnet')" if rules else "{}"
    (sources / "mixin.libsonnet").write_text(_SOURCES.format(root=ROOT, rules=rules_source))
    pack = directory / "pack.yml"
    pack.write_text(yaml.safe_dump({"alertmanager": dict(section), **knobs}))
    written = plain.render(mixin.evaluate(sources, pack))
    for name, text in written.items():
        file = directory / re.sub("^(alertmanager|rules)/generated/", "", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory / "alertmanager.yml"


def amtool(*arguments: str | Path, suite: str | None = None) -> str:
    """What amtool prints. Raises AssertionError with its complaint when it fails."""
    program = ensure("amtool", suite=suite) if suite else tool("amtool")
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (
        f"amtool {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


def render(
    config: Path, template: str, notification: str, *, html: bool = False, suite: str | None = None
) -> str:
    """A template applied to one of the notifications beside this file."""
    return amtool(
        "template",
        "render",
        f"--template.glob={config.parent}/templates/*.tmpl",
        f'--template.text={{{{ template "collection_health.{template}" . }}}}',
        f"--template.type={'html' if html else 'text'}",
        f"--template.data={NOTIFICATIONS / notification}.json",
        suite=suite,
    )


def receivers_for(config: Path, labels: Mapping[str, str], suite: str | None = None) -> list[str]:
    """The receivers an alert with these labels reaches, in order."""
    printed = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={config}",
        *(f"{name}={value}" for name, value in labels.items() if value),
        suite=suite,
    )
    return printed.strip().split(",")


def load(config: Path) -> dict[str, Any]:
    """A generated configuration as data."""
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    return content


def notification(name: str) -> dict[str, Any]:
    """One of the notifications beside this file."""
    content: dict[str, Any] = json.loads((NOTIFICATIONS / f"{name}.json").read_text())
    return content
