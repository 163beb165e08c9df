"""The fold: events become counters and gauges, the same way every time."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collection_health import fold
from collection_health.events import Control, Event, Outcome, Quality, Records, Recovery, prepare
from collection_health.inventory import CollectorConfig, parse
from collection_health.metrics import samples
from collection_health.state import CollectorState
from collection_health.timers import due

T0 = 1_770_000_000.0
INVENTORY = """
collectors:
- name: orders
  schedule: {every: 10m}
  slo: {availability: 0.99, latency: 60s, freshness: 30m, quality: 0.9, min_records: 10}
"""


def config() -> CollectorConfig:
    """The targets the tests judge by."""
    return parse(INVENTORY).collector("orders")


def event(minute: float, outcome: str, **fields: Any) -> Outcome:
    """An outcome of ``orders`` so many minutes after the start."""
    item = Outcome(
        "orders",
        outcome,  # type: ignore[arg-type]
        occurred_at=datetime.fromtimestamp(T0 + 60 * minute, UTC),
        **fields,
    )
    assert prepare(item, T0 + 1e6, 1e8) is None
    return item


def folded(*events: Event) -> CollectorState:
    """The state after these events."""
    state = CollectorState("orders")
    for position, item in enumerate(events):
        fold.apply(state, item, config(), position)
    return state


def values(state: CollectorState) -> dict[str, float]:
    """Samples by ``name{labels}`` without the collector label."""
    found: dict[str, float] = {}
    for name, labels, value in samples(state, config(), T0 + 1e5):
        text = ",".join(f"{key}={label}" for key, label in labels[1:])
        found[f"{name}{{{text}}}" if text else name] = value
    return found


def test_runs_failures_and_streaks_are_counted() -> None:
    """Totals grow, the streak counts bad runs in a row and a good run ends it."""
    state = folded(
        event(0, "success"),
        event(10, "failure", reason="timeout"),
        event(20, "failure", reason="auth"),
    )
    found = values(state)
    assert found["collection_runs_total"] == 3
    assert found["collection_run_failures_total{reason=timeout}"] == 1
    assert found["collection_consecutive_failures"] == 2
    assert found["collection_failing_since_timestamp_seconds"] == T0 + 600
    assert found["collection_last_failure_info{reason=auth,stage=}"] == 1
    fold.apply(state, event(30, "partial"), config(), 9)
    found = values(state)
    assert found["collection_consecutive_failures"] == 0
    assert found["collection_incidents_total{ended_by=self}"] == 1
    assert found["collection_incident_duration_seconds_sum"] == 1200
    assert found["collection_runs_partial_total"] == 1
    assert found["collection_failing_since_timestamp_seconds"] == 0


def test_windows_count_a_run_once_as_its_last_attempt_ended() -> None:
    """Counters count every attempt; another run, or one without an id, is no retry."""
    state = folded(
        event(0, "success", run_id="a"),
        event(10, "failure", run_id="b", attempt=1),
        event(12, "failure", run_id="b", attempt=2),
    )
    found = values(state)
    assert found["collection_window_runs{window=10}"] == 2
    assert found["collection_window_failures{window=10}"] == 1
    assert found["collection_consecutive_failures"] == 1
    assert found["collection_last_failure_timestamp_seconds"] == T0 + 720
    fold.apply(state, event(14, "partial", run_id="b", attempt=3), config(), 9)
    found = values(state)
    assert found["collection_window_runs{window=10}"] == 2
    assert found["collection_window_failures{window=10}"] == 0
    assert found["collection_window_partials{window=10}"] == 1
    assert found["collection_window_transitions{window=10}"] == 0
    assert found["collection_runs_total"] == 4
    assert found["collection_run_failures_total{reason=unknown}"] == 2
    for number, later in enumerate((
        event(20, "failure", run_id="c"),
        event(30, "success", run_id="d", attempt=2),
        event(40, "failure"),
        event(50, "success", attempt=2),
    )):  # fmt: skip
        fold.apply(state, later, config(), 10 + number)
    found = values(state)
    assert found["collection_window_runs{window=10}"] == 6
    assert found["collection_window_failures{window=10}"] == 2


def availability(state: CollectorState) -> tuple[float, float]:
    """Errors and events that the availability SLI has counted."""
    found = values(state)
    return (
        found["collection_sli_errors_total{sli=availability}"],
        found["collection_sli_events_total{sli=availability}"],
    )


def test_availability_counts_a_run_once_as_its_last_attempt_ended() -> None:
    """Whose runs are tried again: a failed one is an error once the next run or slot came."""
    state = CollectorState("orders")
    told = []
    for position, each in enumerate((
        event(0, "failure", run_id="a", attempt=1),
        event(1, "success", run_id="a", attempt=2),  # nobody knew that it would come
        event(10, "failure", run_id="b", attempt=1),
        event(11, "failure", run_id="b", attempt=2),
        event(12, "success", run_id="b", attempt=3),
        event(20, "failure", run_id="c", attempt=1),
        event(21, "failure", run_id="c", attempt=2),
        event(30, "success", run_id="d", attempt=1),
        event(40, "failure", run_id="e", attempt=1),
        Outcome("orders", "failure", reason="missed", at=T0 + 3000),
        event(60, "failure"),  # without an id nothing can be tried again
    )):  # fmt: skip
        fold.apply(state, each, config(), position + 1)
        told.append(availability(state))
    assert told == [
        (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (1, 2), (1, 2), (2, 4), (2, 4), (4, 6), (5, 7),
    ]  # fmt: skip


def test_each_run_is_judged_by_the_collectors_own_targets() -> None:
    """Latency, volume, quality and freshness errors follow the declared targets."""
    state = folded(
        event(0, "success", duration_seconds=59.0, records=Records(collected=10)),
        event(31, "success", duration_seconds=61.0, records=Records(collected=9)),
        event(40, "success", quality=Quality(score=0.89), records=Records(written=50)),
    )
    found = values(state)
    errors = {sli: found[f"collection_sli_errors_total{{sli={sli}}}"] for sli in
              ("availability", "latency", "freshness", "quality", "volume")}  # fmt: skip
    assert errors == {"availability": 0, "latency": 1, "freshness": 1, "quality": 1, "volume": 1}
    assert found["collection_sli_events_total{sli=latency}"] == 2
    assert found["collection_last_run_records"] == 50


def test_started_run_is_open_until_its_end() -> None:
    """A start opens a run; its end closes it and the duration comes from both."""
    state = folded(event(0, "started", run_id="a"), event(1, "started", run_id="b"))
    found = values(state)
    assert found["collection_running_runs"] == 2
    assert found["collection_oldest_running_start_timestamp_seconds"] == T0
    fold.apply(state, event(5, "success", run_id="a"), config(), 9)
    found = values(state)
    assert found["collection_running_runs"] == 1
    assert found["collection_last_run_duration_seconds"] == 300


@pytest.mark.parametrize(("start", "end"), [("a", None), (None, "a")])
def test_end_of_the_only_run_need_not_name_it(start: str | None, end: str | None) -> None:
    """A start and an end of which one says no run are one run, where no other is under way."""
    state = folded(event(0, "started", run_id=start), event(5, "success", run_id=end))
    assert values(state)["collection_running_runs"] == 0
    assert values(state)["collection_last_run_duration_seconds"] == 300
    state = folded(
        event(0, "started", run_id="b"), event(1, "started", run_id=start),
        event(5, "success", run_id="c" if start else end),
    )  # fmt: skip
    assert values(state)["collection_running_runs"] == 2


def test_end_of_another_run_leaves_the_only_one_under_way() -> None:
    """Both say which run they are, and it is not the same."""
    state = folded(event(0, "started", run_id="a"), event(5, "success", run_id="b"))
    assert values(state)["collection_running_runs"] == 1


def test_overrun_counts_once_and_a_late_good_end_heals() -> None:
    """A run given up as overrun is one failure; its late success ends the incident only."""
    overrun = event(60, "failure", run_id="a")
    overrun.reason = "overrun"
    state = folded(event(0, "started", run_id="a"), overrun)
    assert values(state)["collection_run_failures_total{reason=overrun}"] == 1
    fold.apply(state, event(70, "success", run_id="a"), config(), 9)
    found = values(state)
    assert found["collection_runs_total"] == 1
    assert found["collection_window_runs{window=10}"] == 1
    assert found["collection_last_success_timestamp_seconds"] == T0 + 4200
    assert found["collection_failing_since_timestamp_seconds"] == 0


def test_missed_run_opens_an_incident_and_moves_no_timestamp() -> None:
    """Nothing ran: counters and the incident know it, last-run gauges and windows do not."""
    missed = Outcome(
        "orders", "failure", reason="missed", at=T0 + 1200,
        scheduled_for=datetime.fromtimestamp(T0 + 600, UTC),
    )  # fmt: skip
    found = values(folded(event(0, "success"), missed))
    assert found["collection_run_failures_total{reason=missed}"] == 1
    assert found["collection_sli_errors_total{sli=availability}"] == 1
    assert found["collection_last_run_timestamp_seconds"] == T0
    assert found["collection_consecutive_failures"] == 0
    assert found["collection_window_runs{window=10}"] == 1
    assert found["collection_failing_since_timestamp_seconds"] == T0 + 1200


def test_back_fill_counts_and_never_refreshes() -> None:
    """A run for an old slot is counted, but is no news."""
    old = datetime.fromtimestamp(T0 - 86400, UTC)
    slot = datetime.fromtimestamp(T0, UTC)
    state = folded(event(0, "failure", scheduled_for=slot), event(5, "success", scheduled_for=old))
    found = values(state)
    assert found["collection_runs_total"] == 2
    assert "collection_last_success_timestamp_seconds" not in found
    assert found["collection_consecutive_failures"] == 1


def test_back_fill_may_take_long() -> None:
    """It fetches more than one slot's data: the latency target is not for it."""
    old = datetime.fromtimestamp(T0 - 86400, UTC)
    found = values(
        folded(
            event(0, "success", duration_seconds=70.0),
            event(5, "success", duration_seconds=600.0, scheduled_for=old),
        )
    )
    assert found["collection_sli_events_total{sli=latency}"] == 1
    assert found["collection_sli_errors_total{sli=latency}"] == 1
    assert found["collection_sli_events_total{sli=availability}"] == 2


