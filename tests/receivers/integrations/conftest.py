"""Heavy neighbours, each in a virtual environment of its own below ``.tools/integrations``."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "exporter/examples"
# Versions the examples were written for; newer ones are tried by editing these lines.
REQUIREMENTS = {
    "airflow": ("apache-airflow==3.3.2", "apache-airflow-providers-openlineage==2.20.3"),
    "dbt": ("dbt-core==1.10.*", "dbt-duckdb==1.9.*", "openlineage-dbt>=1.54"),
    "dagster": ("dagster==1.13.*", str(ROOT)),
}


class Environment:
    """A virtual environment with one of `REQUIREMENTS`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def install(self, requirements: Sequence[str]) -> None:
        """Install, unless exactly this was installed before."""
        stamp = self.directory / "installed"
        wanted = hashlib.sha256("\n".join(requirements).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted and str(ROOT) not in requirements:
            return
        if not (self.directory / "bin/python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.directory)], check=True)
        pip = [str(self.directory / "bin/python"), "-m", "pip", "install", "--quiet",
               "--disable-pip-version-check"]  # fmt: skip
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(wanted)

    def command(self, *words: str) -> list[str]:
        """A command line whose program is the environment's own."""
        return [str(self.directory / "bin" / words[0]), *words[1:]]

    def variables(self, **more: str) -> dict[str, str]:
        """Environment variables for a child process: this environment first on the path."""
        path = f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, **more}

    def run(self, *words: str, cwd: Path, check: bool = True, **variables: str) -> int:
        """Run a command of the environment to its end; its output belongs to the test's."""
        done = subprocess.run(
            self.command(*words), cwd=cwd, env=self.variables(**variables), check=check,
            timeout=300,
        )  # fmt: skip
        return done.returncode


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Environment]:
    """Makes the environment of a name in `REQUIREMENTS`; kept for the next time."""

    def make(name: str) -> Environment:
        made = Environment(ROOT / ".tools/integrations" / name)
        made.install(REQUIREMENTS[name])
        return made

    return make
