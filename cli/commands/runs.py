"""`fanout run`, `runs`, `trace` and `replay`: runs, started by hand and looked at."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.command import Operator, Yes, command
from cli.errors import Exit, UsageError
from cli.follow import Ended, start, watch
from cli.history import PastRun, RunFolder, folders, newest, read_record, records
from cli.logs import short
from cli.output import dollars, size, table
from cli.times import moment, utc_now
from cli.trace import Trace
from cli.trace import trace as gather
from fanout.claims import MAX_OBJECTS, listing
from fanout.manifests import Replay, select_replay
from fanout.providers import check_name
from fanout.runs import RunRecord
from fanout.times import format_iso

Name = Annotated[str, typer.Argument(metavar="PROVIDER")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Start it and come back at once.")]


@dataclass(frozen=True)
class RunReport:
    """How a run that was started by hand ended."""

    provider: str
    run_id: str
    status: str
    explanation: str
    record: RunRecord | None


@dataclass(frozen=True)
class RunLine:
    """One run of the history."""

    run_id: str
    claimed_at: datetime
    status: str
    engine: str | None = None
    objects: int | None = None
    rows: int | None = None
    messages: int | None = None
    seconds: float | None = None
    dollars: float | None = None
    replay: bool = False
    error: str | None = None


@dataclass(frozen=True)
class RunsReport:
    """Answer of `fanout runs`, newest first."""

    provider: str
    runs: tuple[RunLine, ...]


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay would send again."""

    provider: str
    start: datetime
    end: datetime
    objects: int
    bytes: int
    first: str | None
    last: str | None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for function in (run, runs, trace, replay):
        command(app)(function)


def run(op: Operator, provider: Name, no_wait: NoWait = False) -> Exit:
    """Start a provider's run now, whether it is due or not, and follow it to its end."""
    _check_registered(op, provider)
    return _start_and_follow(op, provider, None, no_wait=no_wait)


def runs(
    op: Operator, provider: Name, limit: Annotated[int, typer.Option(min=1, help="The most runs to show.")] = 20
) -> None:
    """The history of a provider's runs, newest first: when, engine, rows, messages, seconds, dollars, error."""
    check_name(provider)
    lease = op.stack.ledger.get(provider).lease
    found = records(op.stack.objects, newest(op.stack.client("s3"), op.stack.runs, provider, limit, utc_now()))
    lines = [_line(past, live=lease is not None and lease.run_id == past.folder.run_id) for past in found]
    if lease is not None and all(line.run_id != lease.run_id for line in lines):
        lines.insert(0, RunLine(lease.run_id, lease.claimed_at, "running", replay=lease.replay))
    op.show(RunsReport(provider, tuple(lines[:limit])), _show_runs)


