"""``collection-health silence``: an Alertmanager silence that ends by itself."""

import argparse
from datetime import UTC, datetime, timedelta

from collection_health import manual
from collection_health.commands import servers, show

_MAX_SECONDS = 90 * 86400


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``silence``."""
    manual.describe(
        parser,
        """
        Silence the messages about a collector, a dependency or a team in Alertmanager, for a
        while. Prefer `ack` (you are on it) or `maintenance` (expected trouble): they also tell
        the rules, the recovery and your colleagues.
        """,
        examples={
            "collection-health silence --collector orders --for 2h --reason 'vendor is at it'":
                "one collector",
            "collection-health silence --list": "those that hold",
            "collection-health silence --expire ID": "end one",
        },
        exit_codes={**servers.EXIT_CODES, "3": "Alertmanager cannot be reached"},
        environment={"USER": "who, unless --actor says"},
    )  # fmt: skip
    add = parser.add_argument
    add("--alertmanager.url", dest="alertmanager", default="http://127.0.0.1:9093", metavar="URL",
        help="Alertmanager (default %(default)s)")  # fmt: skip
    for name in ("collector", "dependency", "team", "alertname"):
        add(f"--{name}", metavar="NAME", help=f"alerts with this {name}")
    add("--for", dest="duration", default="2h", metavar="DURATION",
        help="such as 30m, 2h, 1d (default %(default)s)")  # fmt: skip
    add("--reason", default="", metavar="TEXT", help="why; required by Alertmanager")
    add("--actor", default=servers.person(), metavar="NAME", help="who (default: your user name)")
    add("--list", action="store_true", help="list silences that hold")
    add("--expire", metavar="ID", help="end a silence")
    add("--output", choices=("table", "json"), default="table", metavar="FORMAT",
        help="table (default) or json")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Create, list or end."""
    return show.guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    server = servers.Server(_checked(args.alertmanager))
    if args.list:
        return _list(args, server)
    if args.expire:
        server.send("DELETE", f"/api/v2/silence/{args.expire}")
        print(f"{args.expire}: ended")
        return 0
    matchers = [
        {"name": name, "value": getattr(args, name), "isRegex": False, "isEqual": True}
        for name in ("collector", "dependency", "team", "alertname")
        if getattr(args, name)
    ]
    if not matchers:
        raise ValueError("nothing to silence: give --collector, --dependency, --team, --alertname")
    if not args.reason:
        raise ValueError("--reason: missing; say why, for whoever finds the silence")
    now = datetime.now(UTC)
    end = now + timedelta(seconds=_seconds(args.duration))
    answer = server.post(
        "/api/v2/silences",
        {
            "matchers": matchers, "startsAt": now.isoformat(), "endsAt": end.isoformat(),
            "createdBy": args.actor or "collection-health", "comment": args.reason,
        },
    )  # fmt: skip
    if args.output == "json":
        show.dump({"id": answer["silenceID"], "ends_at": end.isoformat()})
    else:
        print(f"{answer['silenceID']}: until {show.clock(end.isoformat()[:19])} UTC")
    return 0


def _list(args: argparse.Namespace, server: servers.Server) -> int:
    silences = [item for item in server.get("/api/v2/silences") if
                item["status"]["state"] != "expired"]  # fmt: skip
    if args.output == "json":
        show.dump(silences)
        return 0
    rows = [
        (
            item["id"], show.clock(item["endsAt"][:19]), item["createdBy"],
            ", ".join(f"{m['name']}={m['value']}" for m in item["matchers"]),
            show.clean(item["comment"]),
        )
        for item in silences
    ]  # fmt: skip
    show.table(("ID", "UNTIL (UTC)", "WHO", "WHAT", "WHY"), rows)
    return 0


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"--alertmanager.url: {url!r}; allowed: http(s)://host:port")
    return url


def _seconds(text: str) -> float:
    from collection_health.client._values import duration

    seconds = duration(text)
    if not 0 < seconds <= _MAX_SECONDS:
        raise ValueError(f"--for: {text!r}; allowed: up to 90d")
    return seconds
