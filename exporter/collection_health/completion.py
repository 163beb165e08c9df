"""``collection-health completion``: what a shell needs to complete commands and options."""

import argparse

from collection_health import manual

SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``completion``."""
    manual.describe(
        parser,
        """
        Print a script that teaches a shell the commands and options of collection-health.
        """,
        examples={
            "collection-health completion bash "
            "> ~/.local/share/bash-completion/completions/collection-health": "bash, for you",
            "collection-health completion zsh > ~/.zfunc/_collection-health": "zsh, if ~/.zfunc "
            "is in fpath",
        },
        exit_codes={"0": "printed", "2": "wrong usage"},
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from collection_health.cli import build_parser

    print(shtab.complete(build_parser(), shell=args.shell))
    return 0
