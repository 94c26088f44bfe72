"""Every view shows the same state of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fanout.run_state import RunState, run_state
from fanout.runs import Lease, RunRecord

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(status: Any) -> RunRecord:
    return RunRecord(run_id="r", status=status, started_at=NOW, ended_at=NOW)


def lease(holds: timedelta) -> Lease:
    return Lease(run_id="r", claimed_at=NOW - HOUR, expires_at=NOW + holds, run_dir="s3://b/r/")


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    ("left", "held", "execution", "claimed", "state"),
    [
        ("succeeded", None, "SUCCEEDED", True, RunState.SUCCEEDED),
        ("failed", None, "FAILED", True, RunState.FAILED),
        # The commit worked, but its answer was lost: the execution failed, and the ledger knows better.
        ("succeeded", None, "FAILED", True, RunState.SUCCEEDED),
        (None, HOUR, "RUNNING", True, RunState.RUNNING),
        (None, HOUR, None, True, RunState.RUNNING),
        (None, None, "RUNNING", False, RunState.RUNNING),
        (None, None, "PENDING_REDRIVE", True, RunState.RUNNING),
        # It failed at Claim Partition: before it took the lease, or after, and then nothing could release it.
        (None, None, "FAILED", False, RunState.FAILED),
        (None, HOUR, "FAILED", False, RunState.FAILED),
        (None, HOUR, "TIMED_OUT", True, RunState.FAILED),
        (None, HOUR, "ABORTED", True, RunState.FAILED),
        (None, -HOUR, None, True, RunState.FAILED),
        # It succeeded, but its record could not be written.
        (None, None, "SUCCEEDED", True, RunState.SUCCEEDED),
        (None, None, "SUCCEEDED", False, RunState.SKIPPED),
        (None, None, None, True, RunState.UNKNOWN),
    ],
)
def test_the_state_of_a_run(
    left: str | None, held: timedelta | None, execution: str | None, claimed: bool, state: RunState
) -> None:
    found = run_state(record(left) if left else None, lease(held) if held else None, execution, NOW, claimed=claimed)

    assert found is state


def test_a_run_of_which_no_claim_is_known_was_skipped() -> None:
    assert run_state(None, None, "SUCCEEDED", NOW) is RunState.SKIPPED
