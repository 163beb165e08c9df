"""Probes against real servers: what each type finds, and what it says when something is wrong."""

import asyncio
import contextlib
import datetime as dt
import gzip
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from collection_health import reasons
from collection_health.inventory import InventoryError, parse
from collection_health.inventory_schema import Probe, parse_duration
from collection_health.probes import content, schemas
from collection_health.probes.checks import Checker, Finding, open_session
from collection_health.probes.config import ParsingExpect
from collection_health.probes.judge import Judge, Question
from tests.support.process import free_port

ORDERS = {"data": {"items": [{"id": 1, "price": 2.5}, {"id": 2, "price": 3}]}}


def probe(kind: str, url: str | None = None, **keys: Any) -> Probe:
    """Return a probe as the inventory would read it; a busy machine has a minute to answer."""
    data = {"type": kind, "url": url, "timeout": "60s", **keys}
    return msgspec.convert(data, Probe, dec_hook=lambda _, value: parse_duration(value))


@contextlib.asynccontextmanager
async def upstream(context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve good and bad answers; yields the base URL."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return {
            "/json": lambda: web.json_response(ORDERS),
            "/empty": lambda: web.json_response({"data": {"items": []}}),
            "/broken": lambda: web.Response(text='{"data": ['),
            "/csv": lambda: web.Response(text="id,price\n1,2.5\n2,3\n"),
            "/xml": lambda: web.Response(text="<orders><order/><order/></orders>"),
            "/big": lambda: web.Response(body=b"x" * 200_000),
            "/limited": lambda: web.Response(status=429),
            "/denied": lambda: web.Response(status=401),
            "/down": lambda: web.Response(status=503),
            "/moved": lambda: web.Response(status=302, headers={"Location": "/json"}),
            "/circle": lambda: web.Response(status=302, headers={"Location": "/circle"}),
            "/token": lambda: web.Response(
                status=200 if request.headers.get("Authorization") == "Bearer s3cret" else 401
            ),
            "/bomb": lambda: web.Response(
                body=gzip.compress(b"0" * (64 << 20)), headers={"Content-Encoding": "gzip"}
            ),
        }[request.path]()

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    app = web.Application()
    app.router.add_get("/slow", slow)
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def checker(folder: Path = Path()) -> AsyncIterator[Checker]:
    """Yield a checker that looks for files in `folder`."""
    judge = Judge()
    async with open_session(4) as session:
        try:
            yield Checker(folder, session, judge)
        finally:
            await judge.close()


async def find(kind: str, url: str | None, folder: Path = Path(), **keys: Any) -> Finding:
    """Run one probe."""
    async with checker(folder) as one:
        return await one.check(probe(kind, url, **keys))


