"""Pushgateway-compatible pushes: batch jobs that already push keep pushing, to another address.

    push_to_gateway("exporter:9036", job="nightly_export", registry=registry)

A push becomes an outcome when it says how the run ended, in the usual names (`NAMES`): a success
timestamp, a success or failure flag, an exit code, a failure counter. A job that said so before
and now pushes a duration or a completion without it has failed: that is what the well-known
``finally: push_to_gateway(...)`` looks like after an error. Success is never assumed; a push that
says nothing of the kind is accepted, changes nothing, and the answer tells why.

Differences to the real Pushgateway: nothing is re-exposed, and line ends are not insisted on.
"""

import base64
import binascii
import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from aiohttp import web
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from collection_health.events import Outcome, Records
from collection_health.incoming import read_body
from collection_health.pipeline import Overloaded, Pipeline, StorageUnavailable
from collection_health.receivers import metric_protobuf
from collection_health.server import PIPELINE
from collection_health.webconfig import authorize

PROTOCOL = "pushgateway"
REPEAT_SECONDS = 60.0  # an identical push without any timestamp within this is a retry
MAX_GROUPS = 10_000  # groups whose last push is remembered
# Labels that say where a job ran, not which job it is: pods and hosts come and go.
PLACE_LABELS = frozenset({"instance", "host", "hostname", "node", "pod", "ip"})

_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_RUNTIME = re.compile(r"^(process|python|go|jvm|promhttp|push|push_failure)_")
_EARLIEST, _LATEST = 1e8, 1e11  # what can be a time stamp, in Unix seconds
_MILLISECONDS = 1e11  # larger than this is a time stamp in milliseconds

_TIME = r"(?:_(?:timestamp|time|unixtime|epoch|at))?(?:_(?:seconds|ms|milliseconds|unixtime))?$"
_SOME_TIME = r"_(?:timestamp|time|unixtime|epoch|at)(?:_(?:seconds|ms|milliseconds))?$"
_THINGS = r"(?:records|rows|items|documents|events|messages|entries)"
_COUNTED = rf"(?:{_THINGS}|requests|calls|queries|files|pages|tasks|jobs|batches)"
_READ = r"(?:processed|collected|read|fetched|scraped|extracted|imported|ingested)"
_WRITTEN = r"(?:written|loaded|inserted|saved|stored|exported)"
_REJECTED = r"(?:rejected|failed|invalid|dropped|errored)"


def _of(verb: str) -> str:
    return rf"(?:^|_)(?:{_THINGS}_{verb}|{verb}_{_THINGS})(?:_count)?(?:_total)?$"


def _flag(words: str) -> str:
    """The end of a flag's name; `files_failed` is a count, whatever its value."""
    return rf"^(?!(?:.*_)?{_COUNTED}_)(?:.*_)?(?:{words})$"


# What a metric's name means, by its end; the first match counts.
NAMES: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (meaning, re.compile(pattern))
    for meaning, pattern in (
        ("success_at", r"(?:^|_)last_success(?:ful)?(?:_run|_completion)?" + _TIME),
        ("success_at", r"(?:^|_)success(?:ful)?(?:_run|_completion)?" + _SOME_TIME),
        ("failed_at", r"(?:^|_)last_(?:failure|failed|error)(?:_run)?" + _TIME),
        ("failed_at", r"(?:^|_)(?:failure|failed|error)(?:_run)?" + _SOME_TIME),
        ("completed_at", r"(?:^|_)last_(?:completion|completed|run|finish|finished|end)" + _TIME),
        ("completed_at", r"(?:^|_)(?:completion|completed|finish|finished|end)" + _SOME_TIME),
        ("started_at", r"(?:^|_)(?:last_)?start(?:ed)?" + _SOME_TIME),
        ("succeeded", _flag("success|succeeded|successful")),
        ("failed", _flag("failure|failed")),
        ("exit_code", r"(?:^|_)(?:exit_code|exit_status|return_code)$"),
        ("failures", r"(?:^|_)failures(?:_total)?$"),
        ("expected", _of("expected")),
        ("duplicate", _of("(?:duplicate|duplicates|duplicated)")),
        ("rejected", _of(_REJECTED)),
        ("written", _of(_WRITTEN)),
        ("collected", _of(_READ)),
        ("collected", rf"(?:^|_){_THINGS}(?:_count)?(?:_total)?$"),
        ("bytes", r"(?:^|_)bytes_(?:processed|read|written|downloaded|transferred)(?:_total)?$"),
        ("bytes", r"(?:^|_)bytes_total$"),
        ("minutes", r"(?:^|_)(?:duration|elapsed|runtime|run_time)_minutes$"),
        ("milliseconds", r"(?:^|_)(?:duration|elapsed|runtime|run_time)_(?:ms|milliseconds)$"),
        ("seconds", r"(?:^|_)(?:duration|elapsed|runtime|run_time|execution_time)(?:_seconds)?$"),
    )
)


