"""Two DAGs; nothing in them knows of Collection Health.

pip install apache-airflow-providers-openlineage
export AIRFLOW__OPENLINEAGE__TRANSPORT='{"type": "http", "url": "http://127.0.0.1:9036",
                                         "endpoint": "api/v1/lineage"}'
export AIRFLOW__OPENLINEAGE__NAMESPACE=prod
"""

from datetime import UTC, datetime

from airflow.sdk import dag, task

START = datetime(2026, 1, 1, tzinfo=UTC)


@dag(schedule="@daily", start_date=START, catchup=False)
def orders() -> None:
    """Fetch and load: the collector ``prod/orders``."""

    @task
    def fetch() -> int:
        return 42

    @task
    def load(rows: int) -> None:
        print(f"{rows} rows loaded")

    load(fetch())


@dag(schedule="@daily", start_date=START, catchup=False)
def broken() -> None:
    """Fail to connect: the collector ``prod/broken``, with the reason ``connection``."""

    @task
    def connect() -> None:
        raise ConnectionRefusedError("warehouse:5432")

    connect()


orders()
broken()