def trace(
    op: Operator,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Execution name (the run's id) or ARN.")],
    provider: Annotated[str | None, typer.Option(help="For runs older than 90 days, which AWS has forgotten.")] = None,
    log_lines: Annotated[int, typer.Option("--log-lines", min=0, help="Log lines to show.")] = 15,
) -> Exit:
    """One run on one page: execution, claim, manifest, job run, log, commit. Status 1 if the run failed."""
    found = gather(op.stack, run, provider, log_lines)
    op.show(found, _show_trace)
    return Exit.UNHEALTHY if found.why else Exit.OK


def replay(
    op: Operator,
    provider: Name,
    start_text: Annotated[
        str, typer.Option("--from", help="Oldest LastModified: ISO 8601, or 30m, 6h, 2d for so long ago.")
    ],
    end_text: Annotated[str, typer.Option("--to", help="Newest LastModified, included.")] = "now",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent again.")] = False,
    yes: Yes = False,
    no_wait: NoWait = False,
) -> Exit:
    """Send a range of a provider's objects again, under the same message ids. The bookmark stays where it is."""
    check_name(provider)
    now = utc_now()
    wanted = Replay.model_validate({"from": moment(start_text, now), "to": moment(end_text, now)})
    if wanted.start > wanted.end:
        raise UsageError("--from lies after --to")
    plan = _plan(op, provider, wanted)
    if dry_run or not plan.objects:
        op.show(plan, _show_plan)
        return Exit.OK
    op.confirm(f"Send {plan.objects} objects ({size(plan.bytes)}) of {provider} again?", yes=yes)
    return _start_and_follow(
        op, provider, {"from": format_iso(wanted.start), "to": format_iso(wanted.end)}, no_wait=no_wait
    )


def _check_registered(op: Operator, provider: str) -> None:
    known = op.stack.config_api.entries()
    if check_name(provider) not in known:
        close = difflib.get_close_matches(provider, map(str, known), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"add it with `fanout providers add {provider}`"
        raise UsageError(f"there is no provider {provider}; {hint}")


def _plan(op: Operator, provider: str, wanted: Replay) -> ReplayPlan:
    settings = op.stack.planning
    found = listing(op.stack.objects, settings, provider, wanted.start)
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
    arn = start(states, op.stack.output("StateMachineArn"), provider, now, wanted)
    run_id = arn.rpartition(":")[2]
    if no_wait:
        op.show(RunReport(provider, run_id, "RUNNING", f"follow it with `fanout trace {run_id}`", None), _show_run)
        return Exit.OK
    op.note(f"started {run_id}")
    ended = watch(states, arn, lambda state: op.note(f"  {state}"), op.stack.poll_seconds)
    record = _record(op, provider, run_id, now)
    report = RunReport(provider, run_id, ended.status, _explanation(ended, run_id, record), record)
    op.show(report, _show_run)
    return Exit.OK if ended.succeeded else Exit.UNHEALTHY


def _record(op: Operator, provider: str, run_id: str, started: datetime) -> RunRecord | None:
    since = started - timedelta(minutes=10)
    found = (f for f in folders(op.stack.client("s3"), op.stack.runs, provider, since) if f.run_id == run_id)
    folder: RunFolder | None = next(found, None)
    if folder is not None:
        return read_record(op.stack.objects, folder.uri)
    last = op.stack.ledger.get(provider).last_run
    return last if last and last.run_id == run_id else None


def _explanation(ended: Ended, run_id: str, record: RunRecord | None) -> str:
    if ended.busy:
        return "another run has the provider; `fanout status` shows which, and it does the work"
    if not ended.succeeded:
        why = record.error if record and record.error else ended.cause or ended.error
        return f"{why}; `fanout trace {run_id}` shows the whole run"
    if record is None or record.engine == "none":
        return "there was nothing new to send"
    return (
        f"{record.messages:,} messages of {record.rows:,} rows in {record.objects:,} objects, {dollars(record.dollars)}"
    )


def _line(past: PastRun, *, live: bool) -> RunLine:
    folder, record = past.folder, past.record
    if record is None:
        return RunLine(folder.run_id, folder.claimed_at, "running" if live else "no record")
    return RunLine(
        run_id=folder.run_id,
        claimed_at=folder.claimed_at,
        status=record.status,
        engine=record.engine,
        objects=record.objects,
        rows=record.rows,
        messages=record.messages,
        seconds=record.seconds,
        dollars=record.dollars,
        replay=record.replay,
        error=record.error,
    )


def _show_run(report: RunReport, console: Console) -> None:
    console.print(f"{report.run_id}: {report.status}: {report.explanation}", markup=False)


def _show_runs(report: RunsReport, console: Console) -> None:
    rows: list[tuple[Any, ...]] = [
        (
            line.claimed_at,
            line.status + (" (replay)" if line.replay else ""),
            line.engine,
            line.rows,
            line.messages,
            None if line.seconds is None else f"{line.seconds:.1f}",
            None if line.dollars is None else dollars(line.dollars),
            line.run_id,
            line.error,
        )
        for line in report.runs
    ]
    columns = ("CLAIMED", "STATUS", "ENGINE", ">ROWS", ">MESSAGES", ">SECONDS", ">DOLLARS", "RUN", "ERROR")
    console.print(table(columns, rows))
    if not rows:
        console.print(f"{report.provider} has had no runs; `fanout run {report.provider}` starts one")


def _show_plan(plan: ReplayPlan, console: Console) -> None:
    span = f"from {format_iso(plan.start)} to {format_iso(plan.end)}"
    if not plan.objects:
        console.print(f"{plan.provider} has no objects {span}: nothing to send again", markup=False)
        return
    console.print(f"{plan.objects:,} objects, {size(plan.bytes)}, {span} would be sent again", markup=False)
    console.print(f"first {plan.first}\nlast  {plan.last}", markup=False)


def _show_trace(found: Trace, console: Console) -> None:
    facts: list[tuple[str, object]] = [("run", found.run_id), ("provider", found.provider)]
    if found.execution:
        part = found.execution
        facts += [("execution", f"{part.status}, {part.arn}"), ("input", part.input), ("began", part.started_at)]
        facts += [("ended", part.ended_at)]
    if found.claim:
        reason = f": {found.record.reason}" if found.record else ""
        facts += [("claim", f"{found.claim.get('decision')}{reason}")]
    if found.manifest:
        m = found.manifest
        facts += [("manifest", f"{m.objects:,} objects, {size(m.bytes)}, {m.backlog:,} left for later: {m.uri}")]
        facts += [("", uri) for uri in m.first]
    if found.job_run:
        facts += [("job run", ", ".join(f"{k} {v}" for k, v in found.job_run.items()))]
    if found.record:
        r = found.record
        figures = f"{r.rows:,} rows, {r.messages:,} messages, {r.seconds:.1f} s, {dollars(r.dollars)}"
        facts += [("record", f"{r.status}, {r.engine}: {figures}")]
    if found.why:
        facts += [("why", found.why)]
    facts += [("commit", found.commit.explanation), ("bookmark", f"generation {found.commit.generation}")]
    console.print(table(("", ""), facts))
    if found.execution and found.execution.steps:
        rows = [
            (s.state, s.entered_at, None if s.seconds is None else f"{s.seconds:.1f}") for s in found.execution.steps
        ]
        console.print(table(("STATE", "ENTERED", ">SECONDS"), rows))
    for line in found.log:
        console.print("  " + short(line), style="dim", markup=False)
