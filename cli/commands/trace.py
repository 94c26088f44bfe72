"""`fanout trace`: everything about one run, from its execution to its commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.filesize import decimal as size

from contract.failure import Failure
from contract.result import JobResult
from contract.uris import manifest_uri
from fanout.endings import read_result
from fanout.errors import ManifestChangedError
from fanout.ledger import ProviderState, lease_of
from fanout.manifests import read_manifest
from fanout.providers import check_name, is_name
from fanout.run_state import RunState, run_state
from fanout.runs import Plan, RunRecord

from ..command import Command, Context, iam, utc_now
from ..deployment import Deployment
from ..errors import Exit, UsageError
from ..failure import COLUMNS, facts_of_failure, failure_of, rows_of_failures
from ..history import RunFolder, find_folder, read_record
from ..logs import of_function, of_job_run, short
from ..output import Page, counted, dollars
from ..quarantine import notes_of_run

app = typer.Typer()
SHOWN_OBJECTS = 5
JOB_RUN_FIELDS = (
    "Id", "JobRunState", "ErrorMessage", "StartedOn", "CompletedOn", "ExecutionTime", "NumberOfWorkers", "WorkerType",
)  # fmt: skip


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
    input: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class ManifestPart:
    """The manifest: what the run had to process."""

    uri: str
    objects: int
    bytes: int
    backlog: int
    ignored: int
    first: tuple[str, ...]
    changed: bool = False
    """Whether it is not the manifest that the claim wrote. Then the numbers are 0."""


@dataclass(frozen=True)
class CommitPart:
    """Whether the run was committed, and the current bookmark."""

    committed: bool
    explanation: str
    generation: int
    since: datetime | None


@dataclass(frozen=True)
class Trace:
    """Everything about one run."""

    run_id: str
    state: RunState
    provider: str | None
    execution: ExecutionPart | None
    claim: dict[str, Any] | None
    manifest: ManifestPart | None
    job_run: dict[str, Any] | None
    result: JobResult | None
    record: RunRecord | None
    failure: Failure | None
    quarantined: tuple[Failure, ...]
    commit: CommitPart | None
    log: tuple[str, ...]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Every failure that the run names, at most 20, if there are several."""
        named = self.record or self.result  # the record, which only the functions can write, unless it is missing
        return named.failures if named and named.failure_count > 1 else ()

    @property
    def failure_count(self) -> int:
        """How many failures the run had."""
        return max((one.failure_count for one in (self.record, self.result) if one), default=0)


@app.command(cls=Command, epilog=iam("trace"))
def trace(
    ctx: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id, which is the execution's name; or its ARN.")],
    provider: Annotated[
        str | None, typer.Option(help="Provider of a run older than 90 days, whose execution no longer exists.")
    ] = None,
    log_lines: Annotated[int, typer.Option("--log-lines", min=0, help="Log lines to show.")] = 15,
) -> Exit:
    """Show one run: execution, claim, manifest, job run, log and commit. Exit status 1 if the run failed."""
    found = gather(ctx.obj.stack, run, provider, log_lines)
    ctx.obj.show(found, _show)
    return Exit.UNHEALTHY if found.state is RunState.FAILED else Exit.OK


