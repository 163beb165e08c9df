"""A scratch Prometheus (or VictoriaMetrics) of our own: started, written to, queried, ended.

Everything lives in a temporary directory and on a loopback port; the process is terminated by
its id when the engine is closed.
"""

import contextlib
import http.client
import logging
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec
import numpy as np

from collection_health.backtest import remote_write
from collection_health.backtest.remote_write import STALE_BITS, Times, Values

log = logging.getLogger(__name__)

EngineName = Literal["prometheus", "victoriametrics"]
MAX_POINTS = 11_000  # Prometheus refuses range queries with more steps than this
_START_SECONDS = 60
_VISIBLE_SECONDS = 120
_WRITE_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_ROWS_VISIBLE = re.compile(r'^vm_rows\{type="storage/\w+"\} (\S+)$', re.MULTILINE)
# VictoriaMetrics' own versions of these count from the sample before the window.
_LIKE_PROMETHEUS = re.compile(r"\b(changes|increase|delta)(?=\s*\()")
_NAMES: dict[EngineName, tuple[str, ...]] = {
    "prometheus": ("prometheus",),
    "victoriametrics": ("victoria-metrics", "victoria-metrics-prod", "victoriametrics"),
}


class EngineError(Exception):
    """The scratch engine could not be found, started, written to or queried."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of samples: label set, ascending times in milliseconds, values."""

    labels: Mapping[str, str]
    times: Times
    values: Values


class _Row(msgspec.Struct, gc=False):
    metric: dict[str, str]
    values: msgspec.Raw


class _Data(msgspec.Struct):
    result: list[_Row] = []


class _Answer(msgspec.Struct):
    status: str = "error"
    data: _Data | None = None
    error: str = ""


_decoder = msgspec.json.Decoder(_Answer)


def find_binary(engine: EngineName, given: str | None = None) -> Path:
    """The engine's executable: ``given``, else on PATH, else under ``.tools`` of this directory.

    Raises `EngineError` naming what was looked for.
    """
    if given is not None:
        path = Path(given)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise EngineError(f"{given}: not an executable file")
        return path
    for name in _NAMES[engine]:
        found = shutil.which(name)
        if found:
            return Path(found)
    for name in _NAMES[engine]:
        for path in sorted(Path(".tools").glob(f"*/bin/{name}"), reverse=True):
            if path.is_file() and os.access(path, os.X_OK):
                return path
    raise EngineError(
        f"no {engine} executable found on PATH or under .tools/; install it "
        f"(Debian: apt install {_NAMES[engine][0]}) or name one with --prometheus PATH"
    )