def test_back_fill_of_an_undeclared_collector_is_known_by_its_usual_interval() -> None:
    """Nobody declared a schedule; runs far behind their slot are still no news."""
    usual = [event(5 * n, "success", duration_seconds=10.0) for n in range(8)]
    old = datetime.fromtimestamp(T0 - 86400, UTC)
    reload = [
        event(41 + n, "success", duration_seconds=90.0, scheduled_for=old + timedelta(minutes=n))
        for n in range(4)
    ]
    state = CollectorState("orders")
    for position, item in enumerate([*usual, *reload]):
        fold.apply(state, item, parse("").collector("orders"), position)
    found = values(state)
    assert found["collection_runs_total"] == 12
    assert found["collection_window_duration_seconds{window=3}"] == 10
    assert found["collection_last_run_timestamp_seconds"] == T0 + 35 * 60


def test_late_report_of_an_older_run_does_not_move_gauges_back() -> None:
    """A spooled outcome that arrives late is counted and changes no newer fact."""
    state = folded(event(10, "success"), event(5, "failure", reason="timeout"))
    found = values(state)
    assert found["collection_run_failures_total{reason=timeout}"] == 1
    assert found["collection_last_run_timestamp_seconds"] == T0 + 600
    assert found["collection_consecutive_failures"] == 0


