"""Who gets in: real TLS, real client certificates, real bcrypt, real tokens over real sockets."""

import asyncio
import contextlib
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import trustme
import uvloop
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from collection_health import webconfig
from collection_health.webconfig import Security, users
from collection_health.webconfig.files import Watch

WRITER, ONCALL = "writer-token-0123456789", "oncall-token-0123456789"


def hashed(password: str, cost: int = 4) -> str:
    """Return a bcrypt hash that is cheap to check."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


async def show(request: web.Request) -> web.Response:
    """Answer with who asks."""
    return web.Response(text=webconfig.authorize(request, "read").name)


def action(scope: webconfig.Scope) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler that needs `scope` and answers with who asks."""

    @webconfig.require(scope)
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=webconfig.actor(request).name)

    return handler


@contextlib.asynccontextmanager
async def serving(security: Security, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve an application that `security` guards; yields host:port."""
    app = web.Application()
    security.setup(app)
    app.router.add_get("/", show)
    for scope in ("write", "control", "recovery"):
        app.router.add_route("*", f"/{scope}", action(scope))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=security.ssl_context).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def status(url: str, method: str = "GET", **kwargs: Any) -> int:
    """Return the status of one request on a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **kwargs) as response,
    ):
        await response.read()
        return response.status


def login(user: str, password: str) -> dict[str, str]:
    """Return the header of basic authentication."""
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents `token`."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A token file with a writer and an on-call engineer."""
    (tmp_path / "writer").write_text(WRITER)
    (tmp_path / "oncall").write_text(ONCALL)
    path = tmp_path / "tokens.yml"
    path.write_text(
        "tokens:\n"
        "- {name: airflow, token_file: writer, scopes: [write]}\n"
        "- {name: oncall, token_file: oncall, scopes: [read, control, recovery]}\n"
        "users:\n- {name: bob, scopes: [read]}\n"
    )
    return path


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    """A web configuration with two users."""
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  alice: {hashed('wonder')}\n  bob: {hashed('builder')}\n")
    return path


async def test_loopback_needs_no_credentials() -> None:
    """The defaults work: on loopback, without configuration, everybody may do everything."""
    async with serving(Security()) as host:
        assert await status(f"http://{host}/") == 200
        assert await status(f"http://{host}/write", "POST") == 200
        assert await status(f"http://{host}/recovery", "POST") == 200


async def test_other_machines_read_but_do_not_write() -> None:
    """Beyond loopback without authentication reads are served, writes from afar refused."""
    async with serving(Security(loopback=False), "0.0.0.0") as host:
        forwarded = {"X-Forwarded-For": "192.0.2.1"}
        assert await status(f"http://{host}/", headers=forwarded) == 200
        assert await status(f"http://{host}/write", "POST") == 200, "this machine itself may"
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://{host}/write", headers=forwarded) as response,
        ):
            problem = await response.json(content_type="application/problem+json")
        assert problem["status"] == 403
        assert "--web.token-file" in problem["detail"]
    async with serving(Security(loopback=False, anonymous_writes=True)) as host:
        assert await status(f"http://{host}/write", "POST", headers=forwarded) == 200


async def test_tokens_open_exactly_their_scopes(token_file: Path) -> None:
    """A token does what its scopes say and nothing else; without one there is no write."""
    async with serving(Security(token_file=token_file)) as host:
        base = f"http://{host}"
        assert await status(f"{base}/write", "POST", headers=bearer(WRITER)) == 200
        assert await status(f"{base}/control", "POST", headers=bearer(WRITER)) == 403
        assert await status(f"{base}/recovery", "POST", headers=bearer(ONCALL)) == 200
        assert await status(f"{base}/write", "POST", headers=bearer(ONCALL)) == 403
        assert await status(f"{base}/write", "POST") == 401
        assert await status(f"{base}/write", "POST", headers=bearer("wrong")) == 401
        assert await status(f"{base}/write", "POST", headers=bearer("")) == 401
        assert await status(f"{base}/", headers=bearer(ONCALL)) == 200
        assert await status(f"{base}/") == 401, "a token with the scope read guards reads"
        assert await status(f"{base}/nowhere") == 401


