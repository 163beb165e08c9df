"""A collector with the Python client: fetch, parse, validate, report."""

import json
import sys
import urllib.request
from typing import Any

from collection_health.client import track


def collect(name: str, url: str) -> None:
    """One run. Exceptions become failures with their reason; here they end the process."""
    with track(name) as run:
        run.stage("fetch")
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310  # a local http URL
            body = answer.read()
        run.stage("parse")
        rows: list[dict[str, Any]] = json.loads(body)["rows"]
        run.stage("validate")
        good = [row for row in rows if row["value"] is not None]
        run.records(expected=100, collected=len(good))
        run.bytes(len(body))


if __name__ == "__main__":
    collect(*sys.argv[1:])
