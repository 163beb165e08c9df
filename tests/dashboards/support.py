"""Reading dashboards: evaluate the mixin, walk panels and queries, fill in Grafana's macros."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import _gojsonnet

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "dashboards" / "generated"

Json = dict[str, Any]

# What Grafana puts in for a six-hour view on a screen of about 1,000 pixels and a 15 s scrape.
MACROS: Mapping[str, str] = {
    "__rate_interval": "75s",
    "__interval": "60s",
    "__interval_ms": "60000",
    "__range": "21600s",
    "__range_s": "21600",
    "__range_ms": "21600000",
}


@dataclass(frozen=True)
class Query:
    """One expression that a dashboard sends to the data source."""

    dashboard: str
    place: str  # panel title, "variable NAME" or "annotation NAME"
    expr: str
    instant: bool
    panel_type: str = ""
    ref: str = "A"
    points: int = 1000  # how many Grafana asks for on a screen 1,920 pixels wide
    interval: str = "15s"  # the shortest step

    def __str__(self) -> str:
        """Where the query stands: the id of its test."""
        return f"{self.dashboard} / {self.place} / {self.ref}"


@cache
def evaluate(config: str = "{}") -> dict[str, Json]:
    """All dashboards by file name, from the mixin with ``config`` (jsonnet) laid over `_config`."""
    snippet = "((import 'mixin.libsonnet') + {_config+:: " + config + "}).grafanaDashboards"
    return dict(
        json.loads(_gojsonnet.evaluate_snippet("dashboards", snippet, jpathdir=[str(ROOT)]))
    )


@cache
def committed() -> dict[str, Json]:
    """The generated dashboards as committed, by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(GENERATED.glob("*.json"))}


def panels(dashboard: Json) -> Iterator[Json]:
    """Panels that show something: rows and their headers left out."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def queries(dashboard: Json) -> Iterator[Query]:
    """Every expression of the dashboard: panels, variables, annotations."""
    title = dashboard["title"]
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield Query(
                title,
                panel["title"],
                target["expr"],
                target["instant"],
                panel["type"],
                target["refId"],
                panel.get("maxDataPoints", panel["gridPos"]["w"] * 1920 // 24),
                panel.get("interval", "15s"),
            )
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield Query(title, f"variable {variable['name']}", variable["definition"], True)
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield Query(
                title,
                f"annotation {annotation['name']}",
                annotation["expr"],
                instant=False,
                interval=annotation["step"],
            )


def fill(expr: str, variables: Mapping[str, str]) -> str:
    """Replace macros and variables in all three spellings; an unknown one raises `KeyError`."""
    known = {**MACROS, **variables}
    return re.sub(
        r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})", lambda match: known[match[1] or match[2]], expr
    )


LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)$")


def promql(query: Query, variables: Mapping[str, str]) -> str:
    """The PromQL that reaches Prometheus; of ``label_values(selector, label)`` the selector."""
    match = LABEL_VALUES.match(query.expr)
    return fill(match["selector"] if match else query.expr, variables)


@cache
def rule_groups() -> list[Json]:
    """The groups of recording rules of the mixin."""
    snippet = "(import 'mixin.libsonnet').prometheusRules.groups"
    return list(json.loads(_gojsonnet.evaluate_snippet("rules", snippet, jpathdir=[str(ROOT)])))


@cache
def alert_groups() -> list[Json]:
    """The groups of alerting rules of the mixin."""
    snippet = "(import 'mixin.libsonnet').prometheusAlerts.groups"
    return list(json.loads(_gojsonnet.evaluate_snippet("alerts", snippet, jpathdir=[str(ROOT)])))
