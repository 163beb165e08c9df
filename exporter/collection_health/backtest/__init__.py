"""`collection-health backtest`: what the alert rules would have said of a recorded history.

One flow: *read* outcomes and incidents, *fold* them into the series the exporter would have
exposed, *write* these into a scratch engine, *evaluate* the rules there, *score* what fired.
"""

import argparse
import sys
from pathlib import Path

from collection_health import manual

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `backtest`."""
    manual.describe(
        parser,
        """
        Replay a history of outcomes through alert rules on a scratch Prometheus and write
        episodes.ndjson, report.json and report.html. Nothing leaves this machine and nothing of
        it is changed but the output directory. Needs collection-health[backtest].
        """,
        examples={
            "collection-health backtest --history history.ndjson": "what would have fired",
            "collection-health backtest --history history.ndjson --incidents incidents.csv":
                "found, missed, false, how late",
            "collection-health backtest --history history.ndjson --compare mine/rules/generated":
                "your rules beside the defaults",
        },
        exit_codes={
            "0": "the report is written",
            "2": "wrong usage, or a history, inventory, rule file or engine that cannot be used",
        },
    )  # fmt: skip
    parser.add_argument(
        "--history", type=Path, required=True, metavar="FILE",
        help="outcomes, one JSON object a line (collection-health export-history writes it)",
    )  # fmt: skip
    parser.add_argument(
        "--config.file", dest="config_file", type=Path, metavar="FILE",
        help="the inventory; without it every interval is inferred",
    )  # fmt: skip
    parser.add_argument(
        "--incidents", type=Path, metavar="FILE",
        help="CSV target,start,end,kind,collectors of what really went wrong; without it the "
        "report shows what would have fired",
    )  # fmt: skip
    parser.add_argument(
        "--rules", type=Path, metavar="DIR",
        help="directory or file of Prometheus rules (default: the rules that `generate` writes)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", type=Path, metavar="DIR2", help="a second rule set to set beside the first"
    )
    parser.add_argument(
        "--step", metavar="DURATION",
        help="scrape and evaluation interval, such as 1m (default: the shortest expected "
        "interval, between 1 and 5 minutes)",
    )  # fmt: skip
    parser.add_argument(
        "--score-from", metavar="TIME",
        help="judge alerts from this RFC 3339 time on; what is before only warms up baselines",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=Path("backtest"), metavar="DIR", help="default: ./backtest"
    )
    parser.add_argument(
        "--engine", choices=("prometheus", "victoriametrics"), default="prometheus",
        help="victoriametrics is faster where it is installed (default: prometheus)",
    )  # fmt: skip
    parser.add_argument(
        "--prometheus", metavar="PATH",
        help="the engine's executable (default: found on PATH or under .tools/)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Back-test; returns 0, or 2 for an input, rule or engine that cannot be used."""
    try:
        from collection_health.backtest import command  # `--help` needs neither numpy nor an engine
    except ModuleNotFoundError as error:
        missing = f"the Python package {error.name} is missing"
        print(f"backtest: {missing}; install collection-health[backtest]", file=sys.stderr)
        return 2
    return command.run(args)
