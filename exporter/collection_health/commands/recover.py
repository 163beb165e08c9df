"""``collection-health recover``: start, approve or cancel a recovery; several by selector."""

import argparse
import urllib.parse
from typing import Any

from collection_health import manual
from collection_health.commands import servers, show

_SELECTORS = ("team", "dependency", "failure_reason")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``recover``."""
    manual.describe(
        parser,
        """
        Start the recovery steps that the inventory declares for a collector, now and whatever
        the mode; caps hold. Or all failing collectors that a selector means.
        """,
        examples={
            "collection-health recover orders --reason 'the upstream is back'": "one",
            "collection-health recover --dependency warehouse": "all failing ones behind it",
            "collection-health recover --approve 20261123-orders": "a proposed recovery",
        },
        exit_codes={**servers.EXIT_CODES, "1": "refused, or some of several were"},
        environment=servers.ENVIRONMENT,
    )
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="the collector")
    add("--team", metavar="TEAM", help="all failing collectors of the team")
    add("--dependency", metavar="NAME", help="all failing collectors that depend on it")
    add("--failure-reason", metavar="REASON", help="all collectors failing for this reason")
    add("--approve", metavar="ID", help="approve a proposed recovery")
    add("--cancel", metavar="ID", help="cancel a recovery")
    add("--reason", default="", metavar="TEXT", help="why; goes to the audit log")
    add("--actor", default=servers.person(), metavar="NAME",
        help="who, where there are no credentials (default: your user name)")  # fmt: skip
    servers.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for it."""
    return show.guarded(lambda: _recover(args))


def _recover(args: argparse.Namespace) -> int:
    selected = {name: getattr(args, name) for name in _SELECTORS if getattr(args, name)}
    wishes = [bool(args.name), bool(selected), bool(args.approve), bool(args.cancel)]
    if sum(wishes) != 1:
        raise ValueError("give one of: NAME, selectors (--team …), --approve, --cancel")
    server, said = servers.exporter(args), {"reason": args.reason, "actor": args.actor}
    if args.name:
        answer = server.post(servers.collector_path(args.name, "/recover"), said)
        return _print(args, answer, f"{args.name}: {answer.get('id')}: {answer.get('plan')}")
    if args.approve or args.cancel:
        verb = "approve" if args.approve else "cancel"
        identity = urllib.parse.quote(args.approve or args.cancel, safe="")
        answer = server.post(f"/api/v1/recoveries/{identity}/{verb}", said)
        return _print(args, answer, f"{args.approve or args.cancel}: {answer.get('phase')}")
    return _many(args, server.post("/api/v1/recover", {**selected, **said}))


def _print(args: argparse.Namespace, answer: dict[str, Any], line: str) -> int:
    if args.output == "json":
        show.dump(answer)
    else:
        print(show.clean(line))
    return 0


def _many(args: argparse.Namespace, answer: dict[str, Any]) -> int:
    if args.output == "json":
        show.dump(answer)
    else:
        for item in answer["queued"]:
            print(f"{item['collector']}: {item['id']}")
        for item in answer["refused"]:
            print(f"{item['collector']}: refused: {show.clean(item['reason'])}")
        if not answer["queued"] and not answer["refused"]:
            print("no failing collector with recovery steps matches")
    return int(bool(answer["refused"]))
