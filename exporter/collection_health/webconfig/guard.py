"""Who may do what: authentication and authorization of every HTTP request."""

import base64
import binascii
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from aiohttp import web
from multidict import CIMultiDict, istr
from prometheus_client import CollectorRegistry, Gauge

from collection_health.webconfig import format as web_format
from collection_health.webconfig import tls
from collection_health.webconfig.files import ConfigError, Watch
from collection_health.webconfig.origins import FETCH_SITE, ORIGIN, Origins, is_loopback
from collection_health.webconfig.tokens import SCOPES, Actor, Scope, Tokens
from collection_health.webconfig.users import BusyError, Users

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANONYMOUS = Actor("anonymous", SCOPES)
_READER = Actor("anonymous", frozenset({"read"}))
_GUARDS_ITSELF = "guards_itself"
_ACTOR = web.RequestKey("actor", Actor)
_FORWARDED, _FORWARDED_FOR = istr("Forwarded"), istr("X-Forwarded-For")


class Security:
    """The security configuration of one server, re-read when its files change.

    A broken file never opens or closes anything: the last good configuration stays in force,
    the problem is logged and `collection_health_web_config_last_reload_successful` turns 0.
    """

    def __init__(
        self,
        web_config: Path | None = None,
        token_file: Path | None = None,
        *,
        loopback: bool = True,
        anonymous_writes: bool = False,
        external_url: str = "",
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Load both files. Raises ConfigError.

        `loopback` says that the server listens on loopback addresses only; `anonymous_writes`
        accepts writes without credentials from anywhere; `external_url` is where browsers find
        the server.
        """
        self._web_config, self._token_file = web_config, token_file
        self._anywhere = loopback or anonymous_writes
        self._origins = Origins(external_url)
        self._watch = Watch()
        self._users = Users({})
        self._context: ssl.SSLContext | None = None
        self._load()
        self._healthy = self._gauge(registry)

    @property
    def configured(self) -> bool:
        """Whether a web configuration or token file was given."""
        return self._web_config is not None or self._token_file is not None

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The context to listen with, following changes of the files; None for plain HTTP."""
        return tls.ReloadingContext(self._current_context) if self._tls else None

    def setup(self, app: web.Application) -> None:
        """Make `app` ask this object: `app[SECURITY]`, and the middleware if there is anything to
        check.
        """
        app[SECURITY] = self
        if self.configured:
            app.middlewares.append(self._middleware)
            app.on_response_prepare.append(self._add_headers)

    def authorize(self, request: web.Request, scope: Scope, token: str | None = None) -> Actor:
        """Return who asks, if they may do `scope`. Raises HTTPUnauthorized or HTTPForbidden.

        `token` is a bearer token given elsewhere than in the Authorization header, as in the
        key of a ping URL. Every handler that changes state calls this before it reads the body.
        """
        headers = request.headers
        if scope != "read" and (FETCH_SITE in headers or ORIGIN in headers):
            self._refuse_cross_site(request)
        if self._open or (not self._credentials and _is_local(request)):
            return ANONYMOUS
        actor = request.get(_ACTOR)
        if actor is None and token is not None and self._tokens:
            actor = self._tokens.find(token)
        if actor is None:
            actor = self._without_credentials(scope)
        if scope not in actor.scopes:
            raise _problem(web.HTTPForbidden, f"{actor.name} does not hold the scope {scope}")
        return actor

    # -- configuration ------------------------------------------------------------------------

    def _load(self) -> None:
        """Read everything, then switch over at once.

        Also a file that fails is watched for its repair.
        """
        files: list[Path] = []
        config, context = web_format.WebConfig(), None
        try:
            if self._web_config is not None:
                files.append(self._web_config)
                config = web_format.load(self._web_config)
                if config.tls_server_config is not None:
                    files += tls.files(self._web_config, config.tls_server_config)
                    context = tls.build(self._web_config, config.tls_server_config)
            tokens = Tokens(self._token_file, files)
        finally:
            self._watch.follow(files)
        self._apply(config, context, tokens)

    def _apply(
        self, config: web_format.WebConfig, context: ssl.SSLContext | None, tokens: Tokens
    ) -> None:
        server = config.tls_server_config
        self._tls, self._tokens = context is not None, tokens
        self._context = context or self._context
        self._users.replace(config.basic_auth_users)
        self._headers = {
            name: value for name, value in config.http_server_config.headers.items() if value
        }
        self._client_names = frozenset(server.client_allowed_sans if server else ())
        self._client_certificates = bool(server and server.client_auth_type != "NoClientCert")
        self._credentials = bool(self._users or self._tokens or self._client_certificates)
        self._open = not self._credentials and self._anywhere
        self._guards_reads = bool(self._users) or "read" in tokens.granted
        if config.http_server_config.http2:
            log.warning("http_server_config.http2: clients are served over HTTP/1.1")

    def _refresh(self) -> None:
        if not self._watch.changed():
            return
        try:
            had_tls = self._tls
            self._load()
            if had_tls != self._tls:
                log.warning(
                    "tls_server_config was added or removed: restart to switch between "
                    "http and https"
                )
            log.info("web configuration re-read")
            self._healthy.set(1)
        except ConfigError as error:
            self._healthy.set(0)
            log.error("web configuration not re-read, the last good one stays in force: %s", error)

    def _current_context(self) -> ssl.SSLContext:
        self._refresh()
        if self._context is None:
            raise RuntimeError("asked for TLS without a certificate")
        return self._context

    def _gauge(self, registry: CollectorRegistry | None) -> Gauge:
        gauge = Gauge(
            "collection_health_web_config_last_reload_successful",
            "Whether the newest web configuration and token files are in force.",
            registry=registry if self.configured else None,
        )
        gauge.set(1)
        return gauge

    # -- requests -----------------------------------------------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._refresh()
        actor = await self._authenticate(request)
        if actor is not None:
            request[_ACTOR] = actor
        elif self._guards_reads and not hasattr(request.match_info.handler, _GUARDS_ITSELF):
            self._challenge("credentials are required")
        return await handler(request)

    async def _authenticate(self, request: web.Request) -> Actor | None:
        """Return who the credentials prove; None without credentials.

        Wrong ones are refused, never ignored.
        """
        certificate = self._certificate_actor(request)
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._credentials:
            return self._tokens.find(value.strip()) or self._challenge("unknown token")
        if kind.lower() == "basic" and self._users:
            user, password = _basic(value)
            try:
                if await self._users.verify(user, password):
                    return self._tokens.user(user)
            except BusyError:
                raise _problem(
                    web.HTTPServiceUnavailable, "too many logins at once", {"Retry-After": "5"}
                ) from None
            self._challenge("wrong user or password")
        # Certificates alone identify everybody; beside users or tokens they only open the door.
        return None if self._users or self._tokens else certificate

    def _certificate_actor(self, request: web.Request) -> Actor | None:
        if not self._client_certificates or request.transport is None:
            return None
        certificate = request.transport.get_extra_info("peercert") or {}
        if self._client_names and not tls.allowed(certificate, self._client_names):
            raise _problem(
                web.HTTPForbidden,
                "no name of the client certificate is in client_allowed_sans",
                {"Connection": "close"},
            )
        if not certificate:
            return None
        common = [
            value
            for name in certificate.get("subject", ())
            for key, value in name
            if key == "commonName"
        ]
        return Actor(
            next(iter([*tls.alternative_names(certificate), *common]), "certificate"), SCOPES
        )

    def _without_credentials(self, scope: Scope) -> Actor:
        if scope == "read":
            return self._challenge("credentials are required") if self._guards_reads else _READER
        if self._credentials:
            self._challenge(f"a token or user with the scope {scope} is required")
        raise _problem(
            web.HTTPForbidden,
            "writes from other machines need authentication: configure --web.token-file or "
            "basic_auth_users in "
            "--web.config.file, or accept anybody with --web.allow-anonymous-writes",
        )

    def _refuse_cross_site(self, request: web.Request) -> None:
        """Refuse what a page of another site makes a browser send.

        A bearer token is exempt: no browser adds one by itself.
        """
        headers = request.headers
        if self._tokens and headers.get("Authorization", "")[:7].lower() == "bearer ":
            return
        problem = self._origins.problem(headers, authenticated=self._credentials)
        if problem is not None:
            raise _problem(web.HTTPForbidden, problem)

    def _challenge(self, detail: str) -> NoReturn:
        headers = CIMultiDict[str]()
        if self._users:
            headers.add("WWW-Authenticate", 'Basic realm="collection-health", charset="UTF-8"')
        if self._tokens or not self._users:
            headers.add("WWW-Authenticate", 'Bearer realm="collection-health"')
        raise _problem(web.HTTPUnauthorized, detail, headers)

    async def _add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._headers)


