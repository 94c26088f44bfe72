"""Everything about one run, from execution to commit, gathered from where each part is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment
from cli.errors import UsageError
from cli.history import RunFolder, folders, read_record
from cli.logs import CloudWatchLogs, LocalLogs, Logs
from fanout.endings import explain
from fanout.ledger import ProviderState
from fanout.manifests import manifest_uri, read_manifest
from fanout.providers import check_name
from fanout.runs import RunRecord

BEFORE_CLAIM = timedelta(minutes=10)
"""How long before an execution's start its folder is looked for: clocks differ, and a listing costs nothing."""
SHOWN_OBJECTS = 5


@dataclass(frozen=True)
class Step:
    """One state of the execution."""

    state: str
    entered_at: datetime
    seconds: float | None


@dataclass(frozen=True)
class ExecutionPart:
    """The execution."""

    arn: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    input: dict[str, Any]
    steps: tuple[Step, ...]
    error: str | None


@dataclass(frozen=True)
class ManifestPart:
    """What the run was to process."""

    uri: str
    objects: int
    bytes: int
    backlog: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class CommitPart:
    """What the ledger says of the run now."""

    committed: bool
    explanation: str
    generation: int
    since: datetime | None


@dataclass(frozen=True)
class Trace:
    """One run on one page."""

    run_id: str
    provider: str
    execution: ExecutionPart | None
    claim: dict[str, Any] | None
    manifest: ManifestPart | None
    job_run: dict[str, Any] | None
    result: dict[str, Any] | None
    record: RunRecord | None
    commit: CommitPart
    log: tuple[str, ...]

    @property
    def why(self) -> str | None:
        """Why the run failed, if it did."""
        if self.record is not None:
            return self.record.error
        return self.execution.error if self.execution else None


def trace(stack: Deployment, run: str, provider: str | None, log_lines: int) -> Trace:
    """Gather a run.

    Parameters
    ----------
    run
        Execution name (which is the run id) or ARN.
    provider
        Needed only for a run whose execution AWS has forgotten (90 days).

    Raises
    ------
    UsageError
        There is no such run.
    """
    run_id = run.rpartition(":")[2]
    history: list[dict[str, Any]] = []
    execution = _execution(stack, run_id)
    if execution is not None:
        history = _history(stack, execution["executionArn"])
        provider = str(json.loads(execution["input"]).get("provider"))
    elif provider is None:
        raise UsageError(
            f"there is no execution {run_id}: `fanout runs PROVIDER` lists a provider's runs; for one older than 90 "
            "days name its provider with --provider"
        )
    check_name(provider)
    folder = _folder(stack, run_id, provider, execution["startDate"] - BEFORE_CLAIM if execution else None)
    if folder is None and execution is None:
        raise UsageError(f"{provider} has no run {run_id}: `fanout runs {provider}` lists its runs")
    record = read_record(stack.objects, folder.uri) if folder else None
    result = stack.objects.read(folder.uri + "result.json") if folder else None
    job_run = _job_run(stack, history)
    return Trace(
        run_id=run_id,
        provider=provider,
        execution=_execution_part(execution, history) if execution else None,
        claim=_claim(history),
        manifest=_manifest(stack, folder) if folder else None,
        job_run=job_run,
        result=json.loads(result) if result else None,
        record=record,
        commit=commit_part(stack.ledger.get(provider), run_id, record),
        log=tuple(_log(stack, run_id, folder, job_run, log_lines)),
    )


def _execution(stack: Deployment, run_id: str) -> dict[str, Any] | None:
    arn = stack.output("StateMachineArn").replace(":stateMachine:", ":execution:") + f":{run_id}"
    try:
        return dict(stack.client("stepfunctions").describe_execution(executionArn=arn))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "InvalidArn", "ValidationException"):
            return None
        raise


def _history(stack: Deployment, arn: str) -> list[dict[str, Any]]:
    pages = stack.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def _execution_part(execution: dict[str, Any], history: list[dict[str, Any]]) -> ExecutionPart:
    failed = {"Error": execution.get("error"), "Cause": execution.get("cause")} if execution.get("error") else None
    return ExecutionPart(
        arn=execution["executionArn"],
        status=execution["status"],
        started_at=execution["startDate"],
        ended_at=execution.get("stopDate"),
        input=json.loads(execution["input"]),
        steps=steps(history),
        error=explain(failed) if failed else None,
    )


