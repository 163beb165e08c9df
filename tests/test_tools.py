"""How the real programs that tests run are found."""

from pathlib import Path

import pytest

from tests import tools


def fake_program(directory: Path, name: str, version: str) -> Path:
    """An executable that answers any flag with a version."""
    directory.mkdir(exist_ok=True)
    program = directory / name
    program.write_text(f"#!/bin/sh\necho '{name}, version {version} (branch: HEAD)'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH directory, returned, and nothing fetched."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(tools, "TOOLS_DIR", tmp_path / ".tools")
    return path


def test_a_program_on_path_is_used(nothing_here: Path) -> None:
    """A new enough program on PATH wins, under any name it is known by."""
    program = fake_program(nothing_here, "prometheus-alertmanager", "0.27.0")
    assert tools.tool("alertmanager") == program


def test_a_program_that_is_too_old_is_not_used(nothing_here: Path) -> None:
    """An older program on PATH is not taken silently: the error says which version is needed."""
    fake_program(nothing_here, "prometheus", "2.41.0")
    with pytest.raises(tools.ToolError, match=r"Put prometheus 2\.42 or newer on PATH"):
        tools.tool("prometheus")


def test_a_missing_program_is_an_error_that_helps(nothing_here: Path) -> None:
    """With apt the error names the command that fetches, without it the package to install."""
    with pytest.raises(tools.ToolError, match=r"no apt-get and dpkg .* package jsonnet"):
        tools.tool("jsonnetfmt")
    for name in ("apt-get", "dpkg"):
        fake_program(nothing_here, name, "1.0")
    with pytest.raises(tools.ToolError, match="Run `make tools`"):
        tools.tool("jsonnetfmt")
    with pytest.raises(tools.ToolError, match="fetch promtool --suite trixie"):
        tools.tool("promtool", suite="trixie")


def test_a_fetched_program_of_one_release_is_not_taken_for_another(nothing_here: Path) -> None:
    """`suite` names one Debian release; what lies on PATH or in another release does not count."""
    fake_program(nothing_here, "promtool", "2.50.0")
    folder = tools.TOOLS_DIR / "trixie" / "bin"
    folder.mkdir(parents=True)
    fetched = fake_program(folder, "promtool", "2.53.0")
    assert tools.tool("promtool", suite="trixie") == fetched
    with pytest.raises(tools.ToolError):
        tools.tool("promtool", suite="sid")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "sources.list",
            (
                "deb [signed-by=/k.gpg] http://mirror/debian bookworm main contrib\n"
                "deb-src http://mirror/debian bookworm main\n"
                "deb http://mirror/debian bookworm-updates main\n"
                "deb https://other/apt cloud-bookworm main\n"
            ),
        ),
        (
            "sources.list.d/debian.sources",
            (
                "# a comment\nTypes: deb deb-src\nURIs: http://mirror/debian\n"
                "Suites: bookworm bookworm-updates\nComponents: main\n contrib\n"
                "Signed-By: /k.gpg\n\n"
                "Types: deb\nURIs: https://other/apt\nSuites: cloud-bookworm\nComponents: main\n"
            ),
        ),
    ],
)
def test_another_release_comes_from_the_same_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    """Both forms of apt sources are turned to another suite; mirror, parts and key stay."""
    monkeypatch.setattr(tools, "host_suite", lambda: "bookworm")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / file).write_text(text)
    expected = "deb [signed-by=/k.gpg] http://mirror/debian sid main contrib\n"
    assert tools._sources_for("sid", tmp_path) == expected


def test_a_machine_without_its_own_sources_says_so(tmp_path: Path) -> None:
    """Without a source of the distribution nothing is guessed."""
    with pytest.raises(tools.ToolError, match="no apt source"):
        tools._sources_for("sid", tmp_path)


def test_unknown_tools_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt tool is an error that lists the known ones."""
    assert tools.main(["fetch", "promethius"]) == 1
    assert "known are prometheus, promtool" in capsys.readouterr().err
