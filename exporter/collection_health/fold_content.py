"""The fold of what a run brought: duration, records, bytes, quality, quota, credential."""

from bisect import bisect_left

from collection_health.events import Outcome, Quality, Records
from collection_health.state import DURATION_BUCKETS, CollectorState


def count_content(state: CollectorState, event: Outcome) -> None:
    """Add what one ended run brought to the counters; its quota and credential are the newest."""
    duration = event.duration_seconds
    if duration is not None:
        state.duration_buckets[bisect_left(DURATION_BUCKETS, duration)] += 1
        state.duration_sum += duration
    if event.records is not None:
        _count_records(state.records, event.records)
    if event.bytes is not None:
        state.bytes += event.bytes
    if event.requests is not None:
        state.retries += event.requests.retried or 0
    if event.attempt is not None and event.attempt > 1:
        state.retries += 1
    if event.quota is not None:
        quota = event.quota
        if quota.limit and quota.remaining is not None:
            state.quota_remaining = min(1.0, quota.remaining / quota.limit)
        if quota.resets_at is not None:
            state.quota_resets_at = quota.resets_at.timestamp()
    if event.credential_expires_at is not None:
        state.credential_expires_at = event.credential_expires_at.timestamp()


def _count_records(totals: list[int], records: Records) -> None:
    """Add to the totals, which are in the order of `RECORD_KINDS`."""
    totals[0] += records.expected or 0
    totals[1] += records.collected or 0
    totals[2] += records.written or 0
    totals[3] += records.rejected or 0
    totals[4] += records.duplicate or 0


def quality_score(event: Outcome) -> float | None:
    """The run's quality from 0 to 1: its own score, else the mean of the ratios it gives,
    else the share of records that were not rejected; None when it says nothing."""
    quality: Quality | None = event.quality
    if quality is not None:
        if quality.score is not None:
            return quality.score
        given = [
            ratio
            for ratio in (
                quality.completeness, quality.validity, quality.uniqueness, quality.consistency
            )
            if ratio is not None
        ]  # fmt: skip
        if given:
            return sum(given) / len(given)
    records = event.records
    if records is not None and records.rejected is not None and records.collected:
        return max(0.0, 1.0 - records.rejected / records.collected)
    return None
