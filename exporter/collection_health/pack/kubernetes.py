"""The same as objects of Kubernetes: PrometheusRule, ConfigMap and Secret.

PrometheusRule is read by the Prometheus Operator; the label on the ConfigMaps is the one Grafana's
dashboard side-car looks for; the Secret is what an Alertmanager object of the operator names in
`spec.configSecret` (it mounts every key of it below /etc/alertmanager/config). It holds no secret:
receivers read theirs from files.
"""

from typing import Any

from collection_health.pack.mixin import Mixin
from collection_health.pack.plain import dashboard_text, template_text
from collection_health.pack.yamltext import HEADER, dump_bare

_TEMPLATES = "/etc/alertmanager/config/*.tmpl"


def render(mixin: Mixin) -> dict[str, str]:
    """File texts by path relative to the output directory."""
    settings = mixin.config["kubernetes"]
    name = settings["name"]

    def metadata(suffix: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": f"{name}-{suffix}",
            "labels": {"app.kubernetes.io/name": name} | settings["labels"] | (labels or {}),
        }
        if settings["namespace"]:
            found["namespace"] = settings["namespace"]
        return found

    rules = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata(suffix, settings["ruleLabels"]),
            "spec": spec,
        }
        for suffix, spec in (("rules", mixin.rules), ("alerts", mixin.alerts))
    ]
    dashboards = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(
                f"dashboard-{file.removesuffix('.json')}", settings["dashboardLabels"]
            ),
            "data": {file: dashboard_text(model)},
        }
        for file, model in mixin.dashboards.items()
    ]
    config = dict(mixin.alertmanager)
    if mixin.templates:
        config["templates"] = [_TEMPLATES]
    alertmanager = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata("alertmanager"),
        "type": "Opaque",
        "stringData": {"alertmanager.yaml": dump_bare(config)}
        | {file: template_text(text) for file, text in mixin.templates.items()},
    }
    return {
        "kubernetes/generated/prometheusrules.yml": _documents(rules),
        "kubernetes/generated/dashboards.yml": _documents(dashboards),
        "kubernetes/generated/alertmanager.yml": _documents([alertmanager]),
    }


def _documents(documents: list[dict[str, Any]]) -> str:
    return f"# {HEADER}\n" + "---\n".join(dump_bare(document) for document in documents)
