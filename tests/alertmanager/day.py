"""A day of fleet life: how many messages a channel gets, beside alerts and incidents.

    python -m tests.alertmanager.day [--seed N] [--speed N]

Simulates 200 collectors with labelled incidents, lets the real rules judge the outcomes, and plays
the alerts of the last day into a real Alertmanager whose waits are as much shorter as the day is.
"""

import argparse
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collection_health.backtest import history, score, session
from collection_health.backtest.alerts import Episode
from collection_health.pack import mixin, plain
from tests.alertmanager.support import ALWAYS, generate
from tests.backtest import fleet as fleets
from tests.support.services import Alertmanager, Stack, http_json
from tests.support.sinks import Message, NotificationSink

MIX = {"5m": 60, "15m": 50, "30m": 30, "1h": 45, "6h": 15}  # 200 collectors
WARM_DAYS = 3.0
INCIDENT_SHARE = 0.15  # of the collectors have one that day
STEP = 300.0  # seconds of fleet time between two evaluations
DAY = 86_400.0


@dataclass(frozen=True)
class Day:
    """What the rules said about the day, and what really happened."""

    episodes: Sequence[Episode]
    incidents: Sequence[history.Incident]
    intervals: Mapping[str, float | None]
    start: float

    def about(self, labels: Mapping[str, str], start: float, end: float) -> list[int]:
        """Incidents that an alert with these labels is right about."""
        if labels.get("kind") == "coverage":  # about the inventory
            return []
        target = labels.get("collector") or labels.get("dependency")
        found = []
        for index, incident in enumerate(self.incidents):
            begins, ends = score.window(incident, self.intervals)
            if (target is None or target in incident.names) and start <= ends and end >= begins:
                found.append(index)
        return found


def judged(seed: int, directory: Path) -> Day:
    """Simulate the fleet and let the default rules judge it."""
    simulated = fleets.generate(
        seed, mix=MIX, warm_days=WARM_DAYS, scored_days=1, incident_share=INCIDENT_SHARE
    )
    fleets.write(simulated, directory)
    files = plain.render(mixin.evaluate(mixin.sources()))
    rules = []
    for name in ("rules", "alerts"):
        rules.append(directory / f"{name}.yml")
        rules[-1].write_text(files[f"rules/generated/{name}.yml"])
    result = session.run(
        session.Options(
            history=directory / "outcomes.ndjson",
            rules=rules,
            config=directory / "collectors.yml",
            incidents=directory / "incidents.csv",
            step=STEP,
            score_from=simulated.scored_from,
        ),
        lambda line: print(f"  {line}", file=sys.stderr),
    )
    episodes = [
        one for one in result.episodes if (one.end or result.span[1]) > simulated.scored_from
    ]
    incidents = result.incidents.incidents if result.incidents else []
    return Day(episodes, incidents, result.intervals, simulated.scored_from)


