"""Grafana's own schema as the oracle for typing mistakes."""

import json
import warnings
from typing import Any

import pytest

from tests.dashboards.support import evaluate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK advertises its next schema
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard


def missing_keys(given: Any, known: Any, path: str = "") -> list[str]:
    """Paths of keys that are in ``given`` and that the schema dropped."""
    if isinstance(given, dict) and isinstance(known, dict):
        return [
            lost
            for key in given
            for lost in (
                missing_keys(given[key], known[key], f"{path}.{key}")
                if key in known
                else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list) and isinstance(known, list):
        return [
            lost
            for index, (a, b) in enumerate(zip(given, known, strict=True))
            for lost in missing_keys(a, b, f"{path}[{index}]")
        ]
    return []


def through_schema(dashboard: dict[str, Any]) -> Any:
    """The dashboard as the SDK understands it: unknown keys are gone."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


@pytest.mark.parametrize("name", sorted(evaluate()))
def test_no_key_is_unknown_to_grafana(name: str) -> None:
    """Grafana ignores a misspelt key silently; the schema does not know it, so it shows here."""
    dashboard = evaluate()[name]
    assert missing_keys(dashboard, through_schema(dashboard)) == []


def test_the_oracle_finds_a_typing_mistake() -> None:
    """A misspelt panel option, field option and query key are each reported by path."""
    dashboard = json.loads(json.dumps(next(iter(evaluate().values()))))
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "stat")
    panel["options"]["graphMod"] = "area"
    panel["fieldConfig"]["defaults"]["noVal"] = "x"
    panel["targets"][0]["legend_format"] = "x"
    lost = missing_keys(dashboard, through_schema(dashboard))
    assert {path.rsplit(".", 1)[1] for path in lost} == {"graphMod", "legend_format", "noVal"}
