"""Finds the real programs that tests and the demo run, or fetches them without root.

A program on PATH is used when it is new enough. Otherwise Debian's package is downloaded by the
machine's own apt, which gets list and cache directories below `.tools/` (so neither root nor an
earlier `apt-get update` is needed), and unpacked with `dpkg -x`.

    python tests/tools.py ensure [TOOL ...]          find or fetch; print versions and paths
    python tests/tools.py fetch TOOL --suite trixie  the version of a particular Debian release
    python tests/tools.py which TOOL                 its path alone, for scripts
    python tests/tools.py run TOOL [ARGUMENT ...]    become the program
"""

import argparse
import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOOLS_DIR = Path(__file__).resolve().parents[1] / ".tools"
# Names that a machine's apt sources may use in place of its codename.
SUITE_ALIASES = frozenset({"oldstable", "stable", "testing", "unstable", "sid"})

_DATA_DESCRIPTOR = 9


class ToolError(Exception):
    """A program is missing or cannot be fetched; the message says what to do."""


@dataclass(frozen=True)
class Tool:
    """Where a program comes from.

    `names` are looked up on PATH; `packages` are tried in order (a newer Debian release may have
    split a program off); `program` is its path inside the package; `data` a directory whose
    absolute path is compiled into it; `dependencies` asks for all packages it depends on where a
    check for missing libraries does not show the need.
    """

    names: tuple[str, ...]
    packages: tuple[str, ...]
    program: str
    minimum: tuple[int, ...] = ()
    version_flag: str = "--version"
    data: str = ""
    dependencies: bool = False
    extras: tuple[str, ...] = ()


TOOLS = {
    "prometheus": Tool(
        ("prometheus",),
        ("prometheus",),
        "usr/bin/prometheus",
        (2, 42),
        data="/usr/share/prometheus/web",
        dependencies=True,  # JavaScript of its web pages
    ),
    "promtool": Tool(("promtool",), ("promtool", "prometheus"), "usr/bin/promtool", (2, 42)),
    "alertmanager": Tool(
        ("alertmanager", "prometheus-alertmanager"),
        ("prometheus-alertmanager",),
        "usr/bin/prometheus-alertmanager",
        (0, 25),
        data="/usr/share/prometheus/alertmanager",
    ),
    "amtool": Tool(("amtool",), ("prometheus-alertmanager",), "usr/bin/amtool", (0, 25)),
    "jsonnetfmt": Tool(("jsonnetfmt",), ("jsonnet",), "usr/bin/jsonnetfmt", (0, 18)),
    "pushgateway": Tool(
        ("pushgateway", "prometheus-pushgateway"),
        ("prometheus-pushgateway",),
        "usr/bin/prometheus-pushgateway",
    ),
    "victoria-metrics": Tool(
        ("victoria-metrics", "victoria-metrics-prod"),
        ("victoria-metrics",),
        "usr/bin/victoria-metrics",
        version_flag="-version",
    ),
    "vmalert": Tool(
        ("vmalert", "vmalert-prod"),
        ("victoria-metrics",),
        "usr/bin/vmalert",
        version_flag="-version",
    ),
    "strace": Tool(("strace",), ("strace",), "usr/bin/strace", version_flag="-V"),
    "systemd-analyze": Tool(("systemd-analyze",), ("systemd",), "usr/bin/systemd-analyze", (252,)),
    "chromium": Tool(
        ("chromium", "chromium-browser", "google-chrome"),
        ("chromium",),
        "usr/lib/chromium/chromium",
        extras=("fonts-dejavu-core",),
    ),
}
# What `make test` needs; the others are fetched by the targets that use them.
EVERYDAY = (
    "prometheus", "promtool", "alertmanager", "amtool", "jsonnetfmt", "strace", "pushgateway",
    "victoria-metrics",
)  # fmt: skip


def tool(name: str, *, suite: str | None = None) -> Path:
    """The path of a program: from PATH if new enough, else as fetched by `make tools`.

    With `suite`, or the environment variable TOOLS_SUITE, only the version fetched from that
    Debian release counts. Raises ToolError.
    """
    known = TOOLS[name]
    suite = suite or os.environ.get("TOOLS_SUITE")
    if suite is None:
        for candidate in known.names:
            found = shutil.which(candidate)
            if found and version_of(Path(found), known) >= known.minimum:
                return Path(found)
    fetched = _launcher(name, suite or host_suite())
    if fetched.exists():
        return fetched
    target = f"{name} {suite}" if suite else name
    raise ToolError(f"{target} is not here. {how_to_get(name, suite)}")


def how_to_get(name: str, suite: str | None = None) -> str:
    """One sentence that says how to install a program on this machine."""
    known = TOOLS[name]
    if suite is not None:
        return f"Run `python tests/tools.py fetch {name} --suite {suite}`."
    if _has_apt():
        return f"Run `make tools`, or `python tests/tools.py ensure {name}`."
    at_least = f" {'.'.join(map(str, known.minimum))} or newer" if known.minimum else ""
    return (
        f"Put {known.names[0]}{at_least} on PATH: this machine has no apt-get and dpkg to fetch "
        f"Debian's package {known.packages[-1]} with."
    )


