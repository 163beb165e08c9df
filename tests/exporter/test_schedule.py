"""Schedules, expectations and the events that only the clock can write."""

from datetime import UTC, datetime

import pytest

from collection_health import fold
from collection_health.events import Control, Outcome
from collection_health.inventory import Inventory, parse
from collection_health.schedule import Cron, Every, infer
from collection_health.state import CollectorState
from collection_health.timers import Timers, due, next_check
from collection_health.timing import timing

T0 = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
HOUR = 3600.0


def moment(text: str) -> float:
    """Unix seconds of an ISO time."""
    return datetime.fromisoformat(text).timestamp()


def inventory(schedule: str, more: str = "") -> Inventory:
    """An inventory with one collector ``c``."""
    return parse(f"collectors:\n- name: c\n  schedule: {schedule}\n{more}")


def ran(inv: Inventory, *times: float, outcome: str = "success") -> CollectorState:
    """The state of ``c`` after runs that ended at these times."""
    state = CollectorState("c", registered_at=T0)
    for position, at in enumerate(times):
        fold.apply(state, Outcome("c", outcome, at=at), inv.collector("c"), position)  # type: ignore[arg-type]
    return state


def test_cron_follows_its_time_zone_through_dst() -> None:
    """02:30 in Berlin is skipped or moved in spring and runs once in autumn."""
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert cron.next_after(moment("2026-03-28T03:00+01:00")) == moment("2026-03-29T03:00+02:00")
    autumn = cron.next_after(moment("2026-10-25T00:00+02:00"))
    assert autumn == moment("2026-10-25T02:30+02:00")
    assert cron.next_after(autumn) == moment("2026-10-26T02:30+01:00")


def test_cron_interval_is_its_longest_usual_gap() -> None:
    """A working-days cron is not late on Saturday."""
    assert Cron("0 6 * * 1-5").interval == 3 * 86400
    assert Cron("*/15 * * * *").interval == 900


@pytest.mark.parametrize("expression", ["* * * *", "x * * * *", "61 * * * *"])
def test_impossible_cron_is_refused(expression: str) -> None:
    """A cron expression that cannot be read is an error that quotes it."""
    with pytest.raises(ValueError, match="cron"):
        Cron(expression)


def test_interval_is_inferred_with_growing_confidence() -> None:
    """Two gaps give a guess, more and steadier gaps a better one."""
    assert infer([0, 60]) is None
    few = infer([0, 60, 120])
    many = infer([60.0 * n for n in range(20)])
    uneven = infer([0, 60, 400, 410, 900, 1000])
    assert few is not None
    assert many is not None
    assert uneven is not None
    assert few[0] == many[0] == 60
    assert few[1] < many[1] < 1
    assert uneven[1] < few[1]


def test_deadline_leaves_grace_and_usual_duration() -> None:
    """A run is overdue after its time, the grace and what such a run usually takes."""
    inv = inventory("{every: 10m}", "  grace: 2m")
    state = CollectorState("c")
    fold.apply(state, Outcome("c", "success", at=T0, duration_seconds=30.0), inv.collector("c"), 0)
    expected = timing(state, inv.collector("c"))
    assert (expected.next_run, expected.deadline) == (T0 + 600, T0 + 600 + 120 + 60)


def test_each_scheduled_time_is_missed_exactly_once() -> None:
    """Slots without a run are written off one by one; asking again gives nothing new."""
    inv = inventory("{every: 10m}", "  grace: 2m")
    state = ran(inv, T0)
    events = due(state, inv.collector("c"), T0 + 2000)
    assert [event.event_id for event in events if isinstance(event, Outcome)] == [
        f"missed/{T0 + n * 600:.0f}" for n in (1, 2, 3)
    ]
    for position, event in enumerate(events):
        fold.apply(state, event, inv.collector("c"), position)
    assert due(state, inv.collector("c"), T0 + 2000) == []
    assert state.failures == {"missed": 3}
    assert next_check(state, inv.collector("c")) == T0 + 2400 + 120


def test_collector_that_never_started_is_missed() -> None:
    """A registered collector is judged from its registration on."""
    inv = inventory("{every: 1h}")
    events = due(ran(inv), inv.collector("c"), T0 + HOUR + 1000)
    assert len(events) == 1


def test_cron_slot_is_met_by_a_failed_or_skipped_or_started_run() -> None:
    """Missed means nothing happened; a failure, a skip or a start is something."""
    inv = inventory('{cron: "0 * * * *"}', "  grace: 5m")
    for outcome in ("failure", "skipped", "started"):
        state = ran(inv, T0 + HOUR + 60, outcome=outcome)
        assert due(state, inv.collector("c"), T0 + 2 * HOUR + 200) == []


def test_run_past_its_timeout_is_an_overrun_once() -> None:
    """A started run that never ends becomes one failure at its timeout."""
    inv = inventory("{every: 1h}", "  timeout: 10m")
    state = CollectorState("c")
    fold.apply(state, Outcome("c", "started", at=T0, run_id="r"), inv.collector("c"), 0)
    assert due(state, inv.collector("c"), T0 + 599) == []
    (event,) = due(state, inv.collector("c"), T0 + 601)
    assert isinstance(event, Outcome)
    assert (event.reason, event.run_id, event.at) == ("overrun", "r", T0 + 600)
    fold.apply(state, event, inv.collector("c"), 1)
    assert due(state, inv.collector("c"), T0 + 700) == []


def test_pause_is_quiet_and_forgives_what_it_covered() -> None:
    """No run is missed while paused, and the count starts again when the pause expires."""
    inv = inventory("{every: 10m}", "  grace: 2m")
    state = ran(inv, T0)
    config = inv.collector("c")
    fold.apply(state, Control("c", "maintenance", True, T0, T0 + HOUR), config, 1)
    assert due(state, config, T0 + HOUR - 1) == []
    (expiry,) = due(state, config, T0 + HOUR)
    assert isinstance(expiry, Control)
    assert not expiry.active
    fold.apply(state, expiry, config, 2)
    assert due(state, config, T0 + HOUR + 700) == []
    assert len(due(state, config, T0 + HOUR + 721)) == 1


def test_timers_name_each_collector_once_it_is_due() -> None:
    """The heap may be early, never late, and holds a collector once."""
    inv = inventory("{every: 10m}", "  grace: 2m")
    state = ran(inv, T0)
    timers = Timers()
    timers.watch(state, inv.collector("c"))
    timers.watch(state, inv.collector("c"))
    assert timers.ready(T0 + 719) == []
    assert timers.ready(T0 + 720) == ["c"]
    assert timers.ready(T0 + 9999) == []


def test_every_counts_from_the_last_run() -> None:
    """A fixed interval has no phase of its own."""
    assert Every(60).next_after(T0 + 7) == T0 + 67
