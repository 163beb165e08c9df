"""Pieces of the pages that need a state which takes long to reach with a real exporter."""

from pathlib import Path

from collection_health.api import parts
from collection_health.api.conclusions import Verdicts
from collection_health.api.view import View
from collection_health.pipeline import Pipeline
from collection_health.state import CollectorState, RecoveryRecord, RecoveryState


def test_a_proposed_recovery_can_be_approved_on_the_page(tmp_path: Path) -> None:
    """What waits for a person says so and has both buttons; names are encoded."""
    pipeline = Pipeline(tmp_path)
    record = RecoveryRecord("r/1", 1.0, "alert", "", 1.0, phase="proposed", at=2.0)
    state = CollectorState(
        "prod/orders", failing_since=1.0, recoveries=RecoveryState(current=record)
    )
    item = View(pipeline, Verdicts(3.0), 3.0).collector(state)
    shown = parts.forms(item, recovers=True)
    assert 'action="/api/v1/recoveries/r%2F1/approve"' in shown
    assert 'action="/api/v1/recoveries/r%2F1/cancel"' in shown
    assert '/recover"' not in shown
    assert item.doing == ["recovery waits for approval"]
    assert 'action="/api/v1/collectors/prod%2Forders/ack"' in shown