@pytest.mark.parametrize(
    ("kind", "path", "expect", "reason", "message"),
    [
        ("connectivity", "/json", {}, None, "status 200"),
        ("connectivity", "/moved", {}, None, "status 200"),
        ("connectivity", "/down", {"status": 503}, None, "status 503"),
        ("connectivity", "/down", {"status": [200, 204]}, "upstream", "expected 200, 204"),
        ("connectivity", "/limited", {}, "rate_limited", "status 429, expected 200 to 299"),
        ("connectivity", "/denied", {}, "auth", "status 401"),
        ("connectivity", "/json", {"contains": "price"}, None, "status 200"),
        ("connectivity", "/json", {"contains": "nowhere"}, "schema", "text is missing"),
        ("connectivity", "/circle", {}, "config", "more than 5 redirects"),
        ("parsing", "/json", {"path": "data.items", "min_records": 2}, None, "2 records"),
        ("parsing", "/json", {"path": "data.items", "columns": ["id"]}, None, "2 records"),
        ("parsing", "/json", {"path": "data.items", "columns": ["sku"]}, "schema", "key 'sku'"),
        ("parsing", "/json", {"path": "data.rows"}, "schema", "'rows' is missing"),
        ("parsing", "/json", {"path": "data.items", "min_records": 3}, "quality", "2 records"),
        ("parsing", "/empty", {"path": "data.items", "min_records": 1}, "empty", "0 records"),
        ("parsing", "/broken", {}, "parse", "not JSON at line 1"),
        ("parsing", "/csv", {"format": "csv", "columns": ["price"]}, None, "2 records"),
        ("parsing", "/csv", {"format": "csv", "columns": ["sku"]}, "schema", "column 'sku'"),
        ("parsing", "/xml", {"format": "xml", "path": ".//order"}, None, "2 records"),
        ("parsing", "/json", {"format": "xml"}, "parse", "not XML at line 1"),
        ("performance", "/big", {"max_duration": "50s", "min_bytes": 1000}, None, "200000 bytes"),
        ("performance", "/big", {"max_bytes": 1000}, "quality", "larger than 1000 bytes"),
        ("performance", "/csv", {"min_bytes": 1000}, "quality", "expected at least 1000"),
        ("performance", "/json", {"max_duration": 1e-9}, "timeout", "allowed 1e-09 s"),
    ],
)
async def test_http_answers_are_judged(
    kind: str, path: str, expect: dict[str, Any], reason: str | None, message: str
) -> None:
    """Each type finds what it is for, with a reason of the taxonomy and a message that says why."""
    async with upstream() as base:
        found = await find(kind, base + path, expect=expect)
    assert (found.success, found.reason) == (reason is None, reason), found
    assert message in found.message
    assert path in found.message
    assert reason is None or reason in reasons.REASONS


async def test_what_does_not_answer_is_named() -> None:
    """Refused connections, unknown hosts and slowness each have their reason."""
    port = free_port()
    for url in (f"http://127.0.0.1:{port}/", f"tcp://127.0.0.1:{port}", f"tls://127.0.0.1:{port}"):
        found = await find("connectivity", url)
        assert (found.success, found.reason) == (False, "connection"), found
    found = await find("connectivity", "dns://no-such-host.invalid")
    assert (found.success, found.reason) == (False, "connection")
    async with upstream() as base:
        found = await find("connectivity", f"{base}/slow", timeout="0.2s")
    assert (found.success, found.reason) == (False, "timeout")
    assert "no answer within 0.2 s" in found.message


async def test_tcp_and_dns_answers() -> None:
    """A port that accepts and a name that resolves are connectivity; a wrong address is not."""
    async with upstream() as base:
        assert (await find("connectivity", base.replace("http", "tcp"))).success
    assert (await find("connectivity", "dns://localhost")).success
    found = await find("connectivity", "dns://localhost", expect={"addresses": ["192.0.2.1"]})
    assert not found.success
    assert "192.0.2.1" in found.message


