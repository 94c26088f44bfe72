"""What is known of a run: its lease with its plan, its record, and what is told of it. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.failure import Failure

Engine = Literal["none", "lambda", "glue"]
"""What does a run's work: nothing at all, a Lambda, or Glue."""


class Frozen(BaseModel):
    """Never changed; `model_copy` makes the next one."""

    model_config = ConfigDict(frozen=True)


class Plan(Frozen):
    """What a run is to do, decided once by its claim."""

    job: str = Field(default="", description="name of the job that does it")
    generation: int = Field(description="of the bookmark that it was planned on")
    engine: Engine
    reason: str = Field(description="why that engine")
    workers: int = 0
    objects: int | None = Field(default=None, description="number in the manifest; None: Glue's own bookmark decides")
    bytes: int = 0
    pending_count: int = Field(default=0, description="of the provider's pending objects, counted before the listing")


class Lease(Frozen):
    """The right of one run to have a provider, until it ends or the lease expires; with it, the run's plan."""

    run_id: str
    claimed_at: datetime
    expires_at: datetime
    run_dir: str = Field(description="s3 URI, ending in '/', of the run's manifest, result and record")
    scheduled_at: datetime | None = None
    execution_arn: str | None = None
    replay: bool = False
    plan: Plan | None = Field(default=None, description="None: the run has not been planned yet")

    @property
    def turn(self) -> datetime:
        """The tick that this run serves, or the moment of its claim if somebody started it by hand.

        Never later than the claim: an execution started with a tick of next year would keep its provider from
        being due until then.
        """
        return min(self.scheduled_at or self.claimed_at, self.claimed_at)


class RunRef(Frozen):
    """A committed run whose manifest reaches into the lookback window."""

    run_id: str
    run_dir: str
    newest: datetime = Field(description="the newest LastModified that its manifest names")


class RunRecord(Frozen):
    """What one run did; the ledger keeps the last one, S3 keeps all of them."""

    run_id: str
    status: Literal["succeeded", "failed"]
    started_at: datetime
    ended_at: datetime
    job: str = ""
    generation: int = 0
    run_dir: str = ""
    engine: Engine = "none"
    reason: str = ""
    replay: bool = False
    objects: int = 0
    bytes: int = 0
    rows: int = 0
    messages: int = 0
    quarantined: int = 0
    seconds: float = 0
    workers: int = 0
    dollars: float = 0
    backlog: int = Field(default=0, description="objects that were left for the next run")
    pending_count: int = Field(default=0, description="of the provider's pending objects that the run's plan has in it")
    failure: Failure | None = None
    failure_count: int = Field(default=0, description="of all failures; the job's result names the first of them")

    @classmethod
    def of(
        cls,
        lease: Lease,
        status: Literal["succeeded", "failed"],
        now: datetime,
        figures: Mapping[str, Any],
        *,
        backlog: int = 0,
        failure: Failure | None = None,
        failure_count: int = 0,
    ) -> RunRecord:
        """The record of the run that holds a lease; `figures` are what its job measured, by field name."""
        plan = lease.plan
        planned = plan.model_dump(include={"job", "generation", "engine", "reason", "pending_count"}) if plan else {}
        return cls(
            run_id=lease.run_id,
            status=status,
            started_at=lease.claimed_at,
            ended_at=now,
            run_dir=lease.run_dir,
            replay=lease.replay,
            backlog=backlog,
            failure=failure,
            failure_count=failure_count,
            **{**planned, **figures},
        )


class Report(Frozen):
    """What the config API is told of a provider."""

    run_id: str
    status: Literal["running", "succeeded", "failed"]
    last_success: datetime | None = None
    error: str | None = Field(default=None, description="a failure in one line, which is what the API takes")
