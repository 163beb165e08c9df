"""What exporter/deploy holds: read by the programs it is written for, as far as they run here."""

import contextlib
import functools
import http.server
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collection_health.cli import build_parser
from tests.support.process import Process, free_port, wait_for
from tests.support.services import COMMAND, Exporter
from tests.tools import ensure

STUB_UNITS = (
    "sysinit.target", "basic.target", "shutdown.target", "network-online.target", "-.slice",
    "system.slice",
)  # fmt: skip


@pytest.fixture(scope="module")
def deploy(root: Path) -> Path:
    """exporter/deploy."""
    return root / "exporter" / "deploy"


@pytest.fixture
def unit(deploy: Path, tmp_path: Path) -> Path:
    """The unit with a program that exists in the place of the installed one."""
    text = (deploy / "collection-health.service").read_text()
    target = tmp_path / "units" / "collection-health.service"
    target.parent.mkdir()
    target.write_text(text.replace("/opt/collection-health/bin/collection-health", "/bin/true"))
    return target


def systemd(*arguments: str | Path, stubs: Path) -> str:
    """What systemd-analyze says; units that other machines have are stubs, so all judge alike."""
    for name in STUB_UNITS:
        (stubs / name).write_text("[Unit]\n")  # an empty file would be a masked unit
    done = subprocess.run(
        [ensure("systemd-analyze"), *arguments],
        env=os.environ | {"SYSTEMD_UNIT_PATH": str(stubs), "SYSTEMD_PAGER": "", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def settings(unit: Path, key: str) -> list[str]:
    """Every value of a key of a unit, continued lines joined."""
    text = unit.read_text().replace("\\\n", " ")
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    """`systemd-analyze verify` prints nothing: it ends with 0 for unknown keys, but names them."""
    assert systemd("verify", "--man=no", unit, stubs=unit.parent) == ""
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivateTemp="))
    assert "PrivateTemp" in systemd("verify", "--man=no", unit, stubs=unit.parent)


def test_the_unit_stays_hardened(unit: Path) -> None:
    """systemd rates the sandbox 1.5 of 10 or better (0 is best)."""
    rated = systemd("security", "--offline=true", "--threshold=15", unit, stubs=unit.parent)
    assert "Overall exposure level" in rated


def test_the_units_commands_are_ones_we_have(unit: Path, deploy: Path) -> None:
    """Each ExecStart line is understood by the command it starts."""
    original = deploy / "collection-health.service"
    lines = settings(original, "ExecStartPre") + settings(original, "ExecStart")
    assert len(lines) == 2
    for line in lines:
        _, command, *rest = shlex.split(line)
        build_parser(command).parse_args([command, *rest])


def system_calls(group: str) -> set[str]:
    """Names in a system call group, groups within it included."""
    listed = subprocess.run(
        [ensure("systemd-analyze"), "syscall-filter", "--no-pager", group],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = {line.strip() for line in listed.splitlines()[1:] if not line.strip().startswith("#")}
    nested = {name for name in names if name.startswith("@")}
    return (names - nested).union(*map(system_calls, nested))


def allowed_system_calls(unit: Path) -> set[str]:
    """What the unit's SystemCallFilter lines leave, applied in their order."""
    allowed: set[str] = set()
    for value in settings(unit, "SystemCallFilter"):
        names = value.removeprefix("~").split()
        calls = set().union(*(system_calls(n) if n.startswith("@") else {n} for n in names))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def test_the_sandbox_allows_what_the_exporter_does(unit: Path, tmp_path: Path) -> None:
    """Start, ledger, an outcome, a judged probe, a scrape and the end use only calls it allows."""
    (tmp_path / "stock.csv").write_text("id,price\n1,2\n")
    with csv_server(tmp_path) as address:
        expect = {"format": "csv", "min_records": 1}
        probe = {"type": "parsing", "url": f"{address}/stock.csv", "every": "5s", "expect": expect}
        inventory = tmp_path / "collectors.yml"
        inventory.write_text(yaml.safe_dump({"collectors": [{"name": "a", "probes": [probe]}]}))
        port, trace = free_port(), tmp_path / "trace"
        command: list[str | Path] = [
            ensure("strace"), "-f", "-qq", "-o", trace, *COMMAND, "serve",
            f"--web.listen-address=127.0.0.1:{port}", f"--storage.path={tmp_path / 'data'}",
            f"--config.file={inventory}",
        ]  # fmt: skip
        with Process(command, tmp_path / "log") as process:
            exporter = Exporter(process, port)
            process.wait_http(f"{exporter.url}/-/ready", timeout=60)
            exporter.post({"collector": "a", "outcome": "success"})
            series = 'collection_probe_success{collector="a",probe="parsing"}'
            wait_for(lambda: exporter.sample(series) == 1, "the probe's verdict", timeout=60)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"accept4", "setpriority", "prlimit64"} <= used  # the trace saw server and judge
    # Debian's libraries ask for these and do without when they are refused.
    assert used - allowed_system_calls(unit) <= {"rseq", "fchown"}


@contextlib.contextmanager
def csv_server(directory: Path) -> Iterator[str]:
    """Serves a directory over HTTP; its URL."""
    handler = functools.partial(QuietHandler, directory=directory)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_compose_and_prometheus_fit_together(deploy: Path, tmp_path: Path) -> None:
    """promtool accepts the configuration with generated rules; commands and mounts are real."""
    compose: dict[str, Any] = yaml.safe_load((deploy / "compose.yml").read_text())
    services = compose["services"]
    assert set(services) == {"exporter", "prometheus", "alertmanager"}
    build_parser("serve").parse_args(services["exporter"]["command"])
    context = deploy / services["exporter"]["build"]["context"]
    assert (context / services["exporter"]["build"]["dockerfile"]).is_file()
    volumes, secrets = set(compose["volumes"]), set(compose["secrets"])
    for service in services.values():
        sources = [str(volume).split(":")[0] for volume in service.get("volumes", [])]
        assert {source for source in sources if not source.startswith("./")} <= volumes
        assert set(service.get("secrets", [])) <= secrets

    (tmp_path / "prometheus.yml").write_text((deploy / "prometheus.yml").read_text())
    generate = [*COMMAND, "generate", "--output", str(tmp_path / "monitoring")]
    subprocess.run(generate, check=True, capture_output=True)
    checked = subprocess.run(
        [ensure("promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "rules found" in checked.stdout
    targets = re.findall(r"targets: \['([^:']+)", (deploy / "prometheus.yml").read_text())
    assert set(targets) - {"localhost"} <= set(services)


def test_the_image_starts_a_command_we_have(deploy: Path) -> None:
    """The Dockerfile's default arguments are understood; it is not built where no engine runs."""
    text = (deploy / "Dockerfile").read_text()
    entry, arguments = (
        yaml.safe_load(match)
        for match in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE)
    )
    assert entry == ["collection-health"]
    build_parser("serve").parse_args(arguments)
