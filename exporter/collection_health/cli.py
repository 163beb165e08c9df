"""The ``collection-health`` command: one table of sub-commands, each imported only when used.

A command module defines ``configure(parser)`` and ``run(args) -> exit code``. Lazy imports keep
``collection-health exec`` cheap enough to wrap a job that runs every few seconds.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from collection_health import __version__

# name -> (module, one-line help)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("collection_health.server", "run the exporter"),
    "check": ("collection_health.check", "validate collectors.yml and other configuration"),
    "generate": ("collection_health.pack", "write rules, dashboards and Alertmanager config"),
    "exec": ("collection_health.exec", "run a command and report how it ended"),
    "record": ("collection_health.record", "report one outcome from a shell script"),
    "status": ("collection_health.commands.status", "show the fleet or one collector"),
    "ack": ("collection_health.commands.controls", "say that you are on it"),
    "unack": ("collection_health.commands.controls", "end an acknowledgement"),
    "pause": ("collection_health.commands.controls", "pause a collector"),
    "resume": ("collection_health.commands.controls", "end a pause"),
    "maintenance": ("collection_health.commands.controls", "expect trouble for a while"),
    "forget": ("collection_health.commands.controls", "drop a collector that retired"),
    "recover": ("collection_health.commands.recover", "start, approve or cancel recoveries"),
    "runs": ("collection_health.commands.records", "list recorded runs"),
    "incidents": ("collection_health.commands.records", "list incidents and what ended them"),
    "audit": ("collection_health.commands.records", "list who did what"),
    "silence": ("collection_health.commands.silence", "silence messages in Alertmanager"),
    "doctor": ("collection_health.commands.doctor", "check Prometheus, rules and Alertmanager"),
    "export-history": (
        "collection_health.backtest.export_history",
        "write the ledger's outcomes as NDJSON",
    ),
    "backtest": ("collection_health.backtest", "replay history through the alert rules"),
    "completion": ("collection_health.completion", "print a completion script for a shell"),
}


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The argument parser; only ``command``'s own options are loaded (all when None)."""
    parser = argparse.ArgumentParser(
        prog="collection-health",
        description="Learn that a collector broke before somebody misses the data.",
        epilog="collection-health COMMAND --help: options, examples, exit codes, environment.",
    )
    parser.add_argument("--version", action="version", version=f"collection-health {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module_name, help_line) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_line, description=help_line)
        if command is None or command == name:
            module = importlib.import_module(module_name)
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (2 for wrong usage, as argparse does)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if not word.startswith("-")), None)
    args = build_parser(command if command in COMMANDS else "").parse_args(arguments)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
