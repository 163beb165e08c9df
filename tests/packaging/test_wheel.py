"""The distributions: what they hold, and the commands in an environment with nothing else."""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from collection_health import __version__
from collection_health.cli import COMMANDS
from tests.support.process import Process, free_port
from tests.support.services import Exporter

FOLDERS = ("rules", "dashboards", "alertmanager")


@pytest.fixture(scope="module")
def distributions(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run([*build, "-t", "sdist"], cwd=root, check=True)
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(out, filter="data")
    unpacked = out / archive.name.removesuffix(".tar.gz")
    subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True)
    return out


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, with its runtime dependencies alone: what `pipx run` makes."""
    (wheel,) = distributions.glob("*.whl")
    environment = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run([*pip, "--disable-pip-version-check"], check=True, cwd=environment)
    return environment / "bin/collection-health"


def output(command: Sequence[str | Path], directory: Path, code: int = 0) -> str:
    """What a command prints; it must end with ``code``. The checkout is not importable there."""
    done = subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, env={"PATH": "/usr/bin:/bin", "HOME": str(directory)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def sources(root: Path) -> set[str]:
    """The pack's sources in the checkout."""
    found = [root / "mixin.libsonnet", root / "config.libsonnet"]
    for folder in FOLDERS:
        found += (root / folder).rglob("*.libsonnet")
        found += (path for path in (root / folder).rglob("*.tmpl") if "generated" not in path.parts)
    return {str(path.relative_to(root)) for path in found}


def test_wheel_holds_every_source_and_nothing_generated(root: Path, distributions: Path) -> None:
    """Each libsonnet file and template of the checkout is in the wheel, generated files are not."""
    (wheel,) = distributions.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {f"collection_health/pack/sources/{name}" for name in sources(root)} <= inside
    assert "collection_health/py.typed" in inside
    assert not [name for name in inside if "/generated/" in name]


def test_sdist_holds_what_a_build_and_a_reader_need(root: Path, distributions: Path) -> None:
    """The pack, the licence, the documents and the tests; nothing that git ignores."""
    (archive,) = distributions.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        inside = {name.split("/", 1)[1] for name in packed.getnames() if "/" in name}
    documents = {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "tests/conftest.py"}
    assert sources(root) | documents <= inside
    assert not [name for name in inside if re.match(r"\.(venv|tools|demo)|dist/|build/", name)]


def test_an_installed_wheel_generates_what_is_committed(
    root: Path, installed: Path, tmp_path: Path
) -> None:
    """In a fresh environment outside the checkout, the output equals the committed files."""
    output([installed, "generate", "--output", "monitoring"], tmp_path)
    produced = [path for path in (tmp_path / "monitoring").rglob("*") if path.is_file()]
    assert produced
    for path in produced:
        committed = root / path.relative_to(tmp_path / "monitoring")
        assert path.read_text() == committed.read_text()


def test_every_command_explains_itself_with_runtime_dependencies_alone(
    installed: Path, tmp_path: Path
) -> None:
    """`--version`, every `--help` and the completion script need no extra."""
    assert output([installed, "--version"], tmp_path) == f"collection-health {__version__}\n"
    for command in COMMANDS:
        assert f"collection-health {command}" in output([installed, command, "--help"], tmp_path)
    assert "complete" in output([installed, "completion", "bash"], tmp_path)
    arguments = ["backtest", "--history", "none.ndjson"]
    assert "collection-health[backtest]" in output([installed, *arguments], tmp_path, code=2)


def test_an_installed_exporter_serves(installed: Path, tmp_path: Path) -> None:
    """check, serve, exec and record work together without anything of the checkout."""
    inventory = tmp_path / "collectors.yml"
    inventory.write_text("collectors: [{name: orders, schedule: {every: 15m}}]\n")
    assert output([installed, "check", inventory.name], tmp_path).startswith("OK collectors.yml")
    port = free_port()
    command: list[str | Path] = [
        installed, "serve", f"--web.listen-address=127.0.0.1:{port}", "--storage.path=ledger",
        "--config.file=collectors.yml",
    ]  # fmt: skip
    with Process(command, tmp_path / "log", cwd=tmp_path) as process:
        exporter = Exporter(process, port)
        process.wait_http(f"{exporter.url}/-/ready")
        exporter.post({"collector": "orders", "outcome": "success"})
        reach: list[str | Path] = ["env", f"COLLECTION_HEALTH_URL={exporter.url}", installed]
        assert output([*reach, "exec", "orders", "--", "echo", "hello"], tmp_path) == "hello\n"
        output([*reach, "record", "orders", "failure", "--reason", "auth"], tmp_path)
        assert exporter.sample('collection_runs_total{collector="orders"}') == 3
        assert exporter.sample('collection_consecutive_failures{collector="orders"}') == 1


def test_the_version_is_semantic_and_in_the_changelog(root: Path) -> None:
    """MAJOR.MINOR.PATCH, and the changelog has room for what comes next."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", __version__)
    changelog = (root / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[([^]]+)\]", changelog, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert __version__ in sections[1:] or sections == ["Unreleased"]
    kinds = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_committed_files_are_up_to_date(root: Path) -> None:
    """rules/, dashboards/ and alertmanager/generated are what their sources produce."""
    command = [sys.executable, "-m", "collection_health", "generate", "--check"]
    subprocess.run([*command, "--output", root], check=True)
