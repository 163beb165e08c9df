"""The Scrapy extension: real crawls of a site on this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collection_health.integrations.scrapy import to_event
from tests.receivers.conftest import Exporter
from tests.support.process import free_port

EXAMPLE = Path(__file__).parents[2] / "exporter/examples/scrapy/books.py"
PAGES = {
    "/": '<h2 class="title">A</h2><h2 class="title">B</h2><a class="next" href="/2">next</a>',
    "/2": '<h2 class="title">C</h2>',
    "/redesigned": "<h3>A</h3>",
}


class Site(BaseHTTPRequestHandler):
    """Two pages of books, one with another layout, and a page for nobody."""

    def do_GET(self) -> None:
        """Answer with a page, 403 for ``/private`` and 404 for the rest."""
        page = PAGES.get(self.path)
        body = (page or "").encode()
        self.send_response(200 if page else 403 if self.path == "/private" else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a small bookshop."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def crawl(exporter: Exporter, spool: Path, collector: str, url: str) -> None:
    """Run the example with ``scrapy runspider``, as a user would."""
    settings = {
        "COLLECTION_HEALTH_COLLECTOR": collector, "LOG_LEVEL": "ERROR", "RETRY_TIMES": "0",
        "TELNETCONSOLE_ENABLED": "0",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in ("-s", f"{name}={value}")]
    environment = {
        **os.environ, "COLLECTION_HEALTH_URL": exporter.url, "COLLECTION_HEALTH_SPOOL": str(spool),
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "scrapy", "runspider", str(EXAMPLE), "-a", f"url={url}", *options],
        env=environment, cwd=spool, check=True, timeout=60,
    )  # fmt: skip


def test_crawls_of_a_real_site(exporter: Exporter, site: str, tmp_path: Path) -> None:
    """A good crawl, a changed layout, a block and a site that is down each say what they are."""
    exporter.start()
    crawl(exporter, tmp_path, "good", f"{site}/")
    crawl(exporter, tmp_path, "changed", f"{site}/redesigned")
    crawl(exporter, tmp_path, "blocked", f"{site}/private")
    crawl(exporter, tmp_path, "down", f"http://127.0.0.1:{free_port()}/")
    assert exporter.kinds("good") == ["started", "success"]
    done = [event for event in exporter.recorded if event.collector == "good"][-1]
    assert done.records is not None
    assert done.requests is not None
    assert (done.records.collected, done.requests.total) == (3, 2)
    assert done.duration_seconds is not None
    assert done.bytes is not None
    assert exporter.state("changed").failures == {"empty": 1}
    assert exporter.state("blocked").failures == {"blocked": 1}
    assert exporter.state("down").failures == {"connection": 1}
    assert exporter.state("down").failure_stage == "connect"
    assert exporter.counted("json", "rejected") == 0


@pytest.mark.parametrize(
    ("stats", "finish_reason", "outcome", "reason"),
    [
        ({"item_scraped_count": 9}, "finished", "success", None),
        ({}, "finished", "failure", "empty"),
        ({"item_scraped_count": 9}, "closespider_itemcount", "success", None),
        ({"item_scraped_count": 9}, "closespider_timeout", "failure", "timeout"),
        ({"item_scraped_count": 9}, "memusage_exceeded", "failure", "resource"),
        ({"item_scraped_count": 9}, "shutdown", "aborted", None),
        ({"item_scraped_count": 9, "spider_exceptions/KeyError": 1, "spider_exceptions/count": 1},
         "finished", "partial", "schema"),
        ({"item_scraped_count": 9, "downloader/response_status_count/404": 5},
         "finished", "success", None),
        ({"item_scraped_count": 9, "downloader/response_status_count/429": 5},
         "finished", "partial", "rate_limited"),
        ({"item_scraped_count": 9, "downloader/response_status_count/503": 5},
         "finished", "success", None),
        ({"downloader/response_status_count/503": 5, "retry/max_reached": 1},
         "finished", "failure", "upstream"),
        ({"downloader/exception_type_count/scrapy.exceptions.DownloadTimeoutError": 3,
          "retry/max_reached": 1}, "finished", "failure", "timeout"),
        ({"robotstxt/forbidden": 1}, "finished", "failure", "blocked"),
    ],
)  # fmt: skip
def test_statistics_decide(
    stats: dict[str, int], finish_reason: str, outcome: str, reason: str | None
) -> None:
    """Scrapy calls nearly every end "finished"; the statistics tell how it really went."""
    event = to_event(stats, finish_reason)
    assert (event["outcome"], event.get("reason")) == (outcome, reason)


def test_a_spider_without_items_may_be_meant_so() -> None:
    """A spider that stores what it finds by itself is no failure where its settings say so."""
    assert to_event({}, "finished", allow_empty=True)["outcome"] == "success"


def test_spidermon_is_quality() -> None:
    """Validation errors and field coverage of Spidermon become quality ratios."""
    stats = {
        "item_scraped_count": 10, "spidermon/validation/items": 10,
        "spidermon/validation/items/errors": 1, "spidermon_field_coverage/Book/title": 1.0,
        "spidermon_field_coverage/Book/price": 0.5,
    }  # fmt: skip
    assert to_event(stats, "finished")["quality"] == {"validity": 0.9, "completeness": 0.75}
