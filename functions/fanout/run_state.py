"""The state of one run: one rule for every place that shows it. Pure: no clock, no I/O."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from fanout.ledger import is_live
from fanout.runs import Lease, RunRecord


class RunState(StrEnum):
    """The state of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Another run held the lease, so this one did nothing."""
    UNKNOWN = "unknown"
    """The run has no record, and its execution is too old: Step Functions keeps executions for 90 days."""


ALIVE = ("RUNNING", "PENDING_REDRIVE")
"""Statuses of an execution that has not ended."""


def run_state(
    record: RunRecord | None, lease: Lease | None, execution: str | None, now: datetime, *, claimed: bool = False
) -> RunState:
    """The state of a run, derived from everything that is known about it.

    Parameters
    ----------
    record
        What the run left when it ended. It is the truth: the ledger wrote it together with the bookmark.
    lease
        The lease, if this run holds it.
    execution
        Status of the run's execution; None if it was not looked up, or no longer exists.
    now
        The clock, by which the lease expires.
    claimed
        Whether the run ever took the lease: only then does it have a folder.
    """
    if record is not None:
        return RunState(record.status)
    if execution is None:
        if lease is None:
            return RunState.UNKNOWN
        return RunState.RUNNING if is_live(lease, now) else RunState.FAILED
    if execution in ALIVE:
        return RunState.RUNNING
    if execution != "SUCCEEDED":
        return RunState.FAILED
    return RunState.SUCCEEDED if claimed else RunState.SKIPPED
