"""`--help` is a manual page, and the documents know every option of the exporter."""

import argparse
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from collection_health.cli import COMMANDS, build_parser
from collection_health.pipeline import Pipeline
from collection_health.server import PLUGINS, Reloader, build_app
from tests.support.services import COMMAND


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of one command, with its options."""
    (found,) = (
        action.choices[command]
        for action in build_parser(command)._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert isinstance(found, argparse.ArgumentParser)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_a_manual_page(command: str) -> None:
    """Description, every option, examples, exit codes and environment, in lines that fit."""
    parser = parser_of(command)
    assert parser.description
    assert parser.description.rstrip().endswith(".")
    for action in parser._actions:
        assert action.help, f"{command} {action.option_strings or action.dest}: no help"
    text = parser.format_help()
    for section in ("examples:", "exit codes:", "environment:"):
        assert f"\n{section}\n" in text
    assert re.search(r"^  2 +\S", text, re.MULTILINE), "exit code 2 (wrong usage) is not told"


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_understood(command: str) -> None:
    """The command line of each example parses."""
    epilog = parser_of(command).epilog or ""
    examples = re.findall(r"^  (collection-health .+)$", epilog.split("\n\n")[0], re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example)
        if ">" in words:
            words = words[: words.index(">")]
        assert build_parser(command).parse_args(words[1:]).command == command


def test_every_option_of_serve_is_documented(root: Path) -> None:
    """exporter/README.md tells of each option and of each part that can be switched off."""
    text = (root / "exporter" / "README.md").read_text()
    options = [
        option
        for action in parser_of("serve")._actions
        for option in action.option_strings
        if option not in {"-h", "--help"}
    ]
    documented = re.findall(r"^\| `(--[\w.-]+)", text, re.MULTILINE)
    assert sorted(documented) == sorted(options)
    missing = [name for name in PLUGINS if f"`{name}`" not in text]
    assert not missing


def test_every_endpoint_is_documented(root: Path, tmp_path: Path) -> None:
    """exporter/README.md names the path of each route, with its variable parts in capitals."""
    args = build_parser("serve").parse_args(["serve", "--web.listen-address=127.0.0.1:0"])
    pipeline = Pipeline(tmp_path)
    app = build_app(pipeline, Reloader(pipeline, None), args)
    text = (root / "exporter" / "README.md").read_text()
    documented = set(re.findall(r"`(?:[A-Z]+ )?(/[^` ]*)`", text))
    served = {
        re.sub(r"\{(\w+)\}", lambda part: part[1].upper(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    assert served <= documented


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """The generated script completes in a real bash."""
    script = subprocess.run(
        [*COMMAND, "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "completion").write_text(script)
    ask = """
    source completion
    complete_with=$(complete -p collection-health | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    COMP_WORDS=(collection-health "$@") COMP_CWORD=$#
    $complete_with collection-health "${!#}" "${COMP_WORDS[COMP_CWORD-1]}"
    echo "${COMPREPLY[@]}"
    """
    for words, expected in ((["gen"], "generate"), (["serve", "--config.c"], "--config.check")):
        answer = subprocess.run(
            ["bash", "-c", ask, "-", *words], cwd=tmp_path, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert answer.stdout.split() == [expected]
