"""``collection-health doctor``: is everything between collector and message in place."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from collection_health import manual
from collection_health.commands import servers, show
from collection_health.commands.findings import Finding, seconds
from collection_health.commands.servers import RefusedError, Server, UnreachableError

if TYPE_CHECKING:
    from collection_health.commands.prometheus_checks import Pack

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}
_SIGNS = {"ok": "✔", "warning": "▲", "error": "✖"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``doctor``."""
    manual.describe(
        parser,
        """
        Check a running exporter, Prometheus and Alertmanager: is the exporter scraped, are the
        rules loaded and evaluated in time, does anything else use their names, are versions new
        enough and retention long enough, do messages get out.
        """,
        examples={
            "collection-health doctor": "everything at its usual address on this machine",
            "collection-health doctor --prometheus.url http://prometheus:9090 --config pack.yml":
                "with the knobs the rules were generated with",
        },
        exit_codes={
            "0": "no error (warnings are printed)",
            "1": "at least one error",
            "2": "wrong usage",
        },
        environment=servers.ENVIRONMENT,
    )  # fmt: skip
    add = parser.add_argument
    add("--prometheus.url", dest="prometheus", default="http://127.0.0.1:9090", metavar="URL",
        help="Prometheus (default %(default)s)")  # fmt: skip
    add("--alertmanager.url", dest="alertmanager", default="http://127.0.0.1:9093", metavar="URL",
        help="Alertmanager (default %(default)s)")  # fmt: skip
    add("--config", type=Path, metavar="FILE", help="pack.yml, as given to `generate`")
    servers.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything and say how it stands."""
    return show.guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from collection_health.commands import alertmanager_checks, prometheus_checks
    from collection_health.pack import PackError

    try:
        pack = _pack(args.config)
    except PackError as error:
        raise ValueError(f"--config: {error}") from error
    prometheus, alertmanager = _server(args.prometheus), _server(args.alertmanager)
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "exporter": lambda: _exporter(servers.exporter(args)),
        "prometheus": lambda: prometheus_checks.check(prometheus, pack),
        "alertmanager": lambda: alertmanager_checks.check(alertmanager),
    }
    found = {part: list(_careful(check)) for part, check in parts.items()}
    if args.output == "json":
        show.dump({part: [item._asdict() for item in items] for part, items in found.items()})
    else:
        for part, items in found.items():
            print(show.paint(part, "bold"))
            for item in items:
                sign = show.paint(f"{_SIGNS[item.level]} {item.level:<7}", _COLORS[item.level])
                print(f"  {sign}  {item.about}: {show.clean(item.text)}")
    return int(any(item.level == "error" for items in found.values() for item in items))


def _pack(config: Path | None) -> "Pack":
    from collection_health.commands.prometheus_checks import Pack
    from collection_health.pack.mixin import evaluate, sources

    mixin = evaluate(sources(), config)
    return Pack(
        [*mixin.rules["groups"], *mixin.alerts["groups"]],
        mixin.config["selector"],
        seconds(mixin.config["scrapeGuard"]),
    )


def _server(url: str) -> Server:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r}; allowed: http(s)://host:port")
    return Server(url)


def _careful(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check's findings; one that cannot go on is a finding too."""
    try:
        yield from check()
    except (UnreachableError, RefusedError) as error:
        yield Finding("error", "reachable", str(error))
    except (KeyError, TypeError, AttributeError) as error:
        yield Finding("error", "answer", f"not what was expected: {error!r}")


def _exporter(server: Server) -> Iterator[Finding]:
    health = server.get("/api/v1/health")
    if health["recording"]:
        total = sum(health["collectors"].values())
        yield Finding("ok", "recording", f"{total} collectors")
    else:
        yield Finding("error", "recording", "outcomes cannot be recorded: see its log, /-/ready")
    problem = health["sources"]["conclusions"]["problem"]
    if problem is None:
        age = health["sources"]["conclusions"]["age_seconds"]
        yield Finding("ok", "conclusions", f"read from Prometheus, {age:.0f} s old")
    else:
        yield Finding("warning", "conclusions", f"{problem}; automatic recovery needs them")