def test_windows_hold_the_newest_runs() -> None:
    """Windows count in runs: the last 10 and the last 100, medians over good runs."""
    state = folded(*[
        event(n, "failure" if n % 4 == 3 else "success", duration_seconds=float(n))
        for n in range(250)
    ])  # fmt: skip
    found = values(state)
    assert found["collection_window_runs{window=100}"] == 100
    assert found["collection_window_failures{window=100}"] == 25
    assert found["collection_window_failures{window=10}"] == 2
    assert found["collection_window_transitions{window=10}"] == 4
    assert found["collection_window_duration_seconds{window=3}"] == 248
    assert len(state.outcomes) < 200


def test_version_change_is_dated() -> None:
    """The first run of a new version is remembered; the first version ever is no change."""
    found = values(folded(event(0, "success", version="1")))
    assert "collection_version_changed_timestamp_seconds" not in found
    found = values(folded(event(0, "success", version="1"), event(9, "failure", version="2")))
    assert found["collection_version_changed_timestamp_seconds"] == T0 + 540


def test_recovery_and_people_decide_how_an_incident_ended() -> None:
    """An automatic step makes the end automatic, a person's action makes it manual."""
    step = Recovery("r", "orders", T0, 1, 1, "rerun", "finished", T0 + 30)
    automatic = folded(event(0, "failure"), step, event(1, "success"))
    assert values(automatic)["collection_incidents_total{ended_by=automatic}"] == 1
    person = Recovery("r", "orders", T0, 1, 1, "rerun", "manual", T0 + 30)
    manual = folded(event(0, "failure"), person, event(1, "success"))
    assert values(manual)["collection_incidents_total{ended_by=manual}"] == 1
    assert values(manual)["collection_manual_interventions_total"] == 1