class Sample(NamedTuple):
    """One pushed sample; its labels matter only for telling two series of a name apart."""

    name: str
    value: float


class Facts(Struct):
    """What a push says about a run. Times are Unix seconds, None means not pushed."""

    success_at: float | None = None
    failed_at: float | None = None
    completed_at: float | None = None
    started_at: float | None = None
    succeeded: bool | None = None
    exit_code: int | None = None
    duration: float | None = None
    counts: dict[str, int] = {}

    @property
    def ended(self) -> bool:
        """Whether it is the push of a run that is over."""
        return self.duration is not None or self.completed_at is not None


class Verdict(NamedTuple):
    """How the run ended and, where the push says so, when (Unix seconds)."""

    success: bool
    at: float | None


def parse_path(path: str) -> tuple[str, dict[str, str]]:
    """Job and further grouping labels of ``job[@base64]/<job>{/<label>[@base64]/<value>}``.

    ``path`` is still percent-encoded. Raises `ValueError` with the Pushgateway's wording.
    """
    parts = path.split("/")
    if len(parts) % 2:
        raise ValueError(f"odd number of components in label string {path[:200]!r}")
    labels: dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        plain = name.removesuffix("@base64")
        if not _LABEL.match(plain) or plain.startswith("__"):
            raise ValueError(f"improper label name {plain[:200]!r}")
        labels[plain] = unquote_plus(value) if plain == name else _decode_base64(plain, value)
    if next(iter(labels), None) != "job" or not labels["job"]:
        raise ValueError("job name is required")
    return labels.pop("job"), labels


