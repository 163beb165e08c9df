"""Two jobs that report their runs: one loads orders and checks them, one cannot connect.

COLLECTION_HEALTH_URL=http://127.0.0.1:9036 dagster dev -f definitions.py
"""

from dagster import (
    AssetCheckResult,
    Definitions,
    MaterializeResult,
    asset,
    asset_check,
    define_asset_job,
    job,
    op,
)

from collection_health.integrations.dagster import collection_health_sensors


@asset
def orders() -> MaterializeResult:
    """Load orders and say how many."""
    return MaterializeResult(metadata={"dagster/row_count": 42})


@asset_check(asset=orders)
def no_orphans() -> AssetCheckResult:
    """Check that every order has a customer."""
    return AssetCheckResult(passed=True)


@op
def connect() -> None:
    """Reach for a warehouse that is not there."""
    raise ConnectionRefusedError("warehouse:5432")


@job
def broken() -> None:
    """Fail in its only step."""
    connect()


defs = Definitions(
    assets=[orders],
    asset_checks=[no_orphans],
    jobs=[define_asset_job("load_orders", [orders]), broken],
    sensors=[*collection_health_sensors()],
)
