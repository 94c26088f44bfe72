"""States of the run ledger: a provider whose run was claimed, and the record of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from contract.failure import Failure
from contract.manifest import Manifest, StoredObject
from fanout import ledger
from fanout.ledger import Backoff, ProviderState
from fanout.runs import Lease, Plan, RunRecord

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
BACKOFF = Backoff(base=timedelta(minutes=15), cap=timedelta(hours=4))


def plan(generation: int = 0) -> Plan:
    return Plan(generation=generation, engine="lambda", reason="few bytes", objects=1)


def lease(run_id: str = "r1", at: datetime = NOW, **fields: object) -> Lease:
    return Lease.model_validate(
        {
            "run_id": run_id,
            "claimed_at": at,
            "expires_at": at + 2 * HOUR,
            "run_dir": f"s3://data/{run_id}/",
            "plan": plan(),
            **fields,
        }
    )


def claimed(run_id: str = "r1", state: ProviderState | None = None, **fields: object) -> ProviderState:
    """A provider whose lease was taken by a run that has its plan."""
    before = state or ProviderState(provider="a")
    fields = {"plan": plan(before.bookmark.generation), **fields}
    return ledger.claim(before, lease(run_id, **fields), NOW, BACKOFF)  # type: ignore[arg-type]


def commit(
    state: ProviderState, sent: Manifest | None = None, held: Lease | None = None, **record_fields: object
) -> ProviderState:
    """Commit the run that holds the lease, or the run of another lease."""
    by = held or state.lease
    assert by is not None
    return ledger.commit(state, by, record(by.run_id, **record_fields), sent, HOUR)


def record(run_id: str = "r1", **fields: object) -> RunRecord:
    return RunRecord.model_validate(
        {
            "run_id": run_id,
            "status": "succeeded",
            "started_at": NOW,
            "ended_at": NOW,
            "run_dir": f"s3://data/{run_id}/",
            **fields,
        }
    )


BOOM = Failure(type="RecordError", message="boom")


def manifest(*modified: datetime, planned: datetime = NOW + 100 * HOUR, **fields: object) -> Manifest:
    objects = tuple(StoredObject(key=f"k{n}", size=1, etag="e", last_modified=m) for n, m in enumerate(modified))
    given: dict[str, Any] = {
        "provider": "a",
        "run_id": "r1",
        "generation": 0,
        "created_at": planned,
        "bucket": "changes",
        "objects": objects,
        **fields,
    }
    return Manifest(**given)