def _decode_base64(label: str, value: str) -> str:
    stripped = unquote_plus(value).rstrip("=")
    try:
        return base64.b64decode(
            stripped + "=" * (-len(stripped) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"invalid base64 encoding for label {label}: {error}") from error


def foreign_name(job: str, labels: Mapping[str, str]) -> str:
    """The name of a group: ``job`` and the grouping labels that are not a place."""
    rest = [value for name, value in sorted(labels.items()) if name not in PLACE_LABELS and value]
    return "/".join([job, *rest])


def parse(text: str) -> list[Sample]:
    """The samples of a text-format body. Raises `ValueError` naming the line that is wrong."""
    try:
        return _samples(text)
    except _PARSER_ERRORS:
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                _samples(line + "\n")
            except _PARSER_ERRORS as error:
                raise ValueError(f"text format parsing error in line {number}: {error}") from error
        raise ValueError("text format parsing error") from None


# What the parser of prometheus_client raises, depending on where a line is wrong.
_PARSER_ERRORS = (ValueError, IndexError, KeyError, AttributeError, TypeError, OverflowError)


def _samples(text: str) -> list[Sample]:
    samples = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.timestamp is not None:
                raise ValueError(f"pushed metrics must not have timestamps: {sample.name}")
            samples.append(Sample(sample.name, float(sample.value)))
    return samples


def facts(samples: Sequence[Sample]) -> Facts:
    """What the samples with usual names say: newest time, longest duration, summed counts."""
    found = Facts(counts={})
    counts: dict[tuple[str, str], int] = {}  # series of one name add up
    for meaning, name, value in _meanings(samples):
        if meaning.endswith("_at"):
            _add_time(found, meaning, value)
        elif meaning in ("succeeded", "failed"):
            if value in (0.0, 1.0):
                _add_flag(found, (value == 1.0) == (meaning == "succeeded"))
        elif meaning == "exit_code":
            if 0 <= value <= 255:
                found.exit_code = max(found.exit_code or 0, int(value))
                _add_flag(found, value == 0)
        elif meaning in _SECONDS:
            found.duration = max(found.duration or 0.0, min(value * _SECONDS[meaning], 1e10))
        else:
            key = (meaning, name)
            counts[key] = min(counts.get(key, 0) + int(value), 2**63 - 1)
    for (meaning, _), count in counts.items():  # two names for one thing do not
        found.counts[meaning] = max(found.counts.get(meaning, 0), count)
    if found.succeeded is None and not found.success_at and "failures" in found.counts:
        found.succeeded = found.counts["failures"] == 0
    return found


_SECONDS = {"seconds": 1.0, "milliseconds": 0.001, "minutes": 60.0}


def _meanings(samples: Sequence[Sample]) -> Iterator[tuple[str, str, float]]:
    single = {s.name.removesuffix("_count") for s in samples if s.name.endswith("_count")
              and s.value == 1}  # fmt: skip
    for name, value in samples:
        if not math.isfinite(value) or value < 0 or value > 2**63 or _RUNTIME.match(name):
            continue
        plain = name.lower()
        if name.endswith("_sum") and name.removesuffix("_sum") in single:
            plain = plain.removesuffix("_sum")  # a summary that observed one run
        for meaning, pattern in NAMES:
            if pattern.search(plain):
                yield meaning, name, value
                break


def _add_time(found: Facts, meaning: str, value: float) -> None:
    at = value / 1000 if value >= _MILLISECONDS else value
    if _EARLIEST <= at < _LATEST:
        setattr(found, meaning, max(getattr(found, meaning) or 0.0, at))
    elif meaning == "success_at" and value in (0.0, 1.0):
        # A flag by a time's name, or a gauge nobody set: then no success is claimed.
        if value == 1.0:
            _add_flag(found, True)
        else:
            found.success_at = found.success_at or 0.0


def _add_flag(found: Facts, good: bool) -> None:
    found.succeeded = good if found.succeeded is None else found.succeeded and good


def verdict(found: Facts, last_success: float) -> Verdict | None:
    """How the run ended, or None when the push does not say.

    ``last_success`` is the collector's last success by this protocol (Unix seconds, 0: none).
    """
    success_at, failed_at, completed_at = found.success_at, found.failed_at, found.completed_at
    newest = max(success_at or 0.0, failed_at or 0.0, completed_at or 0.0) or None
    if found.succeeded is not None:
        return Verdict(found.succeeded, newest)
    if failed_at and failed_at > (success_at or 0.0):
        return Verdict(False, failed_at)
    if success_at:
        slack = (found.duration or 0.0) + 1.0  # success may be noted before the clean-up
        repeated = success_at <= last_success
        later = completed_at is not None and completed_at > success_at + (0 if repeated else slack)
        if later:
            return Verdict(False, completed_at)
        return Verdict(True, success_at)
    if found.ended and (last_success or success_at == 0.0):
        return Verdict(False, completed_at)
    return None


def to_outcomes(found: Facts, collector: str, last_success: float, identity: str) -> list[Outcome]:
    """The outcome a push reports, or none. ``identity`` tells this push from the next one of the
    same group when it carries no time of its own."""
    ending = verdict(found, last_success)
    if ending is None:
        return []
    outcome = Outcome(
        collector=collector,
        outcome="success" if ending.success else "failure",
        event_id=f"{PROTOCOL}:{identity}" if ending.at is None else _event_id(collector, ending),
        duration_seconds=found.duration,
        exit_code=found.exit_code,
        source=PROTOCOL,
    )
    if ending.at is not None:
        outcome.occurred_at = datetime.fromtimestamp(ending.at, UTC)
        if found.duration is None and found.started_at and found.started_at <= ending.at:
            outcome.duration_seconds = ending.at - found.started_at
    counts: dict[str, Any] = {
        name: found.counts[name] for name in Records.__struct_fields__ if name in found.counts
    }
    if counts:
        outcome.records = Records(**counts)
    outcome.bytes = found.counts.get("bytes")
    return [outcome]


def _event_id(collector: str, ending: Verdict) -> str:
    word = "success" if ending.success else "failure"
    return f"{PROTOCOL}:{collector}:{word}:{ending.at!r}"


class Repeats:
    """Tells a retried push from the next run's, for pushes without any timestamp."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def identity(self, group: str, body: bytes, now: float) -> str:
        """An id that an identical push of the group within `REPEAT_SECONDS` gets as well."""
        digest = hashlib.sha256(group.encode() + b"\0" + body).hexdigest()[:32]
        seen, since = self._last.get(group, ("", 0.0))
        if seen != digest or not 0 <= now - since < REPEAT_SECONDS:
            since = now
        self._last[group] = (digest, since)
        self._last.move_to_end(group)
        if len(self._last) > MAX_GROUPS:
            self._last.popitem(last=False)
        return f"{digest}:{since!r}"


# --- HTTP ---------------------------------------------------------------------------------------

REPEATS = web.AppKey("pushgateway_repeats", Repeats)
_NO_OUTCOME = (
    "accepted, but no outcome was recorded: the push does not say how the run ended. "
    "Push <job>_last_success_timestamp_seconds, <job>_success (0 or 1) or <job>_exit_code.\n"
)


def setup(app: web.Application) -> None:
    """Add the routes of the Pushgateway's API."""
    app[REPEATS] = Repeats()
    path = "/metrics/{group:job(?:@base64)?/.+}"
    app.router.add_put(path, receive)
    app.router.add_post(path, receive)
    app.router.add_delete(path, delete)


async def receive(request: web.Request) -> web.Response:
    """Record one push: 200, or 400 with the reason as text, as the Pushgateway answers."""
    body = await read_body(request)
    pipeline = request.app[PIPELINE]
    try:
        job, labels = _group(request)
        found = facts(_decode(request.content_type, body))
    except ValueError as error:
        return _refuse(str(error))
    name = foreign_name(job, labels)
    collector = pipeline.resolve(PROTOCOL, name)
    group = "/".join([name, *(f"{key}={value}" for key, value in sorted(labels.items()))])
    identity = request.app[REPEATS].identity(group, body, pipeline.clock())
    outcomes = to_outcomes(found, collector, _last_success(pipeline, collector), identity)
    if not outcomes:
        return web.Response(text=_NO_OUTCOME)
    try:
        (wrong,) = await pipeline.submit(outcomes, PROTOCOL)
    except (Overloaded, StorageUnavailable) as error:
        return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": "1"})
    return web.Response() if wrong is None else _refuse(wrong)


async def delete(request: web.Request) -> web.Response:
    """202: there is no group to delete; what was recorded stays."""
    authorize(request, "write")
    try:
        _group(request)
    except ValueError as error:
        return _refuse(str(error))
    return web.Response(status=202)


def _decode(content_type: str, body: bytes) -> list[Sample]:
    if content_type == metric_protobuf.CONTENT_TYPE:
        return [Sample(name, value) for name, value in metric_protobuf.parse(body)]
    return parse(body.decode())


def _group(request: web.Request) -> tuple[str, dict[str, str]]:
    return parse_path("/".join(request.rel_url.raw_parts[2:]))


def _last_success(pipeline: Pipeline, collector: str) -> float:
    state = pipeline.collectors.get(collector)
    return state.last_success if state is not None and state.source == PROTOCOL else 0.0


def _refuse(text: str) -> web.Response:
    return web.Response(status=400, text=f"{text}\n")
