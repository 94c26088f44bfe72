"""A run ended: commit it, or record why it failed. Also ends runs that could not say so themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fanout import ledger
from fanout.costs import glue_dollars, lambda_dollars
from fanout.errors import ConfigApiAnswerError, FanoutError, InvalidRequestError, ResultMissingError
from fanout.ledger import BACKOFF, Backoff, LedgerStore, ProviderState, Reporter
from fanout.manifests import Manifest, ObjectStore, manifest_uri, read_manifest
from fanout.pending import PendingStore
from fanout.providers import describe
from fanout.runs import Lease, RunRecord
from fanout.settings import RunSettings

MAX_ERROR_CHARACTERS = 1000
LAMBDA_RUN_MEMORY_MB = 1769
"""Of the function that does Lambda runs; it is what they are billed by."""


class JobError(BaseModel):
    """Why the job failed, as its result says it: never with a row's content."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str


class JobResult(BaseModel):
    """What the job writes beside its manifest when it ends."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: Literal["succeeded", "failed"]
    engine: Literal["lambda", "glue"]
    objects: int
    bytes: int = 0
    rows: int
    messages: int
    quarantined: int = 0
    seconds: float = 0
    workers: int = 1
    error: JobError | None = None


class Ending(BaseModel):
    """The event of *Update Status Success* and *Update Status Failed*.

    Attributes
    ----------
    result
        What the execution's state has under `result`: the job run, or what a Catch left there.
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
            raise InvalidRequestError(f"update_status is called by the state machine only: {describe(error)}") from None


@dataclass(frozen=True)
class Endings:
    """Ends runs in the ledger and reports them to the config API.

    Parameters
    ----------
    store, objects, reporter, pending
        Ports.
    settings
        Of the function.
    clock
        Gives the current time, aware.
    log
        Receives a line for each failure that does not change the run's outcome.
    backoff
        How long a provider that keeps failing is left alone.
    """

    store: LedgerStore
    objects: ObjectStore
    reporter: Reporter
    pending: PendingStore
    settings: RunSettings
    clock: Callable[[], datetime]
    log: Callable[[str], None] = field(default=print)
    backoff: Backoff = BACKOFF

    def succeed(self, ending: Ending) -> RunRecord | None:
        """Commit a successful run: the bookmark moves only here, and only with proof that all was sent.

        Returns
        -------
        The run's record; None when it was committed before (the answer was lost) and another run has ended since.

        Raises
        ------
        ResultMissingError
            The job left no result, or one that does not cover the manifest.
        LeaseLostError
            Another run took over; nothing moves.
        """
        state = self.store.get(ending.provider)
        lease = ledger.lease_of(state, ending.run_id)
        if lease is not None:
            manifest, figures = self._proof(lease)
            backlog = manifest.backlog if manifest else 0
            record = RunRecord.of(lease, "succeeded", self.clock(), figures, backlog=backlog)
            lookback = self.settings.lookback
            state = ledger.update(
                self.store,
                ending.provider,
                lambda s: ledger.commit(s, lease, record, manifest, lookback),
                read=state,
            )
        elif not ledger.is_committed(state, ending.run_id):
            raise ledger.lease_lost(state, ending.run_id)
        self._finish(state)
        return state.last_run if state.last_run and state.last_run.run_id == ending.run_id else None

    def fail(self, ending: Ending) -> str:
        """Record a failed run and free the provider; the bookmark stays.

        Returns
        -------
        Why the run failed, in at most 1,000 characters.
        """
        state = self.store.get(ending.provider)
        lease = ledger.lease_of(state, ending.run_id)
        result = read_result(self.objects, lease.run_dir) if lease else None
        # The job's own word tells most; else what the state machine caught.
        own = result.error if result else None
        error = (f"{own.type}: {own.message}" if own else explain(ending.result))[:MAX_ERROR_CHARACTERS]
        self.end(ending.provider, ending.run_id, error, self._figures(result) if result else {}, read=state)
        return error

    def end(
        self,
        provider: str,
        run_id: str,
        error: str,
        figures: Mapping[str, Any] | None = None,
        *,
        tell: bool = True,
        read: ProviderState | None = None,
    ) -> bool:
        """Mark a run as failed if it still holds its provider, and free the provider.

        Parameters
        ----------
        provider, run_id, error, figures
            Whose run ended, why, and what its job measured, if that is known.
        tell
            Whether to report it to the config API at once rather than to leave that to the next tick.
        read
            The provider's state, if the caller has just read it.

        Returns
        -------
        Whether it did; False when the run had ended already or another took over.
        """
        now = self.clock()
        ended = False

        def rule(state: ProviderState) -> ProviderState:
            nonlocal ended
            after = ledger.fail(state, run_id, error, now, self.backoff, figures)
            ended = after is not state
            return after

        state = ledger.update(self.store, provider, rule, read)
        self._finish(state, tell)
        return ended

    def push_report(self, state: ProviderState) -> bool:
        """Tell the config API what it has not been told of a provider, if anything.

        A config API that refuses the report for good (it does not know the provider, perhaps) is not asked again;
        one that is down, or does not take our key, is asked again on the next tick.

        Returns
        -------
        Whether nothing is left to tell.
        """
        report = state.pending_report
        if report is None:
            return True
        if self.settings.report_status == "yes":
            try:
                self.reporter.report(state.provider, report)
            except ConfigApiAnswerError as error:
                self.log(f"{state.provider}: the config API refused the report of run {report.run_id}: {error}")
            except FanoutError as error:
                self.log(f"{state.provider}: the report of run {report.run_id} is due again on the next tick: {error}")
                return False
        ledger.update(self.store, state.provider, lambda s: ledger.reported(s, report), read=state)
        return True

    def _finish(self, state: ProviderState, tell: bool = True) -> None:
        """After the run has ended in the ledger: clear the pending count, store the record, send the report."""
        run = state.last_run
        try:
            if run is not None and run.status == "succeeded" and run.pending_count and not run.backlog:
                self.pending.clear(state.provider, run.pending_count, run.started_at)
            if run is not None and run.run_dir:
                self.objects.create(run.run_dir + "record.json", run.model_dump_json().encode())
            if tell:
                self.push_report(state)
        except FanoutError as error:
            self.log(f"{state.provider}: after the run had ended: {error}")

    def _proof(self, lease: Lease) -> tuple[Manifest | None, dict[str, Any]]:
        """The run's manifest and its job's figures. A run with nothing to do has neither; one whose objects Glue
        chose has no manifest, but must prove its success all the same.
        """
        plan = lease.plan
        if plan is None:
            raise InvalidRequestError(f"run {lease.run_id} cannot have succeeded before it was planned")
        if plan.engine == "none":
            return None, {}
        manifest = None
        if plan.objects is not None:
            uri = manifest_uri(lease.run_dir)
            manifest = read_manifest(self.objects, uri)
            if manifest is None:
                raise ResultMissingError(f"the manifest {uri} is gone; the next run plans its objects again")
        return manifest, self._figures(proven(read_result(self.objects, lease.run_dir), lease.run_id, manifest))

    def _figures(self, result: JobResult) -> dict[str, Any]:
        figures = result.model_dump(
            include={"engine", "objects", "bytes", "rows", "messages", "quarantined", "seconds", "workers"}
        )
        if result.engine == "glue":
            dollars = glue_dollars(result.seconds, result.workers, self.settings.glue_worker_type)
        else:
            dollars = lambda_dollars(result.seconds, LAMBDA_RUN_MEMORY_MB)
        return {**figures, "dollars": round(dollars, 9)}


