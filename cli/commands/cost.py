"""`fanout cost`: the measured cost of runs, and a forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from fanout.costs import PRICES, PRICES_AS_OF, queue_dollars
from fanout.providers import is_name, parse_entries
from fanout.runs import RunRecord

from ..article import article_dollars
from ..command import Command, Context, iam, utc_now
from ..deployment import Deployment
from ..history import folders, read_record
from ..output import Page, dollars, duration

app = typer.Typer()
PARALLEL = 16
TRANSITIONS = {"none": 3, "lambda": 4, "glue": 5}
TRANSITIONS_OF_FAILED = 5
"""State transitions of an execution, by engine, and of one whose job fails. See statemachine/change_log.asl.json."""
YEAR_DAYS = 365.25
FORECAST_DAYS = 3
"""The fewest days for a forecast: in fewer, one night, one large first run or one outage would count too much."""


COLUMNS = ("PROVIDER", ">RUNS", ">FAILED", ">ROWS", ">GLUE+LAMBDA", ">SQS", ">STEP FUNCTIONS", ">TOTAL")


@dataclass(frozen=True)
class Spent:
    """The cost of one provider's runs.

    Attributes
    ----------
    engines, messages, orchestration
        US dollars for Glue and Lambda, for sending to SQS, and for Step Functions.
    """

    provider: str
    runs: int
    failed: int
    rows: int
    engines: float
    messages: float
    orchestration: float
    first_run: datetime | None = None

    @property
    def dollars(self) -> float:
        """The total in US dollars."""
        return self.engines + self.messages + self.orchestration


@dataclass(frozen=True)
class Spending:
    """The cost of all providers' runs in a period, and a forecast; without storage, logs, alarms and ticks.

    Attributes
    ----------
    article_dollars
        What the design of the original article would have cost for the same rows.
    """

    since: datetime
    until: datetime
    measured_days: float
    providers: tuple[Spent, ...]
    dollars: float
    dollars_a_month: float | None
    dollars_a_year: float | None
    article_dollars: float
    prices_as_of: str = PRICES_AS_OF


@app.command(cls=Command, epilog=iam("cost"))
def cost(ctx: Context, days: Annotated[int, typer.Option(min=1, max=3650, help="Days to look back.")] = 7) -> None:
    """Show the measured cost of runs by provider, and a forecast. `make cost` estimates a whole bill."""
    until = utc_now()
    since = until - timedelta(days=days)
    stack = ctx.obj.stack
    entries = stack.config_api.entries()
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda name: measure(stack, name, since), filter(is_name, entries)))
    ctx.obj.show(spending(found, since, until, periods(entries, until)), _show)


def measure(stack: Deployment, provider: str, since: datetime) -> Spent:
    """The cost of one provider's runs since a time."""
    runs = list(folders(stack.client("s3"), stack.data_bucket, provider, since))
    records = [record for run in runs if (record := read_record(stack.objects, run.uri))]
    return spent(provider, records, runs[0].claimed_at if runs else None)


def periods(entries: Mapping[str, object], now: datetime) -> dict[str, timedelta]:
    """Provider -> its period, of the valid entries that are not paused."""
    valid, _ = parse_entries(entries, now)
    return {name: entry.period for name, entry in valid.items() if not entry.paused}


def spent(provider: str, records: Iterable[RunRecord], first_run: datetime | None = None) -> Spent:
    """Add up the cost of one provider's runs; `first_run` is when the first one was claimed."""
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
        first_run=first_run,
    )


def spending(
    by_provider: Iterable[Spent], since: datetime, until: datetime, due_every: Mapping[str, timedelta]
) -> Spending:
    """Add up the cost of all providers, the most expensive first, and forecast it if the period is long enough.

    Parameters
    ----------
    due_every
        Provider -> its period, for the cost of the article's design.
    """
    found = sorted((one for one in by_provider if one.runs), key=lambda one: (-one.dollars, one.provider))
    total = sum(one.dollars for one in found)
    covered = until - max(since, min((one.first_run for one in found if one.first_run), default=until))
    days = covered / timedelta(days=1)
    a_year = total / days * YEAR_DAYS if days >= FORECAST_DAYS else None
    a_month = None if a_year is None else a_year / 12
    article = article_dollars(due_every, {one.provider: one.rows for one in found}, covered)
    return Spending(since, until, round(days, 5), tuple(found), total, a_month, a_year, article)


def row(one: Spent) -> tuple[object, ...]:
    """A provider's cost, in the order of `COLUMNS`."""
    amounts = one.engines, one.messages, one.orchestration, one.dollars
    return one.provider, one.runs, one.failed, one.rows, *map(dollars, amounts)


def _show(report: Spending, page: Page) -> None:
    page.table(COLUMNS, map(row, report.providers))
    covered = duration(timedelta(days=report.measured_days))
    page.line(f"{dollars(report.dollars)} in {covered} (prices of {report.prices_as_of})")
    page.line(f"The design of the original article would have cost {dollars(report.article_dollars)}.")
    if report.dollars_a_month is None or report.dollars_a_year is None:
        page.line(f"No forecast yet: it needs {FORECAST_DAYS} days of runs.")
    else:
        month, year = dollars(report.dollars_a_month), dollars(report.dollars_a_year)
        page.line(f"Forecast at this rate: {month} per month, {year} per year.")
