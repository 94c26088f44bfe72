"""`fanout run` and `retry`: start executions of providers and follow them to their end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from fanout.providers import check_name
from fanout.run_state import RunState, run_state
from fanout.runs import RunRecord
from fanout.schedule import execution_name

from ..bulk import BulkReport, announce, show_report, summarize
from ..command import Context, Operator, iam, utc_now
from ..deployment import Deployment
from ..errors import Exit, UsageError
from ..failure import failure_of
from ..history import find_folder, read_record
from ..output import Page, counted, dollars
from ..overview import look
from ..selection import OrderCommand, Request, Selected, Wanted, check_startable, requested, select
from ..starting import Starting

app = typer.Typer()
BY_HAND, REPLAY = "-m", "-r"
"""Suffixes of an execution's name, which keep it different from the name of a tick's execution."""
BUSY = "Already Running"
"""The last state of an execution that did nothing because another run holds the lease."""

RAN, STARTED = "run", "started"

NoWait = Annotated[bool, typer.Option("--no-wait", help="Start the runs, but don't wait for their end.")]


@dataclass(frozen=True)
class RunReport:
    """The outcome of a run that an operator started."""

    provider: str
    run_id: str
    status: RunState
    explanation: str
    record: RunRecord | None


@app.command(cls=OrderCommand, epilog=iam("run"))
def run(ctx: Context, no_wait: NoWait = False) -> Exit:
    """Start runs of providers now, whether they are due or not, and follow them to their end."""
    asked = requested(ctx)
    return _run(ctx.obj, select(ctx.obj.stack, asked.wanted), asked, no_wait=no_wait)


@app.command(cls=OrderCommand, epilog=iam("retry"))
def retry(ctx: Context, no_wait: NoWait = False) -> Exit:
    """Start runs now of those providers whose last run failed, instead of waiting for the end of their backoff."""
    stack, asked = ctx.obj.stack, requested(ctx)
    selected = select(stack, asked.wanted)
    chosen = failing(stack, selected)
    if len(chosen.names) < len(selected.names):
        healthy = counted(len(selected.names) - len(chosen.names), "selected provider")
        ctx.obj.note(f"{healthy} not failing: not retried")
    return _run(ctx.obj, chosen, asked, no_wait=no_wait)


def failing(stack: Deployment, selected: Selected) -> Selected:
    """The selected providers that can be retried, because their last run failed.

    Raises
    ------
    UsageError
        There are none.
    """
    failed = {one.provider for one in look(stack).health if one.has_failed}
    chosen = tuple(name for name in selected.names if name in failed)
    if not chosen:
        raise UsageError("no selected provider is failing, so there is nothing to retry; use `fanout run` instead")
    return Selected(chosen, selected.left_out)


def _run(op: Operator, selected: Selected, asked: Request, *, no_wait: bool) -> Exit:
    check_startable(op.stack, selected.names)
    if asked.dry_run:
        op.show(BulkReport(RAN, True, len(selected.names), dict.fromkeys(selected.names)), show_report)
        return Exit.OK
    if asked.wanted.alone:
        return start_and_follow(op, selected.names[0], None, no_wait=no_wait)
    announce(op, selected)
    op.confirm(f"Start runs of {counted(len(selected.names), 'provider')} now?", yes=asked.yes)
    inputs = {name: execution_input(name) for name in selected.names}
    outcome = Starting(op, inputs, BY_HAND).run(no_wait=no_wait)
    return summarize(op, STARTED if no_wait else RAN, selected, outcome, totals(outcome.done.values()))


def totals(done: Iterable[object]) -> str | None:
    """The figures of all runs that succeeded together; None while none has ended."""
    records = [one for one in done if isinstance(one, RunRecord)]
    if not records:
        return None
    messages, rows = sum(one.messages for one in records), sum(one.rows for one in records)
    spent = dollars(sum(one.dollars for one in records))
    return f"{counted(messages, 'message')} for {counted(rows, 'row')}, {spent}"


def check_listed(stack: Deployment, provider: str) -> None:
    """Check that a provider is in the config API's list, and in no maintenance window.

    Raises
    ------
    UsageError
        The provider is not in the list, or it must not be started.
    """
    check_startable(stack, select(stack, Wanted((check_name(provider),))).names)


def start_and_follow(op: Operator, provider: str, wanted: dict[str, str] | None, *, no_wait: bool) -> Exit:
    """Start a run of one provider, or a replay, and report each of its states and its outcome."""
    states, now = op.stack.client("stepfunctions"), utc_now()
    arn = start_execution(states, op.stack.output("StateMachineArn"), provider, now, wanted)
    run_id = arn.rpartition(":")[2]
    if no_wait:
        report = RunReport(provider, run_id, RunState.RUNNING, f"follow it with `fanout trace {run_id}`", None)
        op.show(report, _show_run)
        return Exit.OK
    op.note(f"started {run_id}")
    execution, last_state = watch(states, arn, lambda state: op.note(f"  {state}"), op.stack.poll_seconds)
    record = _record(op, provider, run_id, now)
    state = run_state(record, None, execution["status"], now, claimed=last_state != BUSY)
    if state is RunState.SKIPPED:
        explanation = "another run of the provider is in progress and does the work; `fanout status` shows it"
    elif state is not RunState.SUCCEEDED:
        failure = failure_of(record, execution).in_one_line(record.failure_count if record else 1)
        explanation = f"{failure}; `fanout trace {run_id}` shows details"
    elif record is None or record.engine == "none":
        explanation = "no new objects to process"
    else:
        sent = f"{counted(record.messages, 'message')} for {counted(record.rows, 'row')}"
        explanation = f"{sent} from {counted(record.objects, 'object')}, {dollars(record.dollars)}"
    op.show(RunReport(provider, run_id, state, explanation, record), _show_run)
    return Exit.OK if state is RunState.SUCCEEDED else Exit.UNHEALTHY


def _record(op: Operator, provider: str, run_id: str, started: datetime) -> RunRecord | None:
    folder = find_folder(op.stack.client("s3"), op.stack.data_bucket, provider, run_id, started)
    if folder is not None:
        return read_record(op.stack.objects, folder.uri)
    last = op.stack.ledger.get(provider).last_run
    return last if last and last.run_id == run_id else None


def execution_input(provider: str, replay: dict[str, str] | None = None) -> str:
    """The input of an execution that an operator starts; `replay` has `from` and `to` in ISO 8601."""
    return json.dumps({"provider": provider, **({"replay": replay} if replay else {})})


def start_execution(
    states: Any, state_machine_arn: str, provider: str, now: datetime, replay: dict[str, str] | None = None
) -> str:
    """Start a provider's execution; return its ARN.

    Parameters
    ----------
    states
        boto3 Step Functions client.
    replay
        ``{"from", "to"}`` in ISO 8601.
    """
    name, given = execution_name(provider, now) + (REPLAY if replay else BY_HAND), execution_input(provider, replay)
    try:
        started = states.start_execution(stateMachineArn=state_machine_arn, name=name, input=given)
    except states.exceptions.ExecutionAlreadyExists:  # an execution of the same second has this name
        time.sleep(1)
        return start_execution(states, state_machine_arn, provider, now + timedelta(seconds=1), replay)
    return str(started["executionArn"])


def watch(states: Any, arn: str, entered: Callable[[str], None], poll_seconds: float) -> tuple[dict[str, Any], str]:
    """Wait until an execution ends, and report each state that it enters; return it and its last state."""
    reported: list[str] = []
    while True:
        execution = states.describe_execution(executionArn=arn)
        pages = states.get_paginator("get_execution_history").paginate(executionArn=arn, includeExecutionData=False)
        names = [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
        for name in names[len(reported) :]:
            entered(name)
        reported = names
        if execution["status"] != "RUNNING":
            return execution, names[-1] if names else ""
        time.sleep(poll_seconds)


def _show_run(report: RunReport, page: Page) -> None:
    page.line(f"{report.run_id}: {report.status}: {report.explanation}")
