"""Who may read, steer and act: scopes, strangers, other sites; and a large fleet."""

import urllib.parse
from collections.abc import Iterator

import pytest

from tests.api.support import ask
from tests.support.process import free_port, port_is_free, wait_for
from tests.support.services import COMMAND, Exporter, Stack

READER, WRITER, CONTROLLER = ("reader-token-0123456789", "writer-token-0123456789",
                              "control-token-0123456789")  # fmt: skip
READS = (
    "/", "/openapi.json", "/api/v1/collectors", "/api/v1/collectors/orders",
    "/api/v1/collectors/orders/runs", "/api/v1/collectors/orders/incidents",
    "/api/v1/collectors/orders/ready-for-consumers", "/api/v1/health", "/api/v1/impact",
    "/api/v1/audit", "/api/v1/stream", "/badges/orders.svg", "/badges/orders.json",
    "/collectors/orders", "/collectors/orders/ack",
    "/feedback?alertname=A&fingerprint=a&verdict=noise",
)  # fmt: skip
STEERS = (
    *(
        f"/api/v1/collectors/orders/{verb}"
        for verb in ("ack", "unack", "pause", "resume", "maintenance")
    ),
    "/api/v1/alerts/abc/feedback",
)


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """An exporter with a token for each scope."""
    folder = tmp_path_factory.mktemp("access")
    names = {"read": READER, "write": WRITER, "control": CONTROLLER}
    for scope, token in names.items():
        (folder / scope).write_text(token)
    entries = ", ".join(f"{{name: {s}, token_file: {s}, scopes: [{s}]}}" for s in names)
    (folder / "tokens.yml").write_text(f"tokens: [{entries}]")
    stack = Stack(folder)
    port = free_port()
    process = stack.process("exporter", [
        *COMMAND, "serve", f"--web.listen-address=127.0.0.1:{port}",
        f"--web.token-file={folder / 'tokens.yml'}", f"--storage.path={folder / 'data'}",
    ])  # fmt: skip
    wait_for(lambda: not port_is_free(port), "the exporter")  # whose /-/ready needs a token too
    exporter = Exporter(process, port)
    outcomes = [{"collector": "orders", "outcome": "failure"}]
    answer = ask(exporter, "/api/v1/outcomes", outcomes, Authorization=f"Bearer {WRITER}")
    assert answer.status == 200
    yield exporter
    stack.close()


@pytest.mark.parametrize("path", READS)
def test_reading_needs_the_scope_where_there_are_credentials(exporter: Exporter, path: str) -> None:
    """Neither strangers nor a writer's token see anything; errors are problem documents."""
    refused = ask(exporter, path)
    assert refused.status == 401
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert ask(exporter, path, Authorization=f"Bearer {WRITER}").status == 403


def test_a_reader_reads(exporter: Exporter) -> None:
    """The scope read is enough for everything that changes nothing."""
    for path in READS:
        if path != "/api/v1/stream":
            answer = ask(exporter, path, Authorization=f"Bearer {READER}")
            assert answer.status in (200, 409), path


@pytest.mark.parametrize("path", STEERS)
def test_steering_needs_the_scope_control(exporter: Exporter, path: str) -> None:
    """Without a token 401, with another scope 403, whatever the body says."""
    for body in ({}, b"x" * 1000):
        assert ask(exporter, path, body).status == 401
        for token in (READER, WRITER):
            assert ask(exporter, path, body, Authorization=f"Bearer {token}").status == 403


def test_the_audit_log_names_the_token(exporter: Exporter) -> None:
    """Who acts is who the token belongs to, whatever the body claims."""
    answer = ask(exporter, "/api/v1/collectors/orders/ack", {"actor": "the boss"},
                 Authorization=f"Bearer {CONTROLLER}")  # fmt: skip
    assert answer.body["controls"]["acknowledged"]["actor"] == "control"


@pytest.mark.parametrize("site", ["https://evil.example", "null"])
def test_other_sites_cannot_steer(stack: Stack, site: str) -> None:
    """A page of another site cannot make a browser press a button, with or without a form."""
    exporter = stack.exporter()
    exporter.post({"collector": "orders", "outcome": "failure"})
    form = urllib.parse.urlencode({"duration": "1h"}).encode()
    for path in STEERS:
        for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json"):
            answer = ask(exporter, path, form, Origin=site, Content_Type=kind)
            assert answer.status == 403, path
    assert ask(exporter, "/api/v1/audit").body["entries"] == []


def test_pages_forbid_foreign_scripts(stack: Stack) -> None:
    """Every page has a policy under which only its own script runs, with a fresh nonce."""
    exporter = stack.exporter()
    exporter.post({"collector": "orders", "outcome": "failure",
                   "error": {"message": "<script>alert(1)</script>"}})  # fmt: skip
    policies = set()
    for path in ("/", "/collectors/orders", "/collectors/orders/ack", "/collectors/nobody"):
        page = ask(exporter, path)
        policy = page.headers["Content-Security-Policy"]
        policies.add(policy)
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "<script>" not in page.body
    assert len(policies) == 4


def test_a_large_fleet_is_served_in_pages(stack: Stack) -> None:
    """A thousand collectors: every page of the API and of the status page is bounded."""
    exporter = stack.exporter()
    exporter.post([{"collector": f"team-{n % 20}/job-{n:04}", "outcome": "failure" if n % 50 == 0
                    else "success"} for n in range(1000) for _ in range(3)])  # fmt: skip
    answer = ask(exporter, "/api/v1/collectors?limit=1000")
    assert len(answer.body["collectors"]) == 1000
    assert ask(exporter, "/api/v1/collectors").body["next"] is not None
    page = ask(exporter, "/").body
    assert page.count("<article") == 50
    assert "Page 1 of 20" in page
    assert len(page) < 300_000
    last = ask(exporter, "/?page=20&q=job").body
    assert last.count("<article") == 50
