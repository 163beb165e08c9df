"""Whether a request may come from a page in a browser, and which addresses are only our own."""

import ipaddress
import socket
from collections.abc import Mapping

from multidict import istr

ORIGIN, FETCH_SITE = istr("Origin"), istr("Sec-Fetch-Site")
OTHER_SITE = "requests from pages of other sites are refused"


class Origins:
    """The origins under which browsers may change state here."""

    def __init__(self, external_url: str = "") -> None:
        """`external_url` is where browsers find the server behind a proxy."""
        self._external = _origin(external_url)
        self._names = frozenset({"localhost", socket.gethostname().lower()})

    def problem(self, headers: Mapping[str, str], *, authenticated: bool) -> str | None:
        """Return why a request with these headers must not change state, or None.

        Programs send neither `Origin` nor `Sec-Fetch-Site`; browsers cannot be made to leave
        them out. Where nobody has to log in the host must also be one that no stranger can own,
        or a DNS name that a stranger points here would count as same-origin.
        """
        if headers.get(FETCH_SITE, "same-origin") not in ("same-origin", "none"):
            return OTHER_SITE
        text = headers.get(ORIGIN)
        if text is None:
            return None
        scheme, host = origin = _origin(text)
        if host and origin == self._external:
            return None  # a proxy may have changed the Host header
        if not host or host != _origin(f"{scheme}://{headers.get('Host', '')}")[1]:
            return OTHER_SITE
        if not authenticated and not self._own(host):
            return "unknown host name: open the page by address or set --web.external-url"
        return None

    def _own(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if host.count(":") == 1 or "]:" in host else host
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address to listen on, is reachable from this machine
    only.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _origin(url: str) -> tuple[str, str]:
    """Return scheme and host:port of an http(s) URL, without the scheme's own port."""
    scheme, _, rest = url.lower().partition("://")
    port = {"http": ":80", "https": ":443"}.get(scheme)
    return (scheme, rest.partition("/")[0].removesuffix(port)) if port else ("", "")
