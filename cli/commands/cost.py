"""`fanout cost`: what the runs have cost, and what they will."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from cli.command import Operator, command
from cli.deployment import Deployment
from cli.history import folders, read_record
from cli.output import dollars, table
from cli.spending import Spending, Spent, spending, spent
from cli.times import utc_now

PARALLEL = 16


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app)(cost)


def cost(op: Operator, days: Annotated[int, typer.Option(min=1, help="How far to look back.")] = 7) -> None:
    """Cost of the runs by provider, measured from their records, and a forecast. `make cost` estimates a whole bill."""
    until = utc_now()
    since = until - timedelta(days=days)
    names = [str(name) for name in op.stack.config_api.entries()]
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda name: _measure(op.stack, name, since), names))
    first = min((began for _, began in found if began), default=None)
    op.show(spending((one for one, _ in found if one.runs), first, since, until), _show)


def _measure(stack: Deployment, provider: str, since: datetime) -> tuple[Spent, datetime | None]:
    runs = list(folders(stack.client("s3"), stack.runs, provider, since))
    records = [record for run in runs if (record := read_record(stack.objects, run.uri))]
    return spent(provider, records), runs[0].claimed_at if runs else None


def _show(report: Spending, console: Console) -> None:
    rows = [
        (s.provider, s.runs, s.failed, s.rows, *map(dollars, (s.engines, s.messages, s.orchestration, s.dollars)))
        for s in report.providers
    ]
    columns = ("PROVIDER", ">RUNS", ">FAILED", ">ROWS", ">GLUE+LAMBDA", ">SQS", ">STEP FUNCTIONS", ">TOTAL")
    console.print(table(columns, rows))
    console.print(f"{dollars(report.dollars)} in {report.measured_days:g} days (prices of {report.prices_as_of})")
    console.print(
        f"if it goes on like this: {dollars(report.dollars_a_month)} a month, {dollars(report.dollars_a_year)} a year"
    )
