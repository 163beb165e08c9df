"""The security files: what they accept, and how they refuse."""

import hashlib
import subprocess
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collection_health import cli, webconfig
from collection_health.webconfig import format as web_format
from collection_health.webconfig import tls
from collection_health.webconfig.tokens import Tokens
from tests.tools import tool

HASH = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, server.pem and server.key."""
    folder = tmp_path_factory.mktemp("pki")
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    return folder


def refusal(path: Path, text: str) -> str:
    """Return why the web configuration `text` is refused."""
    path.write_text(text)
    problems = webconfig.check(path, None)
    assert len(problems) == 1, problems
    return problems[0]


def test_every_supported_key_is_accepted(pki: Path) -> None:
    """A web configuration that uses all we support loads, so files of other exporters can be
    shared.
    """
    path = pki / "web.yml"
    path.write_text(f"""
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers: {{X-Frame-Options: deny, X-Content-Type-Options: nosniff, X-XSS-Protection: ""}}
basic_auth_users: {{alice: "{HASH}"}}
""")
    assert webconfig.check(path, None) == []


def test_an_empty_file_is_a_valid_configuration(tmp_path: Path) -> None:
    """An empty web configuration means plain HTTP without users, as in the exporter-toolkit."""
    (tmp_path / "web.yml").write_text("")
    assert webconfig.check(tmp_path / "web.yml", None) == []


def test_inline_certificates_work(pki: Path) -> None:
    """Certificate, key and CA may stand in the file itself."""
    config = web_format.TlsServerConfig(
        cert=(pki / "server.pem").read_text(),
        key=(pki / "server.key").read_text(),
        client_ca=(pki / "ca.pem").read_text(),
        client_auth_type="VerifyClientCertIfGiven",
    )
    context = tls.build(pki / "web.yml", config)
    assert len(context.get_ca_certs()) == 1


CERTIFICATE = "cert_file: server.pem, key_file: server.key"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls_config: {}", ":1: Object contains unknown field `tls_config`"),
        ("\nrate_limit: {interval: 1s}", ":2: rate_limit: not supported"),
        (f"tls_server_config:\n  min_versoin: TLS13\n  {{{CERTIFICATE}}}", "not valid YAML"),
        ("tls_server_config:\n  key_file: a", "tls_server_config: missing cert_file (or cert)"),
        (f"tls_server_config: {{{CERTIFICATE}, ciphers: x}}", "unknown field `ciphers`"),
        (f"tls_server_config: {{{CERTIFICATE}, min_version: TLS10}}", "allowed: TLS12, TLS13"),
        (f"tls_server_config: {{{CERTIFICATE}, min_version: 13}}", "Expected `str`, got `int`"),
        (
            f"tls_server_config: {{{CERTIFICATE}, min_version: TLS13, max_version: TLS12}}",
            "min_version: must not be above max_version",
        ),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_auth_type: RequireAnyClientCert}}",
            "accepts unverified certificates",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, client_auth_type: Yes!}}", "allowed: NoClientCert"),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_auth_type: RequireAndVerifyClientCert}}",
            "needs client_ca_file",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, client_ca_file: ca.pem}}", "no client certificate"),
        (f"tls_server_config: {{{CERTIFICATE}, client_allowed_sans: [a]}}", "client_allowed_sans"),
        (f"tls_server_config: {{{CERTIFICATE}, cert: x}}", "either cert or cert_file"),
        (
            f"tls_server_config: {{{CERTIFICATE}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}",
            "cipher_suites[0]: unknown or insecure",
        ),
        (
            f"tls_server_config: {{{CERTIFICATE}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
            "lists no TLS 1.2 suite",
        ),
        (
            f"tls_server_config: {{{CERTIFICATE}, curve_preferences: [X25519, CurveP256]}}",
            "only one curve",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, curve_preferences: [P224]}}", "allowed: CurveP256"),
        ("tls_server_config: {cert_file: no.pem, key_file: server.key}", "No such file"),
        ("tls_server_config: {cert_file: ca.pem, key_file: server.key}", "key values mismatch"),
        ("tls_server_config: {cert_file: server.key, key_file: server.key}", "not a PEM"),
        ("http_server_config: {headers: {X-Powered-By: me}}", "this header cannot be configured"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "allowed: deny or sameorigin"),
        (
            'http_server_config: {headers: {Content-Security-Policy: "a\\nSet-Cookie: b"}}',
            "one line of printable characters",
        ),
        ("basic_auth_users: {alice: hunter2}", "basic_auth_users.alice: not a bcrypt hash"),
        (f'basic_auth_users: {{"a:b": "{HASH}"}}', "must not be empty or contain a colon"),
        (f'basic_auth_users:\n  bob: "{HASH}"\n  bob: "{HASH}"', ":3: the key is given twice"),
        ("- a", "Expected `object`, got `array`"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(pki: Path, text: str, expected: str) -> None:
    """A wrong or unsupported setting is an error with file, line and path, never ignored."""
    message = refusal(pki / "bad.yml", text)
    assert message.startswith(str(pki / "bad.yml"))
    assert expected in message


def test_a_passphrase_is_never_asked_for(pki: Path) -> None:
    """An encrypted key is an error: OpenSSL would otherwise wait at a terminal nobody watches."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((pki / "server.key").read_bytes(), None)
    (pki / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    text = "tls_server_config: {cert_file: server.pem, key_file: locked.key}"
    assert "encrypted" in refusal(pki / "bad.yml", text)


def test_errors_never_quote_a_secret(tmp_path: Path) -> None:
    """An error names the place only: the line that is wrong may hold a key or a password."""
    for text in (
        "basic_auth_users: {alice: s3cretvalue}",
        "tls_server_config: {key: 's3cretvalue}",
        "basic_auth_users: [s3cretvalue]",
        "tls_server_config: {key: s3cretvalue, cert: s3cretvalue}",
    ):
        assert "s3cretvalue" not in refusal(tmp_path / "web.yml", text)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_is_refused_not_a_crash(tmp_path: Path, content: bytes) -> None:
    """Whatever bytes the files hold, the answer is a list of problems."""
    (tmp_path / "file.yml").write_bytes(content)
    problems = webconfig.check(tmp_path / "file.yml", tmp_path / "file.yml")
    assert all(str(tmp_path) in problem for problem in problems)


KEYS = [*web_format.TlsServerConfig.__struct_fields__, *web_format.WebConfig.__struct_fields__]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["TLS12", HASH]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "tokens", "users"]), VALUES, max_size=5))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_well_formed_nonsense_is_refused_not_a_crash(tmp_path: Path, data: object) -> None:
    """Known keys with arbitrary values give problems, not exceptions."""
    import yaml

    (tmp_path / "file.yml").write_text(yaml.safe_dump(data))
    webconfig.check(tmp_path / "file.yml", tmp_path / "file.yml")


