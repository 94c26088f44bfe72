"""`fanout run` and `fanout replay`: start a provider's execution and follow it to its end."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.filesize import decimal as size

from contract.manifest import Replay, StoredObject
from contract.times import format_iso
from fanout.claims import MAX_OBJECTS, listing
from fanout.ledger import sent_late, update
from fanout.manifests import select_replay
from fanout.providers import check_name
from fanout.run_state import RunState, run_state
from fanout.runs import RunRecord
from fanout.schedule import execution_name

from ..audit import audit, ranges_of
from ..command import Command, Context, Operator, Provider, Yes, iam, moment, utc_now
from ..deployment import Deployment
from ..errors import Exit, UsageError
from ..failure import failure_of
from ..history import find_folder, read_record
from ..output import Page, counted, dollars, show

app = typer.Typer()
BY_HAND, REPLAY = "-m", "-r"
"""Suffixes of an execution's name, which keep it different from the name of a tick's execution."""
BUSY = "Already Running"
"""The last state of an execution that did nothing because another run holds the lease."""

NoWait = Annotated[bool, typer.Option("--no-wait", help="Start the run, but don't wait for its end.")]


@dataclass(frozen=True)
class RunReport:
    """The outcome of a run that an operator started."""

    provider: str
    run_id: str
    status: RunState
    explanation: str
    record: RunRecord | None


@dataclass(frozen=True)
class ReplayPlan:
    """The objects that a replay would send again."""

    provider: str
    start: datetime
    end: datetime
    objects: int
    bytes: int
    first: str | None
    last: str | None


@app.command(cls=Command, epilog=iam("run"))
def run(ctx: Context, provider: Provider, no_wait: NoWait = False) -> Exit:
    """Start a run of a provider now, whether it is due or not, and follow it to its end."""
    check_listed(ctx.obj.stack, provider)
    return _start_and_follow(ctx.obj, provider, None, no_wait=no_wait)


@dataclass(frozen=True)
class LateReport:
    """The objects that arrived too late for any run, and the ranges of LastModified in which they are sent."""

    provider: str
    objects: tuple[StoredObject, ...]
    ranges: tuple[Replay, ...]


@app.command(cls=Command, epilog=iam("replay"))
def replay(
    ctx: Context,
    provider: Provider,
    start_text: Annotated[
        str | None,
        typer.Option("--from", help="Oldest LastModified: ISO 8601 time, date, or age such as 30m, 6h or 2d."),
    ] = None,
    end_text: Annotated[str, typer.Option("--to", help="Newest LastModified, inclusive.")] = "now",
    late: Annotated[
        bool, typer.Option("--late", help="Instead of a range, send the objects that arrived too late for any run.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, but send nothing.")] = False,
    yes: Yes = False,
    no_wait: NoWait = False,
) -> Exit:
    """Send a range of a provider's objects again, with the same message ids. The bookmark does not change."""
    check_name(provider)
    if late == (start_text is not None) or (late and no_wait):
        raise UsageError("use either --from, or --late without --no-wait")
    if start_text is None:
        return _send_late(ctx.obj, provider, dry_run=dry_run, yes=yes)
    now = utc_now()
    start, end = moment(start_text, now), moment(end_text, now)
    if start > end:
        raise UsageError("--from must not be later than --to")
    wanted = Replay(start, end)
    plan = plan_replay(ctx.obj.stack, provider, wanted)
    if dry_run or not plan.objects:
        ctx.obj.show(plan, _show_plan)
        return Exit.OK
    ctx.obj.confirm(f"Send {counted(plan.objects, 'object')} ({size(plan.bytes)}) of {provider} again?", yes=yes)
    return _start_and_follow(ctx.obj, provider, {"from": format_iso(start), "to": format_iso(end)}, no_wait=no_wait)


def _send_late(op: Operator, provider: str, *, dry_run: bool, yes: bool) -> Exit:
    """Send what `fanout audit` lists as missed, in as few replays as possible; then the late data are settled."""
    stack = op.stack
    state, settings = stack.ledger.get(provider), stack.planning
    missed = audit(stack.objects, settings, state).missed
    listed = listing(stack.objects, settings, provider, None)
    ranges = ranges_of(listed, missed, MAX_OBJECTS, settings.max_bytes_per_run)
    if dry_run or not missed:
        op.show(LateReport(provider, missed, tuple(ranges)), _show_late)
    if dry_run:
        return Exit.OK
    if missed:
        op.confirm(f"Send {counted(len(missed), 'object')} of {provider} in {counted(len(ranges), 'run')}?", yes=yes)
    for wanted in ranges:
        given = {"from": format_iso(wanted.start), "to": format_iso(wanted.end)}
        if (outcome := _start_and_follow(op, provider, given, no_wait=False)) is not Exit.OK:
            return outcome
    update(stack.ledger, provider, lambda now: sent_late(now, state.late))
    return Exit.OK


def check_listed(stack: Deployment, provider: str) -> None:
    """Check that a provider is in the config API's list.

    Raises
    ------
    UsageError
        The provider is not in the list.
    """
    known = stack.config_api.entries()
    if check_name(provider) not in known:
        close = difflib.get_close_matches(provider, map(str, known), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"add it with `fanout providers add {provider}`"
        raise UsageError(f"provider {provider} not found; {hint}")


def plan_replay(stack: Deployment, provider: str, wanted: Replay) -> ReplayPlan:
    """Find the objects that a replay of a range would send again."""
    settings = stack.planning
    found = listing(stack.objects, settings, provider, None)
    chosen = select_replay(found, wanted, MAX_OBJECTS, settings.max_bytes_per_run).objects
    return ReplayPlan(
        provider=provider,
        start=wanted.start,
        end=wanted.end,
        objects=len(chosen),
        bytes=sum(o.size for o in chosen),
        first=chosen[0].key if chosen else None,
        last=chosen[-1].key if chosen else None,
    )


def _start_and_follow(op: Operator, provider: str, wanted: dict[str, str] | None, *, no_wait: bool) -> Exit:
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
    given = {"provider": provider, **({"replay": replay} if replay else {})}
    name = execution_name(provider, now) + (REPLAY if replay else BY_HAND)
    try:
        started = states.start_execution(stateMachineArn=state_machine_arn, name=name, input=json.dumps(given))
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


def _show_late(report: LateReport, page: Page) -> None:
    page.line(f"{report.provider}: {counted(len(report.objects), 'object')} arrived too late for any run")
    if report.objects:
        rows = [(o.last_modified, size(o.size), o.key) for o in report.objects]
        page.table(("LAST MODIFIED", ">SIZE", "LATE"), rows)


def _show_plan(plan: ReplayPlan, page: Page) -> None:
    span = f"from {show(plan.start)} to {show(plan.end)}"
    if not plan.objects:
        page.line(f"{plan.provider}: no objects {span}, so nothing would be sent again")
        return
    page.line(f"{counted(plan.objects, 'object')}, {size(plan.bytes)}, {span} would be sent again")
    page.facts([("first", plan.first), ("last", plan.last)])
