"""The data of a run: its lease with its plan, its record, and its report. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.failure import Failure

Engine = Literal["none", "lambda", "glue"]
"""The service that runs the job. none: there was nothing to do."""


class Frozen(BaseModel):
    """Immutable; `model_copy` makes a changed copy."""

    model_config = ConfigDict(frozen=True)


class LateData(Frozen):
    """Objects of a provider that arrived too late for any run."""

    found_at: datetime = Field(description="when a claim found the first of them")
    objects: int
    first: tuple[str, ...] = Field(description="the first keys")
    oldest: datetime = Field(description="oldest LastModified")
    newest: datetime = Field(description="newest LastModified")


class Plan(Frozen):
    """The plan of a run, made once by its claim."""

    job: str = Field(default="", description="name of the job")
    generation: int = Field(description="generation of the bookmark from which the run was planned")
    engine: Engine
    reason: str = Field(description="why this engine was chosen")
    workers: int = 0
    objects: int | None = Field(default=None, description="number in the manifest; None: Glue's own bookmark decides")
    bytes: int = 0
    ignored: int = Field(default=0, description="objects in the lookback window that are not data")
    pending_count: int = Field(default=0, description="the provider's pending count, read before the listing")
    manifest_hash: str = Field(default="", description="SHA-256 of the manifest; empty without a manifest")
    late: LateData | None = Field(default=None, description="announced objects that no run will take")


class Lease(Frozen):
    """The exclusive right of one run to a provider, until the run ends or the lease expires. Has the run's plan."""

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
        """The tick of this run; for a run that was started by hand, the time of its claim.

        Never later than the claim: an execution started for a tick of next year would keep its provider from being due
        until then.
        """
        return min(self.scheduled_at or self.claimed_at, self.claimed_at)


class RunRef(Frozen):
    """A committed run with objects in the lookback window."""

    run_id: str
    run_dir: str
    newest: datetime = Field(description="newest LastModified in its manifest")
    manifest_hash: str = Field(description="SHA-256 of its manifest, from the plan")


PLANNED = {"job", "generation", "engine", "reason", "ignored", "pending_count", "manifest_hash"}
"""Fields that a run's record copies from its plan."""


class RunRecord(Frozen):
    """The record of one run. The ledger keeps the last one without `failures`, S3 keeps all of them."""

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
    ignored: int = Field(default=0, description="objects in the lookback window that are not data, from the plan")
    seconds: float = 0
    workers: int = 0
    dollars: float = 0
    backlog: int = Field(default=0, description="objects that were left for the next run")
    pending_count: int = Field(default=0, description="the provider's pending count in the plan")
    manifest_hash: str = Field(default="", description="SHA-256 of the manifest, from the plan")
    failure: Failure | None = None
    failure_count: int = Field(default=0, description="number of all failures")
    failures: tuple[Failure, ...] = Field(default=(), description="the first 20; only on S3, to keep the ledger small")

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
        """Make the record of the run that holds a lease; `figures` has its job's figures by field name."""
        plan = lease.plan
        planned = plan.model_dump(include=PLANNED) if plan else {}
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
    """A report to the config API about a provider."""

    run_id: str
    status: Literal["running", "succeeded", "failed"]
    last_success: datetime | None = None
    error: str | None = Field(default=None, description="the failure in one line: the API takes text only")