def compressed(throttle: Mapping[str, Mapping[str, str]], speed: float) -> dict[str, Any]:
    """The waits of the default configuration, shorter by `speed`."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}

    def shorter(duration: str) -> str:
        seconds = sum(float(n) * units[u] for n, u in re.findall(r"(\d+)([smhd])", duration))
        return f"{max(1, round(1000 * seconds / speed))}ms"

    return {
        audience: {name: shorter(duration) for name, duration in waits.items()}
        for audience, waits in throttle.items()
    }


def play(day: Day, alertmanager: Alertmanager, speed: float) -> None:
    """Send the alerts as Prometheus would, each evaluation `STEP` seconds of fleet time apart."""
    began = time.time()

    def real(moment: float) -> str:
        return datetime.fromtimestamp(began + (moment - day.start) / speed, UTC).isoformat()

    steps = int(DAY / STEP)
    for index in range(steps + 1):
        now = day.start + index * STEP
        body = []
        for episode in day.episodes:
            end = episode.end or float("inf")
            if episode.start <= now < end:
                body.append(_alert(episode, real(episode.start), real(now + 4 * STEP)))
            elif end <= now < end + 2 * STEP:
                body.append(_alert(episode, real(episode.start), real(end)))
        delay = began + index * STEP / speed - time.time()
        if delay > 0:
            time.sleep(delay)
        if body:
            http_json(f"{alertmanager.url}/api/v2/alerts", body)


def _alert(episode: Episode, start: str, end: str) -> dict[str, Any]:
    labels = {"alertname": episode.alertname, **episode.labels}
    return {"labels": labels, "startsAt": start, "endsAt": end, "annotations": {"summary": "-"}}


class Tally:
    """Sorts the messages of a day by what they told that was new."""

    def __init__(self, day: Day, began: float, speed: float) -> None:
        self.day = day
        self.counts: Counter[str] = Counter()
        self.heard: dict[int, int] = {}  # incident to the rank of the worst severity told
        self._told: set[tuple[str, str]] = set()
        self._began = began
        self._speed = speed

    def add(self, message: Message) -> None:
        """Count one message."""
        audience = message.raw["receiver"].split("/")[1]
        news = self._news(message)
        if message.status == "resolved":
            self.counts["resolved"] += 1
        elif audience.startswith("level-"):
            self.counts["escalation"] += 1
        elif not news:
            self.counts["repeated"] += 1
        else:
            self.counts[self._kind(audience, news, message.at)] += 1

    def _news(self, message: Message) -> list[dict[str, Any]]:
        """Alerts that began today and were not in an earlier message."""
        keys = [(one["fingerprint"], one["startsAt"]) for one in message.alerts]
        news = [
            one
            for one, key in zip(message.alerts, keys, strict=True)
            if one["status"] == "firing"
            and key not in self._told
            and datetime.fromisoformat(one["startsAt"]).timestamp() >= self._began
        ]
        self._told.update(keys)
        return news

    def _kind(self, audience: str, news: Iterable[dict[str, Any]], at: float) -> str:
        moment = self.day.start + (at - self._began) * self._speed
        about = {i for one in news for i in self.day.about(one["labels"], moment, moment)}
        if not about:
            return f"false {audience}"
        rank = ("info", "warning", "critical").index(audience)
        known = [self.heard[incident] for incident in about if incident in self.heard]
        self.heard |= {i: max(rank, self.heard.get(i, 0)) for i in about}
        if len(known) < len(about):
            return "first"
        if max(known) < rank:
            return "raised"
        # The inventory says neither whose an undeclared collector is nor what it depends on.
        declared = any(one["labels"].keys() & {"team", "dependency"} for one in news)
        return "more" if declared else "undeclared"


def report(day: Day, messages: Iterable[Message], began: float, speed: float) -> str:
    """The figures as a Markdown table, counted on the webhook (every channel gets the same)."""
    tally = Tally(day, began, speed)
    for message in messages:
        tally.add(message)
    counts = tally.counts
    raw = [one for one in day.episodes if score.counts(one) and one.start >= day.start]
    first = counts["first"] + counts["more"] + counts["undeclared"]
    first += sum(count for kind, count in counts.items() if kind.startswith("false"))
    declared = first - counts["undeclared"]
    rows = {
        "collectors": sum(MIX.values()),
        "real incidents": len(day.incidents),
        "of these, told": len(tally.heard),
        "firings of alerts that people would get without grouping and inhibition": len(raw),
        "**first-firing messages to a channel**": first,
        "– the first about an incident": counts["first"],
        "– more about an incident already told": counts["more"],
        "– the same from collectors the inventory does not know": counts["undeclared"],
        "– about no incident, critical": counts["false critical"],
        "– about no incident, warning or information": counts["false warning"]
        + counts["false info"],
        "**first-firing messages per real incident**": f"{first / max(1, len(day.incidents)):.2f}",
        "the same per incident told": f"{first / max(1, len(tally.heard)):.2f}",
        "the same without undeclared collectors": f"{declared / max(1, len(tally.heard)):.2f}",
        "counted apart: an incident became critical": counts["raised"],
        "counted apart: escalation levels (nobody answers in this day)": counts["escalation"],
        "counted apart: resolved": counts["resolved"],
        "counted apart: repeated because nothing changed, or fewer alerts": counts["repeated"],
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| a day of the fleet | |", "|---|--:|", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--speed", type=float, default=240, help="fleet seconds in one second")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the programs end with us
    throttle = mixin.evaluate(mixin.sources()).config["alertmanager"]["throttle"]
    with tempfile.TemporaryDirectory() as scratch, NotificationSink() as sink:
        directory = Path(scratch)
        day = judged(options.seed, directory / "history")
        print(f"  {len(day.episodes)} alerts; playing them", file=sys.stderr)
        section = {
            "channels": {"webhook": {"url": f"{sink.http_url}/webhook"}},
            "recovery": None,
            "when": ALWAYS,
            "throttle": compressed(throttle, options.speed),
        }
        stack = Stack(directory / "stack")
        try:
            alertmanager = stack.alertmanager(generate(directory / "config", section))
            began = time.time()
            play(day, alertmanager, options.speed)
        finally:
            stack.close()
        print(report(day, sink.received("webhook"), began, options.speed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
