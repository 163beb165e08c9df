"""The pack as a whole: every knob of names and switches works, every alert is complete."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import _gojsonnet
import pytest
import yaml

from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "rules/generated"
RUNBOOKS = ROOT / "rules/runbooks/README.md"


def evaluate(expression: str, overlay: dict[str, Any] | None = None) -> Any:
    """A jsonnet expression over `mixin`, the pack with a changed `_config`."""
    snippet = f"""
      local mixin =
        (import 'config.libsonnet') + (import 'rules/rules.libsonnet') + {{ _config+:: {json.dumps(overlay or {})} }};
      {expression}
    """
    return json.loads(_gojsonnet.evaluate_snippet("pack.jsonnet", snippet, jpathdir=[str(ROOT)]))


def changed_alerts(overlay: dict[str, Any]) -> list[dict[str, Any]]:
    """The alerts of a changed pack, without what takes long to evaluate."""
    found: list[dict[str, Any]] = evaluate(
        "[{alert: r.alert, labels: r.labels, 'for': std.get(r, 'for'), extra: std.get(r.annotations, 'channel')}"
        " for g in mixin.prometheusAlerts.groups for r in g.rules]",
        overlay,
    )
    return found


def alerts(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All alerting rules of some groups."""
    return [rule for group in groups for rule in group["rules"]]


PACK = evaluate("{ rules: mixin.prometheusRules.groups, alerts: mixin.prometheusAlerts.groups }")
NAMES = sorted({rule["alert"] for rule in alerts(PACK["alerts"])})


