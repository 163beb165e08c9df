"""Commands in Markdown documents, found and run.

- ```` ```sh ```` blocks are run as one script each;
- ```` ```console ```` blocks have commands after `$ ` and what they print below; `…` in a printed
  line stands for anything, and so does a line of `…` alone for any number of lines;
- `<!-- file: NAME -->` before any other block writes it to that file first;
- `<!-- background: URL -->` keeps a block running until the document ends, and waits for the URL;
- `<!-- not run: REASON -->` names a block that a test cannot run; those are listed at the end of
  the test run.

The blocks of one document run in order, in one directory.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MARK = re.compile(r"\s*<!--\s*(file|background|not run)\s*:\s*(.*?)\s*-->\s*$")
_FENCE = re.compile(r"(\s*)(```+)\s*(\w*)\s*$")
RUNNABLE = ("sh", "console")


@dataclass(frozen=True)
class Block:
    """One fenced block; `mark` is the kind of the comment before it ("" for none)."""

    document: Path
    line: int
    language: str
    text: str
    mark: str = ""
    argument: str = ""

    @property
    def place(self) -> str:
        """`README.md:12`."""
        return f"{self.document.name}:{self.line}"


def documents(root: Path) -> list[Path]:
    """README.md and every other document of the repository."""
    folders = ("exporter", "rules", "dashboards", "alertmanager", "tests")
    below = (path for folder in folders for path in (root / folder).rglob("*.md"))
    return [root / "README.md", *sorted(below)]


def blocks(document: Path) -> list[Block]:
    """Blocks of a document that are commands or files. Raises ValueError for a stray comment."""
    return [block for block in _fenced(document) if block.language in RUNNABLE or block.mark]


def _fenced(document: Path) -> Iterator[Block]:
    mark, argument, fence, indent, language = "", "", "", "", ""
    start = 0
    body: list[str] = []
    for number, line in enumerate(document.read_text().splitlines(), start=1):
        if fence:
            if line.strip() == fence:
                text = "\n".join(body) + "\n"
                yield Block(document, start, language, text, mark, argument)
                mark = argument = fence = ""
            else:
                body.append(line.removeprefix(indent))
        elif match := _MARK.match(line):
            mark, argument = match[1], match[2]
        elif match := _FENCE.match(line):
            indent, fence, language = match.groups()
            start, body = number, []
        elif line.strip() and mark:
            raise ValueError(f"{document.name}:{number}: a comment `{mark}` stands before no block")


def commands(block: Block) -> list[tuple[str, list[str] | None]]:
    """Scripts with the lines each should print (None: whatever it prints)."""
    if block.language == "sh":
        return [(block.text, None)]
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\") and line.startswith("> "):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        elif found:
            found[-1][1].append(line)
    return [(script, printed or None) for script, printed in found]


def prints(expected: list[str], output: str) -> bool:
    """Whether output is what a document shows."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"\n"
        for line in expected
    )
    return re.fullmatch(pattern, output.strip() + "\n") is not None


def run(block: Block, directory: Path, environment: dict[str, str]) -> None:
    """Run a block. Raises AssertionError with place, command and output when it fails."""
    for script, expected in commands(block):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        told = f"{block.place}: {script.strip()}\n{done.stdout}"
        assert done.returncode == 0, f"exit code {done.returncode}: {told}"
        assert expected is None or prints(expected, done.stdout), (
            f"printed something else than the document shows: {told}"
        )
