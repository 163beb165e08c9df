"""Evaluates mixin.libsonnet with an overlay and hands its parts on."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _gojsonnet

from collection_health.pack.errors import PackError
from collection_health.pack.overlay import read_overlay

# `_config` as it is by default, and the paths of the maps whose keys are the user's to choose.
_KNOBS = """
local paths(value, at) =
  if std.isObject(value) then
    (if std.length(value) == 0 || std.get(value, 'extensible', false, true) == true
     then [at] else [])
    + std.flatMap(function(key) paths(value[key], at + [key]), std.objectFields(value))
  else [];
local config = (import 'mixin.libsonnet')._config;
{ defaults: config, extensible: paths(config, []) }
"""

_PARTS = """
local mixin = (import 'mixin.libsonnet') + { _config+:: %s };
{
  config: mixin._config,
  rules: mixin.prometheusRules,
  alerts: mixin.prometheusAlerts,
  dashboards: mixin.grafanaDashboards,
  alertmanager: mixin.alertmanager,
}
"""


@dataclass(frozen=True)
class Mixin:
    """What the jsonnet produced.

    `rules` and `alerts` are Prometheus rule files (`{"groups": [...]}`), `dashboards` maps file
    names to Grafana models, `alertmanager` is a configuration, `templates` maps file names to
    template text, `config` is `_config` with the overlay applied.
    """

    config: dict[str, Any]
    rules: dict[str, Any]
    alerts: dict[str, Any]
    dashboards: dict[str, dict[str, Any]]
    alertmanager: dict[str, Any]
    templates: dict[str, str]


def sources() -> Path:
    """The directory of mixin.libsonnet: of the checkout, else inside the installed package."""
    here = Path(__file__).resolve().parent
    for candidate in (here.parents[2], here / "sources"):
        if (candidate / "mixin.libsonnet").is_file():
            return candidate
    raise PackError(f"mixin.libsonnet is neither in {here.parents[2]} nor in {here / 'sources'}")


def evaluate(directory: Path, config: Path | None = None) -> Mixin:
    """Evaluate the mixin of `directory` with the knobs of `config` (YAML) changed.

    Raises PackError for an unreadable or wrong configuration and for errors of the jsonnet.
    """
    overlay = "{}"
    if config is not None:
        knobs = _evaluate(directory, _KNOBS)
        extensible = {tuple(path) for path in knobs["extensible"]}
        defaults = knobs["defaults"]
        overlay = _as_jsonnet(read_overlay(config, defaults, extensible), defaults)
    parts = _evaluate(directory, _PARTS % overlay, config)
    return Mixin(
        config=parts["config"],
        rules=parts["rules"],
        alerts=parts["alerts"],
        dashboards=parts["dashboards"],
        alertmanager=parts["alertmanager"]["config"],
        templates=parts["alertmanager"]["templates"],
    )


def _evaluate(directory: Path, snippet: str, config: Path | None = None) -> dict[str, Any]:
    filename = str(directory / "generate.jsonnet")  # imports are relative to it
    try:
        text = _gojsonnet.evaluate_snippet(filename, snippet, jpathdir=[str(directory)])
    except RuntimeError as error:
        message, _, trace = str(error).removeprefix("RUNTIME ERROR: ").partition("\n")
        if config is not None:
            # Our own checks begin with the knob's path: how jsonnet got there helps nobody then.
            trace = "" if re.match(r"[a-z]\w*[.:]", message) else trace
            message = f"{config}: {message}"
        raise PackError(f"{message}\n{trace}".rstrip()) from None
    result: dict[str, Any] = json.loads(text)
    return result


def _as_jsonnet(overlay: object, default: object) -> str:
    """JSON whose objects merge into those of the default (`+:`) in place of replacing them."""
    if not isinstance(overlay, dict) or not isinstance(default, dict):
        return json.dumps(overlay, allow_nan=False)
    fields = []
    for key, value in overlay.items():
        merge = isinstance(value, dict) and isinstance(default.get(key), dict)
        field = _as_jsonnet(value, default.get(key))
        fields.append(f"{json.dumps(key)}{'+' if merge else ''}: {field}")
    return "{ " + ", ".join(fields) + " }"
