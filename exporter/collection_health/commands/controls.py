"""``collection-health ack``, ``unack``, ``pause``, ``resume``, ``maintenance``, ``forget``."""

import argparse

from collection_health import manual
from collection_health.commands import servers, show

_TEXTS = {
    "ack": "Say that you are on it: the alert no longer escalates until the time is over, the "
    "incident ends or you `unack`.",
    "unack": "End an acknowledgement: the alert escalates again.",
    "pause": "Pause a collector: no alert, no missed runs, no recovery until `resume`.",
    "resume": "End a pause.",
    "maintenance": "Expect trouble for a while: no alert and no recovery meanwhile.",
    "forget": "Drop a collector that retired, or was never more than a typing error: its series "
    "end at once. The inventory must not name it any more; should it report again, it starts anew.",
}
_USUAL = {"ack": "4h", "maintenance": "1h", "pause": "until resumed"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the control that the parser's own name says."""
    verb = parser.prog.split()[-1]
    timed = f" --for {'30m' if verb == 'maintenance' else '2h'}" if verb in _USUAL else ""
    why = "retired" if verb == "forget" else "new token is on its way"
    manual.describe(
        parser,
        f"{_TEXTS[verb]}\n\nWho, when and why goes to the audit log.",
        examples={f"collection-health {verb} orders{timed} --reason '{why}'":
                  "with the reason others will read"},
        exit_codes=servers.EXIT_CODES,
        environment=servers.ENVIRONMENT,
    )  # fmt: skip
    parser.set_defaults(verb=verb)
    parser.add_argument("names", metavar="NAME", nargs="+", help="collectors")
    if verb in _USUAL:
        parser.add_argument(
            "--for", dest="duration", metavar="DURATION",
            help=f"such as 90s, 30m, 4h, 2d (default: {_USUAL[verb]})",
        )  # fmt: skip
    if verb == "maintenance":
        parser.add_argument("--end", action="store_true", help="end it")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why")
    parser.add_argument(
        "--actor", default=servers.person(), metavar="NAME",
        help="who, where the exporter asks for no credentials (default: your user name)",
    )  # fmt: skip
    servers.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Control every collector named, those after a failure too."""
    return max(show.guarded(lambda name=name: _control(args, name)) for name in args.names)  # type: ignore[misc]


def _control(args: argparse.Namespace, name: str) -> int:
    body: dict[str, object] = {
        "reason": args.reason, "actor": args.actor, "duration": getattr(args, "duration", None),
    }  # fmt: skip
    if getattr(args, "end", False):
        body["active"] = False
    answer = servers.exporter(args).post(servers.collector_path(name, f"/{args.verb}"), body)
    if args.output == "json":
        show.dump(answer)
        return 0
    if "forgotten" in answer:
        print(f"{answer['collector']}: forgotten")
        return 0
    held = [
        f"{control}" + (f" until {show.clock(known['until'])} UTC" if known["until"] else "")
        for control, known in answer["controls"].items()
    ]
    print(f"{answer['collector']}: {', '.join(held) or 'no control holds'}")
    return 0