def check(groups: list[dict[str, Any]], directory: Path) -> None:
    """Promtool accepts the groups without a warning."""
    file = directory / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": groups}))
    done = subprocess.run(
        [str(tool("promtool")), "check", "rules", "--lint=all", "--lint-fatal", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_default_label_is_left_when_all_are_renamed(tmp_path: Path) -> None:
    """Job selectors, instance labels and links come from the configuration and nowhere else."""
    renamed = evaluate(
        "{ rules: mixin.prometheusRules.groups, alerts: mixin.prometheusAlerts.groups }",
        {
            "selector": 'scrape="health"',
            "instanceLabels": ["target", "scrape"],
            "clusterLabel": "site",
            "prometheusSelector": 'scrape="prom"',
            "alertmanagerSelector": 'scrape="am"',
            "runbookUrlPattern": "https://runbooks.example/%s",
            "dashboardUrlPattern": "https://grafana.example/d/%s",
            "exporterUrl": "https://exporter.example",
        },
    )
    check(renamed["rules"], tmp_path)
    check(renamed["alerts"], tmp_path)
    text = json.dumps(renamed)
    for default in (
        'job=\\"', "instance", "container", "namespace", 'collection-health\\"', "github.com", "localhost",
    ):  # fmt: skip
        assert default not in text, re.findall(f".{{80}}{re.escape(default)}.{{40}}", text)[:3]


@pytest.mark.parametrize("alertname", NAMES)
def test_each_alert_can_be_switched_off(alertname: str) -> None:
    """A name in disabledAlerts takes away that alert and no other."""
    left = {rule["alert"] for rule in changed_alerts({"disabledAlerts": [alertname]})}
    assert left == set(NAMES) - {alertname}


def test_shadow_alerts_are_labelled_for_nobody() -> None:
    """An alert on trial carries shadow="true", the others do not."""
    trial = changed_alerts({"shadowAlerts": ["CollectorSlow"]})
    assert {rule["alert"] for rule in trial if rule["labels"].get("shadow") == "true"} == {
        "CollectorSlow"
    }


def test_extra_labels_annotations_and_overrides() -> None:
    """Teams add labels to all alerts and change single ones without touching jsonnet."""
    changed = changed_alerts({
        "alertExtraLabels": {"source": "collectors"},
        "alertExtraAnnotations": {"channel": "#data"},
        "alertOverrides": {"CollectorSlow": {"severity": "info", "for": "30m", "labels": {"kind": "pace"}}},
    })  # fmt: skip
    assert all(rule["labels"]["source"] == "collectors" for rule in changed)
    assert all(rule["extra"] == "#data" for rule in changed)
    slow = next(rule for rule in changed if rule["alert"] == "CollectorSlow")
    assert (slow["labels"]["severity"], slow["labels"]["kind"], slow["for"]) == (
        "info",
        "pace",
        "30m",
    )


def test_the_dial_moves_the_thresholds() -> None:
    """More false alerts accepted means thresholds that are reached sooner."""
    thresholds = "[r.expr for g in mixin.prometheusRules.groups for r in g.rules if r.record == 'collector:failing:threshold']"
    share = evaluate("mixin._config.falseAlertShares.failing")
    for dial in (0.5, 0.01):
        assert (
            f"ln({dial * share:g} /"
            in evaluate(thresholds, {"falseAlertsPerCollectorWeek": dial})[0]
        )


@pytest.mark.parametrize("rule", alerts(PACK["alerts"]), ids=lambda rule: rule["alert"])
def test_alert_is_complete(rule: dict[str, Any]) -> None:
    """Each alert says what is wrong, why, what it means, what to do and where to look."""
    written = rule["annotations"]
    assert len(rule["alert"]) <= 40
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert "kind" in rule["labels"]
    assert written["summary"].endswith(".")
    assert "{{" not in written["summary"]
    assert "{{" in written["description"]
    for annotation in ("cause", "impact", "action"):
        assert written[annotation].strip()
    assert written["runbook_url"].endswith("#" + rule["alert"].lower())
    assert written["dashboard_url"].startswith("/d/collection-health-")
    assert "root_cause" in rule["labels"] or "collector:labels:info" in rule["expr"]


@pytest.mark.parametrize("alertname", NAMES)
def test_alert_has_tests_and_a_runbook_section(alertname: str) -> None:
    """No alert ships without a promtool test and a runbook section with all its parts."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*_alerts.py"))
    assert f'"{alertname}"' in tests
    _, found, rest = RUNBOOKS.read_text().partition(f"\n## {alertname}\n")
    assert found, f"no section in {RUNBOOKS.name}"
    section = rest.split("\n## ")[0]
    for part in ("Meaning", "Impact", "Diagnosis", "Remedy", "False positives", "Knobs"):
        assert f"**{part}" in section, part


def test_groups_stay_small_and_named_once() -> None:
    """At most twenty rules a group, so that no group holds up another; names are unique."""
    groups = PACK["rules"] + PACK["alerts"]
    names = [group["name"] for group in groups]
    assert len(names) == len(set(names))
    assert {
        group["name"]: len(group["rules"]) for group in groups if len(group["rules"]) > 20
    } == {}


def test_generated_files_pass_promtool(tmp_path: Path) -> None:
    """The committed rules load without a lint warning."""
    for file in sorted(GENERATED.glob("*.yml")):
        check(yaml.safe_load(file.read_text())["groups"], tmp_path)


def test_runbook_queries_parse(tmp_path: Path) -> None:
    """Every query of a runbook is valid, so that nobody debugs the runbook at night."""
    blocks = re.findall(r"```promql\n(.*?)```", RUNBOOKS.read_text(), re.DOTALL)
    queries = [line for block in blocks for line in block.splitlines()]
    assert len(queries) > len(NAMES)
    rules = [
        {"record": f"runbook:query:{number}", "expr": expr} for number, expr in enumerate(queries)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": rules}]}))
    done = subprocess.run(
        [str(tool("promtool")), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_runbook_queries_name_series_that_exist() -> None:
    """A runbook asks for no recorded series that the pack does not write."""
    recorded = {rule["record"] for group in PACK["rules"] for rule in group["rules"]}
    asked = set(re.findall(r"\b(?:collector|dependency|fleet|team):\w+:\w+", RUNBOOKS.read_text()))
    assert asked - recorded == set()