def ensure(name: str, *, suite: str | None = None) -> Path:
    """The path of a program, fetched first where it is missing. Raises ToolError."""
    try:
        return tool(name, suite=suite)
    except ToolError:
        if not _has_apt():
            raise
        return _fetch(name, suite or os.environ.get("TOOLS_SUITE") or host_suite())


def version_of(path: Path, known: Tool) -> tuple[int, ...]:
    """The version a program reports, else that of the package it was unpacked from, else ()."""
    answer = subprocess.run(
        [path, known.version_flag], capture_output=True, text=True, timeout=60, check=False
    )
    note = path.parent / f".{path.name}.version"
    texts = [answer.stdout + answer.stderr, note.read_text() if note.exists() else ""]
    for text in texts:
        match = re.search(r"\d+\.\d+(\.\d+)*", text)
        if match:
            return tuple(map(int, match[0].split(".")))
    return ()


def host_suite() -> str:
    """The codename of the running distribution, such as `bookworm`."""
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        return "host"
    match = re.search(r'^VERSION_CODENAME="?([^"\n]+)', release, re.MULTILINE)
    return match[1] if match else "host"


# --- fetching -----------------------------------------------------------------------------------


def _has_apt() -> bool:
    return bool(shutil.which("apt-get") and shutil.which("dpkg"))


def _launcher(name: str, suite: str) -> Path:
    return TOOLS_DIR / suite / "bin" / name


@contextmanager
def _lock() -> Iterator[None]:
    TOOLS_DIR.mkdir(exist_ok=True)
    with (TOOLS_DIR / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(name: str, suite: str) -> Path:
    known = TOOLS[name]
    launcher = _launcher(name, suite)
    with _lock():
        if launcher.exists():  # another process was faster
            return launcher
        apt = _apt(suite)
        package = apt.first_available(known.packages)
        root = TOOLS_DIR / suite / package
        if not root.exists():
            apt.unpack([package], root)
        program = root / known.program
        if not program.exists():
            raise ToolError(f"Debian's package {package} of {suite} holds no {known.program}")
        if known.dependencies or _missing_libraries(program):
            apt.unpack([*apt.missing_dependencies(package), *known.extras], root)
            if missing := _missing_libraries(program, _library_dirs(root)):
                raise ToolError(f"{name} of {suite} cannot run here: {', '.join(missing)} missing")
        if known.data:
            _relocate(program, known.data)
        _install_launcher(launcher, program, root, known.data)
        launcher.with_name(f".{name}.version").write_text(apt.version(package))
    return launcher


@functools.cache
def _apt(suite: str) -> "Apt":
    """One apt, and so one `apt-get update`, for all programs of a release."""
    return Apt(suite)


def _library_dirs(root: Path) -> list[Path]:
    """Directories of an unpacked package tree that the dynamic loader must search."""
    return sorted({library.parent for library in root.glob("**/lib/**/*.so*")})


def _missing_libraries(program: Path, library_dirs: Sequence[Path] = ()) -> list[str]:
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, library_dirs))}
    listed = subprocess.run(
        ["ldd", program], capture_output=True, text=True, check=False, env=environment
    )
    return re.findall(r"^\s*(\S+) => not found", listed.stdout, re.MULTILINE)


def _relocate(program: Path, data: str) -> None:
    """Make a program read `data` through a descriptor that its launcher opens.

    Debian compiles absolute data directories into its Prometheus and Alertmanager, which do not
    start without them. The replacement has the same length, so nothing in the file moves.
    """
    replacement = f"/proc/self/fd/{_DATA_DESCRIPTOR}".ljust(len(data), "/")
    content = program.read_bytes()
    program.write_bytes(content.replace(data.encode(), replacement.encode()))


def _install_launcher(launcher: Path, program: Path, root: Path, data: str) -> None:
    """A link to the program, or a script that shows it the libraries and data beside it."""
    launcher.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    if _missing_libraries(program):
        search = ":".join(f"$root/{path.relative_to(root)}" for path in _library_dirs(root))
        lines += [
            f'export LD_LIBRARY_PATH="{search}" FONTCONFIG_PATH="$root/etc/fonts"',
            'export XDG_DATA_HOME="$root/usr/share"',
        ]
    if data:
        lines.append(f'exec {_DATA_DESCRIPTOR}<"$root{data}"')
    if not lines:
        launcher.symlink_to(os.path.relpath(program, launcher.parent))
        return
    here = os.path.relpath(root, launcher.parent)
    lines = [
        "#!/bin/sh",
        f'root=$(cd "$(dirname "$0")/{here}" && pwd)',
        *lines,
        f'exec "$root/{program.relative_to(root)}" "$@"',
    ]
    launcher.write_text("\n".join(lines) + "\n")
    launcher.chmod(0o755)


