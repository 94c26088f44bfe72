"""The run ledger: the truth about runs, and the rules by which it changes.

It has one item per provider. Every change reads the item, applies a pure rule, and writes the new state only if the
stored version is still the one that was read. So a rule decides on exactly the state that it replaces, and a commit
moves bookmark, status and lease in one conditional write. See docs/decisions.md, D3.
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
from fanout.manifests import merged
from fanout.runs import Frozen, LateData, Lease, Plan, Report, RunRecord, RunRef


class Bookmark(Frozen):
    """How far a provider's change log has been processed."""

    generation: int = Field(default=0, description="number of commits so far")
    since: datetime | None = Field(
        default=None, description="objects modified earlier are old; None: every object is new"
    )
    watermark: datetime | None = Field(default=None, description="newest LastModified ever committed")
    recent: tuple[RunRef, ...] = ()

    def after(self, manifest: Manifest | None, lease: Lease, lookback: timedelta) -> Bookmark:
        """The bookmark after all objects of the manifest were acknowledged.

        `since` only moves forward: the manifests of earlier times are no longer in the list, so a larger lookback
        takes effect only as the watermark moves.
        """
        if manifest is None or not manifest.objects:
            return self.model_copy(update={"generation": self.generation + 1})
        newest = max(o.last_modified for o in manifest.objects)
        # Not later than the planning: the listing may lack an object that was written while it ran.
        horizon = min(newest, manifest.created_at) - lookback
        since = max(horizon, self.since or horizon)
        this = RunRef(
            run_id=lease.run_id,
            run_dir=lease.run_dir,
            newest=max(o.last_modified for o in manifest.known),
            manifest_hash=lease.plan.manifest_hash if lease.plan else "",
        )
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
    last_success: datetime | None = Field(default=None, description="latest tick at which nothing was left to do")
    last_claim: datetime | None = None
    retry_at: datetime | None = Field(default=None, description="earliest time of the next run, after failures")
    last_run: RunRecord | None = None
    unrecorded: bool = Field(default=False, description="the last run may have no `record.json` yet")
    pending_report: Report | None = Field(default=None, description="what the config API has not been sent yet")
    last_report: Report | None = Field(default=None, description="the last report of an ended run that was sent")
    has_backlog: bool = Field(default=False, description="objects are left for the next run that no event announces")
    late: LateData | None = Field(default=None, description="objects that arrived too late and were not sent yet")
    untracked_at: datetime | None = Field(
        default=None, description="when a run last ended that left nothing in the bookmark: it failed, or was a replay"
    )

    @property
    def attention(self) -> bool:
        """Whether the item has a lease, a pending report, a backlog or late data.

        Every tick reads such items, which are in a sparse index, whatever the entries and pending objects say.
        """
        return any((self.lease, self.pending_report, self.has_backlog, self.late))

    @property
    def last_reported_success(self) -> bool:
        """Whether the last report that was sent to the config API is a success."""
        return self.last_report is not None and self.last_report.status == "succeeded"


class LedgerStore(Protocol):
    """Port: the database of the ledger."""

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
        LedgerItemError
            The item is larger than the database allows.
        """
        ...

    def attention(self) -> list[ProviderState]:
        """All items with `attention`; eventually consistent."""
        ...

    def list_size(self) -> int:
        """How many providers the config API listed when its list had last not shrunk; 0 at first."""
        ...

    def put_list_size(self, providers: int) -> None:
        """Store how many providers the config API lists."""
        ...


class Reporter(Protocol):
    """Port: sends the status of runs to the config API."""

    def report(self, provider: str, report: Report) -> None:
        """Send the status of one of the provider's runs."""
        ...


class PartitionBusyError(Exception):
    """Another run holds the lease. Not a failure: the state machine ends with *Already Running*."""


class Backoff(Frozen):
    """The delay before a provider is started again after failed runs."""

    base: timedelta
    cap: timedelta

    def delay(self, failures: int) -> timedelta:
        """The base, doubled with each consecutive failure after the first, but at most the cap."""
        doublings = min(max(failures, 1) - 1, 30)
        return timedelta(seconds=min(self.base.total_seconds() * 2**doublings, self.cap.total_seconds()))


BACKOFF = Backoff(base=timedelta(minutes=15), cap=timedelta(days=1))
TRIES = 5


def update(
    store: LedgerStore, provider: str, rule: Callable[[ProviderState], ProviderState], read: ProviderState | None = None
) -> ProviderState:
    """Apply a rule to a provider's state in one conditional write; repeat it if another writer was faster.

    Parameters
    ----------
    store, provider, rule
        If the rule returns the same state, nothing is written.
    read
        The state as the caller has just read it, which saves reading it again.

    Returns
    -------
    The stored state.

    Raises
    ------
    LedgerConflictError
        Another writer was faster at each attempt.
    """
    before = read if read is not None else store.get(provider)
    for _ in range(TRIES - 1):
        try:
            return _written(store, before, rule(before))
        except LedgerConflictError:
            before = store.get(provider)
    return _written(store, before, rule(before))


def _written(store: LedgerStore, before: ProviderState, after: ProviderState) -> ProviderState:
    if after is before:
        return before
    store.put(after)
    return after.model_copy(update={"version": before.version + 1})


def is_live(lease: Lease, now: datetime) -> bool:
    """Whether a lease has not expired, so that no other run can claim the provider."""
    return now < lease.expires_at


def lease_of(state: ProviderState, run_id: str) -> Lease | None:
    """The lease, if this run holds it."""
    return state.lease if state.lease is not None and state.lease.run_id == run_id else None


