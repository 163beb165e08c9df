"""Collectors, their state and what depends on them: everything known now."""

from typing import Literal

from aiohttp import web

from collection_health.api import shapes
from collection_health.api.bodies import ProblemError
from collection_health.api.controls import find
from collection_health.api.table import NAME, Route, add, query_of
from collection_health.api.view import Selection, View, reply
from collection_health.inventory import CollectorConfig
from collection_health.state import CollectorState
from collection_health.times import rfc3339, seen, span
from collection_health.timing import timing

# Problems after which the data itself may be wrong, or old.
DATA_PROBLEMS = {
    "failing", "volume_zero", "volume_low", "volume_high", "partial", "quality", "schema"
}  # fmt: skip
AGE_PROBLEMS = {"stale", "not_running"}
NAMED = 20  # failing collectors that `health` names


class ListQuery(Selection, forbid_unknown_fields=True, kw_only=True):
    """Which collectors, and which page of them."""

    limit: shapes.Limit = 100
    after: str | None = None


class HealthQuery(Selection, forbid_unknown_fields=True, kw_only=True):
    """Which collectors; 409 from this status on, for clients that look at the status code."""

    fail_on: Literal["degraded", "failing"] | None = None


def setup(app: web.Application) -> None:
    """Add the routes."""
    missing = {404: "No such collector."}
    name = f"/api/v1/collectors/{NAME}"
    add(app, [
        Route("GET", "/api/v1/collectors", collectors, "Collectors by name, a page at a time.",
              shapes.CollectorList, query=ListQuery),
        Route("GET", f"{name}/ready-for-consumers", ready,
              "Whether a downstream job may use what the collector delivered.", shapes.Ready,
              others={**missing, 409: "Not fresh or not healthy; the body says why."},
              alike=(409,)),
        Route("GET", "/api/v1/health", health, "The fleet, or a part of it, in a few numbers.",
              shapes.Health, query=HealthQuery,
              others={404: "The selection is empty.",
                      409: "The status is as bad as `fail_on` or worse; same body."},
              alike=(409,)),
        Route("GET", "/api/v1/impact", impact, "Open incidents by what they cost.",
              shapes.ImpactAnswer, query=Selection),
    ])  # fmt: skip


def setup_last(app: web.Application) -> None:
    """Add the route that takes every name, after all that are more specific."""
    add(app, [
        Route("GET", f"/api/v1/collectors/{NAME}", collector, "One collector.",
              shapes.CollectorAnswer, others={404: "No such collector."}),
    ])  # fmt: skip


async def collectors(request: web.Request) -> web.Response:
    """A page of collectors."""
    query = query_of(request, ListQuery)
    view = await View.of(request)
    chosen = await view.chosen(query)
    rest = [state for state in chosen if query.after is None or state.name > query.after]
    page = rest[: query.limit]
    following = page[-1].name if len(rest) > len(page) else None
    body = shapes.CollectorList(
        collectors=[view.collector(state) for state in page],
        total=len(chosen), next=following, sources=view.sources(),
    )  # fmt: skip
    response = reply(request, body)
    if following is not None:
        target = request.rel_url.update_query(after=following)
        response.headers["Link"] = f'<{target.raw_path_qs}>; rel="next"'
    return response


async def collector(request: web.Request) -> web.Response:
    """One collector."""
    state = find(request)
    view = await View.of(request)
    body = shapes.CollectorAnswer(collector=view.collector(state), sources=view.sources())
    return reply(request, body)


async def health(request: web.Request) -> web.Response:
    """Counts by state and one word."""
    query = query_of(request, HealthQuery)
    view = await View.of(request)
    chosen = await view.chosen(query)
    if not chosen and (query.team or query.state or query.dependency):
        raise ProblemError(404, "empty selection", "no collector matches the query")
    counts: dict[shapes.StateName, int] = {
        "healthy": 0, "degraded": 0, "failing": 0, "unknown": 0
    }  # fmt: skip
    words = await view.words(chosen)
    for word in words.values():
        counts[word] += 1
    failing = [name for name, word in words.items() if word == "failing"]
    recording = view.pipeline.ready and view.pipeline.ledger.writable
    status, reasons = _judge(counts, len(chosen), recording)
    body = shapes.Health(
        status=status, reasons=reasons, basis="rules" if view.verdicts.known else "facts",
        collectors=counts, failing=failing[:NAMED], recording=recording,
        score=view.verdicts.score, sources=view.sources(),
    )  # fmt: skip
    order = ("healthy", "degraded", "failing")
    bad = query.fail_on is not None and order.index(status) >= order.index(query.fail_on)
    return reply(request, body, 409 if bad else 200)


