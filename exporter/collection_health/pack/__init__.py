"""`collection-health generate`: rules, dashboards and Alertmanager configuration from jsonnet.

One flow: *evaluate* the mixin with the user's `pack.yml` laid over its `_config`, *render* what
comes out as files people can read, *write* them or compare them with what is there.
"""

import argparse
import sys
from pathlib import Path

from collection_health import manual
from collection_health.pack.errors import PackError

__all__ = ["PackError", "configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `generate`."""
    manual.describe(
        parser,
        """
        Write Prometheus rules, Grafana dashboards and an Alertmanager configuration below
        DIR/{rules,dashboards,alertmanager}/generated. Files that an earlier run wrote there and
        that are no longer produced are removed.
        """,
        examples={
            "collection-health generate --output monitoring": "with every knob at its default",
            "collection-health generate --config pack.yml --output monitoring": "with your knobs",
            "collection-health generate --config pack.yml --output monitoring --check":
                "in continuous integration: are the committed files up to date?",
            "collection-health generate --format kubernetes --output monitoring":
                "for the Prometheus Operator",
        },
        exit_codes={
            "0": "written, or with --check: nothing differs",
            "1": "--check found a difference",
            "2": "wrong usage, or a knob that does not exist or does not fit; nothing was written",
        },
    )  # fmt: skip
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML with the knobs to change (default: none, every knob keeps its default)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="default: the current directory"
    )
    parser.add_argument(
        "--format",
        choices=("plain", "kubernetes"),
        default="plain",
        help="kubernetes: PrometheusRule, ConfigMap and Secret objects below kubernetes/generated",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; show what differs from the files that are there and exit with 1",
    )
    parser.add_argument(
        "--sources",
        type=Path,
        metavar="DIR",
        help="directory of another mixin.libsonnet (default: the one that came with this command)",
    )


def run(args: argparse.Namespace) -> int:
    """Generate, or check. Returns 0, 1 where --check found a difference, 2 for an error."""
    # Imported here: `--help` needs neither jsonnet nor YAML.
    from collection_health.pack import files, kubernetes, mixin, plain

    try:
        produced = mixin.evaluate(args.sources or mixin.sources(), args.config)
        render = kubernetes.render if args.format == "kubernetes" else plain.render
        wanted = render(produced)
        if not args.check:
            for line in files.write(args.output, wanted):
                print(line)
            return 0
        differences = files.differences(args.output, wanted)
    except PackError as error:
        for line in str(error).splitlines():
            print(f"generate: {line}", file=sys.stderr)
        return 2
    for line in differences:
        print(line)
    if differences:
        print("generate: the files differ from their sources; run `generate` again to update them")
    return 1 if differences else 0
