"""When a collector is expected to run: every so often, by cron in a time zone, or streaming."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

STREAMING_INTERVAL = 60.0  # a stream reports about once a minute unless `every` says otherwise
MIN_GRACE, MAX_GRACE = 120.0, 3600.0


class Schedule:
    """Expected run times. ``interval`` is in seconds: exact for `every`, typical for cron."""

    interval: float
    streaming = False

    def next_after(self, moment: float) -> float:
        """The first expected run time after ``moment`` (both Unix seconds)."""
        raise NotImplementedError


class Every(Schedule):
    """A run every ``interval`` seconds, counted from the last run."""

    def __init__(self, interval: float, streaming: bool = False) -> None:
        self.interval = interval
        self.streaming = streaming

    def next_after(self, moment: float) -> float:
        """One interval later."""
        return moment + self.interval


class Cron(Schedule):
    """A cron expression in an IANA time zone, with Debian cron's handling of DST changes.

    Raises `ValueError` for an expression or zone that does not exist.
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        try:
            self._zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"timezone {timezone!r} is not an IANA time zone") from error
        try:
            CronSim(expression, datetime(2026, 1, 1, tzinfo=self._zone))
        except CronSimError as error:
            raise ValueError(f"cron {expression!r}: {error}") from error
        self._expression = expression
        self._slot: tuple[float, float] = (0.0, 0.0)  # (asked from, answer): asked again and again
        self.interval = self._typical_interval()

    def next_after(self, moment: float) -> float:
        """The next slot; infinity when there is none."""
        asked, answer = self._slot
        if asked <= moment < answer:
            return answer
        start = datetime.fromtimestamp(moment, self._zone)
        try:
            answer = next(CronSim(self._expression, start)).timestamp()
        except StopIteration:  # 30 February and the like: CronSim gives up after 50 years
            answer = float("inf")
        self._slot = (moment, answer)
        return answer

    def _typical_interval(self) -> float:
        """The longest gap of the next 60 slots, so that a working-days cron is not late on
        Monday; the slots are taken from a fixed date to keep the figure stable."""
        slots = CronSim(self._expression, datetime(2026, 1, 5, tzinfo=self._zone))
        times: list[float] = []
        for slot in slots:
            times.append(slot.timestamp())
            if len(times) > 60:
                break
        gaps = [later - earlier for earlier, later in pairwise(times)]
        return max(gaps, default=86400.0 * 366)


def infer(run_times: Sequence[float]) -> tuple[float, float] | None:
    """The usual gap between runs and the confidence in it (0-1), or None before two gaps.

    The gap is the median; confidence falls with the gaps' spread (median absolute deviation
    over median) and grows with their number.
    """
    ordered = sorted(run_times)
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    gaps = [gap for gap in gaps if gap > 0]
    if len(gaps) < 2:
        return None
    usual = median(gaps)
    spread = median(abs(gap - usual) for gap in gaps) / usual
    return usual, max(0.0, 1.0 - spread) * len(gaps) / (len(gaps) + 2)


def derived_grace(interval: float, declared: bool) -> float:
    """How late a run may be when its owner does not say: a quarter of the interval, between
    two minutes and an hour; half the interval when the interval itself is only inferred."""
    if declared:
        return min(max(0.25 * interval, MIN_GRACE), MAX_GRACE)
    return max(0.5 * interval, MIN_GRACE)


def utc(moment: float) -> datetime:
    """Unix seconds as an aware datetime."""
    return datetime.fromtimestamp(moment, UTC)
