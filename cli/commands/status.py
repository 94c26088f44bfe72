"""`fanout status` and `fanout failed`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from contract.failure import Failure
from fanout.health import LATE_AFTER, UNHEALTHY, Condition, Health
from fanout.providers import Window

from ..command import Command, Context, iam
from ..errors import Exit
from ..output import Page, counted, show
from ..overview import look
from ..quarantine import Quarantine, look_into

app = typer.Typer()
LateAfter = Annotated[
    int,
    typer.Option(
        "--late-after", min=1, max=525600, help="Minutes without a run after which a due provider counts as late."
    ),
]
LATE_MINUTES = int(LATE_AFTER.total_seconds() // 60)

UNKNOWN = Failure(type="UnknownError", message="no cause was recorded")


@dataclass(frozen=True)
class StatusReport:
    """Answer of `fanout status`."""

    at: datetime
    healthy: bool
    providers: int
    counts: dict[str, int]
    missing_providers: int
    quarantine: Quarantine
    shown: tuple[Health, ...]
    not_shown: int
    maintenance: tuple[Window, ...] = ()


@dataclass(frozen=True)
class Cause:
    """Providers that fail for the same cause: errors of the same type and cause, which the error itself names."""

    cause: str
    advice: str
    providers: tuple[str, ...]
    example: Failure
    run_id: str | None


@dataclass(frozen=True)
class FailedReport:
    """Answer of `fanout failed`."""

    at: datetime
    failing: int
    causes: tuple[Cause, ...]


@app.command(cls=Command, epilog=iam("status"))
def status(
    ctx: Context,
    every: Annotated[
        bool, typer.Option("--all", help="Show every provider, not only unhealthy and running ones.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of providers to show.")] = 50,
    late_after: LateAfter = LATE_MINUTES,
) -> Exit:
    """Show which providers need attention, and which are running. Exit status 1 if any needs attention."""
    overview = look(ctx.obj.stack, timedelta(minutes=late_after))
    notable = [h for h in overview.health if every or h.condition in (*UNHEALTHY, Condition.RUNNING)]
    shown = tuple(notable if every else notable[:limit])
    report = StatusReport(
        overview.at,
        overview.healthy,
        overview.providers,
        overview.counts,
        overview.missing_providers,
        look_into(ctx.obj.stack),
        shown,
        len(notable) - len(shown),
        overview.maintenance,
    )
    ctx.obj.show(report, _show_status)
    return Exit.OK if overview.healthy else Exit.UNHEALTHY


@app.command(cls=Command, epilog=iam("failed"))
def failed(ctx: Context, late_after: LateAfter = LATE_MINUTES) -> Exit:
    """Show failing providers, grouped by cause. Exit status 1 if there are any."""
    overview = look(ctx.obj.stack, timedelta(minutes=late_after))
    causes = tuple(group(overview.health))
    ctx.obj.show(FailedReport(overview.at, sum(len(c.providers) for c in causes), causes), _show_failed)
    return Exit.UNHEALTHY if causes else Exit.OK


def group(providers: Iterable[Health]) -> list[Cause]:
    """The providers with an error by cause, the most frequent cause first. Late ones have none; some may be on hold."""
    groups: dict[str, list[Health]] = defaultdict(list)
    for health in providers:
        if health.has_failed or (health.condition in UNHEALTHY and health.condition is not Condition.LATE):
            groups[(health.failure or UNKNOWN).kind].append(health)
    found = []
    for cause, alike in groups.items():
        example = alike[0].failure or UNKNOWN
        found.append(Cause(cause, example.advice, tuple(h.provider for h in alike), example, alike[0].run_id))
    return sorted(found, key=lambda cause: (-len(cause.providers), cause.cause))


def shrank(missing: int) -> str:
    """Describe a list that shrank, and what to do about it."""
    return (
        f"The config API's list has lost {counted(missing, 'provider')}. Correct it, or accept it with "
        "`fanout providers accept`."
    )


def _show_status(report: StatusReport, page: Page) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items()) or "none"
    page.line(f"{counted(report.providers, 'provider')}: {counts}")
    if report.missing_providers:
        page.line(shrank(report.missing_providers))
    page.lines(report.quarantine.sentences())
    for window in report.maintenance:
        page.line(f"{window.text}, since {show(window.since)}; no run starts", style="yellow")
    if report.shown:
        rows = [
            (h.provider, h.condition, h.since, h.last_success, h.next_due, h.failures or None, h.run_id, h.details)
            for h in report.shown
        ]
        page.table(("PROVIDER", "STATUS", "SINCE", "LAST SUCCESS", "NEXT DUE", ">FAILURES", "RUN", "DETAILS"), rows)
    if report.not_shown:
        page.line(f"{report.not_shown:,} more not shown; use --limit, or --all for every provider")
    if not report.healthy:
        page.line("Next: `fanout failed` groups failures by cause; `fanout trace RUN` shows one run.")


def _show_failed(report: FailedReport, page: Page) -> None:
    if not report.causes:
        page.line("No provider is failing.")
    for cause in report.causes:
        names = ", ".join(cause.providers[:10]) + (", …" if len(cause.providers) > 10 else "")
        page.line(f"{len(cause.providers):,} x {cause.cause}", style="bold")
        page.line(f"  providers: {names}")
        page.line(f"  example: {cause.example.text}")
        page.line(f"  advice: {cause.advice}")
        if cause.run_id:
            page.line(f"  details: `fanout trace {cause.run_id}`")
