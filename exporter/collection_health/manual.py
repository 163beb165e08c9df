"""`--help` that reads like a manual page: description, options, examples, exit codes, environment.

Every command calls `describe` from its ``configure``; a test holds that none forgets.
"""

import argparse
import textwrap
from collections.abc import Mapping

WIDTH = 79
CLIENT_ENVIRONMENT = {
    "COLLECTION_HEALTH_URL": "the exporter (default http://127.0.0.1:9036); empty: report nothing",
    "COLLECTION_HEALTH_TOKEN_FILE": "file with the bearer token, if the exporter asks for one",
    "COLLECTION_HEALTH_CA_FILE": "PEM file with the only authorities to trust for https",
    "COLLECTION_HEALTH_SPOOL": "directory where outcomes wait while the exporter is away "
    "(default $XDG_STATE_HOME/collection-health/spool)",
}
"""Variables of the commands that report outcomes."""


def describe(
    parser: argparse.ArgumentParser,
    text: str,
    *,
    examples: Mapping[str, str],
    exit_codes: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Give a command its manual: paragraphs of ``text``, and what stands below the options.

    ``examples`` maps command lines to what they are for.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    parser.description = "\n\n".join(textwrap.fill(part, WIDTH) for part in paragraphs)
    lines = ["examples:"]
    for command, purpose in examples.items():
        lines += [f"  # {purpose}", f"  {command}"]
    lines += ["", "exit codes:", *_table(exit_codes)]
    lines += ["", "environment:", *_table(environment or {"-": "none is read"})]
    parser.epilog = "\n".join(lines)


def _table(rows: Mapping[str, str]) -> list[str]:
    lines = []
    for name, meaning in rows.items():
        first = f"  {name:<6}"
        if len(first) > 10:  # a long name has a line of its own
            lines.append(first.rstrip())
            first = " " * 8
        lines += textwrap.wrap(meaning, WIDTH, initial_indent=first, subsequent_indent=" " * 8)
    return lines