def gather(stack: Deployment, run: str, provider: str | None, log_lines: int) -> Trace:
    """Collect everything about a run.

    Parameters
    ----------
    run
        Run id, which is the execution's name; or the execution's ARN.
    provider
        Needed only for a run older than 90 days, whose execution no longer exists.

    Raises
    ------
    UsageError
        The run does not exist.
    """
    run_id = run.rpartition(":")[2]
    history: list[dict[str, Any]] = []
    execution = _execution(stack, run_id)
    if execution is not None:
        history = _history(stack, execution["executionArn"])
        provider = _provider(execution)
    elif provider is None:
        raise UsageError(
            f"execution {run_id} not found; list a provider's runs with `fanout runs PROVIDER`, and add --provider for "
            "a run older than 90 days"
        )
    started = execution["startDate"] if execution else None
    s3 = stack.client("s3")
    folder = find_folder(s3, stack.data_bucket, check_name(provider), run_id, started) if provider else None
    if folder is None and execution is None:
        raise UsageError(f"{provider} has no run {run_id}; list its runs with `fanout runs {provider}`")
    record = read_record(stack.objects, folder.uri) if folder else None
    job_run = _job_run(stack, history)
    ledger = stack.ledger.get(provider) if provider else ProviderState(provider="")
    lease, status = lease_of(ledger, run_id), execution["status"] if execution else None
    state = run_state(record, lease, status, utc_now(), claimed=folder is not None)
    return Trace(
        run_id=run_id,
        state=state,
        provider=provider,
        execution=_execution_part(execution, history) if execution else None,
        claim=_last_state(history, "claim"),
        manifest=_manifest(stack, folder, record or (lease.plan if lease else None)) if folder else None,
        job_run=job_run,
        result=read_result(stack.objects, folder.uri) if folder else None,
        record=record,
        failure=failure_of(record, execution) if state is RunState.FAILED else None,
        quarantined=notes_of_run(stack, provider, run_id) if provider and record and record.quarantined else (),
        commit=commit_part(ledger, run_id, record) if provider else None,
        log=tuple(_log(stack, run_id, folder, job_run, log_lines)),
    )


def _provider(execution: dict[str, Any]) -> str | None:
    """The provider of an execution; None if its input has no valid name, so that the execution was rejected."""
    named = (_object(execution["input"]) or {}).get("provider")
    return named if is_name(named) else None


def _object(text: str | bytes | None) -> dict[str, Any] | None:
    """Parse a JSON object; None if the text is anything else."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


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
    return ExecutionPart(
        arn=execution["executionArn"],
        status=execution["status"],
        started_at=execution["startDate"],
        ended_at=execution.get("stopDate"),
        input=execution["input"],
        steps=steps(history),
    )


def steps(history: Iterable[dict[str, Any]]) -> tuple[Step, ...]:
    """The states that an execution entered, and their durations; None for a state that it has not left."""
    found: list[Step] = []
    for event in history:
        if entered := event.get("stateEnteredEventDetails"):
            found.append(Step(entered["name"], event["timestamp"], None))
        elif (left := event.get("stateExitedEventDetails")) and found and found[-1].state == left["name"]:
            seconds = (event["timestamp"] - found[-1].entered_at).total_seconds()
            found[-1] = Step(left["name"], found[-1].entered_at, round(seconds, 3))
    return tuple(found)


def _objects(history: Iterable[dict[str, Any]], *places: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """The JSON objects in some details of the events, the oldest first."""
    for event in history:
        for details, document in places:
            if found := _object(event.get(details, {}).get(document)):
                yield found


def _last_state(history: Iterable[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """The newest value of a key in the execution's data."""
    states = _objects(history, ("stateExitedEventDetails", "output"), ("stateEnteredEventDetails", "input"))
    found = [state[key] for state in states if isinstance(state.get(key), dict)]
    return found[-1] if found else None


def _manifest(stack: Deployment, folder: RunFolder, planned: RunRecord | Plan | None) -> ManifestPart | None:
    if planned is None or not planned.manifest_hash:
        return None
    try:
        manifest = read_manifest(stack.objects, folder.uri, planned.manifest_hash)
    except ManifestChangedError:
        return ManifestPart(manifest_uri(folder.uri), 0, 0, 0, 0, (), changed=True)
    if manifest is None:
        return None
    first = tuple(f"s3://{manifest.bucket}/{stored.key}" for stored in manifest.objects[:SHOWN_OBJECTS])
    figures = len(manifest.objects), manifest.bytes, manifest.backlog, manifest.ignored
    return ManifestPart(manifest_uri(folder.uri), *figures, first)


