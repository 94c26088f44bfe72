"""`fanout cost`: the measured cost of runs, with outliers and a forecast."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from contract.uris import runs_dir
from fanout.providers import is_name

from ..bulk import FAILURES, each
from ..command import Command, Context, Operator, iam, utc_now
from ..deployment import Deployment
from ..errors import Exit, UsageError
from ..output import Page, counted, dollars, duration, show
from ..spending import (
    FORECAST_DAYS,
    RULE,
    SERVICES,
    By,
    Line,
    Spending,
    explain,
    factor,
    latest,
    measure,
    not_included,
    outliers,
    periods,
    spending,
)
from ..times import FORMS, told
from .providers import folders

app = typer.Typer()
COLUMNS = (">RUNS", ">FAILED", ">ROWS", ">TOTAL", *(f">{name.upper()}" for name in SERVICES), "OUTLIER")
SHOWN = 50
"""The most providers in the text; --json has all."""


@app.command(cls=Command, epilog=iam("cost"))
def cost(
    ctx: Context,
    start_text: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help=f"Start: {FORMS}. Defaults to the latest 7 UTC days, with today."),
    ] = None,
    end_text: Annotated[str, typer.Option("--to", metavar="TIME", help="End, exclusive.")] = "now",
    by: Annotated[
        By, typer.Option(help=f"A line for each UTC day, provider, AWS service, or engine (glue, lambda, none). {RULE}")
    ] = By.PROVIDER,
) -> Exit:
    """Show the measured cost of runs, its outliers, and a forecast. `make cost` estimates a whole bill."""
    op, now = ctx.obj, utc_now()
    since, until = _range(op, start_text, end_text, now)
    names = with_runs(op.stack)
    due_every = periods(op.stack.config_api.entries(), now)
    outcome = each(op, names, lambda name: measure(op.stack, name, since, until), "measured")
    found = [one for spent in outcome.done.values() for one in spent]
    op.show(spending(found, since, until, due_every, by), _show)
    for name, why in list(outcome.failed.items())[:FAILURES]:
        op.note(f"not included: {name}: {why}")
    if missing := len(outcome.failed) + len(outcome.not_tried):
        op.note(f"the cost of {counted(missing, 'provider')} is not included")
    return outcome.exit_status


def _range(op: Operator, start_text: str | None, end_text: str, now: datetime) -> tuple[datetime, datetime]:
    since = latest(now) if start_text is None else told(op, start_text, now)
    until = told(op, end_text, now)
    for name, moment in (("--from", since), ("--to", until)):
        if moment > now:
            raise UsageError(f"{name} is in the future ({show(moment)}); use a time in the past, such as yesterday")
    if since >= until:
        raise UsageError(f"--from ({show(since)}) must be before --to ({show(until)}); use an earlier --from")
    return since, until


def with_runs(stack: Deployment) -> list[str]:
    """The providers that have had runs, also those that are no longer in the list."""
    found = folders(stack.client("s3"), runs_dir(stack.data_bucket, "").removesuffix("provider=/"))
    return list(filter(is_name, found))


def row(line: Line) -> tuple[object, ...]:
    """The cost of a day, provider or engine: its name, and the values of `COLUMNS`."""
    amounts = (line.dollars, *line.services.values())
    return line.name, line.runs, line.failed, line.rows, *map(dollars, amounts), factor(line)


def _show(report: Spending, page: Page) -> None:
    span = f"from {show(report.since)} to {show(report.until)}"
    if not report.dollars:
        page.line(f"No runs were claimed {span}.")
        return
    head, shown = report.by.upper(), report.lines if report.by is By.DAY else report.lines[:SHOWN]
    if report.by is By.SERVICE:
        shares = [(one.name, dollars(one.dollars), f"{one.dollars / report.dollars:.0%}") for one in shown]
        page.table((head, ">TOTAL", ">SHARE"), shares)
    else:
        page.table((head, *COLUMNS), map(row, shown))
    if len(report.lines) > len(shown):
        page.line(f"{len(report.lines) - len(shown):,} more not shown; --json lists all")
    for line in outliers(report.lines):
        page.line(explain(line, report.by), style="yellow")
    covered = duration(report.covered)
    page.line(f"{dollars(report.dollars)} {span}, in {covered} since the first run (prices of {report.prices_as_of})")
    page.line(f"Not included: {not_included(report)}.")
    page.line(f"The design of the original article would have cost {dollars(report.article_dollars)}.")
    if report.dollars_a_month is None or report.dollars_a_year is None:
        page.line(f"No forecast yet: it needs {FORECAST_DAYS} days of runs.")
    else:
        month, year = dollars(report.dollars_a_month), dollars(report.dollars_a_year)
        page.line(f"Forecast at this rate: {month} per month, {year} per year.")