async def test_certificates_are_verified_and_their_expiry_known(tmp_path: Path) -> None:
    """TLS probes trust only the given authority, report the expiry, and fail before it comes."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=soon).configure_cert(context)
    trusting = {"ca_file": "ca.pem"}
    async with upstream(context) as base:
        tls = base.replace("https", "tls")
        assert (await find("connectivity", f"{base}/json", tmp_path, expect=trusting)).success
        stranger = await find("connectivity", f"{base}/json", tmp_path)
        found = await find("connectivity", tls, tmp_path, expect=trusting)
        late = await find("connectivity", tls, tmp_path, expect={**trusting, "valid_for": "7d"})
        unknown = await find("connectivity", tls, tmp_path)
    assert not stranger.success
    assert (unknown.success, unknown.reason) == (False, "connection")
    assert "certificate" in unknown.message
    assert found.success
    assert found.expires_at == pytest.approx(soon.timestamp(), abs=2)
    assert (late.success, late.reason) == (False, "auth")
    assert late.expires_at == found.expires_at


def schema_files(folder: Path) -> None:
    """Write a schema that refers to another file, and one that wants the network."""
    order = {"type": "object", "required": ["id"], "properties": {"price": {"$ref": "price.json"}}}
    (folder / "orders.json").write_text(json.dumps({"type": "array", "items": order}))
    (folder / "price.json").write_text(json.dumps({"type": "number", "maximum": 3}))
    (folder / "strict.json").write_text(json.dumps({"items": {"required": ["sku"]}}))
    (folder / "remote.json").write_text(json.dumps({"$ref": "http://127.0.0.1:9/schema.json"}))
    (folder / "escape.json").write_text(json.dumps({"$ref": "../secret.json"}))
    (folder / "redos.json").write_text(json.dumps({"pattern": "^(a+)+$"}))


async def test_schemas_are_checked_with_local_references(tmp_path: Path) -> None:
    """A JSON Schema beside the inventory judges the answer; violations say where and which rule."""
    schema_files(tmp_path)
    expect = {"json_schema": "orders.json", "path": "data.items"}
    async with upstream() as base:
        url = f"{base}/json"
        assert (await find("schema", url, tmp_path, expect=expect)).success
        strict = {**expect, "json_schema": "strict.json"}
        found = await find("schema", url, tmp_path, expect=strict)
        assert (found.success, found.reason) == (False, "schema")
        assert 'breaks required: ["sku"]' in found.message
        assert (await find("schema", f"{base}/broken", tmp_path, expect=expect)).reason == "parse"
        gone = {**expect, "json_schema": "gone.json"}
        assert (await find("schema", url, tmp_path, expect=gone)).reason == "config"


def test_schemas_fetch_nothing(tmp_path: Path) -> None:
    """References to the network or out of the folder are refused when the inventory is loaded."""
    schema_files(tmp_path)
    (tmp_path.parent / "secret.json").write_text("{}")
    for name in ("remote.json", "escape.json"):
        with pytest.raises(schemas.SchemaFileError, match="is not a file beside it"):
            schemas.load(tmp_path / name)


async def test_a_runaway_judgement_is_killed_and_the_next_one_works(tmp_path: Path) -> None:
    """A catastrophic pattern ends with its probe's timeout while the event loop keeps running."""
    schema_files(tmp_path)
    judge = Judge()
    body = json.dumps("a" * 60 + "!").encode()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    assert await judge.ask(Question(b"[1]", parsing=ParsingExpect())) == "1 records"
    charged = judge.cpu_seconds
    ticking = asyncio.create_task(tick())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await judge.ask(Question(body, schema=str(tmp_path / "redos.json")))
    ticking.cancel()
    assert ticks > 1, "a blocked event loop would have come round once"
    assert judge.cpu_seconds > charged + 1, "its time is charged to the probes"
    assert await judge.ask(Question(b"[1]", parsing=ParsingExpect())) == "1 records"
    assert judge._process is not None
    judge._process.kill()
    await judge._process.wait()
    assert await judge.ask(Question(b"[1]", parsing=ParsingExpect())) == "1 records"
    await judge.close()


async def test_bodies_are_bounded_also_when_compressed() -> None:
    """64 MB of zeros in 64 KB of gzip are refused at the limit."""
    async with upstream() as base:
        found = await find("parsing", f"{base}/bomb")
    assert (found.success, found.reason) == (False, "quality")
    assert "larger than" in found.message


async def test_secrets_stay_out_of_messages(tmp_path: Path) -> None:
    """Neither password, query nor the path of a URL from a file appear in what is recorded."""
    port = free_port()
    found = await find("connectivity", f"http://bob:s3cret@127.0.0.1:{port}/x?key=s3cret")
    assert not found.success
    assert "s3cret" not in found.message
    (tmp_path / "url").write_text(f"http://127.0.0.1:{port}/hook/s3cret\n")
    found = await find("connectivity", None, tmp_path, url_file="url")
    assert not found.success
    assert "s3cret" not in found.message
    (tmp_path / "url").write_text("ftp://s3cret")
    found = await find("connectivity", None, tmp_path, url_file="url")
    assert found.reason == "config"
    assert "s3cret" not in found.message


