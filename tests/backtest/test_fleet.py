"""The scenario library: the same seed gives the same fleet, and every kind of fault occurs."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from collection_health.backtest import history
from collection_health.inventory import load
from tests.backtest import fleet, incidents


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    """Byte for byte, so that a table can be made again."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = fleet.generate(seed, mix={"15m": 3, "1h": 3}, warm_days=1, scored_days=2)
        fleet.write(made, tmp_path / name)
    for file in ("outcomes.ndjson", "collectors.yml", "incidents.csv"):
        first, again, other = ((tmp_path / d / file).read_bytes() for d in "abc")
        assert first == again
        assert first != other


def test_evaluation_seeds_are_never_development_seeds() -> None:
    """What was tuned on is not what is reported."""
    assert not set(fleet.DEVELOPMENT_SEEDS) & set(fleet.EVALUATION_SEEDS)


def test_a_fleet_holds_every_kind_of_fault_and_reads_without_remarks(tmp_path: Path) -> None:
    """The files are valid, every kind occurs, and the clocks change during the scored days."""
    made = fleet.generate(3, warm_days=21, scored_days=14)
    fleet.write(made, tmp_path)
    assert {i.kind for i in made.incidents} == {*incidents.KINDS, "dependency"}
    past = history.read(tmp_path / "outcomes.ndjson")
    assert (past.skipped, past.duplicates, past.accepted) == ([], 0, len(made.outcomes))
    inventory = load(tmp_path / "collectors.yml")
    known = [*past.outcomes, *inventory.dependencies]
    found = history.read_incidents(tmp_path / "incidents.csv", known, (past.start, past.end))
    assert len(found.incidents) == len(made.incidents)
    assert (found.skipped, found.warnings) == ([], [])
    berlin = ZoneInfo("Europe/Berlin")
    offsets = {
        datetime.fromtimestamp(moment, berlin).utcoffset()
        for moment in (made.scored_from, made.end)
    }
    assert len(offsets) == 2


def test_a_quiet_fleet_has_no_incident() -> None:
    """The fleet that measures false alarms alone."""
    assert fleet.generate(1, mix={"1h": 4}, warm_days=1, scored_days=1, quiet=True).incidents == []
