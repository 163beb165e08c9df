"""dbt through ``dbt-ol``, the wrapper of the OpenLineage project."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.receivers.conftest import Exporter
from tests.receivers.integrations.conftest import EXAMPLES, Environment

pytestmark = [pytest.mark.integrations, pytest.mark.timeout(1800)]


def test_a_dbt_project_is_one_collector(
    exporter: Exporter, environment: Callable[[str], Environment], tmp_path: Path
) -> None:
    """An invocation is one run, its data tests are its quality, a failed test fails it."""
    exporter.start()
    dbt = environment("dbt")
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES / "dbt", project)
    variables = {
        "OPENLINEAGE_URL": exporter.url, "OPENLINEAGE_NAMESPACE": "prod",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }  # fmt: skip
    build = ("dbt-ol", "build", "--project-dir", ".", "--profiles-dir", ".")
    dbt.run(*build, cwd=project, **variables)
    assert list(exporter.pipeline.collectors) == ["prod/dbt-run-shop"]
    assert exporter.kinds("prod/dbt-run-shop") == ["started", "success"]
    assert exporter.state("prod/dbt-run-shop").last_quality == 1.0
    assert dbt.run(*build, "--vars", "second_id: 1", cwd=project, check=False, **variables) != 0
    assert exporter.state("prod/dbt-run-shop").failures == {"quality": 1}


def test_events_while_dbt_runs(
    exporter: Exporter, environment: Callable[[str], Environment], tmp_path: Path
) -> None:
    """With structured logs every query is a run; they count as the one invocation they are."""
    exporter.start()
    dbt = environment("dbt")
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES / "dbt", project)
    (project / "models/broken.sql").write_text("select nothing from {{ ref('orders') }}")
    variables = {
        "OPENLINEAGE_URL": exporter.url, "OPENLINEAGE_NAMESPACE": "prod",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }  # fmt: skip
    dbt.run("dbt-ol", "--consume-structured-logs", "build", "--project-dir", ".",
            "--profiles-dir", ".", cwd=project, check=False, **variables)  # fmt: skip
    state = exporter.state("prod/dbt-run-shop")
    assert list(exporter.pipeline.collectors) == ["prod/dbt-run-shop"]
    assert (state.runs, state.failures) == (1, {"schema": 1})
    assert "model.shop.broken: Runtime Error in model broken" in state.failure_message
