"""The run ledger: the truth about runs, and the rules by which it changes.

One item a provider. Every change is *read, apply a pure rule, write if the item's version is still the one
read*, so a rule decides on exactly the state that it replaces: taking a lease, fencing a commit by its run
and moving bookmark, status and lease together are each one conditional write. The rules below are plain
functions of the state; `LedgerStore` is all that DynamoDB has to provide. See docs/decisions.md, D3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import Field

from contract.failure import Failure
from contract.manifest import Manifest
from fanout.errors import LeaseLostError, LedgerConflictError
from fanout.failures import orphaned
from fanout.runs import Frozen, Lease, Plan, Report, RunRecord, RunRef


class Bookmark(Frozen):
    """How far a provider's change log has been processed."""

    generation: int = Field(default=0, description="number of commits so far")
    since: datetime | None = Field(default=None, description="older objects are not looked at again; None: none is")
    watermark: datetime | None = Field(default=None, description="newest LastModified ever committed")
    recent: tuple[RunRef, ...] = ()

    def after(self, manifest: Manifest | None, run_dir: str, lookback: timedelta) -> Bookmark:
        """The bookmark once everything in the manifest has been acknowledged.

        `since` only ever moves forward, so a larger lookback takes effect as the watermark moves on, instead of
        looking again at a time whose manifests are no longer in the list.
        """
        if manifest is None or not manifest.objects:
            return self.model_copy(update={"generation": self.generation + 1})
        newest = max(o.last_modified for o in manifest.objects)
        # Not past the moment of planning: an object written while the listing went on may be missing from it.
        horizon = min(newest, manifest.created_at) - lookback
        since = max(horizon, self.since or horizon)
        this = RunRef(run_id=manifest.run_id, run_dir=run_dir, newest=max(o.last_modified for o in manifest.known))
        runs = (this,) if manifest.carried is not None else (*self.recent, this)
        return Bookmark(
            generation=self.generation + 1,
            since=since,
            watermark=max(newest, self.watermark or newest),
            recent=tuple(run for run in runs if run.newest >= since),
        )


class ProviderState(Frozen):
    """One item of the ledger."""

    provider: str
    version: int = Field(default=0, description="0: not stored yet")
    lease: Lease | None = None
    bookmark: Bookmark = Bookmark()
    failures: int = Field(default=0, description="consecutive failed runs")
    failing_since: datetime | None = Field(default=None, description="end of the first of the consecutive failed runs")
    last_success: datetime | None = Field(default=None, description="the tick up to which nothing is left to do")
    last_claim: datetime | None = None
    retry_at: datetime | None = Field(default=None, description="not before this time, after failures")
    last_run: RunRecord | None = None
    pending_report: Report | None = Field(default=None, description="what the config API has not been sent yet")
    last_report: Report | None = Field(default=None, description="the last report of an ended run that was sent")
    has_backlog: bool = Field(default=False, description="objects are left for the next run that no event announces")
    untracked_at: datetime | None = Field(
        default=None, description="when a run last ended that left nothing in the bookmark: it failed, or was a replay"
    )

    @property
    def attention(self) -> bool:
        """Whether the next tick has to look at this provider whatever its entry and its pending objects say.

        It is live, owes a report, or is behind. Such items are in the sparse index.
        """
        return self.lease is not None or self.pending_report is not None or self.has_backlog

    @property
    def last_reported_success(self) -> bool:
        """Whether a success is what the config API was told last."""
        return self.last_report is not None and self.last_report.status == "succeeded"


class LedgerStore(Protocol):
    """Port: what the ledger needs of a database."""

    def get(self, provider: str) -> ProviderState:
        """Read one item consistently; a provider without an item has the initial state."""
        ...

    def get_many(self, providers: Iterable[str]) -> dict[str, ProviderState]:
        """Read many items; those that do not exist are left out."""
        ...

    def put(self, state: ProviderState) -> None:
        """Write the state as version + 1 if the stored version is still `state.version`.

        Raises
        ------
        LedgerConflictError
            The stored item has another version.
        """
        ...

    def attention(self) -> list[ProviderState]:
        """All items that need attention, possibly a moment old."""
        ...


