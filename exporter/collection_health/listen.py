"""The sockets the server listens on."""

import contextlib
import socket
from typing import NamedTuple

STALLED_MILLISECONDS = 60_000
"""A client that neither reads nor acknowledges for this long is cut off.

Without it clients that never read pile up answers in memory.
"""


class Address(NamedTuple):
    """Where to listen; host "" is every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str) -> Address:
    """Return the address in `HOST:PORT`, `:PORT` or `[::1]:PORT`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    bare_ipv6 = ":" in host and not host.startswith("[")
    if ":" not in text or bare_ipv6 or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address; allowed: HOST:PORT, :PORT, [IPv6]:PORT")
    return Address(host.strip("[]"), int(port))


def open_sockets(at: Address, backlog: int = 1024) -> list[socket.socket]:
    """Return listening sockets for every address of the host. Raises OSError."""
    found = socket.getaddrinfo(
        at.host or None, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with contextlib.ExitStack() as opened:
        sockets = []
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sock = socket.create_server(address[:2], family=family, backlog=backlog)
            except OSError:
                if family != socket.AF_INET6 or at.host:  # a machine may have IPv6 switched off
                    raise
                continue
            opened.callback(sock.close)
            # Accepted connections inherit it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MILLISECONDS)
            sockets.append(sock)
        opened.pop_all()
    return sockets
