"""A run ended: commit it, or record why it failed. Also ends runs that could not say so themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fanout import ledger
from fanout.config_client import ConfigApi
from fanout.costs import glue_dollars, lambda_dollars
from fanout.errors import ConfigApiAnswerError, FanoutError, InvalidRequestError, ResultMissingError
from fanout.ledger import BACKOFF, Backoff, LedgerStore, ProviderState, RunRecord
from fanout.manifests import Manifest, ObjectStore, read_manifest
from fanout.providers import describe
from fanout.settings import RunSettings

MAX_ERROR_CHARACTERS = 1000
SMALL_RUN_MEMORY_MB = 1769
"""Of the function that does small runs; it is what they are billed by."""


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
    engine: Literal["small", "glue"]
    objects: int
    bytes: int = 0
    rows: int
    messages: int
    quarantined: int = 0
    seconds: float = 0
    workers: int = 1
    error: JobError | None = None


class ClaimOutcome(BaseModel):
    """The part of the claim that the end of a run needs, from the execution's state."""

    model_config = ConfigDict(frozen=True)

    decision: Literal["nothing", "small", "glue"]
    reason: str = ""
    generation: int
    run_dir: str
    manifest: str


class Ending(BaseModel):
    """The event of *Update Status Success* and *Update Status Failed*."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["succeeded", "failed"]
    run_id: str
    provider: str
    claim: ClaimOutcome | None = None
    result: dict[str, Any] | None = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Ending:
        """Read the payload ``{"outcome", "run_id", "state": {the execution's state}}``.

        Raises
        ------
        InvalidRequestError
            The payload does not come from the state machine.
        """
        try:
            state = event["state"]
            fields = {key: state[key] for key in ("provider", "claim", "result") if key in state}
            return cls.model_validate({"outcome": event.get("outcome"), "run_id": event.get("run_id"), **fields})
        except (KeyError, TypeError, ValidationError) as error:
            reason = describe(error) if isinstance(error, ValidationError) else "state must be an object"
            raise InvalidRequestError(f"update_status is called by the state machine only: {reason}") from None


@dataclass(frozen=True)
class Outcomes:
    """Ends runs in the ledger and reports them to the config API.

    Parameters
    ----------
    store, objects, config_api
        Ports.
    settings
        Of the function.
    clock
        Gives the current time, aware.
    log
        Told of what failed without changing the outcome.
    backoff
        How long a provider that keeps failing is left alone.
    """

    store: LedgerStore
    objects: ObjectStore
    config_api: ConfigApi
    settings: RunSettings
    clock: Callable[[], datetime]
    log: Callable[[str], None] = field(default=print)
    backoff: Backoff = BACKOFF

    def succeed(self, ending: Ending) -> RunRecord:
        """Commit a successful run: the bookmark moves only here, and only with proof that all was sent.

        Raises
        ------
        ResultMissingError
            The job left no result, or one that does not cover the manifest.
        LeaseLostError
            Another run took over; nothing moves.
        """
        if ending.claim is None:
            raise InvalidRequestError("a run cannot have succeeded without a claim")
        manifest = self._manifest(ending.claim)
        record = self._record(ending, ending.claim, manifest)
        state = ledger.update(
            self.store,
            ending.provider,
            lambda s: ledger.commit(s, _as_leased(s, record), manifest, self.settings.overlap),
        )
        self._finish(state)
        return state.last_run if state.last_run and state.last_run.run_id == record.run_id else record

    def fail(self, ending: Ending) -> str:
        """Record a failed run and free the provider; the bookmark stays.

        Returns
        -------
        Why the run failed, in at most 1,000 characters.
        """
        error = self._error(ending)
        record = self._failed_record(ending, error)
        self.end(ending.provider, ending.run_id, error, record)
        return error

    def end(self, provider: str, run_id: str, error: str, record: RunRecord | None = None, tell: bool = True) -> bool:
        """Mark a run as failed if it still holds its provider, and free the provider.

        Parameters
        ----------
        provider, run_id, error, record
            Whose run ended, why, and what it did, if that is known.
        tell
            Whether to report it to the config API at once rather than to leave that to the next tick.

        Returns
        -------
        Whether it did; False when the run had ended already or another took over.
        """
        now = self.clock()
        ended = False

        def rule(state: ProviderState) -> ProviderState:
            nonlocal ended
            after = ledger.fail(
                state,
                run_id,
                error,
                now,
                self.backoff,
                _as_leased(state, record) if record else None,
            )
            ended = after is not state
            return after

        state = ledger.update(self.store, provider, rule)
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
        report = state.report
        if report is None:
            return True
        if self.settings.report_status == "yes":
            try:
                self.config_api.report(state.provider, report)
            except ConfigApiAnswerError as error:
                self.log(f"{state.provider}: the config API refused the report of run {report.run_id}: {error}")
            except FanoutError as error:
                self.log(f"{state.provider}: the report of run {report.run_id} is due again on the next tick: {error}")
                return False
        ledger.update(self.store, state.provider, lambda s: ledger.reported(s, report))
        return True

    def _finish(self, state: ProviderState, tell: bool = True) -> None:
        """What follows a write that counts: keep the record for good, tell the config API. Neither can undo it."""
        try:
            if state.last_run is not None and state.last_run.run_dir:
                self.objects.create(state.last_run.run_dir + "record.json", state.last_run.model_dump_json().encode())
            if tell:
                self.push_report(state)
        except FanoutError as error:
            self.log(f"{state.provider}: after the run had ended: {error}")

    def _record(self, ending: Ending, claim: ClaimOutcome, manifest: Manifest | None) -> RunRecord:
        record = RunRecord(
            run_id=ending.run_id,
            status="succeeded",
            started_at=self.clock(),
            ended_at=self.clock(),
            generation=claim.generation,
            run_dir=claim.run_dir,
            reason=claim.reason,
            backlog=manifest.backlog if manifest else 0,
        )
        if claim.decision == "nothing":
            return record
        result = proven(read_result(self.objects, claim.run_dir), ending.run_id, manifest)
        return record.model_copy(update=self._figures(result))

    def _manifest(self, claim: ClaimOutcome) -> Manifest | None:
        if claim.manifest == "none":
            return None
        manifest = read_manifest(self.objects, claim.manifest)
        if manifest is None:
            raise ResultMissingError(f"the manifest {claim.manifest} is gone; the next run plans its objects again")
        return manifest

    def _failed_record(self, ending: Ending, error: str) -> RunRecord:
        claim, now = ending.claim, self.clock()
        record = RunRecord(run_id=ending.run_id, status="failed", started_at=now, ended_at=now, error=error)
        if claim is None:
            return record
        record = record.model_copy(
            update={"generation": claim.generation, "run_dir": claim.run_dir, "reason": claim.reason}
        )
        result = read_result(self.objects, claim.run_dir)
        return record.model_copy(update=self._figures(result)) if result else record

    def _figures(self, result: JobResult) -> dict[str, Any]:
        figures = result.model_dump(
            include={"engine", "objects", "bytes", "rows", "messages", "quarantined", "seconds", "workers"}
        )
        if result.engine == "glue":
            dollars = glue_dollars(result.seconds, result.workers, self.settings.glue_worker_type)
        else:
            dollars = lambda_dollars(result.seconds, SMALL_RUN_MEMORY_MB)
        return {**figures, "dollars": round(dollars, 9)}

    def _error(self, ending: Ending) -> str:
        """The most telling word on why a run failed: the job's own, else what the state machine caught."""
        if ending.claim is not None:
            result = read_result(self.objects, ending.claim.run_dir)
            if result is not None and result.run_id == ending.run_id and result.error is not None:
                return f"{result.error.type}: {result.error.message}"[:MAX_ERROR_CHARACTERS]
        return explain(ending.result)[:MAX_ERROR_CHARACTERS]


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


def _as_leased(state: ProviderState, record: RunRecord) -> RunRecord:
    """The record with what only the lease knows: when the run began, and whether it is a replay."""
    lease = state.lease
    if lease is None or lease.run_id != record.run_id:
        return record
    return record.model_copy(
        update={
            "started_at": lease.claimed_at,
            "replay": lease.replay,
            "run_dir": record.run_dir or lease.run_dir,
        }
    )
