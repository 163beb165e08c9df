"""``collection-health check``: validate configuration as ``promtool check config`` does."""

import argparse
import sys
from pathlib import Path

from collection_health.inventory import InventoryError, load


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``check``."""
    parser.add_argument("files", nargs="+", type=Path, metavar="COLLECTORS.YML")


def run(args: argparse.Namespace) -> int:
    """Print a line a file; 1 when one of them cannot be used."""
    failed = False
    for path in args.files:
        try:
            inventory = load(path)
        except InventoryError as error:
            print(f"FAILED {error}", file=sys.stderr)
            failed = True
            continue
        silent = sum(1 for config in inventory.registered.values() if config.schedule is None)
        print(
            f"OK {path}: {len(inventory.registered)} collectors ({silent} without a schedule), "
            f"{len(inventory.dependencies)} dependencies, {len(inventory.actions)} actions"
        )
    return 1 if failed else 0
