"""What the demo shows in the terminal: a live table, and each notification as it lands."""

import json
import sys
import time
import urllib.parse
from collections.abc import Iterable
from typing import Any

from processes import fetch

from tests.support.sinks import Message

STATES = {0: ("healthy", 32), 1: ("degraded", 33), 2: ("failing", 31), 3: ("unknown", 90)}
_HIDE, _SHOW, _TOP, _REST = "\x1b[?25l", "\x1b[?25h", "\x1b[H", "\x1b[J"


def color(text: str, code: int) -> str:
    """``text`` in a terminal colour, plain where the output is no terminal."""
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text


class Facts:
    """The fleet as Prometheus sees it."""

    def __init__(self, prometheus: str) -> None:
        self._prometheus = prometheus

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query; empty while Prometheus does not answer."""
        url = f"{self._prometheus}/api/v1/query?query={urllib.parse.quote(expression)}"
        try:
            result: list[dict[str, Any]] = json.loads(fetch(url))["data"]["result"]
        except OSError:
            return []
        return result

    def values(self, expression: str) -> dict[str, float]:
        """Value by collector."""
        return {
            row["metric"].get("collector", ""): float(row["value"][1])
            for row in self.query(expression)
        }

    def labels(self, expression: str, *names: str) -> dict[str, str]:
        """Labels by collector, joined by a slash; each combination once."""
        found: dict[str, list[str]] = {}
        for row in self.query(expression):
            metric = row["metric"]
            text = "/".join(filter(None, (metric.get(name, "") for name in names)))
            known = found.setdefault(metric.get("collector", metric.get("dependency", "fleet")), [])
            if text not in known:
                known.append(text)
        return {key: ", ".join(texts) for key, texts in found.items()}


def table(facts: Facts, names: Iterable[str]) -> list[str]:
    """One line a collector: state, last run, why, alerts."""
    states = facts.values("collector:health:state")
    last = facts.values("max by (collector) (collection_last_run_timestamp_seconds)")
    streak = facts.values("max by (collector) (collection_consecutive_failures)")
    why = facts.labels("collection_last_failure_info", "reason", "stage")
    alerts = facts.labels('ALERTS{alertstate="firing"}', "alertname")
    lines = [f"{'COLLECTOR':<11}{'STATE':<10}{'LAST RUN':<10}{'WHY':<22}ALERTS"]
    for name in names:
        state, code = STATES[int(states.get(name, 3))]
        age = f"{time.time() - last[name]:.0f} s ago" if name in last else "never"
        failed = int(streak.get(name, 0))
        reason = f"{why.get(name, '?')} x{failed}" if failed else ""
        lines.append(
            f"{name:<11}{color(f'{state:<10}', code)}{age:<10}{reason:<22}{alerts.get(name, '')}"
        )
    others = {key: text for key, text in alerts.items() if key not in set(names)}
    lines += [
        f"{key:<43}          {text}" for key, text in others.items() if "Watchdog" not in text
    ]
    return lines


class Screen:
    """Redraws in place on a terminal; elsewhere prints the table now and then."""

    def __init__(self, heading: list[str]) -> None:
        self._heading = heading
        self._notices: list[str] = []
        self._live = sys.stdout.isatty()
        self._printed = 0.0
        if not self._live:
            print("\n".join(heading), flush=True)

    def note(self, text: str) -> None:
        """A line that stays: a step of the script or a notification."""
        line = f"{time.strftime('%H:%M:%S')} {text}"
        self._notices.append(line)
        if not self._live:
            sys.stdout.write(f"{line}\n")  # one write: messages land on several threads
            sys.stdout.flush()

    def notify(self, message: Message, after: float | None) -> None:
        """A notification, with the seconds since the first failing run."""
        since = f" (+{after:.0f} s after the first failing run)" if after is not None else ""
        channel = color(
            f"{message.channel:<8}{message.status:<9}", 31 if message.status == "firing" else 32
        )
        self.note(f"{channel}{message.title[:90]}{since}")

    def draw(self, lines: list[str]) -> None:
        """Show the table."""
        if self._live:
            shown = [*self._heading, "", *lines, "", *self._notices[-16:]]
            print(_HIDE + _TOP + "\n".join(f"{line}\x1b[K" for line in shown) + _REST, end="")
            sys.stdout.flush()
        elif time.monotonic() - self._printed > 15:
            self._printed = time.monotonic()
            print("\n".join(["", *lines, ""]), flush=True)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live:
            print(_SHOW, flush=True)
