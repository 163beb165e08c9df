"""What `doctor` asks Alertmanager: its version, its receivers, whether messages get out."""

import re
import socket
from collections.abc import Iterator

import yaml

from collection_health.commands.findings import Finding, some, version
from collection_health.commands.servers import Server

OLDEST = (0, 25)
SECONDS = 3.0
_COUNTER = re.compile(
    r"^alertmanager_notifications(?P<failed>_failed)?_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$"
)
_HOST = re.compile(r"^(?:(?P<scheme>https?)://)?(?P<host>\[[^]]+\]|[^:/\s]+)(?::(?P<port>\d+))?")


def check(server: Server) -> Iterator[Finding]:
    """All checks. Raises `UnreachableError`."""
    status = server.get("/api/v2/status")
    found = str(status["versionInfo"].get("version", ""))
    if version(found) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Finding("error", "version", f"{found}; {oldest} or newer is supported")
    else:
        yield Finding("ok", "version", found)
    yield from receivers(str(status["config"]["original"]))
    yield from _deliveries(server)


def receivers(text: str) -> Iterator[Finding]:
    """Whether receivers have somewhere to send to, and whether that can be reached from here."""
    config = yaml.safe_load(text) or {}
    empty, addresses = [], set[str]()
    for receiver in config.get("receivers") or []:
        integrations = [items for key, items in receiver.items() if key.endswith("_configs")]
        if not any(integrations):
            empty.append(str(receiver["name"]))
        for items in integrations:
            addresses.update(_addresses(items or []))
    smarthost = (config.get("global") or {}).get("smtp_smarthost")
    if smarthost:
        addresses.add(str(smarthost))
    root = (config.get("route") or {}).get("receiver")
    if root in empty:
        yield Finding("warning", "receivers", f"what no route matches goes to {root}: to nobody")
    unreachable = [address for address in sorted(addresses) if not _reachable(address)]
    if unreachable:
        yield Finding("error", "receivers", f"cannot be reached from here: {some(unreachable)}")
    else:
        hidden = " (those behind files and secrets: see deliveries)"
        yield Finding("ok", "receivers", f"{len(addresses)} known address(es) reached{hidden}")


def _addresses(items: list[dict[str, object]]) -> Iterator[str]:
    for item in items:
        for key in ("url", "api_url", "webhook_url", "smarthost"):
            value = item.get(key)
            if isinstance(value, str) and "<secret>" not in value and "{{" not in value:
                yield value


def _reachable(address: str) -> bool:
    match = _HOST.match(address)
    if match is None:
        return False
    port = int(match["port"] or {"https": 443, "http": 80}.get(match["scheme"] or "", 25))
    try:
        socket.create_connection((match["host"].strip("[]"), port), SECONDS).close()
    except OSError:
        return False
    return True


def _deliveries(server: Server) -> Iterator[Finding]:
    """Alertmanager's own count of messages: the proof that receivers work."""
    sent: dict[str, list[float]] = {}
    for line in str(server.get("/metrics")).splitlines():
        match = _COUNTER.match(line)
        if match:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match["labels"]))
            name = labels.get("receiver_name") or labels.get("integration", "")
            counts = sent.setdefault(name, [0.0, 0.0])
            counts[bool(match["failed"])] += float(match["value"])
    used = {name: counts for name, counts in sent.items() if counts[0]}
    failing = [
        f"{name}: {failed:.0f} of {total:.0f}" for name, (total, failed) in used.items() if failed
    ]
    if failing:
        yield Finding("error", "deliveries", f"messages failed since its start: {some(failing)}")
    elif used:
        total = sum(counts[0] for counts in used.values())
        yield Finding("ok", "deliveries", f"{total:.0f} messages sent, none failed")
    else:
        yield Finding("ok", "deliveries", "no message was sent yet")
