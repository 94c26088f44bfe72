"""Ends runs: commits successful ones, and records why others failed. Also ends orphaned runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.document import ContractError
from contract.failure import Failure
from contract.manifest import Manifest
from contract.result import MAX_FAILURES, JobResult
from contract.uris import manifest_uri, record_uri, result_uri
from fanout import ledger
from fanout.costs import glue_dollars, lambda_dollars
from fanout.errors import ConfigApiAnswerError, FanoutError, InvalidRequestError, ResultMissingError
from fanout.failures import caught
from fanout.ledger import BACKOFF, Backoff, LedgerStore, ProviderState, Reporter
from fanout.manifests import ObjectStore, read_manifest
from fanout.pending import PendingStore
from fanout.providers import describe
from fanout.runs import Lease, RunRecord
from fanout.settings import RunSettings

FIGURES = ("engine", "objects", "bytes", "rows", "messages", "quarantined", "seconds", "workers")
"""Fields that a run's record copies from its job's result."""
LAMBDA_RUN_MEMORY_MB = 1769
"""Memory of the function that does Lambda runs, which determines their cost."""


class Ending(BaseModel):
    """The event of *Update Status Success* and *Update Status Failed*.

    Attributes
    ----------
    result
        The member `result` of the execution's state: the job run, or the error that a Catch stored.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Literal["succeeded", "failed"]
    provider: str
    run_id: str
    result: dict[str, Any] | None = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Ending:
        """Read the state machine's payload ``{"outcome", "provider", "run_id", "result"?}``.

        Raises
        ------
        InvalidRequestError
            The payload does not come from the state machine.
        """
        try:
            return cls.model_validate(event)
        except ValidationError as error:
            raise InvalidRequestError(
                f"the event is not from the state machine, which alone may call update_status: {describe(error)}"
            ) from None


