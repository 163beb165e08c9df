"""``collection-health check``: validate configuration as ``promtool check config`` does."""

import argparse
import sys
from pathlib import Path

from collection_health import manual, webconfig
from collection_health.inventory import InventoryError, load


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``check``."""
    manual.describe(
        parser,
        """
        Validate an inventory, a web configuration and a token file as `serve` would read them.
        Every mistake is named with file and path.
        """,
        examples={
            "collection-health check collectors.yml": "an inventory",
            "collection-health check --web.config.file web.yml --web.token-file tokens.yml":
                "what guards the server",
        },
        exit_codes={
            "0": "everything can be used",
            "1": "something cannot; the reason is on stderr",
            "2": "wrong usage",
        },
    )  # fmt: skip
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="COLLECTORS.YML", help="inventories to check"
    )
    webconfig.add_check_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line a file; 1 when one of them cannot be used."""
    web_files = [file for file in (args.web_config_file, args.web_token_file) if file is not None]
    if not args.files and not web_files:
        print("nothing to check: name a file", file=sys.stderr)
        return 2
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
    problems = webconfig.check(args.web_config_file, args.web_token_file)
    for problem in problems:
        print(f"FAILED {problem}", file=sys.stderr)
    if not problems:
        print("".join(f"OK {file}\n" for file in web_files), end="")
    return 1 if failed or problems else 0