def _job_run(stack: Deployment, history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The Glue job run of the execution."""
    job_run_id = job_run_id_of(history)
    if job_run_id is None:
        return None
    found = stack.client("glue").get_job_run(JobName=stack.output("GlueJobName"), RunId=job_run_id)["JobRun"]
    return {name: found[name] for name in JOB_RUN_FIELDS if name in found}


def job_run_id_of(history: Iterable[dict[str, Any]]) -> str | None:
    """The id of the job run that the execution started. The task's events have it also if the run failed."""
    tasks = ("taskSubmittedEventDetails", "taskSucceededEventDetails", "taskFailedEventDetails")
    glue = [event for event in history if any(event.get(task, {}).get("resourceType") == "glue" for task in tasks)]
    bodies = _objects(glue, *((task, document) for task in tasks for document in ("output", "cause")))
    found = [run_id for body in bodies if (run_id := body.get("JobRunId") or body.get("Id"))]
    return str(found[-1]) if found else None


def commit_part(state: ProviderState, run_id: str, record: RunRecord | None) -> CommitPart:
    """Describe whether the run was committed, and the current bookmark."""
    committed = record is not None and record.status == "succeeded"
    if state.lease is not None and state.lease.run_id == run_id:
        explanation = "the run holds the lease; nothing is committed yet"
    elif record is None:
        explanation = "nothing was committed: the run has no record"
    elif not committed:
        explanation = "nothing was committed; the next run sends the same changes again, with the same ids"
    elif record.replay:
        explanation = "a replay: its messages were sent, and the bookmark did not change"
    else:
        explanation = f"the bookmark moved to generation {record.generation + 1}"
    return CommitPart(committed, explanation, state.bookmark.generation, state.bookmark.since)


def _log(
    stack: Deployment, run_id: str, folder: RunFolder | None, job_run: dict[str, Any] | None, lines: int
) -> list[str]:
    if not lines or folder is None:
        return []
    if job_run is not None:
        return of_job_run(stack, job_run["Id"], lines)
    return of_function(stack, stack.output("LambdaRunFunctionName"), run_id, folder.claimed_at, lines)


def facts_of(found: Trace) -> list[tuple[str, object]]:
    """The details of a run, by name."""
    facts: list[tuple[str, object]] = [("run", found.run_id), ("status", found.state), ("provider", found.provider)]
    if found.execution:
        part = found.execution
        facts += [("execution", f"{part.status}, {part.arn}"), ("input", part.input)]
        facts += [("started", part.started_at), ("ended", part.ended_at)]
    if found.claim:
        reason = f": {found.record.reason}" if found.record else ""
        facts += [("claim", f"{found.claim.get('decision')}{reason}")]
    if found.manifest:
        m = found.manifest
        what = f"{counted(m.objects, 'object')}, {size(m.bytes)}, backlog of {m.backlog:,}, {m.ignored:,} ignored"
        facts += [("manifest", f"{'not the one that the claim wrote' if m.changed else what}: {m.uri}")]
        facts += [("", uri) for uri in m.first]
    if found.job_run:
        facts += [("job run", ", ".join(f"{k} {v}" for k, v in found.job_run.items()))]
    if found.record:
        r = found.record
        figures = f"{counted(r.rows, 'row')}, {counted(r.messages, 'message')}, {r.seconds:.1f} s, {dollars(r.dollars)}"
        aside = f", {r.quarantined:,} quarantined" if r.quarantined else ""
        facts += [("result", f"{r.engine} engine: {figures}{aside}")]
    if found.failure:
        facts += facts_of_failure(found.failure)
    if found.commit:
        facts += [("commit", found.commit.explanation), ("bookmark", f"generation {found.commit.generation}")]
    return facts


def _show(found: Trace, page: Page) -> None:
    page.facts(facts_of(found))
    if found.execution and found.execution.steps:
        rows = [
            (s.state, s.entered_at, None if s.seconds is None else f"{s.seconds:.1f}") for s in found.execution.steps
        ]
        page.line("")
        page.table(("STATE", "ENTERED", ">SECONDS"), rows)
    if found.failures:
        page.line("")
        page.line(f"{counted(found.failure_count, 'failure')}, of which the first {len(found.failures)}:")
        page.table(COLUMNS, rows_of_failures(found.failures))
    if found.quarantined and found.record:
        page.line("")
        page.line(f"{found.record.quarantined:,} quarantined, such as:")
        page.table(COLUMNS, rows_of_failures(found.quarantined))
    page.line("")
    for line in found.log:
        for text in short(line).expandtabs().splitlines():
            page.line(text, style="dim", indent="  ")
