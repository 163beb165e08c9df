"""Judging fetched content in a process of its own.

Parsing megabytes or a schema's regular expressions can take seconds that nothing inside an
interpreter can interrupt. In a child process they delay neither ingest nor `/metrics`; the child
runs at low priority with bounded memory, and is killed when a probe's time is up.
"""

import asyncio
import os
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import BinaryIO

import msgspec
from jsonschema.protocols import Validator
from msgspec import Struct

from collection_health.probes import content, schemas
from collection_health.probes.config import ParsingExpect

_SIZE = struct.Struct(">I")
MAX_MEMORY = 1 << 30
"""Bytes of address space the child may use; more is a failed probe."""


LAST_RESORT_SECONDS = 360
"""More than any probe's timeout: ends a runaway child whose exporter was killed meanwhile."""


class Question(Struct, array_like=True):
    """A body, and how to judge it: `parsing`, or the JSON Schema in the file `schema` for the part
    at `path`.
    """

    body: bytes
    parsing: ParsingExpect | None = None
    schema: str = ""
    path: str = ""


class Answer(Struct, array_like=True):
    """The verdict: `reason` is None if the content is as expected.

    `cpu_seconds` is the CPU time the child has used since it was started.
    """

    reason: str | None
    message: str
    cpu_seconds: float = 0.0


class Judge:
    """The child process as seen from the exporter; started when first needed."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        """CPU time the children have used so far."""
        self._charged = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def ask(self, question: Question) -> str:
        """Return what was found. Raises ContentError; a cancelled question ends the child."""
        packed = msgspec.msgpack.encode(question)
        async with self._turn:
            began = time.monotonic()
            try:
                answer = await self._exchange(packed)
            except (asyncio.IncompleteReadError, ConnectionError):
                await self._end()
                raise content.ContentError("resource", "the content could not be judged") from None
            except asyncio.CancelledError:
                self.cpu_seconds += time.monotonic() - began  # it may have computed all the time
                await self._end()
                raise
            self.cpu_seconds += answer.cpu_seconds - self._charged
            self._charged = answer.cpu_seconds
        if answer.reason is not None:
            raise content.ContentError(answer.reason, answer.message)
        return answer.message

    async def close(self) -> None:
        """End the child."""
        await self._end()

    async def _exchange(self, packed: bytes) -> Answer:
        if self._process is None or self._process.returncode is not None:
            self._charged = 0.0
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C at the terminal is the exporter's to handle
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise ConnectionError("no pipes")
        process.stdin.write(_SIZE.pack(len(packed)))
        process.stdin.write(packed)
        await process.stdin.drain()
        (size,) = _SIZE.unpack(await process.stdout.readexactly(_SIZE.size))
        return msgspec.msgpack.decode(await process.stdout.readexactly(size), type=Answer)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


class Bench:
    """The child's side: answers questions, remembers loaded schemas until their file changes."""

    def __init__(self) -> None:
        self._schemas: dict[str, tuple[float, Validator]] = {}

    def answer(self, question: Question) -> Answer:
        """Judge one body."""
        try:
            if question.parsing is not None:
                found = content.parse(question.body, question.parsing)
            else:
                validator = self._schema(question.schema)
                found = content.validate(question.body, validator, question.path)
            reason = None
        except content.ContentError as error:
            reason, found = error.reason, str(error)
        except schemas.SchemaFileError as error:
            reason, found = "config", str(error)
        except MemoryError:
            reason, found = "resource", "the content needs too much memory to be judged"
        return Answer(reason, found, time.process_time())

    def _schema(self, name: str) -> Validator:
        try:
            changed = Path(name).stat().st_mtime
        except OSError as error:
            raise schemas.SchemaFileError(f"{name}: {error.strerror}") from None
        known = self._schemas.get(name)
        if known is None or known[0] != changed:
            known = self._schemas[name] = (changed, schemas.load(Path(name)))
        return known[1]


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer questions until `source` ends."""
    bench = Bench()
    while head := source.read(_SIZE.size):
        body = source.read(_SIZE.unpack(head)[0])
        signal.alarm(LAST_RESORT_SECONDS)
        packed = msgspec.msgpack.encode(bench.answer(msgspec.msgpack.decode(body, type=Question)))
        sink.write(_SIZE.pack(len(packed)) + packed)
        sink.flush()
        signal.alarm(0)


if __name__ == "__main__":
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    serve(sys.stdin.buffer, sys.stdout.buffer)
