"""One collector as the API and the pages show it: facts from the fold, conclusions beside them."""

import asyncio
import hashlib
from dataclasses import dataclass

import msgspec
from aiohttp import web
from msgspec import structs

from collection_health.api import shapes, words
from collection_health.api.conclusions import ORACLE, Verdicts
from collection_health.inventory import CollectorConfig
from collection_health.pipeline import Pipeline
from collection_health.server import PIPELINE
from collection_health.state import BAD, PARTIAL, CollectorState
from collection_health.times import rfc3339, seen
from collection_health.timing import timing

RUNS_SHOWN = 60
_KINDS: dict[int, shapes.RunKind] = {BAD: "bad", PARTIAL: "partial"}
_YIELD_EVERY = 200  # collectors built before other requests get a turn
_encode = msgspec.json.Encoder().encode


@dataclass
class View:
    """Everything known at one moment."""

    pipeline: Pipeline
    verdicts: Verdicts
    now: float

    @classmethod
    async def of(cls, request: web.Request) -> "View":
        """What is known now."""
        pipeline = request.app[PIPELINE]
        verdicts = await request.app[ORACLE].verdicts()
        return cls(pipeline, verdicts, pipeline.clock())

    def sources(self) -> shapes.Sources:
        """Where the answer comes from and how old it is."""
        verdicts, evaluated_at = self.verdicts, self.verdicts.evaluated_at
        age = None if evaluated_at is None else round(max(0.0, self.now - evaluated_at), 1)
        return shapes.Sources(
            facts=shapes.Source(source="exporter", as_of=rfc3339(self.now), age_seconds=0.0),
            conclusions=shapes.Source(
                source="prometheus", as_of=seen(evaluated_at), age_seconds=age,
                problem=verdicts.problem,
            ),
        )  # fmt: skip

    def collector(self, state: CollectorState) -> shapes.Collector:
        """One collector."""
        config = self.pipeline.config(state.name)
        word, basis = self.state_of(state, config)
        known, found = facts(state, config), self.conclusions(state.name)
        held, repair = controls(state), recovery(state)
        return shapes.Collector(
            name=state.name, team=config.team, owner=config.owner, tier=config.tier,
            registered=config.registered, depends_on=list(config.depends_on),
            state=word, basis=basis, why=words.why(known, found),
            doing=words.doing(held, repair, bool(state.failing_since)),
            facts=known, controls=held, recovery=repair, conclusions=found,
        )  # fmt: skip

    def conclusions(self, name: str) -> shapes.Conclusions | None:
        """What the rules say; None without them."""
        return self.verdicts.collectors.get(name) if self.verdicts.known else None

    def state_of(
        self, state: CollectorState, config: CollectorConfig
    ) -> tuple[shapes.StateName, shapes.Basis]:
        """The state in a word: by the rules, else what facts alone say.

        Facts alone: an open incident is failing; a newest run that was good and not overdue is
        healthy; everything else is unknown. They never say degraded.
        """
        found = self.conclusions(state.name)
        if found is not None:
            return found.state, "rules"
        if state.failing_since:
            return "failing", "facts"
        deadline = timing(state, config).deadline
        overdue = deadline is not None and deadline < self.now
        return ("healthy" if state.last_success and not overdue else "unknown"), "facts"

    async def chosen(self, query: "Selection") -> list[CollectorState]:
        """The collectors a selection means, by name."""
        states: list[CollectorState] = []
        for index, name in enumerate(sorted(self.pipeline.collectors)):
            if index % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
            state = self.pipeline.collectors.get(name)
            if state is not None and self._is_meant(state, query):
                states.append(state)
        return states

    async def words(self, states: list[CollectorState]) -> dict[str, shapes.StateName]:
        """The state of each in a word, by name."""
        found: dict[str, shapes.StateName] = {}
        for index, state in enumerate(states):
            if index % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
            found[state.name], _ = self.state_of(state, self.pipeline.config(state.name))
        return found

    def _is_meant(self, state: CollectorState, query: "Selection") -> bool:
        config = self.pipeline.config(state.name)
        return (
            (query.team is None or config.team == query.team)
            and (query.dependency is None or query.dependency in config.depends_on)
            and (query.state is None or self.state_of(state, config)[0] == query.state)
        )


class Selection(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which collectors."""

    team: str | None = None
    state: shapes.StateName | None = None
    dependency: str | None = None


def facts(state: CollectorState, config: CollectorConfig) -> shapes.Facts:
    """What the exporter itself knows."""
    expected = timing(state, config)
    failing = bool(state.failing_since)
    missed = failing and not state.consecutive_failures
    return shapes.Facts(
        first_seen=seen(state.first_seen), last_run=seen(state.last_run),
        last_success=seen(state.last_success), last_failure=seen(state.last_failure),
        failing_since=seen(state.failing_since),
        consecutive_failures=state.consecutive_failures,
        reason="missed" if missed else state.failure_reason or None,
        stage=None if missed else state.failure_stage or None,
        message=None if missed else state.failure_message or None,
        running=len(state.running), next_run=seen(expected.next_run),
        deadline=seen(expected.deadline), interval_seconds=expected.interval,
        interval_confidence=expected.confidence if expected.interval is not None else None,
        last_duration_seconds=state.last_duration, last_records=state.last_records,
        last_quality=state.last_quality, version=state.version or None,
        runs=[_KINDS.get(code, "good") for code in state.outcomes[-RUNS_SHOWN:]],
        probes={
            name: shapes.ProbeFact(
                success=probe.success, at=rfc3339(probe.at), message=probe.message
            )
            for name, probe in state.probes.items()
        },
    )  # fmt: skip


def controls(state: CollectorState) -> dict[str, shapes.ActiveControl]:
    """Controls that hold, by name."""
    return {
        name: shapes.ActiveControl(
            since=rfc3339(active.since), until=seen(active.until),
            actor=active.actor, reason=active.reason,
        )
        for name, active in state.controls.items()
    }  # fmt: skip


def recovery(state: CollectorState) -> shapes.RecoveryFact | None:
    """The newest automated recovery, if there was one."""
    record = state.recoveries.current if state.recoveries is not None else None
    if record is None:
        return None
    return shapes.RecoveryFact(
        id=record.id, phase=record.phase, at=rfc3339(record.at),
        action=record.tries[-1].action if record.tries else None,
        result=record.result, text=record.output,
    )  # fmt: skip


def reply(request: web.Request, body: msgspec.Struct, status: int = 200) -> web.Response:
    """A JSON answer with an ETag; 304 when the client has it. Ages do not change the ETag."""
    content = body
    if isinstance(body, shapes.Answer):
        content = structs.replace(body, sources=None)
    digest = hashlib.blake2b(_encode(content), digest_size=12).hexdigest()
    etag = f'W/"{digest}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if status == 200 and digest in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(
        status=status, body=_encode(body), content_type="application/json", headers=headers
    )
