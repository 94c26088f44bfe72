"""`fanout runs`: the history of a provider's runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from fanout.providers import check_name
from fanout.run_state import RunState, run_state
from fanout.runs import RunRecord

from ..command import Command, Context, Provider, iam, utc_now
from ..deployment import Deployment
from ..history import newest, records
from ..output import Page, dollars
from ..overview import is_run_of
from .run import REPLAY

app = typer.Typer()
COLUMNS = (
    "STARTED",
    "STATUS",
    "ENGINE",
    ">ROWS",
    ">MESSAGES",
    ">IGNORED",
    ">QUARANTINED",
    ">SECONDS",
    ">DOLLARS",
    "RUN",
    "ERROR",
)


@dataclass(frozen=True)
class RunLine:
    """One run. It has no record while it is in progress, and if it failed before it took the lease.

    `started_at` is when the run took the lease; for one that failed before, when its execution started.
    """

    run_id: str
    started_at: datetime
    status: RunState
    replay: bool
    record: RunRecord | None = None


@dataclass(frozen=True)
class RunsReport:
    """Answer of `fanout runs`, newest first."""

    provider: str
    runs: tuple[RunLine, ...]


@app.command(cls=Command, epilog=iam("runs"))
def runs(
    ctx: Context,
    provider: Provider,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs to show.")] = 20,
) -> None:
    """List a provider's runs, the newest first: start, status, engine, figures, cost and error."""
    ctx.obj.show(history(ctx.obj.stack, provider, limit), _show)


def history(stack: Deployment, provider: str, limit: int) -> RunsReport:
    """The newest runs of a provider: those that took the lease, and executions that failed before."""
    check_name(provider)
    lease, now = stack.ledger.get(provider).lease, utc_now()
    failed = {one.run_id: one for one in stack.failed_executions() if is_run_of(one.run_id, provider)}
    folders = newest(stack.client("s3"), stack.data_bucket, provider, limit, now)
    started = {folder.run_id: folder.claimed_at for folder in folders}
    if lease is not None:
        started.setdefault(lease.run_id, lease.claimed_at)
    oldest = min(started.values()) if len(started) >= limit else None
    for run_id, one in failed.items():
        if oldest is None or one.started_at > oldest:
            started.setdefault(run_id, one.started_at)
    found = dict(zip((folder.run_id for folder in folders), records(stack.objects, folders), strict=True))
    lines = []
    for run_id, started_at in started.items():
        record, held = found.get(run_id), lease if lease is not None and lease.run_id == run_id else None
        execution = failed[run_id].status if run_id in failed else None
        state = run_state(record, held, execution, now, claimed=run_id in found)
        replay = record.replay if record else held.replay if held else run_id.endswith(REPLAY)
        lines.append(RunLine(run_id, started_at, state, replay, record))
    lines.sort(key=lambda line: line.started_at, reverse=True)
    return RunsReport(provider, tuple(lines[:limit]))


def _show(report: RunsReport, page: Page) -> None:
    page.table(COLUMNS, map(row, report.runs))
    if not report.runs:
        page.line(f"{report.provider} has no runs yet; start one with `fanout run {report.provider}`")


def row(line: RunLine) -> tuple[object, ...]:
    """A run's values, in the order of `COLUMNS`."""
    status, record = line.status + (" (replay)" if line.replay else ""), line.record
    if record is None:
        return line.started_at, status, *(None,) * 7, line.run_id, error_of(line)
    counts = record.rows, record.messages, record.ignored, record.quarantined or None
    figures = f"{record.seconds:.1f}", dollars(record.dollars)
    return line.started_at, status, record.engine, *counts, *figures, line.run_id, error_of(line)


def error_of(line: RunLine) -> str | None:
    """Why a run failed, in one line; None if it did not."""
    if line.status is not RunState.FAILED:
        return None
    if line.record is None or line.record.failure is None:
        return f"failed without a record; see `fanout trace {line.run_id}`"
    return line.record.failure.in_one_line(line.record.failure_count)