def steps(history: Iterable[dict[str, Any]]) -> tuple[Step, ...]:
    """The states of an execution with how long each took; None for one that was not left."""
    found: list[Step] = []
    for event in history:
        if entered := event.get("stateEnteredEventDetails"):
            found.append(Step(entered["name"], event["timestamp"], None))
        elif (left := event.get("stateExitedEventDetails")) and found and found[-1].state == left["name"]:
            seconds = (event["timestamp"] - found[-1].entered_at).total_seconds()
            found[-1] = Step(left["name"], found[-1].entered_at, round(seconds, 3))
    return tuple(found)


def _last_state(history: Iterable[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """The newest value of a key in the execution's state."""
    found = None
    for event in history:
        for details, document in (("stateExitedEventDetails", "output"), ("stateEnteredEventDetails", "input")):
            try:
                state = json.loads(event.get(details, {}).get(document) or "null")
            except ValueError:
                continue
            if isinstance(state, dict) and isinstance(state.get(key), dict):
                found = state[key]
    return found


def _claim(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    return _last_state(history, "claim")


def _folder(stack: Deployment, run_id: str, provider: str, since: datetime | None) -> RunFolder | None:
    found = (f for f in folders(stack.client("s3"), stack.runs, provider, since) if f.run_id == run_id)
    return next(found, None)


def _manifest(stack: Deployment, folder: RunFolder) -> ManifestPart | None:
    uri = manifest_uri(folder.uri)
    manifest = read_manifest(stack.objects, uri)
    if manifest is None:
        return None
    first = tuple(f"s3://{manifest.bucket}/{stored.key}" for stored in manifest.objects[:SHOWN_OBJECTS])
    return ManifestPart(uri, len(manifest.objects), manifest.bytes, manifest.backlog, first)


def _job_run(stack: Deployment, history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The Glue job run of the execution, as Glue describes it."""
    job_run_id = job_run_id_of(history)
    if job_run_id is None:
        return None
    found = stack.client("glue").get_job_run(JobName=stack.output("GlueJobName"), RunId=job_run_id)["JobRun"]
    kept = (
        "Id",
        "JobRunState",
        "ErrorMessage",
        "StartedOn",
        "CompletedOn",
        "ExecutionTime",
        "NumberOfWorkers",
        "WorkerType",
    )
    return {name: found[name] for name in kept if name in found}


def job_run_id_of(history: Iterable[dict[str, Any]]) -> str | None:
    """The id of the job run that the execution started; it is in the task's events also when the run failed."""
    found = None
    for event in history:
        for name in ("taskSubmittedEventDetails", "taskSucceededEventDetails", "taskFailedEventDetails"):
            details = event.get(name, {})
            if details.get("resourceType") != "glue":
                continue
            try:
                body = json.loads(details.get("output") or details.get("cause") or "null")
            except ValueError:
                continue
            if isinstance(body, dict):
                found = body.get("JobRunId") or body.get("Id") or found
    return found


def commit_part(state: ProviderState, run_id: str, record: RunRecord | None) -> CommitPart:
    """Say whether the run took effect, and what the bookmark is now."""
    committed = record is not None and record.status == "succeeded"
    if state.lease is not None and state.lease.run_id == run_id:
        explanation = "the run holds its provider; nothing is committed yet"
    elif record is None:
        explanation = "the run left no record: it did not take its provider, or ended without a word"
    elif not committed:
        explanation = "nothing was committed; the next run sends the same changes again, under the same ids"
    elif record.replay:
        explanation = "a replay: its messages were sent, and the bookmark stays where it was"
    else:
        explanation = f"the bookmark moved to generation {record.generation + 1}"
    return CommitPart(committed, explanation, state.bookmark.generation, state.bookmark.since)


def _log(
    stack: Deployment, run_id: str, folder: RunFolder | None, job_run: dict[str, Any] | None, lines: int
) -> list[str]:
    if not lines or folder is None:
        return []
    logs: Logs
    if stack.local_logs is not None:
        logs = LocalLogs(stack.local_logs)
    else:
        logs = CloudWatchLogs(
            stack.client("logs"), stack.client("glue"), stack.output("FunctionLogGroup"), stack.output("GlueJobName")
        )
    if job_run is not None:
        return logs.of_job_run(job_run["Id"], lines)
    return logs.of_function(stack.output("SmallRunFunctionName"), run_id, folder.claimed_at, lines)
