"""Singer taps tell their progress on stderr: ``METRIC`` lines become counts of the run.

Read are the text lines of singer-python and singer-sdk (``INFO METRIC: {…}``), Stitch's older
``METRICS: {…}``, and singer-sdk's JSON log (``"metric_info": {…}``). The run's duration is
the process's own: Singer's timers nest and overlap, so their sum is no duration of the run.
"""

import json
import re
from typing import Any

_METRIC = re.compile(rb"\bMETRICS?: (\{.*\})")
_MAX_LINE = 65536


class SingerMetrics:
    """Adds up the metrics of one run. Counters report increments, timers one request each."""

    def __init__(self) -> None:
        self._rest = b""
        self._records: int | None = None
        self._counted = 0  # requests by counter
        self._timed = 0  # requests by timer; the same ones where both are reported
        self._failed = 0
        self._last_status: int | None = None  # of the last request, if it failed

    def feed(self, chunk: bytes) -> None:
        """Take a chunk of stderr."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_MAX_LINE:]
        for line in lines:
            point = _point(line)
            if point is not None:
                self._take(point)

    def fields(self, failed: bool) -> dict[str, Any]:
        """The fields of the outcome; the HTTP status explains a failed run."""
        self.feed(b"\n")
        fields: dict[str, Any] = {}
        if self._records is not None:
            fields["records"] = {"collected": self._records}
        total = max(self._counted, self._timed)
        if total:
            fields["requests"] = {"total": total, "failed": self._failed}
        if failed and self._last_status is not None:
            fields["http_status"] = self._last_status
        return fields

    def _take(self, point: dict[str, Any]) -> None:
        value, tags = point.get("value"), point.get("tags")
        if not isinstance(value, int | float) or not 0 <= value < 2**62:
            return
        tags = tags if isinstance(tags, dict) else {}
        match point.get("metric"):
            case "record_count":
                self._records = (self._records or 0) + int(value)
            case "http_request_count":
                self._counted += int(value)
            case "http_request_duration":
                self._timed += 1
                status = _status(tags)
                failed = tags.get("status") == "failed" or status is not None
                self._failed += failed
                self._last_status = status if failed else None


def _status(tags: dict[str, Any]) -> int | None:
    """The HTTP status of a failed request."""
    text = str(tags.get("http_status_code", ""))
    return int(text) if re.fullmatch("[45][0-9]{2}", text) else None


def _point(line: bytes) -> dict[str, Any] | None:
    match = _METRIC.search(line)
    if match is not None:
        return _object(match[1])
    if b'"metric_info"' in line:
        point = _object(line).get("metric_info")
        return point if isinstance(point, dict) else None
    return None


def _object(text: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
