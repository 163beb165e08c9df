"""The distribution carries everything `generate` needs."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest


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


def test_wheel_holds_every_source_and_nothing_generated(root: Path, distributions: Path) -> None:
    """Each libsonnet file and template of the checkout is in the wheel, generated files are not."""
    (wheel,) = distributions.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    folders = ("rules", "dashboards", "alertmanager")
    sources = [root / "mixin.libsonnet", root / "config.libsonnet"]
    for folder in folders:
        sources += (root / folder).rglob("*.libsonnet")
        sources += (
            path for path in (root / folder).rglob("*.tmpl") if "generated" not in path.parts
        )
    expected = {f"collection_health/pack/sources/{path.relative_to(root)}" for path in sources}
    assert expected <= inside
    assert not [name for name in inside if "/generated/" in name]


def test_an_installed_wheel_generates_what_is_committed(
    root: Path, distributions: Path, tmp_path: Path
) -> None:
    """In a fresh environment outside the checkout, the output equals the committed files."""
    (wheel,) = distributions.glob("*.whl")
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run(pip, check=True, cwd=tmp_path)
    command = environment / "bin/collection-health"
    subprocess.run([command, "generate", "--output", "monitoring"], check=True, cwd=tmp_path)
    produced = [path for path in (tmp_path / "monitoring").rglob("*") if path.is_file()]
    assert produced
    for path in produced:
        committed = root / path.relative_to(tmp_path / "monitoring")
        assert path.read_text() == committed.read_text()


def test_committed_files_are_up_to_date(root: Path) -> None:
    """rules/, dashboards/ and alertmanager/generated are what their sources produce."""
    command = [sys.executable, "-m", "collection_health", "generate", "--check"]
    subprocess.run([*command, "--output", root], check=True)
