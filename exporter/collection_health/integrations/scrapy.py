"""A Scrapy extension: every crawl becomes one run, judged by its statistics.

    # settings.py
    EXTENSIONS = {"collection_health.integrations.scrapy.CollectionHealth": 500}

Settings, all optional (without them the client's environment variables hold):

- ``COLLECTION_HEALTH_URL``, ``COLLECTION_HEALTH_TOKEN_FILE``: where the exporter is.
- ``COLLECTION_HEALTH_COLLECTOR``: the collector's name; the spider's by default.
- ``COLLECTION_HEALTH_ALLOW_EMPTY``: True for spiders that yield no items by design. Otherwise
  a crawl without items is a failure: pages that changed their layout look exactly like that.
"""

import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Self

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from collection_health import reasons
from collection_health.client import Client, Settings
from collection_health.events import clean_name

Event = dict[str, Any]
Stats = Mapping[str, Any]

# What Scrapy's own finish reasons say by themselves; any other is judged by the statistics.
FINISH_REASONS: Mapping[str, tuple[str, str | None]] = {
    "shutdown": ("aborted", None),
    "cancelled": ("aborted", None),
    "closespider_timeout": ("failure", "timeout"),
    "closespider_timeout_no_item": ("failure", "empty"),
    "closespider_pagecount_no_item": ("failure", "empty"),
    "closespider_errorcount": ("failure", "parse"),
    "memusage_exceeded": ("failure", "resource"),
}
_REFUSALS = frozenset({401, 403, 407, 429, 451})  # a dead link (404) is no trouble of the crawl


class CollectionHealth:
    """The extension; Scrapy makes one for each crawl."""

    def __init__(self, crawler: Crawler) -> None:
        """Raises `NotConfigured`, with which the crawl goes on, for settings that cannot work."""
        given = {
            name: crawler.settings.get(f"COLLECTION_HEALTH_{name.upper()}")
            for name in ("url", "token_file")
        }
        try:
            settings = Settings.read(**{name: value for name, value in given.items() if value})
            self._client = _client(settings)
        except ValueError as error:
            raise NotConfigured(str(error)) from error
        self._crawler = crawler
        self._collector = crawler.settings.get("COLLECTION_HEALTH_COLLECTOR")
        self._allow_empty = crawler.settings.getbool("COLLECTION_HEALTH_ALLOW_EMPTY")
        self._run: Event = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way to make an extension."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_opened, signal=signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signal=signals.spider_closed)
        return extension

    def spider_opened(self, spider: Spider) -> None:
        """Report that the crawl started."""
        started = datetime.now(UTC)
        name = clean_name(self._collector or spider.name)
        self._run = {
            "collector": name,
            "run_id": f"{name[:100]}/{started.isoformat()}/{id(self):x}",
            "started_at": started.isoformat(),
        }
        self._client.send({**self._run, "outcome": "started"})

    def spider_closed(self, reason: str) -> None:
        """Report how the crawl ended."""
        stats = self._crawler.stats
        ending = to_event(stats.get_stats(), reason, self._allow_empty)
        finished = datetime.now(UTC).isoformat()
        self._client.send({**self._run, "finished_at": finished, **ending})


@functools.cache
def _client(settings: Settings) -> Client:
    """One client, and one thread, however many crawls a process makes."""
    return Client(settings)


def to_event(stats: Stats, finish_reason: str, allow_empty: bool = False) -> Event:
    """How a crawl ended, as the part of an outcome that the statistics tell."""
    items = _number(stats, "item_scraped_count")
    failed = _number(stats, "downloader/exception_count") + sum(
        count for status, count in _statuses(stats) if status >= 400
    )
    event: Event = {
        "records": {"collected": items, "rejected": _number(stats, "item_dropped_count")},
        "bytes": _number(stats, "downloader/response_bytes"),
        "requests": {
            "total": _number(stats, "downloader/request_count"),
            "failed": failed,
            "retried": _number(stats, "retry/count"),
        },
    }
    quality = _quality(stats)
    if quality:
        event["quality"] = quality
    outcome, reason = FINISH_REASONS.get(finish_reason, (None, None))
    trouble = _trouble(stats)
    if outcome is None:
        outcome = "success" if items or allow_empty else "failure"
        if trouble is not None:
            outcome = "partial" if items else "failure"
            reason, event["stage"] = trouble
        elif outcome == "failure":
            reason, event["stage"] = "empty", "parse"
    event["outcome"] = outcome
    if reason is not None:
        event["reason"] = reason
    if outcome != "success":
        event["error"] = {"message": _message(stats, finish_reason)}
    return event


def _trouble(stats: Stats) -> tuple[str, str] | None:
    """Reason and stage of what went wrong most often, or None where nothing did."""
    found: list[tuple[int, str, str]] = [
        (count, reasons.from_exception_name(name) or "parse", "parse")
        for name, count in _counts(stats, "spider_exceptions/")
        if name != "count"
    ]
    gave_up = _number(stats, "retry/max_reached")
    for status, count in _statuses(stats):
        if status in _REFUSALS or (status >= 500 and gave_up):
            reason = reasons.from_http_status(status, scraper=True) or "unknown"
            found.append((count, reason, "fetch"))
    for name, count in _counts(stats, "downloader/exception_type_count/"):
        known = reasons.from_exception_name(name) or "connection"
        if gave_up or known == "blocked":  # a retry that worked is no trouble
            found.append((count, known, "connect"))
    if _number(stats, "robotstxt/forbidden"):
        found.append((_number(stats, "robotstxt/forbidden"), "blocked", "fetch"))
    if not found:
        return None
    _, reason, stage = max(found)
    return reason, stage


def _message(stats: Stats, finish_reason: str) -> str:
    """What a person wants to read first."""
    told = [f"finish_reason={finish_reason}"]
    for prefix in ("downloader/exception_type_count/", "spider_exceptions/"):
        told += [f"{name}={count}" for name, count in _counts(stats, prefix) if name != "count"]
    told += [f"HTTP {status}={count}" for status, count in _statuses(stats) if status >= 400]
    return ", ".join(told)


def _quality(stats: Stats) -> Event:
    """Spidermon's validation and field coverage, where that is installed."""
    quality: Event = {}
    validated = _number(stats, "spidermon/validation/items")
    if validated:
        wrong = _number(stats, "spidermon/validation/items/errors")
        quality["validity"] = max(0.0, 1 - wrong / validated)
    coverage = [
        float(value)
        for name, value in stats.items()
        if name.startswith("spidermon_field_coverage/") and isinstance(value, int | float)
    ]
    if coverage:
        quality["completeness"] = min(1.0, max(0.0, fmean(coverage)))
    return quality


def _statuses(stats: Stats) -> Iterator[tuple[int, int]]:
    for status, count in _counts(stats, "downloader/response_status_count/"):
        if status.isdigit():
            yield int(status), count


def _counts(stats: Stats, prefix: str) -> Iterator[tuple[str, int]]:
    for name in sorted(stats):
        if name.startswith(prefix):
            yield name.removeprefix(prefix), _number(stats, name)


def _number(stats: Stats, name: str) -> int:
    value = stats.get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else 0
