"""The shipped rules on a small history: what is wrong is told, what is not is left alone."""

import random
from pathlib import Path
from typing import Any

import pytest

from collection_health.backtest import history, score, session
from collection_health.backtest.alerts import Episode
from collection_health.backtest.engine import EngineName
from tests.backtest.support import MONDAY, outcome, prometheus, write_history
from tests.tools import tool

DAY, INTERVAL = 86400, 900
RULES = Path(__file__).resolve().parents[2] / "rules" / "generated"
TROUBLE = MONDAY + 3.5 * DAY
END = MONDAY + 4 * DAY


def runs(name: str, random_source: random.Random) -> list[dict[str, Any]]:
    """Four days of quarter-hourly runs; on the fourth day each collector has its own trouble."""
    made = []
    for slot in range(int(MONDAY), int(END), INTERVAL):
        wrong = TROUBLE <= slot < TROUBLE + 4 * 3600
        result: dict[str, Any] = {"records": {"collected": random_source.randint(900, 1100)}}
        outcome_of = "success"
        if name == "stops" and wrong:
            continue
        if name == "locked" and wrong:
            outcome_of, result = "failure", {"reason": "auth", "stage": "auth"}
        elif name == "empty" and wrong:
            result = {"records": {"collected": 0}}
        elif name == "flaky" and random_source.random() < 0.04:
            outcome_of, result = "failure", {"reason": "timeout"}
        duration = random_source.uniform(40, 60)
        made.append(outcome(name, slot + duration, outcome_of, duration_seconds=duration, **result))
    return made


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> session.Result:
    """The shipped rules over the four collectors."""
    directory = tmp_path_factory.mktemp("pack")
    random_source = random.Random(4)
    names = ("stops", "locked", "empty", "flaky")
    lines = [item for name in names for item in runs(name, random_source)]
    (directory / "collectors.yml").write_text(
        "collectors:\n" + "".join(f"  - {{name: {n}, schedule: {{every: 15m}}}}\n" for n in names)
    )
    return session.run(
        session.Options(
            history=write_history(directory / "h.ndjson", lines),
            rules=[RULES],
            config=directory / "collectors.yml",
            step=300,
            binary=prometheus(),
        ),
        lambda _: None,
    )


def shown(replayed: session.Result, name: str) -> list[Episode]:
    """Episodes of one collector that a person is told of."""
    return [e for e in replayed.episodes if score.target_of(e) == name and score.counts(e)]


@pytest.mark.parametrize(
    ("name", "alert", "within_minutes"),
    [("stops", "CollectorNotRunning", 45), ("locked", "CollectorFailing", 35),
     ("empty", "CollectorVolumeAnomaly", 65)],
)  # fmt: skip
def test_trouble_is_told_soon_and_ends_with_it(
    replayed: session.Result, name: str, alert: str, within_minutes: int
) -> None:
    """The right alert starts within a few runs and ends with the trouble; none comes before."""
    found = shown(replayed, name)
    assert alert in {episode.alertname for episode in found}
    own = [episode for episode in found if episode.alertname == alert]
    assert TROUBLE <= min(episode.start for episode in own) <= TROUBLE + within_minutes * 60
    assert all(episode.start >= TROUBLE for episode in found)
    assert all(episode.end is not None for episode in found)
    assert max(episode.end or END for episode in own) <= TROUBLE + 5 * 3600


def test_ordinary_flakes_and_the_fleet_are_left_alone(replayed: session.Result) -> None:
    """Four percent of failed runs are this collector's ordinary day."""
    assert shown(replayed, "flaky") == []
    assert shown(replayed, score.FLEET) == []
    ends = [event.outcome for event in replayed.history.outcomes["flaky"]]
    assert ends.count("failure") > 5


def test_every_rule_of_the_pack_is_replayed_or_accounted_for(replayed: session.Result) -> None:
    """No alert is silently left out: only those that watch the monitoring itself are, by name."""
    left_out = {rule.name for rule, _ in replayed.plan.left_out}
    assert left_out
    assert all(name.startswith("CollectionHealth") for name in left_out)
    assert isinstance(replayed.history, history.History)


def test_victoriametrics_tells_the_same_with_the_same_root_causes(tmp_path: Path) -> None:
    """Before, during and after a dependency's failure every label is the same on both engines."""
    random_source = random.Random(5)
    lines = []
    for name in ("one", "two", "three", "undeclared", "bystander"):
        for slot in range(int(MONDAY), int(MONDAY + 2 * DAY), INTERVAL):
            down = 1.5 * DAY <= slot - MONDAY < 1.7 * DAY and name != "bystander"
            result: dict[str, Any] = {"reason": "connection", "stage": "connect"} if down else {}
            end = slot + random_source.uniform(40, 60)
            lines.append(outcome(name, end, "failure" if down else "success", **result))
    lines.sort(key=lambda line: str(line["finished_at"]))
    (tmp_path / "collectors.yml").write_text(
        "dependencies: {db: {}}\ncollectors:\n"
        + "".join(
            f"  - {{name: {name}, schedule: {{every: 15m}}, depends_on: [db]}}\n"
            for name in ("one", "two", "three")
        )
        + "  - {name: bystander, schedule: {every: 15m}}\n"
    )
    told = []
    engines: list[tuple[EngineName, str]] = [
        ("prometheus", prometheus()),
        ("victoriametrics", str(tool("victoria-metrics"))),
    ]
    for engine, program in engines:
        result = session.run(
            session.Options(
                history=write_history(tmp_path / "h.ndjson", lines),
                rules=[RULES],
                config=tmp_path / "collectors.yml",
                step=300,
                engine=engine,
                binary=program,
            ),
            lambda _: None,
        )
        told.append(
            {
                (e.alertname, tuple(sorted(e.labels.items())), e.start, e.end)
                for e in result.episodes
            }
        )
    assert {dict(labels)["root_cause"] for _, labels, _, _ in told[0]} >= {"dependency:db"}
    assert any(name == "DependencyFailing" for name, *_ in told[0])
    assert told[0] == told[1]