class Apt:
    """The machine's apt, with its own lists and cache, for one Debian release."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        home = TOOLS_DIR / suite / "apt"
        for directory in ("lists/partial", "cache/archives/partial"):
            (home / directory).mkdir(parents=True, exist_ok=True)
        self._options = [
            f"-oDir::State::lists={home}/lists",
            f"-oDir::Cache={home}/cache",
            "-oAPT::Sandbox::User=",  # root would otherwise drop to a user that cannot write here
            "-oDebug::NoLocking=1",  # the system's dpkg lock is neither ours nor needed
            "-oAcquire::Languages=none",
            "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ]
        if suite != host_suite():
            sources = home / "sources.list"
            sources.write_text(_sources_for(suite))
            self._options += [
                f"-oDir::Etc::sourcelist={sources}",
                "-oDir::Etc::sourceparts=/dev/null",
                "-oDir::Etc::preferencesparts=/dev/null",
            ]
        update = self._run("apt-get", "--quiet", "update")
        # A third party's source may be down without concerning us: the download decides.
        self._update_errors = update.stderr.strip()

    def first_available(self, packages: Sequence[str]) -> str:
        """The first of the packages that this release has."""
        for package in packages:
            if self.version(package):
                return package
        raise ToolError(
            f"apt knows no package {' or '.join(packages)} of {self.suite}\n{self._update_errors}"
        )

    def version(self, package: str) -> str:
        """The version apt would download, empty if there is none."""
        shown = self._run("apt-cache", "show", "--no-all-versions", package).stdout
        match = re.search(r"^Version: (?:\d+:)?(\S+)", shown, re.MULTILINE)
        return match[1] if match else ""

    def missing_dependencies(self, package: str) -> list[str]:
        """What apt would have to install beside a package on this machine."""
        simulated = self._run(
            "apt-get", "--simulate", "--no-install-recommends", "install", package
        )
        if simulated.returncode:
            raise ToolError(f"apt cannot resolve {package} of {self.suite}:\n{simulated.stderr}")
        found = re.findall(r"^Inst (\S+)", simulated.stdout, re.MULTILINE)
        return [name for name in found if name != package]

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Download packages and unpack them, into what is already at `root` or as a new tree."""
        with tempfile.TemporaryDirectory(dir=TOOLS_DIR) as scratch:
            downloaded = self._run("apt-get", "--quiet", "download", *packages, cwd=scratch)
            archives = sorted(Path(scratch).glob("*.deb"))
            if downloaded.returncode or not archives:
                raise ToolError(
                    f"apt-get could not download {', '.join(packages)} of {self.suite}:\n"
                    f"{downloaded.stderr}{self._update_errors}"
                )
            tree = Path(scratch) / "tree"
            for archive in archives:
                subprocess.run(["dpkg", "-x", archive, tree], check=True)
            if root.exists():
                shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True)
            else:
                tree.rename(root)  # complete or not there, whenever this is interrupted

    def _run(
        self, command: str, *arguments: str, cwd: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *self._options, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"},
        )


def _sources_for(suite: str, etc: Path = Path("/etc/apt")) -> str:
    """The machine's own apt sources of its distribution, turned to another release.

    Only the release proper is taken, not its updates or security suites. Understands the one-line
    form (`.list`) and deb822 (`.sources`).
    """
    names = SUITE_ALIASES | {host_suite()}
    lines = []
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else ():
            match = re.match(r"deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line)
            if match and match[3] in names:
                lines.append(f"deb {match[1] or ''}{match[2]} {suite} {match[4]}")
    for file in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            fields = _deb822_fields(stanza)
            applies = "deb" in fields.get("types", "").split()
            if applies and names & set(fields.get("suites", "").split()):
                signed = fields.get("signed-by", "")
                option = f"[signed-by={signed}] " if signed.startswith("/") else ""
                lines += [
                    f"deb {option}{uri} {suite} {fields.get('components', 'main')}"
                    for uri in fields.get("uris", "").split()
                ]
    if not lines:
        raise ToolError(f"no apt source of {host_suite()} found to fetch {suite} from")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _deb822_fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.lower()
            fields[name] = value.strip()
    return fields


# --- command line -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python tests/tools.py`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    wanted = commands.add_parser("ensure", aliases=["fetch"], help="find or fetch programs")
    wanted.add_argument("tools", nargs="*", metavar="TOOL", help=f"any of {', '.join(TOOLS)}")
    wanted.add_argument("--suite", help="take the version of this Debian release, such as trixie")
    which = commands.add_parser("which", help="print the path of a program, fetched if missing")
    which.add_argument("tool", choices=TOOLS)
    run = commands.add_parser("run", help="run a program, fetched first where it is missing")
    run.add_argument("tool", choices=TOOLS)
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            program = ensure(options.tool)
            os.execv(program, [program, *options.arguments])
        if options.command == "which":
            print(ensure(options.tool))
            return 0
        if unknown := set(options.tools) - set(TOOLS):
            raise ToolError(f"unknown: {', '.join(unknown)}; known are {', '.join(TOOLS)}")
        for name in options.tools or EVERYDAY:
            path = ensure(name, suite=options.suite)
            version = ".".join(map(str, version_of(path, TOOLS[name]))) or "?"
            print(f"{name:17} {version:14} {path}")
    except ToolError as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
