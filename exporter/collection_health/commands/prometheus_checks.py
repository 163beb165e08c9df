"""What `doctor` asks Prometheus: is the exporter scraped, are the rules there and working."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from collection_health.commands.findings import Finding, seconds, some, version
from collection_health.commands.servers import RefusedError, Server

OLDEST = (2, 42)
_RANGE = re.compile(r"\[(\d[\dsmhdwy]*)(?::[^\]]*)?\](?:\s*offset\s+(\d[\dsmhdwy]*))?")


@dataclass
class Pack:
    """The rules as generated: groups, and the knobs that matter here."""

    groups: list[dict[str, Any]]
    selector: str
    scrape_guard: float

    @property
    def names(self) -> set[str]:
        """Names of all recording and alerting rules."""
        return {name_of(rule) for group in self.groups for rule in group["rules"]}

    def reach(self) -> float:
        """The longest look back of any rule, in seconds."""
        return max(
            (
                seconds(window) + seconds(offset)
                for group in self.groups
                for rule in group["rules"]
                for window, offset in _RANGE.findall(rule["expr"])
            ),
            default=0.0,
        )


def name_of(rule: dict[str, Any]) -> str:
    """Name of a rule in a file or in an API answer."""
    return str(rule.get("record") or rule.get("alert") or rule.get("name"))


def check(server: Server, pack: Pack) -> Iterator[Finding]:
    """All checks. Raises `UnreachableError`."""
    yield from _version(server)
    yield from _scrape(server, pack)
    loaded = server.get("/api/v1/rules")["data"]["groups"]
    yield from rules(loaded, pack, time.time())
    yield from collisions(loaded, pack)
    yield from _metric_collisions(server, pack)
    yield from _retention(server, pack)
    yield from _alertmanagers(server)


def _query(server: Server, expression: str) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = server.get("/api/v1/query", {"query": expression})["data"][
        "result"
    ]
    return result


def _version(server: Server) -> Iterator[Finding]:
    found = str(server.get("/api/v1/status/buildinfo")["data"].get("version", ""))
    if version(found) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Finding("error", "version", f"{found or 'unknown'}; the rules need {oldest} or newer")
    else:
        yield Finding("ok", "version", found)


def _scrape(server: Server, pack: Pack) -> Iterator[Finding]:
    up = _query(server, f"up{{{pack.selector}}}")
    down = [item["metric"].get("instance", "?") for item in up if item["value"][1] != "1"]
    if not up:
        others = _query(server, "count by (job) (collection_health_build_info)")
        jobs = [item["metric"].get("job", "?") for item in others]
        hint = (
            f"the exporter is scraped as job {some(jobs)}: set `selector` of the pack to it"
            if jobs
            else "add a scrape job for the exporter"
        )
        yield Finding("error", "scrape", f"nothing matches up{{{pack.selector}}}; {hint}")
    elif down:
        yield Finding("error", "scrape", f"cannot be scraped: {some(down)}")
    else:
        yield Finding("ok", "scrape", f"{len(up)} exporter(s) scraped")
        yield from _interval(server, pack, {item["metric"].get("instance") for item in up})


def _interval(server: Server, pack: Pack, instances: set[str | None]) -> Iterator[Finding]:
    targets = server.get("/api/v1/targets?state=active")["data"]["activeTargets"]
    slow = [
        f"{item['labels']['instance']} every {item['scrapeInterval']}"
        for item in targets
        if item["labels"].get("instance") in instances
        and 5 * seconds(item.get("scrapeInterval", "")) > pack.scrape_guard
    ]
    if slow:
        yield Finding(
            "warning", "scrape interval",
            f"{some(slow)}; the pack's scrapeGuard should span five scrapes",
        )  # fmt: skip


def rules(loaded: list[dict[str, Any]], pack: Pack, now: float) -> Iterator[Finding]:
    """Whether every group of the pack is loaded whole, evaluates, and does so in time."""
    by_name = {group["name"]: group for group in loaded}
    missing = [
        f"{group['name']}: {name_of(rule)}"
        for group in pack.groups
        for rule in group["rules"]
        if name_of(rule)
        not in {name_of(known) for known in by_name.get(group["name"], {}).get("rules", [])}
    ]
    total = sum(len(group["rules"]) for group in pack.groups)
    if missing:
        yield Finding(
            "error", "rules",
            f"{len(missing)} of {total} are not loaded: {some(missing)}; load the files that "
            "`collection-health generate` writes (doctor --config if you changed knobs)",
        )  # fmt: skip
    else:
        yield Finding("ok", "rules", f"all {total} loaded")
    ours = [by_name[group["name"]] for group in pack.groups if group["name"] in by_name]
    broken = [
        f"{name_of(rule)}: {rule['lastError']}"
        for group in ours
        for rule in group["rules"]
        if rule.get("lastError")
    ]
    if broken:
        yield Finding("error", "rule evaluation", some(broken, 3))
    late = [group["name"] for group in ours if _is_late(group, now)]
    if late:
        yield Finding("error", "rule evaluation", f"behind by more than 3 intervals: {some(late)}")
    if ours and not broken and not late:
        yield Finding("ok", "rule evaluation", f"{len(ours)} groups evaluate in time")


def _is_late(group: dict[str, Any], now: float) -> bool:
    text = str(group.get("lastEvaluation", ""))
    if not text or text.startswith("0001"):
        return False  # not yet since the start
    seen = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()
    return now - seen > 3 * float(group.get("interval", 60)) + 60


def collisions(loaded: list[dict[str, Any]], pack: Pack) -> Iterator[Finding]:
    """Rules of others that bear a name of ours."""
    names, groups = pack.names, {group["name"] for group in pack.groups}
    taken = sorted(
        f"{name_of(rule)} (group {group['name']})"
        for group in loaded
        if group["name"] not in groups
        for rule in group["rules"]
        if name_of(rule) in names
    )
    if taken:
        yield Finding("error", "rule names", f"used by other rules too: {some(taken)}")
    else:
        yield Finding("ok", "rule names", "no other rule has one of ours")


def _metric_collisions(server: Server, pack: Pack) -> Iterator[Finding]:
    ours = {item["metric"].get("job") for item in _query(server, f"up{{{pack.selector}}}")}
    names = _query(
        server, 'count by (__name__, job) ({__name__=~"collection_.+",__name__!~".*:.*"})'
    )
    taken = sorted(
        f"{item['metric']['__name__']} (job {item['metric'].get('job', 'none')})"
        for item in names
        if item["metric"].get("job") not in ours
    )
    if taken and ours:
        yield Finding(
            "warning", "metric names",
            f"other jobs use the prefix collection_: {some(taken)}; harmless as long as `selector` "
            "leaves them out",
        )  # fmt: skip
    elif not taken:
        yield Finding("ok", "metric names", "nobody else uses the prefix collection_")


def _retention(server: Server, pack: Pack) -> Iterator[Finding]:
    try:
        text = str(server.get("/api/v1/status/runtimeinfo")["data"].get("storageRetention", ""))
    except RefusedError:
        text = ""
    kept, needed = seconds(text.partition(" or ")[0]), pack.reach()
    if not kept:
        yield Finding("warning", "retention", f"not told ({text or 'no answer'})")
    elif kept < needed:
        yield Finding(
            "error", "retention",
            f"{text} is kept, the rules look back {needed / 86400:.3g} d: raise "
            "--storage.tsdb.retention.time, or lower historyWindow and the SLO window",
        )  # fmt: skip
    else:
        yield Finding("ok", "retention", f"{text}; the rules look back {needed / 86400:.3g} d")


def _alertmanagers(server: Server) -> Iterator[Finding]:
    active = [item["url"] for item in
              server.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"]]  # fmt: skip
    if active:
        yield Finding("ok", "alertmanagers", f"alerts go to {some(active)}")
    else:
        yield Finding("error", "alertmanagers", "Prometheus knows none: alerts reach nobody")
