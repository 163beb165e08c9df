"""Files for Prometheus, Grafana and Alertmanager as they read them themselves."""

import json
from typing import Any

from collection_health.pack.mixin import Mixin
from collection_health.pack.yamltext import HEADER, dump


def render(mixin: Mixin) -> dict[str, str]:
    """File texts by path relative to the output directory."""
    files = {
        "rules/generated/rules.yml": dump(mixin.rules),
        "rules/generated/alerts.yml": dump(mixin.alerts),
        "alertmanager/generated/alertmanager.yml": dump(mixin.alertmanager),
    }
    for name, model in mixin.dashboards.items():
        files[f"dashboards/generated/{name}"] = dashboard_text(model)
    for name, text in mixin.templates.items():
        files[f"alertmanager/generated/templates/{name}"] = template_text(text)
    return files


def dashboard_text(model: dict[str, Any]) -> str:
    """A Grafana model as JSON."""
    return json.dumps(model, indent=2, ensure_ascii=False) + "\n"


def template_text(text: str) -> str:
    """An Alertmanager template with the header as a comment of its own language."""
    return f"{{{{/* {HEADER} */}}}}\n{text.rstrip()}\n"