async def test_users_have_all_scopes_unless_narrowed(users_file: Path, token_file: Path) -> None:
    """Users of basic_auth_users may do everything; the token file narrows them by name."""
    async with serving(Security(users_file, token_file)) as host:
        base, alice, bob = f"http://{host}", login("alice", "wonder"), login("bob", "builder")
        assert await status(f"{base}/recovery", "POST", headers=alice) == 200
        assert await status(f"{base}/", headers=bob) == 200
        assert await status(f"{base}/control", "POST", headers=bob) == 403
        assert await status(f"{base}/", headers=login("alice", "builder")) == 401
        assert await status(f"{base}/", headers=login("carol", "wonder")) == 401
        assert await status(f"{base}/", headers={"Authorization": "Basic %%%"}) == 401
        assert await status(f"{base}/write", "POST", headers=bearer(WRITER)) == 200
        async with aiohttp.ClientSession() as session, session.get(f"{base}/") as response:
            assert response.status == 401
            assert "WWW-Authenticate" in response.headers


async def test_any_authorization_header_gets_an_answer(users_file: Path, token_file: Path) -> None:
    """Whatever stands in the header, and in origin headers, it is refused, never a 5xx."""
    words = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60)
    kinds = st.sampled_from(["", "Basic ", "basic ", "Bearer ", "Digest ", "Basic\t"])
    encoded = st.binary(max_size=60).map(lambda raw: b64encode(raw).decode())
    values = st.tuples(kinds, words | encoded).map("".join)
    examples: list[tuple[str, str]] = []

    @given(values, words)
    @settings(max_examples=120, database=None, deadline=None)
    def collect(authorization: str, origin: str) -> None:
        examples.append((authorization, origin))

    collect()
    async with serving(Security(users_file, token_file)) as host:
        for authorization, origin in examples:
            headers = {"Authorization": authorization, "Origin": origin}
            code = await status(f"http://{host}/write", "POST", headers=headers)
            assert code in (400, 401, 403), headers


