"""The web configuration file: the format of Prometheus' exporter-toolkit, as far as Python can
honour it.

Source of the format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
What cannot be honoured is refused by name, never ignored.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from collection_health.webconfig.files import ConfigError, FieldError, YamlFile

CLIENT_AUTH_TYPES = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
UNVERIFIED_CLIENT_AUTH_TYPES = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
TLS_VERSIONS = ("TLS12", "TLS13")
CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
HEADERS: dict[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}")


class TlsServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tls_server_config`. File names are relative to the web configuration file."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_auth_type: str = "NoClientCert"
    client_ca_file: str = ""
    client_allowed_sans: list[str] = []
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: list[str] = []
    prefer_server_cipher_suites: bool = True
    curve_preferences: list[str] = []


class HttpServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`http_server_config`.

    `http2` is accepted in both values; clients are always served over HTTP/1.1.
    """

    http2: bool = False
    headers: dict[str, str] = {}


class WebConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, str] = {}
    rate_limit: Any = None


def load(path: Path) -> WebConfig:
    """Read and check a web configuration file. Raises ConfigError."""
    file = YamlFile(path)
    config = file.convert(WebConfig)
    try:
        _check(config)
    except FieldError as error:
        raise file.error(error.path, str(error)) from None
    return config


def _check(config: WebConfig) -> None:
    if config.rate_limit is not None:
        raise FieldError(
            "rate_limit", "not supported: remove it; overload is answered with 503 and Retry-After"
        )
    for name, value in config.http_server_config.headers.items():
        _check_header(name, value)
    for user, password_hash in config.basic_auth_users.items():
        if not user or ":" in user:
            raise FieldError(
                "basic_auth_users", "a user's name must not be empty or contain a colon"
            )
        if not BCRYPT.fullmatch(password_hash):
            raise FieldError(
                f"basic_auth_users.{user}", "not a bcrypt hash ($2y$<cost 04-31>$<53 characters>)"
            )
    if config.tls_server_config is not None:
        _check_certificates(config.tls_server_config)
        _check_handshake(config.tls_server_config)


def _check_header(name: str, value: str) -> None:
    where = f"http_server_config.headers.{name}"
    if name not in HEADERS:
        raise FieldError(where, f"this header cannot be configured; allowed: {', '.join(HEADERS)}")
    if HEADERS[name] and value and value not in HEADERS[name]:
        raise FieldError(where, f"allowed: {' or '.join(HEADERS[name])}")
    if not value.isprintable():
        raise FieldError(where, "a header must be one line of printable characters")


def _check_certificates(tls: TlsServerConfig) -> None:
    for inline, file in (
        ("cert", "cert_file"),
        ("key", "key_file"),
        ("client_ca", "client_ca_file"),
    ):
        given = bool(getattr(tls, inline)) + bool(getattr(tls, file))
        if given == 2:
            raise FieldError(
                f"tls_server_config.{file}", f"give either {inline} or {file}, not both"
            )
        if given == 0 and inline != "client_ca":
            raise FieldError("tls_server_config", f"missing {file} (or {inline})")
    auth = tls.client_auth_type
    where = "tls_server_config.client_auth_type"
    if auth in UNVERIFIED_CLIENT_AUTH_TYPES:
        raise FieldError(
            where,
            f"{auth} accepts unverified certificates and is not supported; allowed: "
            f"{', '.join(CLIENT_AUTH_TYPES)}",
        )
    if auth not in CLIENT_AUTH_TYPES:
        raise FieldError(where, f"unknown; allowed: {', '.join(CLIENT_AUTH_TYPES)}")
    if (tls.client_ca or tls.client_ca_file) and auth == "NoClientCert":
        raise FieldError(
            where,
            "a client CA is given but no client certificate is asked for; set "
            "RequireAndVerifyClientCert",
        )
    if auth != "NoClientCert" and not (tls.client_ca or tls.client_ca_file):
        raise FieldError(where, f"{auth} needs client_ca_file (or client_ca)")
    if tls.client_allowed_sans and auth != "RequireAndVerifyClientCert":
        raise FieldError(
            "tls_server_config.client_allowed_sans",
            "needs client_auth_type: RequireAndVerifyClientCert",
        )


def _check_handshake(tls: TlsServerConfig) -> None:
    for key in ("min_version", "max_version"):
        if getattr(tls, key) not in TLS_VERSIONS:
            raise FieldError(f"tls_server_config.{key}", f"allowed: {', '.join(TLS_VERSIONS)}")
    if tls.min_version > tls.max_version:
        raise FieldError("tls_server_config.min_version", "must not be above max_version")
    for index, suite in enumerate(tls.cipher_suites):
        if suite not in CIPHER_SUITES and suite not in TLS13_SUITES:
            raise FieldError(
                f"tls_server_config.cipher_suites[{index}]",
                f"unknown or insecure; allowed: {', '.join([*TLS13_SUITES, *CIPHER_SUITES])}",
            )
    if (
        tls.cipher_suites
        and tls.min_version == "TLS12"
        and not CIPHER_SUITES.keys() & set(tls.cipher_suites)
    ):
        raise FieldError(
            "tls_server_config.cipher_suites",
            "lists no TLS 1.2 suite: add one or set min_version: TLS13",
        )
    for index, curve in enumerate(tls.curve_preferences):
        if curve not in CURVES:
            raise FieldError(
                f"tls_server_config.curve_preferences[{index}]",
                f"unknown; allowed: {', '.join(CURVES)}",
            )
    if len(tls.curve_preferences) > 1:
        raise FieldError(
            "tls_server_config.curve_preferences",
            "only one curve can be honoured; give one or none",
        )


def resolve(config_file: Path, name: str) -> Path:
    """Return the file `name` relative to the configuration file that mentions it."""
    return config_file.parent / name


__all__ = ["ConfigError", "HttpServerConfig", "TlsServerConfig", "WebConfig", "load", "resolve"]
