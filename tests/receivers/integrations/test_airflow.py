"""Airflow with its OpenLineage provider, pointed at the exporter by one variable."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.receivers.conftest import Exporter
from tests.receivers.integrations.conftest import EXAMPLES, Environment

pytestmark = [pytest.mark.integrations, pytest.mark.timeout(1800)]


def test_dags_report_themselves(
    exporter: Exporter, environment: Callable[[str], Environment], tmp_path: Path
) -> None:
    """Each DAG is one collector; the exception of a task is why its DAG failed."""
    exporter.start()
    airflow = environment("airflow")
    transport = {"type": "http", "url": exporter.url, "endpoint": "api/v1/lineage"}
    variables = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "prod",
    }
    airflow.run("airflow", "db", "migrate", cwd=tmp_path, **variables)
    airflow.run("airflow", "dags", "test", "orders", cwd=tmp_path, **variables)
    airflow.run("airflow", "dags", "test", "broken", cwd=tmp_path, check=False, **variables)
    assert sorted(exporter.pipeline.collectors) == ["prod/broken", "prod/orders"]
    assert exporter.kinds("prod/orders")[-1:] == ["success"]
    assert exporter.state("prod/orders").runs == 1
    assert exporter.state("prod/broken").failures == {"connection": 1}
    assert exporter.state("prod/broken").failure_message.startswith(
        "ConnectionRefusedError: broken.connect: "
    )
