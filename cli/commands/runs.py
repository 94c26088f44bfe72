"""`fanout runs`: the history of a provider's runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from cli.command import Operator, Provider, utc_now
from cli.deployment import Deployment
from cli.history import newest, records
from cli.output import Page, dollars
from fanout.providers import check_name
from fanout.runs import RunRecord

COLUMNS = ("CLAIMED", "STATUS", "ENGINE", ">ROWS", ">MESSAGES", ">SECONDS", ">DOLLARS", "RUN", "ERROR")


@dataclass(frozen=True)
class RunLine:
    """One run of the history; it has no record while it runs, or when it ended without a word."""

    run_id: str
    claimed_at: datetime
    status: str
    replay: bool
    record: RunRecord | None = None


@dataclass(frozen=True)
class RunsReport:
    """Answer of `fanout runs`, newest first."""

    provider: str
    runs: tuple[RunLine, ...]


def runs(
    op: Operator, provider: Provider, limit: Annotated[int, typer.Option(min=1, help="The most runs to show.")] = 20
) -> None:
    """The history of a provider's runs, newest first: when, engine, rows, messages, seconds, dollars, error."""
    op.show(history(op.stack, provider, limit), _show)


def history(stack: Deployment, provider: str, limit: int) -> RunsReport:
    """The newest runs of a provider."""
    check_name(provider)
    lease = stack.ledger.get(provider).lease
    folders = newest(stack.client("s3"), stack.runs, provider, limit, utc_now())
    lines = []
    if lease is not None and all(folder.run_id != lease.run_id for folder in folders):
        lines.append(RunLine(lease.run_id, lease.claimed_at, "running", lease.replay))
    for folder, record in zip(folders, records(stack.objects, folders), strict=True):
        live = lease if lease is not None and lease.run_id == folder.run_id else None
        status = record.status if record else "running" if live else "no record"
        replay = record.replay if record else live is not None and live.replay
        lines.append(RunLine(folder.run_id, folder.claimed_at, status, replay, record))
    return RunsReport(provider, tuple(lines[:limit]))


def _show(report: RunsReport, page: Page) -> None:
    page.table(COLUMNS, map(row, report.runs))
    if not report.runs:
        page.line(f"{report.provider} has had no runs; `fanout run {report.provider}` starts one")


def row(line: RunLine) -> tuple[object, ...]:
    """A run's values, in the order of `COLUMNS`."""
    status, record = line.status + (" (replay)" if line.replay else ""), line.record
    if record is None:
        return line.claimed_at, status, *(None,) * 5, line.run_id, None
    figures = record.engine, record.rows, record.messages, f"{record.seconds:.1f}", dollars(record.dollars)
    return line.claimed_at, status, *figures, line.run_id, record.error
