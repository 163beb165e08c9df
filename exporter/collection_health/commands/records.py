"""``collection-health runs``, ``incidents`` and ``audit``: what was recorded."""

import argparse
from typing import Any

from collection_health import manual
from collection_health.commands import servers, show
from collection_health.times import span

_TEXTS = {
    "runs": "List recorded runs of a collector, the newest first.",
    "incidents": "List incidents of a collector, from the first bad run to the next good one, and "
    "what was done about each.",
    "audit": "List who did what: controls, recovery steps, break-glass, feedback on alerts.",
}
_EXAMPLES = {
    "runs": {"collection-health runs orders --limit 100": "the newest hundred"},
    "incidents": {"collection-health incidents orders": "the newest twenty"},
    "audit": {"collection-health audit --collector orders --kind control": "who steered it"},
}
_KINDS = ("control", "recovery", "break_glass", "feedback")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the listing that the parser's own name says."""
    verb = parser.prog.split()[-1]
    manual.describe(
        parser, _TEXTS[verb], examples=_EXAMPLES[verb], exit_codes=servers.EXIT_CODES,
        environment=servers.ENVIRONMENT,
    )  # fmt: skip
    parser.set_defaults(verb=verb)
    if verb == "audit":
        parser.add_argument("--collector", metavar="NAME", help="only about this one")
        parser.add_argument("--actor", metavar="NAME", help="only by this one")
        parser.add_argument("--kind", choices=_KINDS, metavar="KIND", help=", ".join(_KINDS))
    else:
        parser.add_argument("name", metavar="NAME", help="the collector")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most (default 20)")
    if verb != "incidents":
        parser.add_argument("--before", metavar="PLACE", help="go on where a listing ended")
    servers.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the listing."""
    return show.guarded(lambda: _list(args))


def _list(args: argparse.Namespace) -> int:
    server = servers.exporter(args)
    query = {"limit": args.limit, "before": getattr(args, "before", None)}
    if args.verb == "audit":
        query |= {"collector": args.collector, "actor": args.actor, "kind": args.kind}
        answer = server.get("/api/v1/audit", query)
    else:
        answer = server.get(servers.collector_path(args.name, f"/{args.verb}"), query)
    if args.output == "json":
        show.dump(answer)
        return 0
    {"runs": _runs, "incidents": _incidents, "audit": _audit}[args.verb](answer)
    if answer.get("next"):
        print(show.paint(f"\nolder: --before {answer['next']}", "dim"))
    return 0


def _runs(answer: dict[str, Any]) -> None:
    rows = [
        (
            show.clock(run["at"]), _colored(run["outcome"]), run.get("reason") or "-",
            f"{run['duration_seconds']:.3g} s" if "duration_seconds" in run else "-",
            str(run.get("records", "-")), show.clean(run.get("message") or ""),
        )
        for run in answer["runs"]
    ]  # fmt: skip
    show.table(("ENDED (UTC)", "OUTCOME", "REASON", "TOOK", "RECORDS", "MESSAGE"), rows)


def _colored(outcome: str) -> str:
    colors = {"success": "green", "partial": "yellow", "failure": "red", "aborted": "red"}
    return show.paint(outcome, colors.get(outcome, "dim"))


def _incidents(answer: dict[str, Any]) -> None:
    rows = []
    for item in answer["incidents"]:
        reasons = ", ".join(f"{reason} {count}×" for reason, count in item["reasons"].items())
        ended = item["ended_by"] or "a good run" if item["ended_at"] else "open"
        rows.append(
            (
                show.clock(item["started_at"]), span(item["duration_seconds"]), ended, reasons,
                show.clean("; ".join([item["message"] or "", *item["done"]]).strip("; ")),
            )
        )  # fmt: skip
    show.table(("BEGAN (UTC)", "LASTED", "ENDED BY", "REASONS", "MESSAGE, WHAT WAS DONE"), rows)
    if not answer["complete"]:
        print(show.paint(f"\nonly runs since {show.clock(answer['since'])} were read", "dim"))


def _audit(answer: dict[str, Any]) -> None:
    rows = [
        (
            show.clock(item["at"]), item["actor"] or "-", item.get("collector", "-"),
            item["action"], item.get("result", "-"), show.clean(item.get("reason") or ""),
        )
        for item in answer["entries"]
    ]  # fmt: skip
    show.table(("AT (UTC)", "WHO", "COLLECTOR", "WHAT", "RESULT", "WHY"), rows)
