"""TLS from a web configuration: the context each handshake uses is the newest that works."""

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from collection_health.webconfig.files import ConfigError
from collection_health.webconfig.format import CIPHER_SUITES, CURVES, TlsServerConfig, resolve

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class ReloadingContext(ssl.SSLContext):
    """A server context that hands every new connection to the context `current` returns at that
    moment.
    """

    current: Callable[[], ssl.SSLContext]

    def __new__(cls, current: Callable[[], ssl.SSLContext]) -> Self:
        """Return a context that asks `current` at every handshake."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context.current = current
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Start a handshake with the newest certificates and settings."""
        return self.current().wrap_bio(*args, **kwargs)


def build(config_file: Path, tls: TlsServerConfig) -> ssl.SSLContext:
    """Return the context for one checked configuration.

    Raises ConfigError if a certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [CIPHER_SUITES[suite] for suite in tls.cipher_suites if suite in CIPHER_SUITES]
    if suites:
        context.set_ciphers(":".join(suites))
    if tls.curve_preferences:
        context.set_ecdh_curve(CURVES[tls.curve_preferences[0]])
    _load_certificate(context, config_file, tls)
    _load_client_ca(context, config_file, tls)
    context.verify_mode = VERIFY[tls.client_auth_type]
    return context


def files(config_file: Path, tls: TlsServerConfig) -> list[Path]:
    """Return the files the context is built from."""
    return [
        resolve(config_file, name)
        for name in (tls.cert_file, tls.key_file, tls.client_ca_file)
        if name
    ]


def allowed(certificate: Mapping[str, Any] | None, names: frozenset[str]) -> bool:
    """Return whether a verified client certificate carries one of `names` as DNS, IP, e-mail or URI
    alternative name.
    """
    return bool(certificate) and not names.isdisjoint(alternative_names(certificate or {}))


def alternative_names(certificate: Mapping[str, Any]) -> list[str]:
    """Return the alternative names of a certificate as `SSLObject.getpeercert` gives it."""
    found = []
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            with contextlib.suppress(ValueError):
                found.append(str(ipaddress.ip_address(value)))
        elif kind in ("DNS", "email", "URI"):
            found.append(value)
    return found


def _load_certificate(context: ssl.SSLContext, config_file: Path, tls: TlsServerConfig) -> None:
    with contextlib.ExitStack() as stack:
        cert = (
            resolve(config_file, tls.cert_file)
            if tls.cert_file
            else stack.enter_context(_as_file(tls.cert))
        )
        key = (
            resolve(config_file, tls.key_file)
            if tls.key_file
            else stack.enter_context(_as_file(tls.key))
        )
        for name, path in (("cert_file", cert), ("key_file", key)):
            _readable(config_file, name, path)
        try:
            context.load_cert_chain(cert, key, password=_no_passphrase)
        except _PassphraseNeededError:
            raise ConfigError(
                f"{config_file}: tls_server_config.key_file: the key is encrypted; give it "
                "without passphrase"
            ) from None
        except ssl.SSLError as error:
            reason = (error.reason or "unknown").replace("_", " ").lower()
            raise ConfigError(
                f"{config_file}: tls_server_config.cert_file and key_file: not a PEM "
                f"certificate with its key: {reason}"
            ) from None


def _load_client_ca(context: ssl.SSLContext, config_file: Path, tls: TlsServerConfig) -> None:
    if not (tls.client_ca or tls.client_ca_file):
        return
    text = tls.client_ca
    if tls.client_ca_file:
        path = resolve(config_file, tls.client_ca_file)
        _readable(config_file, "client_ca_file", path)
        text = path.read_text(errors="replace")
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"{config_file}: tls_server_config.client_ca_file: holds no PEM certificate"
        ) from None


class _PassphraseNeededError(Exception):
    pass


def _no_passphrase() -> str:
    raise _PassphraseNeededError


def _readable(config_file: Path, name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(
            f"{config_file}: tls_server_config.{name}: {path} cannot be read: {error.strerror}"
        ) from None


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[Path]:
    """Offer inline PEM text under a file name, as `ssl` wants it, without touching a disk."""
    descriptor = os.memfd_create("pem")
    try:
        with open(descriptor, "w", closefd=False) as file:
            file.write(text)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
