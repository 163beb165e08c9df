"""The fleet guard: when much fails at once, repairing one by one makes it worse."""

import asyncio
import time

from collection_health.prometheus import Prometheus, PrometheusError

MIN_FAILING = 3  # fewer collectors than this are no fleet-wide trouble, whatever their share
FRESH_SECONDS = 2.0
# The rules say what fails and which of it one dependency explains (that one is repaired once).
QUERY = (
    f"max((fleet:unexplained_failing:ratio and fleet:failing:count >= {MIN_FAILING})"
    " or 0 * fleet:failing:count)"
)


class Guard:
    """Asks Prometheus which share of the fleet fails, at most every few seconds."""

    def __init__(self, prometheus: Prometheus | None, max_ratio: float) -> None:
        self._prometheus, self._max_ratio = prometheus, max_ratio
        self._asked = -FRESH_SECONDS
        self._refusal = ""
        self._lock = asyncio.Lock()

    async def refusal(self) -> str:
        """Why nothing automatic may run now; "" when it may. Fails safe."""
        async with self._lock:
            if time.monotonic() - self._asked >= FRESH_SECONDS:
                self._refusal = await self._ask()
                self._asked = time.monotonic()
            return self._refusal

    async def _ask(self) -> str:
        if self._prometheus is None:
            return "the state of the fleet is unknown: no --prometheus.url"
        try:
            ratio = await self._prometheus.value(QUERY)
        except PrometheusError as error:
            return f"the state of the fleet is unknown: Prometheus {error}"
        if ratio > self._max_ratio:
            return f"more than {self._max_ratio:.0%} of the fleet fails for no common dependency"
        return ""