def read_result(objects: ObjectStore, run_dir: str) -> JobResult | None:
    """What the job left of a run; None when it left nothing, or nothing that can be read."""
    body = objects.read(run_dir + "result.json")
    try:
        return None if body is None else JobResult.model_validate_json(body)
    except ValidationError:
        return None


def proven(result: JobResult | None, run_id: str, manifest: Manifest | None) -> JobResult:
    """The job's own word that every row of the manifest's objects was acknowledged; nothing is committed without.

    Raises
    ------
    ResultMissingError
        There is no result of this run, it says otherwise, or it covers fewer objects than were planned.
    """
    if result is None or result.run_id != run_id or result.status != "succeeded":
        raise ResultMissingError(
            f"the job of run {run_id} ended as if all were well but left no result that says so; nothing was "
            "committed, look into the job run's log"
        )
    if manifest is not None and result.objects != len(manifest.objects):
        raise ResultMissingError(
            f"run {run_id} processed {result.objects} of the {len(manifest.objects)} objects in its manifest; "
            "nothing was committed"
        )
    return result


def explain(result: Mapping[str, Any] | None) -> str:
    """Say in words what a Catch or a job run left in the execution's state.

    A caught Lambda error carries ``{"errorType", "errorMessage"}`` as JSON in its Cause, a failed job run the
    JobRun; a job run that ended without failing (STOPPED) is there as it is.
    """
    if not result:
        return "the run failed without saying why; see the execution's history"
    if "JobRunState" in result:
        return f"job run {result.get('Id')} ended {result['JobRunState']}"
    try:
        cause = json.loads(result.get("Cause") or "")
    except ValueError:
        cause = result.get("Cause")
    if isinstance(cause, Mapping) and "JobRunState" in cause:
        return f"job run {cause.get('Id')} ended {cause['JobRunState']}: {cause.get('ErrorMessage')}"
    if isinstance(cause, Mapping) and "errorMessage" in cause:
        return f"{cause.get('errorType')}: {cause['errorMessage']}"
    return f"{result.get('Error')}: {cause}" if cause else str(result.get("Error"))
