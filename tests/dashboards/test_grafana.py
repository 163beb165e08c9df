"""A real Grafana shows every dashboard without an error (needs GRAFANA_BIN, see the README)."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from collection_health.backtest.engine import Engine
from tests.dashboards import dataset
from tests.dashboards.browser import Browser
from tests.dashboards.support import GENERATED, ROOT, committed, panels
from tests.support.process import free_port
from tests.support.services import Stack
from tests.tools import tool

pytestmark = [pytest.mark.grafana, pytest.mark.timeout(600)]

# What Grafana marks a panel with whose query or drawing failed (10 to 12).
ERRORS = """
[...document.querySelectorAll(
  '[data-testid*="Panel status error"], [aria-label*="Panel status error"],'
  + '[aria-label="Alert error"]'
)].map(found => found.getAttribute('aria-label') || found.closest('section')?.innerText || 'error')
"""


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Grafana with the committed dashboards on a Prometheus with the data set."""
    binary = os.environ.get("GRAFANA_BIN")
    if not binary:
        pytest.fail("set GRAFANA_BIN to the program `grafana` of a Grafana installation (10.4+)")
    directory = tmp_path_factory.mktemp("grafana")
    span = dataset.END - dataset.START
    stack = Stack(directory / "stack")
    with Engine(tool("prometheus"), engine="prometheus", span_seconds=span) as engine:
        dataset.load(engine, ROOT / "rules" / "generated")
        provision(directory / "provisioning", engine.url)
        port = free_port()
        home = Path(binary).resolve().parents[1]
        process = stack.process(
            "grafana",
            [binary, "server", "--homepath", home],
            env={
                **os.environ,
                "GF_PATHS_DATA": str(directory / "data"),
                "GF_PATHS_LOGS": str(directory / "logs"),
                "GF_PATHS_PLUGINS": str(directory / "plugins"),
                "GF_PATHS_PROVISIONING": str(directory / "provisioning"),
                "GF_SERVER_HTTP_ADDR": "127.0.0.1",
                "GF_SERVER_HTTP_PORT": str(port),
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
                "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
                "GF_PLUGINS_PREINSTALL_DISABLED": "true",
            },
        )
        try:
            process.wait_http(f"http://127.0.0.1:{port}/api/health", timeout=120)
            yield f"http://127.0.0.1:{port}"
        finally:
            stack.close()


def provision(directory: Path, prometheus: str) -> None:
    """Write Grafana's provisioning files: one data source and the committed dashboards."""
    for kind in ("datasources", "dashboards"):
        (directory / kind).mkdir(parents=True)
    source = {
        "name": "Prometheus",
        "type": "prometheus",
        "uid": "prometheus",
        "url": prometheus,
        "access": "proxy",
        "isDefault": True,
        "jsonData": {"timeInterval": f"{dataset.STEP:.0f}s"},
    }
    (directory / "datasources" / "prometheus.yml").write_text(
        yaml.safe_dump({"apiVersion": 1, "datasources": [source]})
    )
    provider = {"name": "collection-health", "type": "file", "options": {"path": str(GENERATED)}}
    (directory / "dashboards" / "dashboards.yml").write_text(
        yaml.safe_dump({"apiVersion": 1, "providers": [provider]})
    )


@pytest.mark.parametrize("name", sorted(committed()))
async def test_dashboard_opens_without_an_error(grafana: str, name: str) -> None:
    """Grafana provisions the dashboard, runs all of its queries, and no panel shows an error."""
    dashboard = committed()[name]
    end = int(dataset.END * 1000)
    url = (
        f"{grafana}/d/{dashboard['uid']}/x?kiosk&from={end - 6 * 3_600_000}&to={end}"
        "&var-datasource=prometheus&var-collector=orders"
    )
    async with Browser() as browser:
        answers = await browser.open(url, watch="/api/ds/query")
        errors = await browser.evaluate(ERRORS)
        shown = await browser.evaluate("document.body.innerText")
    assert answers, f"no query was sent; the page says: {shown[:500]}"
    for status, body in answers:
        results = json.loads(body).get("results", {})
        failed = {ref: result["error"] for ref, result in results.items() if "error" in result}
        assert status == 200, body[:500]
        assert not failed
    assert errors == []
    missing = [panel["title"] for panel in panels(dashboard) if panel["title"] not in shown]
    assert [title for title in missing if "$" not in title] == []