@dataclass(frozen=True)
class Endings:
    """Ends runs in the ledger and reports them to the config API.

    Parameters
    ----------
    store, objects, reporter, pending
        Ports.
    settings
        Settings of the function.
    clock
        Gives the current time, aware.
    log
        Receives a line for each failure that does not change the run's outcome.
    backoff
        Delay before a provider is started again after failed runs.
    """

    store: LedgerStore
    objects: ObjectStore
    reporter: Reporter
    pending: PendingStore
    settings: RunSettings
    clock: Callable[[], datetime]
    log: Callable[[str], None]
    backoff: Backoff = BACKOFF

    def succeed(self, ending: Ending) -> RunRecord | None:
        """Commit a successful run. Only this moves the bookmark, and only if the job's result proves that all was sent.

        Returns
        -------
        The run's record; None if it was committed before (the answer was lost) and another run has ended since.

        Raises
        ------
        ResultMissingError
            The job left no result, or one that does not cover the manifest.
        ManifestChangedError
            The manifest is not the one that the claim wrote.
        LeaseLostError
            Another run took over; nothing was committed.
        """
        state = self.store.get(ending.provider)
        lease = ledger.lease_of(state, ending.run_id)
        if lease is not None:
            manifest, figures = self._proof(lease)
            backlog = manifest.backlog if manifest else 0
            record = RunRecord.of(lease, "succeeded", self.clock(), figures, backlog=backlog)
            lookback = self.settings.lookback

            def rule(state: ProviderState) -> ProviderState:
                self._record(state)
                return ledger.commit(state, lease, record, manifest, lookback)

            state = ledger.update(self.store, ending.provider, rule, read=state)
        elif not ledger.is_committed(state, ending.run_id):
            raise ledger.lease_lost(state, ending.run_id)
        self._finish(state)
        return state.last_run if state.last_run and state.last_run.run_id == ending.run_id else None

    def fail(self, ending: Ending) -> tuple[Failure, int]:
        """Record a failed run and release the lease; the bookmark does not move.

        Returns
        -------
        The first failure, and the number of failures.
        """
        state = self.store.get(ending.provider)
        last = state.last_run if state.last_run and state.last_run.run_id == ending.run_id else None
        run = ledger.lease_of(state, ending.run_id) or last  # the last one, if the answer was lost
        result = read_result(self.objects, run.run_dir) if run else None
        # The job's own failure if it recorded one, otherwise the error that the state machine caught.
        failure, count = caught(ending.result), 1
        if result is not None and result.failure is not None:
            failure, count = result.failure.bounded(), result.failure_count
        figures = self._figures(result) if result else {}
        self.end(ending.provider, ending.run_id, failure, figures, count, read=state)
        return failure, count

    def end(
        self,
        provider: str,
        run_id: str,
        failure: Failure,
        figures: Mapping[str, Any] | None = None,
        failure_count: int = 1,
        *,
        tell: bool = True,
        read: ProviderState | None = None,
    ) -> bool:
        """Mark a run as failed if it still holds its provider, and release the lease.

        Parameters
        ----------
        provider, run_id, failure, figures, failure_count
            The run, why it failed, and its job's figures, if they are known.
        tell
            Whether to send the report at once. Otherwise the next tick sends it.
        read
            The provider's state, if the caller has just read it.

        Returns
        -------
        Whether the run was ended; False if it had already ended, or another run took over.
        """
        now = self.clock()
        ended = False

        def rule(state: ProviderState) -> ProviderState:
            nonlocal ended
            self._record(state)
            after = ledger.fail(state, run_id, failure, now, self.backoff, figures, failure_count)
            ended = after is not state
            return after

        state = ledger.update(self.store, provider, rule, read)
        self._finish(state, tell)
        return ended

    def push_report(self, state: ProviderState) -> bool:
        """Send a provider's pending report to the config API, if there is one, and store its last run's record first.

        A report that the config API refuses for good, for instance because it does not know the provider, is dropped.
        If the config API is down or refuses the key, the next tick sends the report.

        Returns
        -------
        Whether no report is pending now.
        """
        report = state.pending_report
        if report is None:
            return True
        try:
            self._record(state)
            if self.settings.report_status == "yes":
                self.reporter.report(state.provider, report)
        except ConfigApiAnswerError as error:
            self.log(f"{state.provider}: the config API refused the report of run {report.run_id}: {error}")
        except FanoutError as error:
            self.log(f"{state.provider}: the next tick sends the report of run {report.run_id} again: {error}")
            return False
        ledger.update(self.store, state.provider, lambda s: ledger.reported(s, report), read=state)
        return True

    def _finish(self, state: ProviderState, tell: bool = True) -> None:
        """After the run has ended in the ledger: clear the pending count, store the record, send the report."""
        run = state.last_run
        try:
            if run is not None and run.status == "succeeded" and run.pending_count and not run.backlog:
                self.pending.clear(state.provider, run.pending_count, run.started_at)
            if tell and state.pending_report is not None:
                self.push_report(state)
            else:
                self._record(state)
        except FanoutError as error:
            self.log(f"{state.provider}: the run was ended, but its record or report may be missing: {error}")

    def _record(self, state: ProviderState) -> None:
        """Store the record of the last run, unless it is known to be stored. The audit depends on it."""
        run = state.last_run
        if state.unrecorded and run is not None:
            self.objects.create(record_uri(run.run_dir), self._complete(run).model_dump_json().encode())

    def _complete(self, run: RunRecord) -> RunRecord:
        """The record with every failure that the job named; the ledger has only the first one."""
        result = read_result(self.objects, run.run_dir) if run.failure_count > 1 else None
        named = result.failures[:MAX_FAILURES] if result else (run.failure,) if run.failure else ()
        return run.model_copy(update={"failures": tuple(failure.bounded() for failure in named)})

    def _proof(self, lease: Lease) -> tuple[Manifest | None, dict[str, Any]]:
        """Return the run's manifest and its job's figures, after checking that the result covers the manifest.

        A run with nothing to do has neither. A run whose objects Glue chose has no manifest, but needs a result.
        """
        plan = lease.plan
        if plan is None:
            raise InvalidRequestError(f"run {lease.run_id} cannot have succeeded before it was planned")
        if plan.engine == "none":
            return None, {}
        manifest = None
        if plan.objects is not None:
            manifest = read_manifest(self.objects, lease.run_dir, plan.manifest_hash)
            if manifest is None:
                uri = manifest_uri(lease.run_dir)
                raise ResultMissingError(f"the manifest {uri} is gone; the next run plans its objects again")
        return manifest, self._figures(proven(read_result(self.objects, lease.run_dir), lease.run_id, manifest))

    def _figures(self, result: JobResult) -> dict[str, Any]:
        figures = {name: getattr(result, name) for name in FIGURES}
        if result.engine == "glue":
            dollars = glue_dollars(result.seconds, result.workers, self.settings.glue_worker_type)
        else:
            dollars = lambda_dollars(result.seconds, LAMBDA_RUN_MEMORY_MB)
        return {**figures, "dollars": round(dollars, 9)}


def read_result(objects: ObjectStore, run_dir: str) -> JobResult | None:
    """A job's result; None if there is none, or if it is invalid."""
    body = objects.read(result_uri(run_dir))
    try:
        return None if body is None else JobResult.from_json(body)
    except ContractError:
        return None


def proven(result: JobResult | None, run_id: str, manifest: Manifest | None) -> JobResult:
    """Return the job's result if it states that every row of the manifest's objects was acknowledged.

    Raises
    ------
    ResultMissingError
        The run has no result, or the result states a failure or covers fewer objects than were planned.
    """
    if result is None or result.run_id != run_id or result.status != "succeeded":
        raise ResultMissingError(
            f"the job of run {run_id} ended without an error, but left no result that says it succeeded; nothing was "
            "committed"
        )
    if manifest is not None and result.objects != len(manifest.objects):
        raise ResultMissingError(
            f"run {run_id} processed {result.objects} of the {len(manifest.objects)} objects in its manifest; "
            "nothing was committed"
        )
    return result
