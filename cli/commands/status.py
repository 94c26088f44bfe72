"""`fanout status` and `fanout failed`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from cli.causes import Cause, group
from cli.command import Operator, command, utc_now
from cli.errors import Exit
from cli.output import table
from cli.overview import UNHEALTHY, Condition, Overview, Standing, survey
from fanout.adapters import StepFunctions

LateAfter = Annotated[int, typer.Option("--late-after", min=1, help="Minutes that a due provider may wait for a run.")]


@dataclass(frozen=True)
class StatusReport:
    """Answer of `fanout status`."""

    at: datetime
    healthy: bool
    providers: int
    counts: dict[str, int]
    shown: tuple[Standing, ...]
    not_shown: int


@dataclass(frozen=True)
class FailedReport:
    """Answer of `fanout failed`."""

    at: datetime
    failing: int
    causes: tuple[Cause, ...]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app)(status)
    command(app)(failed)


def status(
    op: Operator,
    every: Annotated[bool, typer.Option("--all", help="Show every provider, not only those to look at.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The most providers to show.")] = 50,
    late_after: LateAfter = 30,
) -> Exit:
    """What is late, failing, stuck or running, and when each provider is due next. Status 1 if somebody has to act."""
    overview = look(op, late_after)
    notable = [s for s in overview.standings if every or s.condition in (*UNHEALTHY, Condition.RUNNING)]
    shown = tuple(notable if every else notable[:limit])
    report = StatusReport(
        overview.at, overview.healthy, overview.providers, overview.counts, shown, len(notable) - len(shown)
    )
    op.show(report, _show_status)
    return Exit.OK if overview.healthy else Exit.UNHEALTHY


def failed(op: Operator, late_after: LateAfter = 30) -> Exit:
    """All failing providers, grouped by cause. Status 1 if there are any."""
    overview = look(op, late_after)
    causes = tuple(group(overview.standings))
    op.show(FailedReport(overview.at, sum(len(c.providers) for c in causes), causes), _show_failed)
    return Exit.UNHEALTHY if causes else Exit.OK


def look(op: Operator, late_after: int) -> Overview:
    """Look at every provider of the stack."""
    executions = StepFunctions(op.stack.client("stepfunctions"), op.stack.output("StateMachineArn"))
    return survey(op.stack.config_api, op.stack.ledger, executions, utc_now(), timedelta(minutes=late_after))


def _show_status(report: StatusReport, console: Console) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items()) or "none"
    console.print(f"{report.providers:,} providers: {counts}")
    if report.shown:
        rows = [
            (s.provider, s.condition.value, s.last_success, s.next_due, s.late_by, s.failures or None, s.run_id, s.why)
            for s in report.shown
        ]
        console.print(table(("PROVIDER", "IS", "LAST SUCCESS", "NEXT DUE", "LATE BY", ">FAILURES", "RUN", "WHY"), rows))
    if report.not_shown:
        console.print(f"and {report.not_shown:,} more; --limit shows more, --all shows every provider")
    if not report.healthy:
        console.print("fanout failed groups the failures by cause; fanout trace RUN shows one run")


def _show_failed(report: FailedReport, console: Console) -> None:
    if not report.causes:
        console.print("no provider is failing")
    for cause in report.causes:
        names = ", ".join(cause.providers[:10]) + (", …" if len(cause.providers) > 10 else "")
        console.print(f"{len(cause.providers):,} x {cause.cause}", style="bold", markup=False)
        console.print(f"  providers: {names}", markup=False)
        console.print(f"  for example: {cause.example}", markup=False)
        if cause.run_id:
            console.print(f"  look at it: fanout trace {cause.run_id}", markup=False)