class Reporter(Protocol):
    """Port: who is told how runs stand, which is the config API."""

    def report(self, provider: str, report: Report) -> None:
        """Tell how a run of the provider stands."""
        ...


class PartitionBusyError(Exception):
    """Another run has the provider. Not an error: the state machine ends with *Already Running*."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(f"run {lease.run_id} has held this provider since {lease.claimed_at}")
        self.lease = lease


class Backoff(Frozen):
    """How long a provider that keeps failing is left alone."""

    base: timedelta
    cap: timedelta

    def delay(self, failures: int) -> timedelta:
        """Double with each consecutive failure, from the base up to the cap."""
        doublings = min(max(failures, 1) - 1, 30)
        return timedelta(seconds=min(self.base.total_seconds() * 2**doublings, self.cap.total_seconds()))


BACKOFF = Backoff(base=timedelta(minutes=15), cap=timedelta(days=1))
TRIES = 5


def update(
    store: LedgerStore,
    provider: str,
    rule: Callable[[ProviderState], ProviderState],
    read: ProviderState | None = None,
) -> ProviderState:
    """Apply a rule to a provider's state in one conditional write, repeating it when somebody else wrote first.

    Parameters
    ----------
    store, provider, rule
        A rule that returns the state it was given writes nothing.
    read
        The state as the caller has just read it, which saves reading it again.

    Returns
    -------
    ProviderState
        The state as it is now stored.

    Raises
    ------
    LedgerConflictError
        Somebody else wrote first each time.
    """
    for attempt in range(1, TRIES + 1):
        before = read if read is not None and attempt == 1 else store.get(provider)
        after = rule(before)
        if after is before:
            return before
        try:
            store.put(after)
        except LedgerConflictError:
            if attempt == TRIES:
                raise
            continue
        return after.model_copy(update={"version": before.version + 1})
    raise AssertionError("unreachable")


def is_live(lease: Lease, now: datetime) -> bool:
    """Whether a lease still keeps others out."""
    return now < lease.expires_at


def lease_of(state: ProviderState, run_id: str) -> Lease | None:
    """The lease, if this run holds it."""
    return state.lease if state.lease is not None and state.lease.run_id == run_id else None


def claim(state: ProviderState, lease: Lease, now: datetime, backoff: Backoff) -> ProviderState:
    """Take the lease, unless another run's still holds.

    The run that holds it already gets it again as it was (its first answer was lost); when its own lease has
    expired untouched, it is renewed. Another run's expired lease is taken over, which counts as a failure of
    that run.

    Raises
    ------
    PartitionBusyError
        Another run has a live lease.
    """
    held = state.lease
    if held is not None and held.run_id == lease.run_id:
        if is_live(held, now):
            return state
        return state.model_copy(update={"lease": held.model_copy(update={"expires_at": lease.expires_at})})
    if held is not None:
        if is_live(held, now):
            raise PartitionBusyError(held)
        state = fail(state, held.run_id, orphaned("its lease expired"), now, backoff)
    # A run supersedes what was still to be told of the one before it; a replay reports nothing of its own.
    report = state.pending_report if lease.replay else None
    return state.model_copy(update={"lease": lease, "last_claim": lease.turn, "pending_report": report})


def plan(state: ProviderState, lease: Lease, planned: Plan) -> ProviderState:
    """Write the plan into the lease that it was made for. The first plan of a run stays its plan.

    Raises
    ------
    LeaseLostError
        The lease was taken over or ended while the run was planned.
    """
    held = state.lease
    if held is None or held.run_dir != lease.run_dir:
        raise LeaseLostError(f"{state.provider}: run {lease.run_id} lost its lease while it was planned")
    if held.plan is not None:
        return state
    return state.model_copy(update={"lease": held.model_copy(update={"plan": planned})})


def holds(state: ProviderState, lease: Lease) -> bool:
    """The fence: whether the run of this lease may still take effect.

    It must hold the very lease under which its result was judged, and the bookmark must be the one that it was
    planned on: one that was set by hand since then makes the plan void.
    """
    held, planned = state.lease, lease.plan
    same = held is not None and held.run_dir == lease.run_dir
    return same and planned is not None and state.bookmark.generation == planned.generation


def is_committed(state: ProviderState, run_id: str) -> bool:
    """Whether this run's success is in the ledger already: the answer was lost, and perhaps another run ended since."""
    last = state.last_run
    if last is not None and (last.run_id, last.status) == (run_id, "succeeded"):
        return True
    return any(run.run_id == run_id for run in state.bookmark.recent)