def test_acknowledgement_ends_with_its_incident() -> None:
    """The next incident must be able to escalate again."""
    ack = Control("orders", "acknowledged", True, T0 + 5)
    state = folded(event(0, "failure"), ack)
    assert values(state)["collection_control_active{control=acknowledged}"] == 1
    fold.apply(state, event(1, "success"), config(), 9)
    assert values(state)["collection_control_active{control=acknowledged}"] == 0


kinds = st.sampled_from(["started", "success", "partial", "failure", "skipped", "aborted"])
histories = st.lists(
    st.builds(
        event,
        st.floats(0, 10_000),
        kinds,
        run_id=st.none() | st.sampled_from(["a", "b"]),
        duration_seconds=st.none() | st.floats(0, 1e5),
        records=st.none() | st.builds(Records, collected=st.integers(0, 10**9)),
    ),
    max_size=60,
)


@given(histories, st.integers(0, 60))
def test_restart_in_the_middle_changes_nothing(history: list[Outcome], cut: int) -> None:
    """Folding, saving, loading and folding the rest equals folding in one go."""
    whole = folded(*copy.deepcopy(history))
    half = folded(*copy.deepcopy(history[:cut]))
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(half), type=CollectorState)
    for position, item in enumerate(copy.deepcopy(history[cut:]), start=len(history[:cut])):
        fold.apply(restored, item, config(), position)
    assert restored == whole


@given(histories)
def test_counts_stay_consistent(history: list[Outcome]) -> None:
    """Failures never exceed runs, windows never exceed totals, gauges never go back."""
    state = CollectorState("orders")
    newest = 0.0
    for position, item in enumerate(history):
        fold.apply(state, item, config(), position)
        assert state.last_run >= newest
        newest = state.last_run
    assert sum(state.failures.values()) <= state.runs
    assert len(state.outcomes) <= state.runs
    assert state.consecutive_failures <= sum(state.failures.values())
    assert all(e <= n for e, n in zip(state.sli_errors, state.sli_events, strict=True))
    found = values(state)
    assert (
        found["collection_run_duration_seconds_bucket{le=+Inf}"]
        == (found["collection_run_duration_seconds_count"])
    )


def test_a_back_fill_under_way_hides_no_missed_run() -> None:
    """Neither its start nor its end counts as the run that is due; an ordinary start does."""
    old = datetime.fromtimestamp(T0 - 86400, UTC)
    last = event(0, "success")
    back_fill = event(8, "started", run_id="old", scheduled_for=old)
    state = folded(last, back_fill)
    assert state.running == {"old": T0 + 8 * 60}
    assert [found.event_id for found in due(state, config(), T0 + 20 * 60)] == [  # type: ignore[union-attr]
        f"missed/{T0 + 600:.0f}"
    ]
    ordinary = event(
        8, "started", run_id="new", scheduled_for=datetime.fromtimestamp(T0 + 600, UTC)
    )
    assert not due(folded(last, ordinary), config(), T0 + 20 * 60)


def test_a_record_is_no_newer_than_its_run() -> None:
    """One wrong clock upstream must not make the data look fresh for years."""
    wrong = folded(event(0, "success", data_time=datetime(2099, 1, 1, tzinfo=UTC)))
    assert wrong.newest_data == T0