SECURITY = web.AppKey("security", Security)


def require(scope: Scope) -> Callable[[Handler], Handler]:
    """Decorate a handler so that it runs only for those who hold `scope`; `actor(request)` says who
    it is.
    """

    def decorate(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            request[_ACTOR] = authorize(request, scope)
            return await handler(request)

        return guarded

    return decorate


def guards_itself(handler: Handler) -> Handler:
    """Mark a handler that calls `authorize` with a token found elsewhere than in the header.

    Where reads need credentials too, others are refused before their handler is called.
    """
    setattr(handler, _GUARDS_ITSELF, True)
    return handler


def authorize(request: web.Request, scope: Scope, token: str | None = None) -> Actor:
    """Return who sent the request, if they may do `scope`.

    Raises HTTPUnauthorized or HTTPForbidden.
    """
    return request.app[SECURITY].authorize(request, scope, token)


def actor(request: web.Request) -> Actor:
    """Return who sent a request that `require` let through."""
    return request[_ACTOR]


def _basic(value: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


def _is_local(request: web.Request) -> bool:
    """Return whether the request comes from this machine and was not passed on by a proxy here."""
    if (
        _FORWARDED_FOR in request.headers
        or _FORWARDED in request.headers
        or request.transport is None
    ):
        return False
    peer = request.transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return True  # a Unix socket
    host: str = peer[0]
    return host.startswith("127.") or is_loopback(host)


def _problem(
    kind: type[web.HTTPException], detail: str, headers: object = None
) -> web.HTTPException:
    """Return `kind` with an RFC 9457 problem as body."""
    status = kind.status_code
    body = {"type": "about:blank", "title": kind().reason, "status": status, "detail": detail}
    return kind(text=json.dumps(body), content_type="application/problem+json", headers=headers)  # type: ignore[arg-type]
