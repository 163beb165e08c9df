"""Security of the HTTP server: TLS, users, bearer tokens with scopes, cross-site protection.

The server makes one `Security` and calls its `setup`; handlers call `authorize(request, scope)`
or are decorated with `require(scope)`.
"""

import argparse
from pathlib import Path

from prometheus_client import CollectorRegistry

from collection_health.webconfig.files import ConfigError
from collection_health.webconfig.guard import (
    ANONYMOUS,
    SECURITY,
    Security,
    actor,
    authorize,
    guards_itself,
    require,
)
from collection_health.webconfig.origins import is_loopback
from collection_health.webconfig.tokens import SCOPES, Actor, Scope

__all__ = [
    "ANONYMOUS",
    "SCOPES",
    "SECURITY",
    "Actor",
    "ConfigError",
    "Scope",
    "Security",
    "actor",
    "add_arguments",
    "authorize",
    "check",
    "from_arguments",
    "guards_itself",
    "is_loopback",
    "require",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this package to the parser of `serve`."""
    _add_file_arguments(parser)
    parser.add_argument(
        "--web.allow-anonymous-writes",
        dest="web_allow_anonymous_writes",
        action="store_true",
        help="accept outcomes and controls without credentials from other machines as well",
    )
    parser.add_argument(
        "--web.external-url",
        dest="web_external_url",
        default="",
        metavar="URL",
        help="the URL by which browsers reach this server, if it is behind a proxy",
    )


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files that `check` validates."""
    _add_file_arguments(parser)


def from_arguments(
    args: argparse.Namespace, hosts: list[str], registry: CollectorRegistry | None
) -> Security:
    """Return the Security for a server listening on `hosts` ("" is every address).

    Raises ConfigError.
    """
    return Security(
        args.web_config_file,
        args.web_token_file,
        loopback=all(is_loopback(host) for host in hosts),
        anonymous_writes=args.web_allow_anonymous_writes,
        external_url=args.web_external_url,
        registry=registry,
    )


def check(web_config: Path | None, token_file: Path | None) -> list[str]:
    """Return what is wrong with the files, certificates and token files included; empty if they can
    be used.
    """
    problems = []
    for files in ((web_config, None), (None, token_file)):
        try:
            Security(*files)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def _add_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--web.config.file",
        dest="web_config_file",
        type=Path,
        metavar="FILE",
        help="TLS, users and headers, in the format of Prometheus' exporter-toolkit",
    )
    parser.add_argument(
        "--web.token-file",
        dest="web_token_file",
        type=Path,
        metavar="FILE",
        help="bearer tokens with scopes",
    )
