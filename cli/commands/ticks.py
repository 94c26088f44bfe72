"""`fanout ticks`: the reports of the latest ticks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from contract.times import parse_iso

from ..command import Command, Context, iam, utc_now
from ..errors import Exit
from ..logs import ticks as read_ticks
from ..output import Page

app = typer.Typer()
COUNTS = ("providers", "due", "started", "running", "idle", "maintenance", "deferred", "failed_starts", "invalid")


@dataclass(frozen=True)
class TicksReport:
    """Answer of `fanout ticks`: the reports of the ticks (`fanout.dispatcher.TickReport`), the newest first."""

    since: datetime
    ticks: tuple[dict[str, Any], ...]


@app.command(cls=Command, epilog=iam("ticks"))
def ticks(
    ctx: Context,
    hours: Annotated[int, typer.Option(min=1, max=24, help="Hours to look back.")] = 3,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of ticks to show.")] = 20,
) -> Exit:
    """List the latest ticks: how many providers were due, started or deferred. Exit status 1 if the last had faults."""
    now = utc_now()
    since = now - timedelta(hours=hours)
    found = tuple(read_ticks(ctx.obj.stack, since, now)[:limit])
    ctx.obj.show(TicksReport(since, found), _show)
    return Exit.UNHEALTHY if not found or found[0].get("faults") else Exit.OK


def _show(report: TicksReport, page: Page) -> None:
    columns = ("TICK", *(f">{name.replace('_', ' ').upper()}" for name in COUNTS), "FAULTS")
    rows = [
        (parse_iso(tick["scheduled_at"]), *map(tick.get, COUNTS), "; ".join(map(str, tick.get("faults", ()))) or None)
        for tick in report.ticks
    ]
    page.table(columns, rows)
    if not rows:
        page.line("No tick ended in this period; `fanout doctor` checks the schedule.")
