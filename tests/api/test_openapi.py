"""/openapi.json describes what is served, and what is served does as it says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.support import ask
from tests.support.services import Exporter, Stack

INVENTORY = """
collectors:
  - {name: orders, schedule: {every: 1h}}
  - {name: prod/prices}
"""
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance",
)  # fmt: skip


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """One that fails, one that is well."""
    stack = Stack(tmp_path_factory.mktemp("openapi"))
    exporter = stack.exporter(INVENTORY)
    exporter.post([{"collector": "orders", "outcome": "success"},
                   {"collector": "prod/prices", "outcome": "failure"}])  # fmt: skip
    yield exporter
    stack.close()


@pytest.fixture(scope="module")
def document(exporter: Exporter) -> dict[str, Any]:
    """The document of the running exporter."""
    found: dict[str, Any] = ask(exporter, "/openapi.json").body
    return found


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """Reading, steering and badges are there; each has a summary and documents its errors."""
    assert document["openapi"].startswith("3.1")
    expected = {
        "/api/v1/collectors", "/api/v1/collectors/{name}", "/api/v1/collectors/{name}/runs",
        "/api/v1/collectors/{name}/incidents", "/api/v1/collectors/{name}/ready-for-consumers",
        "/api/v1/collectors/{name}/ack", "/api/v1/collectors/{name}/maintenance",
        "/api/v1/health", "/api/v1/impact", "/api/v1/audit", "/api/v1/stream",
        "/api/v1/outcomes", "/api/v1/recoveries", "/api/v1/break-glass", "/api/v1/recover",
        "/api/v1/alerts/{fingerprint}/feedback", "/badges/{name}.svg", "/badges/{name}.json",
    }  # fmt: skip
    assert expected <= document["paths"].keys()
    operations = [item for path in document["paths"].values() for item in path.values()]
    assert all(item["summary"] and {"400", "401", "403"} <= item["responses"].keys()
               for item in operations)  # fmt: skip
    assert len({item["operationId"] for item in operations}) == len(operations)


def test_nothing_a_client_sends_breaks_the_api(
    exporter: Exporter, document: dict[str, Any], tmp_path: Path
) -> None:
    """Schemathesis: no 5xx, and every answer is as documented, for good and for bad requests."""
    run_schemathesis(exporter, document, tmp_path, "--phases=fuzzing", "--max-examples=5")


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_nothing_many_clients_send_breaks_the_api(
    exporter: Exporter, document: dict[str, Any], tmp_path: Path
) -> None:
    """The same with every boundary of every parameter and many more requests (make test-api)."""
    run_schemathesis(exporter, document, tmp_path, "--phases=coverage,fuzzing,stateful",
                     "--max-examples=100")  # fmt: skip


def run_schemathesis(
    exporter: Exporter, document: dict[str, Any], folder: Path, *options: str
) -> None:
    """Run it against the exporter; half of the names it sends exist."""
    document = json.loads(json.dumps(document))
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "name":
                    known = {"enum": ["orders", "prod/prices"]}
                    parameter["schema"] = {"anyOf": [known, parameter["schema"]]}
    file = folder / "openapi.json"
    file.write_text(json.dumps(document))
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", str(file),
        "--url", exporter.url, "--checks", ",".join(CHECKS), "--generation-deterministic",
        "--no-color", "--exclude-path", "/api/v1/stream",  # it never ends
        "--suppress-health-check", "too_slow",  # a busy machine is no defect
        *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
