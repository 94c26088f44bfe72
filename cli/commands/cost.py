"""`fanout cost`: what the runs have cost, measured from their records, and what they will if they go on like this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from cli.article import article_dollars
from cli.command import Operator, utc_now
from cli.commands.providers import is_name
from cli.deployment import Deployment
from cli.history import folders, read_record
from cli.output import Page, dollars, duration
from fanout.costs import PRICES, PRICES_AS_OF, queue_dollars
from fanout.providers import parse_entries
from fanout.runs import RunRecord

PARALLEL = 16
TRANSITIONS = {"none": 3, "lambda": 4, "glue": 5}
TRANSITIONS_OF_FAILED = 5
"""States that an execution enters, by engine, and when its job fails. See statemachine/change_log.asl.json."""
YEAR_DAYS = 365.25
FORECAST_DAYS = 3
"""From fewer days nothing is forecast: one night, one large first run or one outage would count too much."""


COLUMNS = ("PROVIDER", ">RUNS", ">FAILED", ">ROWS", ">GLUE+LAMBDA", ">SQS", ">STEP FUNCTIONS", ">TOTAL")


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
    first_run: datetime | None = None

    @property
    def dollars(self) -> float:
        """All of it."""
        return self.engines + self.messages + self.orchestration


@dataclass(frozen=True)
class Spending:
    """All providers' costs over a time, and the forecast. Storage, logs, alarms and the ticks are not in it.

    Attributes
    ----------
    article_dollars
        What the article's design would have cost in the same time for the same rows.
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


def cost(op: Operator, days: Annotated[int, typer.Option(min=1, help="How far to look back.")] = 7) -> None:
    """Cost of the runs by provider, measured from their records, and a forecast. `make cost` estimates a whole bill."""
    until = utc_now()
    since = until - timedelta(days=days)
    entries = op.stack.config_api.entries()
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda name: measure(op.stack, name, since), filter(is_name, entries)))
    op.show(spending(found, since, until, periods(entries, until)), _show)


def measure(stack: Deployment, provider: str, since: datetime) -> Spent:
    """What one provider's runs have cost since a time."""
    runs = list(folders(stack.client("s3"), stack.runs, provider, since))
    records = [record for run in runs if (record := read_record(stack.objects, run.uri))]
    return spent(provider, records, runs[0].claimed_at if runs else None)


def periods(entries: Mapping[str, object], now: datetime) -> dict[str, timedelta]:
    """How often each provider is due that is not paused, of the entries that can be used."""
    usable, _ = parse_entries(entries, now)
    return {name: entry.period for name, entry in usable.items() if not entry.paused}


def spent(provider: str, records: Iterable[RunRecord], first_run: datetime | None = None) -> Spent:
    """Add up one provider's runs, the first of which was claimed then."""
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
    """Sum up, the dearest first, and forecast from the time since the first run, if that is long enough.

    Parameters
    ----------
    due_every
        Provider -> how often it is due, for the article's bill.
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
    """What a provider's runs cost, in the order of `COLUMNS`."""
    amounts = one.engines, one.messages, one.orchestration, one.dollars
    return one.provider, one.runs, one.failed, one.rows, *map(dollars, amounts)


def _show(report: Spending, page: Page) -> None:
    page.table(COLUMNS, map(row, report.providers))
    covered = duration(timedelta(days=report.measured_days))
    page.line(f"{dollars(report.dollars)} in {covered} (prices of {report.prices_as_of})")
    page.line(f"the article's design would have cost {dollars(report.article_dollars)}")
    if report.dollars_a_month is None or report.dollars_a_year is None:
        page.line(f"no forecast yet: it takes {FORECAST_DAYS} days of runs")
    else:
        month, year = dollars(report.dollars_a_month), dollars(report.dollars_a_year)
        page.line(f"if it goes on like this: {month} a month, {year} a year")
