"""``collection-health status``: the fleet, or one collector, at a glance."""

import argparse
import sys
import time
from typing import Any

from collection_health import manual
from collection_health.commands import servers, show

_ORDER = ("failing", "degraded", "unknown", "healthy")
_RUNS = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``status``."""
    manual.describe(
        parser,
        """
        Show every collector, the worst first: its state, its newest runs, why it fails and what
        is being done. With a name: everything known of that one.
        """,
        examples={
            "collection-health status": "the fleet",
            "collection-health status --watch": "the same, kept current until Ctrl-C",
            "collection-health status orders": "one collector",
            "collection-health status --state failing --output json": "for a script",
        },
        exit_codes={**servers.EXIT_CODES, "0": "none fails", "1": "some fail, or it was refused"},
        environment=servers.ENVIRONMENT,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="one collector")
    parser.add_argument("--team", metavar="TEAM", help="only this team's")
    parser.add_argument("--dependency", metavar="NAME", help="only those that depend on it")
    parser.add_argument("--state", choices=_ORDER, metavar="STATE", help=", ".join(_ORDER))
    parser.add_argument(
        "--watch", nargs="?", type=float, const=2.0, metavar="SECONDS",
        help="print again every 2 (or so many) seconds",
    )  # fmt: skip
    servers.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print once, or until interrupted."""
    return show.guarded(lambda: _watch(args) if args.watch is not None else _once(args))


def _once(args: argparse.Namespace) -> int:
    server = servers.exporter(args)
    if args.name is not None:
        answer = server.get(servers.collector_path(args.name))
        collectors = [answer["collector"]]
    else:
        answer = fleet(server, args)
        collectors = answer["collectors"]
    if args.output == "json":
        show.dump(answer)
    elif args.name is not None:
        _details(answer["collector"])
        _basis(answer)
    else:
        _fleet(collectors)
        _basis(answer)
    return int(any(item["state"] == "failing" for item in collectors))


def _watch(args: argparse.Namespace) -> int:
    while True:
        if sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
        code = _once(args)
        sys.stdout.flush()
        try:
            time.sleep(max(0.5, args.watch))
        except KeyboardInterrupt:
            return code


def fleet(server: servers.Server, args: argparse.Namespace) -> dict[str, Any]:
    """Every collector that the options mean, page after page."""
    whole: dict[str, Any] = {}
    after = None
    while True:
        answer: dict[str, Any] = server.get(
            "/api/v1/collectors",
            {"team": args.team, "dependency": args.dependency, "state": args.state,
             "limit": 1000, "after": after},
        )  # fmt: skip
        if whole:
            whole["collectors"] += answer["collectors"]
        else:
            whole = answer
        after = answer.get("next")
        if not after:
            whole["next"] = None
            return whole


def _fleet(collectors: list[dict[str, Any]]) -> None:
    counts = [(word, sum(item["state"] == word for item in collectors)) for word in _ORDER]
    print("  ".join(show.state(word) + f" {count}" for word, count in counts if count)
          or "no collector")  # fmt: skip
    if not collectors:
        return
    print()
    collectors.sort(key=lambda item: (_ORDER.index(item["state"]), item["name"]))
    rows = [
        (
            show.state(item["state"]), item["name"], item["team"] or "-",
            show.ago(item["facts"]["last_run"]), show.strip(item["facts"]["runs"][-_RUNS:]),
            show.clean("; ".join(item["why"] + [f"({text})" for text in item["doing"]])),
        )
        for item in collectors
    ]  # fmt: skip
    show.table(("STATE", "COLLECTOR", "TEAM", "LAST RUN", "RUNS", "WHY (BEING DONE)"), rows)


def _details(item: dict[str, Any]) -> None:
    facts = item["facts"]
    lasting = f" since {show.clock(facts['failing_since'])}" if facts["failing_since"] else ""
    print(f"{show.paint(item['name'], 'bold')}  {show.state(item['state'])}{lasting}")
    print(show.strip(facts["runs"]) or "no run yet")
    rows = [("why", text) for text in item["why"]] + [("done", text) for text in item["doing"]]
    rows += [
        ("last run", show.ago(facts["last_run"])),
        ("last good run", show.ago(facts["last_success"])),
        ("next run", show.clock(facts["next_run"])),
        ("deadline", show.clock(facts["deadline"])),
        ("team, owner", ", ".join(filter(None, (item["team"], item["owner"])))),
        ("depends on", ", ".join(item["depends_on"])),
        ("version", facts["version"] or ""),
    ]
    rows += [("alert", name) for name in (item["conclusions"] or {}).get("alerts", [])]
    for label, text in rows:
        if text:
            print(f"{show.paint(f'{label:>14}', 'dim')}  {show.clean(text)}")


def _basis(answer: dict[str, Any]) -> None:
    source = answer["sources"]["conclusions"]
    text = (
        f"by the rules in Prometheus, {source['age_seconds']:.0f} s old"
        if source["problem"] is None
        else f"from facts alone: {source['problem']}"
    )
    print(show.paint(f"\n{text}", "dim"))
