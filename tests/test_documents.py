"""Every command in the documentation is run."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.documents import blocks, commands, documents, prints, run
from tests.support.process import Process, port_is_free, wait_for
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = documents(ROOT)
# What `make tools` provides for documents.
PROGRAMS = ("prometheus", "promtool", "alertmanager", "amtool")
# What the documents' services listen on, and the words that tell of a document that needs it.
PORTS = {9036: ("9036", "collection-health serve"), 9090: ("9090",), 9093: ("9093",)}


@pytest.fixture
def turn() -> Iterator[None]:
    """Documents use fixed ports: checkouts on one machine run theirs one after the other."""
    name = f"collection-health-documents-{os.getuid()}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the working tree, files not yet committed included."""
    target = tmp_path / "collection-health"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def programs(directory: Path) -> Path:
    """A directory for PATH with the programs that documents may use, by their usual names."""
    directory.mkdir()
    for name in PROGRAMS:
        launcher = directory / name
        launcher.write_text(f'#!/bin/sh\nexec "{tool(name)}" "$@"\n')
        launcher.chmod(0o755)
    return directory


def run_document(document: Path, directory: Path, logs: Path) -> None:
    """Run a document's blocks in order; what runs in the background ends with it."""
    path = [str(Path(sys.executable).parent), str(programs(logs / "bin")), os.environ["PATH"]]
    environment = {
        **os.environ,
        "HOME": str(logs),
        "PATH": ":".join(path),
        "XDG_STATE_HOME": str(logs / "state"),
    }
    running: list[Process] = []
    try:
        for block in blocks(document):
            match block.mark:
                case "not run":
                    continue
                case "file":
                    target = directory / block.argument
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(block.text)
                case "background":
                    script = "\n".join(text for text, _ in commands(block))
                    process = Process(
                        ["bash", "-euo", "pipefail", "-c", script],
                        logs / f"{block.line}.log",
                        env=environment,
                        cwd=directory,
                    )
                    running.append(process)
                    process.start()
                    process.wait_http(block.argument)
                case _:
                    run(block, directory, environment)
    finally:
        for process in reversed(running):
            process.stop()


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if any(block.mark != "not run" for block in blocks(path))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
@pytest.mark.timeout(900)
def test_the_commands_of_a_document_work(
    document: Path, turn: None, checkout: Path, tmp_path: Path
) -> None:
    """Each block ends well, and prints what the document shows, in a copy of the repository."""
    text = document.read_text()
    for port, words in PORTS.items():
        if any(word in text for word in words):
            wait_for(partial(port_is_free, port), f"port {port}, which something uses")
    logs = tmp_path / "home"
    logs.mkdir()
    run_document(checkout / document.relative_to(ROOT), checkout, logs)


def test_what_is_not_run_has_a_reason() -> None:
    """A block may only be left out with a reason that a reader can weigh."""
    left_out = [block for path in DOCUMENTS for block in blocks(path) if block.mark == "not run"]
    assert not [block.place for block in left_out if len(block.argument) < 10]


def test_no_command_hides_from_the_test() -> None:
    """Commands stand in `sh` or `console` blocks: in another language nothing would run them."""
    hidden = re.compile(r"^\s*```+(bash|shell|shell-session|zsh|terminal)\b", re.MULTILINE)
    assert not [path.name for path in DOCUMENTS if hidden.search(path.read_text())]


# --- the machinery itself -------------------------------------------------------------------------

EXAMPLE = """
# Title

<!-- file: data/a.txt -->
```yaml
a: 1
```

```console
$ cat data/a.txt
a: 1
$ echo one two && echo three
one …
…
```

1. in a list

   ```sh
   test -f data/a.txt
   cd data
   ```

<!-- not run: it would need a database -->
```sh
exit 1
```

```python
raise SystemExit
```
"""


def test_blocks_are_found_in_order(tmp_path: Path) -> None:
    """Files, commands and exceptions are found, indented ones too; other languages are left."""
    document = tmp_path / "a.md"
    document.write_text(EXAMPLE)
    found = [(block.language, block.mark) for block in blocks(document)]
    assert found == [("yaml", "file"), ("console", ""), ("sh", ""), ("sh", "not run")]
    run_document(document, tmp_path, tmp_path)
    assert (tmp_path / "data/a.txt").read_text() == "a: 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nfalse\ntrue\n```\n",
        "```sh\nfalse | true\n```\n",
        "```console\n$ echo a\nb\n```\n",
    ],
)
def test_a_command_that_fails_fails_the_document(tmp_path: Path, text: str) -> None:
    """A failing command, even inside a pipe, and output that differs are found."""
    document = tmp_path / "a.md"
    document.write_text(text)
    with pytest.raises(AssertionError, match=r"a\.md:1"):
        run_document(document, tmp_path, tmp_path)


def test_a_comment_that_applies_to_nothing_is_an_error(tmp_path: Path) -> None:
    """`not run` before a paragraph would silently do nothing, so it is refused."""
    document = tmp_path / "a.md"
    document.write_text("<!-- not run: some reason -->\n\ntext\n")
    with pytest.raises(ValueError, match=r"a\.md:3"):
        blocks(document)


def test_shown_output_allows_gaps() -> None:
    """`…` stands for the rest of a word, a line, or any number of lines; nothing else is loose."""
    assert prints(["took … s", "…", "end"], "took 1.5 s\na\nb\nend\n")
    assert prints(["…", "end"], "end\n")
    assert prints(["a", "…"], "a\n")
    assert not prints(["a"], "a\nb\n")
    assert not prints(["a.c"], "abc\n")