def claim(state: ProviderState, lease: Lease, now: datetime, backoff: Backoff) -> ProviderState:
    """Take the lease, unless another run has a live one.

    A repeated claim (its first answer was lost) gets the same lease, which is renewed if it has expired. Another run's
    expired lease is taken over, which counts as a failure of that run.

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
            raise PartitionBusyError(f"run {held.run_id} has held this provider since {held.claimed_at}")
        failed = fail(state, held.run_id, orphaned("its lease expired"), now, backoff)
        # The audit needs the record of a committed run; it counts for more than the failure of this one.
        state = failed.model_copy(update={"last_run": state.last_run}) if state.unrecorded else failed
    # A run's report replaces the pending one of the run before; a replay sends no report.
    report = state.pending_report if lease.replay else None
    return state.model_copy(update={"lease": lease, "last_claim": lease.turn, "pending_report": report})


def plan(state: ProviderState, lease: Lease, planned: Plan) -> ProviderState:
    """Write the plan into the lease, and keep the late objects that it found. A plan that is already there is kept.

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
    late = merged(state.late, planned.late)
    return state.model_copy(update={"lease": held.model_copy(update={"plan": planned}), "late": late})


def holds(state: ProviderState, lease: Lease) -> bool:
    """The fence: whether the run of this lease may still take effect.

    It must still hold this lease, and the bookmark must have the generation for which the run was planned: setting the
    bookmark by hand invalidates the plan.
    """
    held, planned = state.lease, lease.plan
    same = held is not None and held.run_dir == lease.run_dir
    return same and planned is not None and state.bookmark.generation == planned.generation


def is_committed(state: ProviderState, run_id: str) -> bool:
    """Whether this run was committed before: the answer was lost, and another run may have ended since."""
    last = state.last_run
    if last is not None and (last.run_id, last.status) == (run_id, "succeeded"):
        return True
    return any(run.run_id == run_id for run in state.bookmark.recent)


def commit(
    state: ProviderState, lease: Lease, record: RunRecord, manifest: Manifest | None, lookback: timedelta
) -> ProviderState:
    """End a successful run: move the bookmark, keep the record, release the lease.

    A repeated commit (its first answer was lost) changes nothing.

    Parameters
    ----------
    lease
        The lease under which the run's result was checked.
    manifest
        The objects that the run sent; None if there were none, or if Glue chose them.

    Raises
    ------
    LeaseLostError
        The lease was taken over, or the bookmark moved after this run was planned.
    """
    if not holds(state, lease):
        if is_committed(state, lease.run_id):
            return state
        raise lease_lost(state, lease.run_id)
    if lease.replay:
        ended = {"lease": None, "last_run": record, "unrecorded": True, "untracked_at": record.ended_at}
        return state.model_copy(update=ended)
    caught_up = record.backlog == 0
    last_success = max(lease.turn, state.last_success or lease.turn) if caught_up else state.last_success
    return state.model_copy(
        update={
            "lease": None,
            "bookmark": state.bookmark.after(manifest, lease, lookback),
            "failures": 0,
            "failing_since": None,
            "retry_at": None,
            "has_backlog": not caught_up,
            "last_success": last_success,
            "last_run": record,
            "unrecorded": True,
            "pending_report": Report(run_id=record.run_id, status="succeeded", last_success=last_success),
        }
    )


def lease_lost(state: ProviderState, run_id: str) -> LeaseLostError:
    """The error for a run that no longer holds the lease; it names the holder."""
    holder = state.lease.run_id if state.lease else "no run"
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
    """End a failed run: count the failure, release the lease, keep the bookmark.

    A run that does not hold the lease changes nothing: it has ended before, or another run took over.
    """
    lease = lease_of(state, run_id)
    if lease is None:
        return state
    failed = RunRecord.of(lease, "failed", now, figures or {}, failure=failure, failure_count=failure_count)
    if lease.replay:
        ended = {"lease": None, "last_run": failed, "unrecorded": True, "untracked_at": now}
        return state.model_copy(update=ended)
    failures = state.failures + 1
    return state.model_copy(
        update={
            "lease": None,
            "failures": failures,
            "failing_since": state.failing_since or now,
            "retry_at": lease.turn + backoff.delay(failures),
            "last_run": failed,
            "unrecorded": True,
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
    """The record is stored, the config API has the report: it is no longer pending, unless a newer one replaced it."""
    if state.pending_report != report:
        return state
    recorded = state.last_run is not None and state.last_run.run_id == report.run_id
    return state.model_copy(
        update={"pending_report": None, "last_report": report, "unrecorded": state.unrecorded and not recorded}
    )


def repeat_report(state: ProviderState) -> ProviderState:
    """The config API shows a wrong status: make the last report pending again, unless a newer one follows anyway."""
    if state.lease is not None or state.pending_report is not None or state.last_report is None:
        return state
    return state.model_copy(update={"pending_report": state.last_report})


def set_bookmark(state: ProviderState, since: datetime | None) -> ProviderState:
    """Move the bookmark by hand: every object modified from `since` on is new again; None makes all of them new.

    The generation changes too, so that a run that was planned before cannot commit.
    """
    bookmark = Bookmark(generation=state.bookmark.generation + 1, since=since)
    return state.model_copy(update={"bookmark": bookmark, "has_backlog": True, "late": None})


def sent_late(state: ProviderState, late: LateData | None) -> ProviderState:
    """These late objects were sent, unless a claim has found more since."""
    return state.model_copy(update={"late": None}) if late and state.late == late else state


def drop_backlog(state: ProviderState) -> ProviderState:
    """The provider is not to run: its backlog waits until it runs again."""
    return state.model_copy(update={"has_backlog": False}) if state.has_backlog else state
