"""The record of a run, made from the lease of the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fanout.runs import Lease, RunRecord

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)


def test_the_record_of_a_run_without_a_plan_and_figures_has_only_its_lease_and_its_end() -> None:
    lease = Lease(
        run_id="r", claimed_at=NOW, expires_at=LATER, run_dir="s3://d/r/", scheduled_at=NOW, execution_arn="arn:x"
    )

    record = RunRecord.of(lease, "succeeded", LATER, {})

    assert record == RunRecord(run_id="r", status="succeeded", started_at=NOW, ended_at=LATER, run_dir="s3://d/r/")
    assert (record.replay, record.failure, record.failure_count) == (False, None, 0)
