"""What several back-test tests need: the engine's program, small histories, promtool as oracle."""

import json
import math
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from collection_health.backtest import alerts
from collection_health.backtest.engine import Series
from collection_health.backtest.remote_write import Times
from tests.tools import tool

MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def prometheus() -> str:
    """Path of a real Prometheus."""
    return str(tool("prometheus"))


def text(moment: float) -> str:
    """Unix seconds as RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def outcome(collector: str, at: float, result: str = "success", **more: Any) -> dict[str, Any]:
    """One outcome that ended at ``at``."""
    return {"collector": collector, "outcome": result, "finished_at": text(at), **more}


def write_history(path: Path, outcomes: Iterable[Mapping[str, Any]]) -> Path:
    """An NDJSON history."""
    path.write_text("".join(json.dumps(item) + "\n" for item in outcomes))
    return path


def promtool_agrees(
    directory: Path,
    rules: Mapping[str, Any],
    inputs: Sequence[Series],
    grid: Times,
    expected: Mapping[tuple[tuple[str, str], ...], alerts.States],
) -> None:
    """Assert that `promtool test rules` finds exactly the ALERTS we expect at every grid time.

    promtool's time starts at 0; our times are shifted by whole weeks, as its users do.
    """
    step = int(grid[1] - grid[0])
    (directory / "rules.yml").write_text(yaml.safe_dump(dict(rules)))
    tests = []
    for index, moment in enumerate(grid):
        samples = [
            {
                "labels": _selector({"__name__": "ALERTS", "alertstate": state, **dict(labels)}),
                "value": 1,
            }
            for labels, states in expected.items()
            for state, times in (("pending", states.pending), ("firing", states.firing))
            if moment in times
        ]
        tests.append({"expr": "ALERTS", "eval_time": f"{index * step}ms", "exp_samples": samples})
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{step}ms",
        # promtool takes groups in random order unless told.
        "group_eval_order": [group["name"] for group in rules["groups"]],
        "tests": [
            {
                "interval": f"{step}ms",
                "input_series": [
                    {"series": _selector(series.labels), "values": _values(series, grid)}
                    for series in inputs
                ],
                "promql_expr_test": tests,
            }
        ],
    }
    (directory / "test.yml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", "test.yml"],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def _selector(labels: Mapping[str, str]) -> str:
    inner = ", ".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels['__name__']}{{{inner}}}"


def _values(series: Series, grid: Times) -> str:
    """promtool's notation: ``_`` is no sample, ``stale`` ends the series."""
    known = dict(zip(series.times.tolist(), series.values.tolist(), strict=True))
    words = []
    for moment in grid.tolist():
        value = known.get(moment)
        words.append("_" if value is None else "stale" if math.isnan(value) else repr(value))
    return " ".join(words)