def _judge(
    counts: dict[shapes.StateName, int], total: int, recording: bool
) -> tuple[Literal["healthy", "degraded", "failing"], list[str]]:
    """One word: failing when half of the collectors fail or nothing can be recorded."""
    reasons = [
        f"{counts[word]} of {total} collectors are {word}"
        for word in ("failing", "degraded")
        if counts[word]
    ]
    if not recording:
        return "failing", ["outcomes cannot be recorded", *reasons]
    if total and counts["failing"] * 2 >= total:
        return "failing", reasons
    return ("degraded" if reasons else "healthy"), reasons


async def impact(request: web.Request) -> web.Response:
    """Open incidents, by score where rules give one, else by weight."""
    query = query_of(request, Selection)
    view = await View.of(request)
    incidents = [_impact(view, state) for state in await view.chosen(query) if state.failing_since]
    incidents.sort(key=lambda item: (-(item.score or 0.0), -item.weight, item.collector))
    consumers: dict[str, list[str]] = {}
    for item in incidents:
        for consumer in item.consumers:
            consumers.setdefault(consumer, []).append(item.collector)
    costs = [item.cost for item in incidents if item.cost is not None]
    body = shapes.ImpactAnswer(
        incidents=incidents, consumers=consumers,
        cost=sum(costs) if costs else None, sources=view.sources(),
    )  # fmt: skip
    return reply(request, body)


def _impact(view: View, state: CollectorState) -> shapes.Impact:
    config = view.pipeline.config(state.name)
    found = view.conclusions(state.name) or shapes.Conclusions()
    return shapes.Impact(
        collector=state.name, team=config.team, failing_since=rfc3339(state.failing_since),
        weight=config.impact.weight, consumers=config.impact.consumers,
        cost_per_hour=config.impact.cost_per_hour, score=found.impact_score, cost=found.cost,
        records_missed=found.records_missed,
    )  # fmt: skip


async def ready(request: web.Request) -> web.Response:
    """Fresh and healthy or not, why, and on what basis."""
    state = find(request)
    view = await View.of(request)
    found = view.conclusions(state.name)
    if found is not None:
        fresh, healthy, reasons = ready_by_rules(found)
    else:
        config = view.pipeline.config(state.name)
        fresh, healthy, reasons = ready_by_facts(state, config, view.now)
    is_ready = bool(fresh and healthy)
    body = shapes.Ready(
        collector=state.name, ready=is_ready, fresh=fresh, healthy=healthy, reasons=reasons,
        basis="facts" if found is None else "rules", last_success=seen(state.last_success),
        data_time=seen(state.newest_data), sources=view.sources(),
    )  # fmt: skip
    return reply(request, body, 200 if is_ready else 409)


def ready_by_rules(found: shapes.Conclusions) -> tuple[bool | None, bool | None, list[str]]:
    """Fresh, healthy and why not. Slow or flaky data is data: such problems do not count."""
    if found.state == "unknown":
        return None, None, ["the rules know too little of it"]
    problems = {problem.problem for problem in found.problems}
    age, data = problems & AGE_PROBLEMS, problems & DATA_PROBLEMS
    reasons = [f"the rules find it {name}" for name in sorted(age | data)]
    healthy = found.state != "failing" and not data
    if found.state == "failing" and not reasons:
        reasons.append("the rules find it failing")
    return not age, healthy, reasons


def ready_by_facts(
    state: CollectorState, config: CollectorConfig, now: float
) -> tuple[bool | None, bool | None, list[str]]:
    """The same from declared targets and the schedule alone; None: they do not say."""
    reasons = [f"failing for {span(now - state.failing_since)}"] if state.failing_since else []
    if not state.last_success:
        return False, False if reasons else None, ["no good run is known", *reasons]
    age, target = now - state.last_success, config.slo.freshness
    deadline = timing(state, config).deadline
    fresh: bool | None
    if target is not None:
        fresh = age <= target
    elif deadline is not None:
        fresh = now <= deadline
    else:
        fresh = None
        reasons.append("neither a freshness target nor an interval is known")
    if fresh is False:
        reasons.append(f"the last good run ended {span(age)} ago")
    healthy = not state.failing_since
    quality, minimum = config.slo.quality, config.slo.min_records
    if quality is not None and state.last_quality is not None and state.last_quality < quality:
        healthy = False
        reasons.append(f"quality {state.last_quality:.3g}, target {quality:g}")
    if minimum is not None and state.last_records is not None and state.last_records < minimum:
        healthy = False
        reasons.append(f"{state.last_records} records, target {minimum}")
    return fresh, healthy, reasons