def test_nested_aliases_do_not_explode(tmp_path: Path) -> None:
    """A few lines of aliases that expand to billions of nodes are refused quickly."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "unknown field" in refusal(tmp_path / "web.yml", "\n".join(lines))


def test_tokens_come_from_files_and_digests(tmp_path: Path) -> None:
    """A token is found by its secret file or its SHA-256, with its name and scopes."""
    (tmp_path / "airflow").write_text("airflow-secret-0123456789\n")
    digest = hashlib.sha256(b"oncall-secret-0123456789").hexdigest()
    (tmp_path / "tokens.yml").write_text(f"""
tokens:
  - {{name: airflow, token_file: airflow, scopes: [write]}}
  - {{name: oncall, sha256: {digest}, scopes: [read, control, recovery]}}
users:
  - {{name: grafana, scopes: [read]}}
""")
    files: list[Path] = []
    tokens = Tokens(tmp_path / "tokens.yml", files)
    airflow, oncall = (
        tokens.find("airflow-secret-0123456789"),
        tokens.find("oncall-secret-0123456789"),
    )
    assert airflow is not None
    assert (airflow.name, airflow.scopes) == ("airflow", frozenset({"write"}))
    assert oncall is not None
    assert oncall.scopes == {"read", "control", "recovery"}
    assert tokens.find("something-else-0123456789") is None
    assert tokens.find("") is None
    assert tokens.user("grafana").scopes == {"read"}
    assert tokens.user("alice").scopes == webconfig.SCOPES
    assert files == [tmp_path / "tokens.yml", tmp_path / "airflow"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tokens: [{name: a, token: abc, scopes: [write]}]", "unknown field `token`"),
        ("tokens: [{name: a, scopes: [write]}]", "tokens[0]: give either token_file or sha256"),
        ("tokens: [{name: a, token_file: short, scopes: [write]}]", "must hold 16 to 4096"),
        ("tokens: [{name: a, token_file: gone, scopes: [write]}]", "No such file"),
        ("tokens: [{name: a, sha256: abc, scopes: [write]}]", "not 64 hexadecimal digits"),
        ("tokens: [{name: a, token_file: good, scopes: []}]", "tokens[0].scopes: is empty"),
        ("tokens: [{name: a, token_file: good, scopes: [admin]}]", "tokens[0].scopes[0]"),
        ("tokens: [{name: a b, token_file: good, scopes: [read]}]", "tokens[0].name: allowed"),
        (
            (
                "tokens:\n- {name: a, token_file: good, scopes: [read]}\n"
                "- {name: a, token_file: other, scopes: [read]}"
            ),
            ":3: tokens[1].name: the name is given twice",
        ),
        (
            (
                "tokens:\n- {name: a, token_file: good, scopes: [read]}\n"
                "- {name: b, token_file: good, scopes: [read]}"
            ),
            "the same token is listed twice",
        ),
        ("users: [{name: '', scopes: [read]}]", "users[0].name"),
    ],
)
def test_bad_token_files_are_refused_by_name(tmp_path: Path, text: str, expected: str) -> None:
    """A mistake in the token file is an error with file, line and path."""
    (tmp_path / "short").write_text("short")
    (tmp_path / "good").write_text("a-good-token-0123456789")
    (tmp_path / "other").write_text("another-token-0123456789")
    (tmp_path / "tokens.yml").write_text(text)
    (problem,) = webconfig.check(None, tmp_path / "tokens.yml")
    assert expected in problem
    assert "a-good-token" not in problem


def test_prometheus_reads_the_same_file(pki: Path) -> None:
    """What promtool accepts as web configuration we accept, and what it refuses we refuse."""
    path = pki / "shared.yml"
    good = f"""
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS12
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  curve_preferences: [CurveP256]
http_server_config:
  http2: false
  headers: {{X-Frame-Options: deny}}
