"""The generated files on every release that Debian carries, oldest supported to newest.

Run by `make test-compat`, which fetches the releases first and afterwards repeats the tests of the
rules, alerts and dashboards on each.
"""

import subprocess
from pathlib import Path

import pytest

from tests.tools import tool

pytestmark = pytest.mark.compat

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("bookworm", "trixie", "sid")
RULES = sorted((ROOT / "rules/generated").glob("*.yml"))


@pytest.mark.parametrize("suite", SUITES)
def test_promtool_accepts_the_rules(suite: str) -> None:
    """No error and no lint warning, whichever Prometheus reads them."""
    assert RULES
    check = [str(tool("promtool", suite=suite)), "check", "rules", "--lint=all", "--lint-fatal"]
    subprocess.run([*check, *RULES], check=True)


@pytest.mark.parametrize("suite", SUITES)
def test_amtool_accepts_the_configuration(suite: str) -> None:
    """The configuration written for the oldest supported Alertmanager is read by the newest too."""
    config = ROOT / "alertmanager/generated/alertmanager.yml"
    subprocess.run([tool("amtool", suite=suite), "check-config", config], check=True)


@pytest.mark.parametrize("suite", SUITES[1:])
def test_vmalert_accepts_the_rules(suite: str) -> None:
    """VictoriaMetrics' ruler parses every expression and template.

    bookworm's vmalert 1.79 is older than `keep_firing_for` and cannot read the rules.
    """
    files = [f"-rule={path}" for path in RULES]
    subprocess.run([tool("vmalert", suite=suite), "-dryRun", *files], check=True)
