"""`fanout cost`: what the runs have cost, measured from their records, and what they will if they go on like this."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from cli.command import Operator, utc_now
from cli.deployment import Deployment
from cli.history import folders, read_record
from cli.output import dollars, table
from fanout.costs import PRICES, PRICES_AS_OF, queue_dollars
from fanout.runs import RunRecord

PARALLEL = 16
TRANSITIONS = {"none": 3, "small": 4, "glue": 5}
TRANSITIONS_OF_FAILED = 5
"""States that an execution enters, by engine, and when its job fails. See statemachine/change_log.asl.json."""
YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Spent:
    """One provider's cost.

    Attributes
    ----------
    engines, messages, orchestration
        US dollars: Glue and Lambda as billed, sending to SQS, and Step Functions.
    """

    provider: str
    runs: int
    failed: int
    rows: int
    engines: float
    messages: float
    orchestration: float

    @property
    def dollars(self) -> float:
        """All of it."""
        return self.engines + self.messages + self.orchestration


@dataclass(frozen=True)
class Spending:
    """All providers' costs over a time, and the forecast. Storage, logs, alarms and the ticks are not in it."""

    since: datetime
    until: datetime
    measured_days: float
    providers: tuple[Spent, ...]
    dollars: float
    dollars_a_month: float
    dollars_a_year: float
    prices_as_of: str = PRICES_AS_OF


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


def spent(provider: str, records: Iterable[RunRecord]) -> Spent:
    """Add up one provider's runs."""
    runs = list(records)
    transitions = sum(TRANSITIONS_OF_FAILED if run.status == "failed" else TRANSITIONS[run.engine] for run in runs)
    return Spent(
        provider=provider,
        runs=len(runs),
        failed=sum(run.status == "failed" for run in runs),
        rows=sum(run.rows for run in runs),
        engines=sum(run.dollars for run in runs),
        messages=sum(queue_dollars(run.messages) for run in runs),
        orchestration=transitions * PRICES["step_functions_transition"],
    )


def spending(by_provider: Iterable[Spent], first_run: datetime | None, since: datetime, until: datetime) -> Spending:
    """Sum up, the dearest first, and forecast from the time that is covered by runs, but at least one hour."""
    found = sorted(by_provider, key=lambda one: (-one.dollars, one.provider))
    total = sum(one.dollars for one in found)
    covered = max(until - max(since, first_run or since), timedelta(hours=1)) / timedelta(days=1)
    a_day = total / covered
    return Spending(since, until, round(covered, 3), tuple(found), total, a_day * YEAR_DAYS / 12, a_day * YEAR_DAYS)


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
