"""Real clients that cannot share our environment, each in a virtual environment of its own."""

import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.tools import TOOLS_DIR


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of `.tools/venvs/NAME`, made with `requirements` on first use.

    Raises subprocess.CalledProcessError when the packages cannot be installed.
    """
    directory = TOOLS_DIR / "venvs"
    directory.mkdir(parents=True, exist_ok=True)
    home, done = directory / name, directory / f"{name}.txt"
    wanted = "\n".join(requirements)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([home / "bin/python", *install, *requirements], check=True)
            done.write_text(wanted)
    return home / "bin/python"