basic_auth_users: {{alice: "{HASH}"}}
"""
    for text, usable in (
        (good, True),
        (good.replace("deny", "allow"), False),
        (good.replace("TLS12", "TLS9"), False),
        (good.replace("server.key", "ca.pem"), False),
        (good.replace("$2y$10$", "$2y$99$"), False),
        (good.replace("CurveP256", "P256"), False),
        (good.replace("cert_file", "certificate"), False),
    ):
        path.write_text(text)
        command = [str(tool("promtool")), "check", "web-config", str(path)]
        promtool = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (promtool.returncode == 0) == usable, promtool
        assert (webconfig.check(path, None) == []) == usable, text


def test_check_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`collection-health check` covers the security files and fails when one cannot be used."""
    (tmp_path / "web.yml").write_text(f'basic_auth_users: {{alice: "{HASH}"}}')
    (tmp_path / "tokens.yml").write_text("tokens: 5")
    files = ["--web.config.file", str(tmp_path / "web.yml")]
    assert cli.main(["check", *files]) == 0
    assert capsys.readouterr().out == f"OK {tmp_path / 'web.yml'}\n"
    assert cli.main(["check", *files, "--web.token-file", str(tmp_path / "tokens.yml")]) == 1
    assert "tokens.yml:1: tokens: Expected `array`, got `int`" in capsys.readouterr().err
    assert cli.main(["check"]) == 2
