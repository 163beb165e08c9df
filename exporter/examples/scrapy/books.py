"""A spider that reports its crawls.

COLLECTION_HEALTH_URL=http://127.0.0.1:9036 scrapy runspider books.py -a url=http://…
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy


class Books(scrapy.Spider):
    """Collects the titles of a list of books, page by page."""

    name = "books"
    custom_settings = {  # noqa: RUF012  # Scrapy's own idiom
        "EXTENSIONS": {"collection_health.integrations.scrapy.CollectionHealth": 500},
    }

    async def start(self) -> AsyncIterator[Any]:
        """Begin with the page given as ``-a url=URL``."""
        yield scrapy.Request(getattr(self, "url", "http://127.0.0.1:8000/"))

    def parse(self, response: Any, **_: Any) -> Iterator[Any]:
        """An item for every title, and the next page."""
        for title in response.css("h2.title::text"):
            yield {"title": title.get()}
        yield from response.follow_all(css="a.next", callback=self.parse)