async def test_bcrypt_is_paid_once_per_password(
    users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapes do not pay for bcrypt each time, right or wrong, also when they come all at once."""
    paid, real = [], bcrypt.checkpw

    def check(password: bytes, expected: bytes) -> bool:
        paid.append(expected)
        return real(password, expected)

    monkeypatch.setattr(bcrypt, "checkpw", check)
    store = users.Users({"alice": hashed("wonder", 8)})
    assert all(await asyncio.gather(*(store.verify("alice", "wonder") for _ in range(50))))
    assert await store.verify("alice", "wonder")
    assert len(paid) == 1
    assert not await store.verify("alice", "guess")
    assert not await store.verify("alice", "guess")
    assert not await store.verify("nobody", "wonder")
    assert len(paid) == 3, "an unknown user costs a check as well"
    store.replace({"alice": hashed("new")})
    assert not await store.verify("alice", "wonder"), "a changed password takes effect at once"
    assert await store.verify("alice", "new")


async def test_guessing_is_bounded_and_does_not_evict_users() -> None:
    """A flood of guesses is answered with 503 beyond a few in the queue, and known users stay
    known.
    """
    store = users.Users({"alice": hashed("wonder", 6)})
    assert await store.verify("alice", "wonder")
    guesses = (store.verify("alice", f"guess{n}") for n in range(200))
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, users.BusyError)]
    assert len(refused) == 200 - users.MAX_WAITING
    assert not any(answer is True for answer in answers)
    for n in range(300):
        with contextlib.suppress(users.BusyError):
            store._remember(b"%d" % n, False, time.monotonic())
    assert max(len(known) for known in store._known) <= users.REMEMBER_ENTRIES
    assert await store.verify("alice", "wonder")


async def test_odd_passwords_are_wrong_not_errors() -> None:
    """Passwords with NUL, beyond 72 bytes or empty are compared, never a crash."""
    store = users.Users({"long": hashed("x" * 72), "alice": hashed("wonder")})
    assert await store.verify("long", "x" * 100), "bcrypt reads 72 bytes"
    for password in ("", "\0", "won\0der", "x" * 10_000, "\ud7ff" * 40):
        assert not await store.verify("alice", password)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have changed files noticed sooner than in real life."""
    monkeypatch.setattr(Watch, "interval", 0.05)


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `check` holds."""
    async with asyncio.timeout(60):
        while not await check():  # noqa: ASYNC110 conditions of many kinds
            await asyncio.sleep(0.1)


async def test_files_are_reread_and_broken_ones_change_nothing(token_file: Path) -> None:
    """A new token works without restart; a broken file keeps the last good one and says so."""
    registry = CollectorRegistry()
    security = Security(token_file=token_file, registry=registry)
    gauge = "collection_health_web_config_last_reload_successful"
    async with serving(security) as host:
        url, secret = f"http://{host}/write", token_file.parent / "writer"

        async def accepts(token: str) -> bool:
            return await status(url, "POST", headers=bearer(token)) == 200

        assert await accepts(WRITER)
        secret.write_text("rotated-token-0123456789")
        await eventually(lambda: accepts("rotated-token-0123456789"))
        assert not await accepts(WRITER)
        good = token_file.read_text()  # noqa: ASYNC240
        token_file.write_text("tokens: [")  # noqa: ASYNC240

        async def broken() -> bool:
            return (
                await accepts("rotated-token-0123456789") and registry.get_sample_value(gauge) == 0
            )

        await eventually(broken)
        token_file.write_text(good.replace("scopes: [write]", "scopes: [control]"))  # noqa: ASYNC240

        async def withdrawn() -> bool:
            return not await accepts("rotated-token-0123456789")

        await eventually(withdrawn)
        assert registry.get_sample_value(gauge) == 1


async def test_pages_of_other_sites_cannot_write(token_file: Path) -> None:
    """A browser on another site, or under a rebound DNS name, cannot change state here."""
    async with serving(Security()) as host:
        url = f"http://{host}/write"

        async def post(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await status(url, "POST", headers=named)

        assert await post(Origin=f"http://{host}") == 200
        assert await post(Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == 200
        assert await post(Origin="http://evil.example") == 403
        assert await post(Origin="null") == 403
        assert await post(Origin="http://evil.example", Host="evil.example") == 403
        assert await post(Origin="http://localhost:80", Host="localhost") == 200
        assert await post(Sec_Fetch_Site="cross-site") == 403
        assert await post(Sec_Fetch_Site="same-site") == 403
        assert await status(url, headers={"Sec-Fetch-Site": "cross-site"}) == 403, "images too"
        assert await status(f"http://{host}/", headers={"Origin": "http://evil.example"}) == 200
    async with serving(Security(token_file=token_file)) as host:
        headers = {**bearer(WRITER), "Origin": "http://ui.example"}
        assert await status(f"http://{host}/write", "POST", headers=headers) == 200
    async with serving(Security(external_url="https://health.example/")) as host:
        headers = {"Origin": "https://health.example", "Host": "a-name-the-proxy-gave"}
        assert await status(f"http://{host}/write", "POST", headers=headers) == 200
        headers["Origin"] = "https://health.example.evil.example"
        assert await status(f"http://{host}/write", "POST", headers=headers) == 403


async def test_configured_headers_are_on_every_answer(tmp_path: Path) -> None:
    """Headers of the web configuration are sent with pages and errors alike."""
    path = tmp_path / "web.yml"
    path.write_text("http_server_config: {headers: {X-Frame-Options: deny}}")
    async with serving(Security(path)) as host, aiohttp.ClientSession() as session:
        for page in ("/", "/nowhere"):
            async with session.get(f"http://{host}{page}") as response:
                assert response.headers["X-Frame-Options"] == "deny"


class Pki:
    """A certificate authority with a web configuration that demands its client certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.renew()
        self.config = folder / "web.yml"
        self.config.write_text(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
            "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
        )

    def renew(self) -> None:
        """Issue a new server certificate."""
        server = self.authority.issue_cert("127.0.0.1")
        server.private_key_pem.write_to_path(self.folder / "server.key")
        server.cert_chain_pems[0].write_to_path(self.folder / "server.pem")

    def client(self, *names: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts us, with a certificate for any `names`."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if names:
            (authority or self.authority).issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A fresh certificate authority."""
    return Pki(tmp_path)


async def client_certificates(pki: Pki) -> None:
    """Let good and bad certificates try their luck."""
    async with serving(Security(pki.config, loopback=False)) as host:
        url = f"https://{host}/write"
        context = pki.client("airflow.example")
        async with aiohttp.ClientSession() as session, session.post(url, ssl=context) as response:
            assert (response.status, await response.text()) == (200, "airflow.example")
        for stranger in (pki.client(), pki.client("a.example", authority=trustme.CA())):
            with pytest.raises(aiohttp.ClientError):
                await status(url, "POST", ssl=stranger)


async def test_client_certificates_are_verified(pki: Pki) -> None:
    """With RequireAndVerifyClientCert only certificates of the configured CA get in, as actors."""
    await client_certificates(pki)


def test_client_certificates_are_verified_under_uvloop(pki: Pki) -> None:
    """The same holds on the event loop the exporter runs on."""
    uvloop.run(client_certificates(pki))


async def test_client_names_are_matched_exactly(pki: Pki) -> None:
    """client_allowed_sans lets in listed DNS names and addresses, and no others of the same CA."""
    pki.config.write_text(
        pki.config.read_text() + '  client_allowed_sans: [prometheus.example, "::1"]\n'
    )
    async with serving(Security(pki.config)) as host:
        url = f"https://{host}/"
        assert await status(url, ssl=pki.client("prometheus.example")) == 200
        assert await status(url, ssl=pki.client("::1")) == 200
        assert await status(url, ssl=pki.client("x.prometheus.example")) == 403


async def presented(host: str, context: ssl.SSLContext) -> bytes:
    """Return the certificate the server presents."""
    name, port = host.split(":")
    _, writer = await asyncio.open_connection(name, int(port), ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return certificate


async def certificate_renewal(pki: Pki) -> None:
    """Renew the server's certificate in two writes, as scripts do, while it serves."""
    security = Security(pki.config)
    context = pki.client("a.example")
    async with serving(security) as host:
        before = await presented(host, context)
        good = (pki.folder / "server.pem").read_text()
        (pki.folder / "server.pem").write_text("half written")
        await asyncio.sleep(0.1)
        assert await presented(host, context) == before, "the last good one stays"
        (pki.folder / "server.pem").write_text(good)
        pki.renew()

        async def renewed() -> bool:
            return await presented(host, context) != before

        await eventually(renewed)


async def test_renewed_certificates_are_used_without_restart(pki: Pki) -> None:
    """A renewed certificate is presented to the next connections; a broken one changes nothing."""
    await certificate_renewal(pki)


def test_renewed_certificates_are_used_under_uvloop(pki: Pki) -> None:
    """The same holds on the event loop the exporter runs on."""
    uvloop.run(certificate_renewal(pki))


async def test_a_client_ca_can_be_withdrawn(pki: Pki) -> None:
    """Replacing the client CA shuts out certificates of the old one without restart."""
    async with serving(Security(pki.config)) as host:
        context = pki.client("a.example")
        assert await status(f"https://{host}/", ssl=context) == 200
        trustme.CA().cert_pem.write_to_path(pki.folder / "ca.pem")

        async def shut_out() -> bool:
            try:
                await status(f"https://{host}/", ssl=context)
            except aiohttp.ClientError:
                return True
            return False

        await eventually(shut_out)


@pytest.mark.parametrize(
    ("setting", "limit", "fits"),
    [
        ("min_version: TLS13", ("maximum_version", ssl.TLSVersion.TLSv1_2), False),
        ("max_version: TLS12", ("maximum_version", ssl.TLSVersion.TLSv1_2), True),
        ("max_version: TLS12", ("minimum_version", ssl.TLSVersion.TLSv1_3), False),
    ],
)
async def test_tls_versions_are_enforced(
    pki: Pki, setting: str, limit: tuple[str, ssl.TLSVersion], fits: bool
) -> None:
    """min_version and max_version decide who can connect."""
    pki.config.write_text(
        f"tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  {setting}\n"
    )
    context = pki.client()
    setattr(context, *limit)
    async with serving(Security(pki.config)) as host:
        if fits:
            assert await status(f"https://{host}/", ssl=context) == 200
        else:
            with pytest.raises(aiohttp.ClientError):
                await status(f"https://{host}/", ssl=context)