class Engine:
    """A running scratch engine; use as a context manager."""

    def __init__(self, binary: Path, *, engine: EngineName, span_seconds: float) -> None:
        """``span_seconds`` is the length of the history that will be written."""
        self._directory = Path(tempfile.mkdtemp(prefix="collection-health-backtest-"))
        self._port = _free_port()
        self._name = engine
        self._local = threading.local()  # one connection a thread
        self._writing = threading.Lock()
        self._kept = 0  # samples given to the engine, less those that it drops
        self._connections: list[http.client.HTTPConnection] = []
        arguments = (
            self._prometheus(span_seconds) if engine == "prometheus" else self._victoriametrics()
        )
        self._log = (self._directory / "log").open("wb")
        self._process = subprocess.Popen(
            [str(binary), *arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOGC": "50"},  # half the garbage for a little more CPU
        )
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process (by its id) and remove its directory."""
        for connection in self._connections:
            connection.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Process id, for whoever measures what the engine takes."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Base URL, for whatever else should read the history."""
        return f"http://127.0.0.1:{self._port}"

    def write(self, series: Iterable[Series]) -> int:
        """Write whole series and return the number of samples. Raises `EngineError`."""
        count = 0

        def encoded() -> Iterable[bytes]:
            nonlocal count
            for item in series:
                if len(item.times):
                    count += len(item.times)
                    self._kept += len(item.times) - _plain_nans(item.values)
                    yield remote_write.encode_series(item.labels, item.times, item.values)

        with self._writing:
            for body in remote_write.requests(encoded()):
                status, answer = self._request("POST", "/api/v1/write", body, _WRITE_HEADERS)
                if status >= 300:
                    text = answer.decode(errors="replace").strip()
                    raise EngineError(f"the engine refused samples: {status} {text}")
        return count

    def flush(self) -> None:
        """Make what was written visible to queries (VictoriaMetrics buffers; Prometheus not).

        Raises `EngineError` where it stays invisible.
        """
        if self._name == "prometheus":
            return
        # What a background flush has in hand is not waited for by force_flush, and queries would
        # silently lack it: visible is what the parts on disk and in memory hold.
        deadline = time.monotonic() + _VISIBLE_SECONDS
        with self._writing:
            while time.monotonic() < deadline:
                self._request("GET", "/internal/force_flush", None, {})
                _, body = self._request("GET", "/metrics", None, {})
                if sum(map(float, _ROWS_VISIBLE.findall(body.decode()))) >= self._kept:
                    return
                time.sleep(0.02)
        raise EngineError(
            f"samples stayed invisible for {_VISIBLE_SECONDS} s after they were written"
        )

    def query_range(self, expr: str, start: int, end: int, step: int) -> list[Series]:
        """Evaluate ``expr`` at start, start + step … end (milliseconds), in one query or more.

        Points where a series does not exist are absent from it. Raises `EngineError` with the
        engine's own message.
        """
        if self._name == "victoriametrics":
            expr = _LIKE_PROMETHEUS.sub(r"\1_prometheus", expr)
        parts: dict[tuple[tuple[str, str], ...], list[Series]] = {}
        span = step * (MAX_POINTS - 1)
        for first in range(start, end + 1, span + step):
            for series in self._query_chunk(expr, first, min(first + span, end), step):
                parts.setdefault(tuple(sorted(series.labels.items())), []).append(series)
        return [_joined(chunks) for chunks in parts.values()]

    def _query_chunk(self, expr: str, start: int, end: int, step: int) -> list[Series]:
        form = urllib.parse.urlencode(
            {
                "query": expr,
                "start": f"{start / 1000:.3f}",
                "end": f"{end / 1000:.3f}",
                "step": f"{step / 1000:.3f}",
                "nocache": "1",
            }
        ).encode()
        status, body = self._request(
            "POST",
            "/api/v1/query_range",
            form,
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        try:
            answer = _decoder.decode(body)
        except msgspec.DecodeError:
            raise EngineError(f"{status}: {body[:300].decode(errors='replace')}") from None
        if answer.status != "success" or answer.data is None:
            raise EngineError(answer.error or f"status {status}")
        return [_series(row) for row in answer.data.result]

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1800)
            self._local.connection = connection
            self._connections.append(connection)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # http.client opens it again for the next request
            raise EngineError(f"the engine does not answer: {error}{self._last_words()}") from error

    def _prometheus(self, span_seconds: float) -> Sequence[str]:
        config = self._directory / "prometheus.yml"
        # The out-of-order window only matters for samples older than half a block; with one
        # block longer than twice the history everything stays in order in the head.
        config.write_text("storage: {tsdb: {out_of_order_time_window: 400d}}\n")
        block = f"{max(2, int(span_seconds / 1800) + 48)}h"
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--storage.tsdb.min-block-duration={block}",
            f"--storage.tsdb.max-block-duration={block}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--web.enable-remote-write-receiver",
            "--query.max-samples=2000000000",
            "--query.timeout=30m",
            "--query.lookback-delta=5m",
            "--log.level=warn",
        ]

    def _victoriametrics(self) -> Sequence[str]:
        return [
            f"-storageDataPath={self._directory / 'data'}",
            "-retentionPeriod=100y",
            f"-httpListenAddr=127.0.0.1:{self._port}",
            "-search.latencyOffset=0s",
            "-search.disableCache",
            "-search.maxStalenessInterval=5m",
            "-search.maxPointsPerTimeseries=100000",
            "-search.maxQueryDuration=30m",
            "-search.maxQueryLen=1MB",
            "-search.maxSamplesPerQuery=20000000000",
            "-loggerLevel=WARN",
        ]

    def _wait_ready(self) -> None:
        path = "/-/ready" if self._name == "prometheus" else "/health"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EngineError(f"the engine ended at once{self._last_words()}")
            with contextlib.suppress(EngineError):
                status, _ = self._request("GET", path, None, {})
                if status == 200:
                    return
            time.sleep(0.05)
        raise EngineError(f"the engine was not ready after {_START_SECONDS} s{self._last_words()}")

    def _last_words(self) -> str:
        self._log.flush()
        lines = (self._directory / "log").read_text(errors="replace").splitlines()
        return ":\n  " + "\n  ".join(lines[-3:]) if lines else ""


def _series(row: _Row) -> Series:
    flat = np.fromstring(bytes(row.values).translate(None, b'[]"').decode(), sep=",")
    pairs = flat.reshape(-1, 2)
    return Series(row.metric, np.rint(pairs[:, 0] * 1000).astype(np.int64), pairs[:, 1].copy())


def _plain_nans(values: Values) -> int:
    """Samples that VictoriaMetrics drops: a NaN that marks no end of a series."""
    return int(np.count_nonzero(np.isnan(values) & (values.view(np.uint64) != STALE_BITS)))


def _joined(chunks: list[Series]) -> Series:
    if len(chunks) == 1:
        return chunks[0]
    return Series(
        chunks[0].labels,
        np.concatenate([chunk.times for chunk in chunks]),
        np.concatenate([chunk.values for chunk in chunks]),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