async def test_tokens_come_from_files(tmp_path: Path) -> None:
    """`token_file` is sent as bearer token, read again for every probe."""
    async with upstream() as base:
        missing = await find("connectivity", f"{base}/token", tmp_path, token_file="token")
        (tmp_path / "token").write_text("s3cret\n")
        found = await find("connectivity", f"{base}/token", tmp_path, token_file="token")
    assert missing.reason == "config"
    assert found.success


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('type: connectivity, url: "ftp://x"', "url: not a URL a connectivity probe can use"),
        ('type: parsing, url: "tcp://x:1"', "allowed: http://, https://"),
        ('type: connectivity, url: "tcp://x"', "names no port"),
        ('type: connectivity, url: "tcp://x:1/path"', "allowed: tcp://host:port"),
        ('type: connectivity, url: "http://"', "names no host"),
        ('type: connectivity, url: "http://x:port"', "not a URL"),
        ('type: connectivity, url: "http://x", every: 0.2', "every: shorter than a second"),
        ('type: connectivity, url: "http://x", timeout: 1h', "timeout: allowed"),
        ('type: connectivity, url: "http://x", name: "a b"', "name: allowed"),
        ('type: connectivity, url: "http://x", expect: {stauts: 200}', "unknown field `stauts`"),
        ('type: connectivity, url: "http://x", expect: {status: 42}', "expect.status: Expected"),
        ('type: connectivity, url: "tls://x", expect: {ca_file: no.pem}', "no such file"),
        ('type: schema, url: "http://x"', "missing required field `json_schema`"),
        ('type: schema, url: "http://x", expect: {json_schema: no.json}', "No such file"),
        ('type: schema, url: "http://x", expect: {json_schema: bad.json}', "not a JSON Schema"),
        ('type: schema, url: "http://x", expect: {json_schema: rem.json}', "not a file beside"),
        ('type: parsing, url: "http://x", expect: {format: toml}', "Invalid enum value"),
        ('type: performance, url: "http://x", expect: {max_bytes: 0}', "expect.max_bytes"),
    ],
)
def test_probe_configuration_is_checked_with_the_inventory(
    tmp_path: Path, keys: str, expected: str
) -> None:
    """A mistake in a probe refuses the inventory, naming line and path."""
    (tmp_path / "bad.json").write_text('{"type": 5}')
    (tmp_path / "rem.json").write_text('{"$ref": "https://example.org/x"}')
    with pytest.raises(InventoryError) as refusal:
        parse(f"collectors:\n- name: a\n  probes:\n  - {{{keys}}}\n", tmp_path / "collectors.yml")
    assert "collectors.yml:4: collectors[0].probes[0]" in str(refusal.value)
    assert expected in str(refusal.value)


BODIES = st.binary(max_size=400) | st.text(max_size=400).map(str.encode)


@given(
    BODIES, st.sampled_from(["json", "xml", "csv"]), st.sampled_from(["", "a.0.b", ".//a[", "x"])
)
@settings(max_examples=200, deadline=None)
def test_any_content_gets_a_verdict(body: bytes, form: Any, path: str) -> None:
    """Whatever an upstream sends is judged or refused with a reason, never a crash."""
    try:
        content.parse(body, ParsingExpect(format=form, path=path, columns=["a"], min_records=1))
    except content.ContentError as error:
        assert error.reason in reasons.REASONS  # noqa: PT017 most inputs raise, some do not


def test_hostile_documents_are_refused() -> None:
    """Entity bombs, deep nesting and ragged tables are errors with a reason."""
    bomb = b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    for form, body in (
        ("xml", bomb),
        ("json", b"[" * 100_000),
        ("csv", b"a,b\n1\n"),
        ("csv", b'a,b\n"1,2\n'),
        ("csv", b"\xff\xfe"),
    ):
        with pytest.raises(content.ContentError) as refusal:
            content.parse(body, ParsingExpect(format=form))  # type: ignore[arg-type]
        assert refusal.value.reason == "parse"


async def test_idle_judges_cost_nothing() -> None:
    """Connectivity and performance probes start no child process."""
    judge = Judge()
    async with open_session(1) as session, upstream() as base:
        found = await Checker(Path(), session, judge).check(probe("connectivity", f"{base}/json"))
        assert found.success
    assert judge._process is None