def commit(
    state: ProviderState, lease: Lease, record: RunRecord, manifest: Manifest | None, lookback: timedelta
) -> ProviderState:
    """End a successful run: move the bookmark, keep the record, release the lease.

    A commit that happened already (its answer was lost) changes nothing.

    Parameters
    ----------
    lease
        The lease under which the run's result was judged.
    manifest
        What the run sent; None for one that had nothing to send, or whose objects Glue chose.

    Raises
    ------
    LeaseLostError
        The lease was taken over, or the bookmark moved since this run was planned.
    """
    if not holds(state, lease):
        if is_committed(state, lease.run_id):
            return state
        raise lease_lost(state, lease.run_id)
    if lease.replay:
        return state.model_copy(update={"lease": None, "last_run": record, "untracked_at": record.ended_at})
    caught_up = record.backlog == 0
    last_success = max(lease.turn, state.last_success or lease.turn) if caught_up else state.last_success
    return state.model_copy(
        update={
            "lease": None,
            "bookmark": state.bookmark.after(manifest, lease.run_dir, lookback),
            "failures": 0,
            "failing_since": None,
            "retry_at": None,
            "has_backlog": not caught_up,
            "last_success": last_success,
            "last_run": record,
            "pending_report": Report(run_id=record.run_id, status="succeeded", last_success=last_success),
        }
    )


def lease_lost(state: ProviderState, run_id: str) -> LeaseLostError:
    """Say who has the provider instead of this run."""
    holder = state.lease.run_id if state.lease else "nobody"
    return LeaseLostError(
        f"{state.provider}: run {run_id} no longer holds the lease (held by {holder}); nothing was committed, and "
        "the holder sends its changes again under the same ids"
    )


def fail(
    state: ProviderState,
    run_id: str,
    failure: Failure,
    now: datetime,
    backoff: Backoff,
    figures: Mapping[str, Any] | None = None,
    failure_count: int = 1,
) -> ProviderState:
    """End a failed run: count the failure, release the lease, leave the bookmark where it is.

    A run that does not hold the lease changes nothing: it was ended already, or another run took over.
    """
    lease = lease_of(state, run_id)
    if lease is None:
        return state
    failed = RunRecord.of(lease, "failed", now, figures or {}, failure=failure, failure_count=failure_count)
    if lease.replay:
        return state.model_copy(update={"lease": None, "last_run": failed, "untracked_at": now})
    failures = state.failures + 1
    return state.model_copy(
        update={
            "lease": None,
            "failures": failures,
            "failing_since": state.failing_since or now,
            "retry_at": lease.turn + backoff.delay(failures),
            "last_run": failed,
            "untracked_at": now,
            "pending_report": Report(
                run_id=run_id,
                status="failed",
                last_success=state.last_success,
                error=failure.in_one_line(failure_count),
            ),
        }
    )


def reported(state: ProviderState, report: Report) -> ProviderState:
    """The config API has been told; unless there is something newer to tell, nothing is left to do."""
    return (
        state.model_copy(update={"pending_report": None, "last_report": report})
        if state.pending_report == report
        else state
    )


def repeat_report(state: ProviderState) -> ProviderState:
    """The config API has the status of a provider wrong: unless a run will do it, it is to be told once more."""
    if state.lease is not None or state.pending_report is not None or state.last_report is None:
        return state
    return state.model_copy(update={"pending_report": state.last_report})


def set_bookmark(state: ProviderState, since: datetime | None) -> ProviderState:
    """Move the bookmark by hand: every object modified from `since` on is new again; None makes all of them new.

    The generation moves too, so a run that was planned before cannot commit over the change.
    """
    bookmark = Bookmark(generation=state.bookmark.generation + 1, since=since)
    return state.model_copy(update={"bookmark": bookmark, "has_backlog": True})
