"""The state of one run: the one rule for every command and page that shows it. Pure: no clock, no I/O."""

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
        The run's record, if the run has ended. It decides: it was written together with the bookmark.
    lease
        The lease, if this run holds it.
    execution
        Status of the run's execution; None if it was not looked up, or no longer exists.
    now
        The current time, by which the lease expires.
    claimed
        Whether the run ever took the lease; only then it has a folder.
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
