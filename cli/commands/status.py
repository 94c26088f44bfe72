"""`fanout status` and `fanout failed`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from cli.command import Operator, utc_now
from cli.errors import Exit
from cli.output import Page, counted
from cli.overview import UNHEALTHY, Condition, Overview, Standing, survey
from fanout.adapters import StepFunctions

LateAfter = Annotated[int, typer.Option("--late-after", min=1, help="Minutes that a due provider may wait for a run.")]

_PARTICULARS = (
    (re.compile(r"s3://\S+?(?=[,:;\s]|$)"), "s3://…"),
    (re.compile(r"\bjr_[0-9a-f]+\b"), "jr_…"),
    (re.compile(r"\b[0-9A-Za-z_-]*\d{8}T\d{6}Z[0-9A-Za-z_-]*"), "…"),
    (re.compile(r"\b[0-9a-f]{16,}\b"), "…"),
    (re.compile(r"(?<![A-Za-z])\d+"), "n"),
)
UNKNOWN = "no cause was recorded"


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
class Cause:
    """Providers that fail for the same reason."""

    cause: str
    providers: tuple[str, ...]
    example: str
    run_id: str | None


@dataclass(frozen=True)
class FailedReport:
    """Answer of `fanout failed`."""

    at: datetime
    failing: int
    causes: tuple[Cause, ...]


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
    settings, late = op.stack.dispatching, timedelta(minutes=late_after)
    pending = op.stack.pending.waiting() if settings.discovery == "events" else None
    return survey(op.stack.config_api, op.stack.ledger, executions, utc_now(), late, pending, settings.sweep)


def group(standings: Iterable[Standing]) -> list[Cause]:
    """The failing and stuck providers by cause, the most frequent first."""
    groups: dict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        if standing.condition in (Condition.FAILING, Condition.STUCK, Condition.INVALID):
            groups[general(standing.why or UNKNOWN, standing.provider)].append(standing)
    found = [
        Cause(cause, tuple(s.provider for s in alike), alike[0].why or UNKNOWN, alike[0].run_id)
        for cause, alike in groups.items()
    ]
    return sorted(found, key=lambda cause: (-len(cause.providers), cause.cause))


def general(why: str, provider: str) -> str:
    """A cause without what is particular to one run."""
    why = re.sub(rf"(?<![\w.=-]){re.escape(provider)}(?![\w.-])", "PROVIDER", why)
    for pattern, placeholder in _PARTICULARS:
        why = pattern.sub(placeholder, why)
    return why


def _show_status(report: StatusReport, page: Page) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items()) or "none"
    page.line(f"{counted(report.providers, 'provider')}: {counts}")
    if report.shown:
        rows = [
            (s.provider, s.condition.value, s.last_success, s.next_due, s.late_by, s.failures or None, s.run_id, s.why)
            for s in report.shown
        ]
        page.table(("PROVIDER", "IS", "LAST SUCCESS", "NEXT DUE", "LATE BY", ">FAILURES", "RUN", "WHY"), rows)
    if report.not_shown:
        page.line(f"and {report.not_shown:,} more; --limit shows more, --all shows every provider")
    if not report.healthy:
        page.line("fanout failed groups the failures by cause; fanout trace RUN shows one run")


def _show_failed(report: FailedReport, page: Page) -> None:
    if not report.causes:
        page.line("no provider is failing")
    for cause in report.causes:
        names = ", ".join(cause.providers[:10]) + (", …" if len(cause.providers) > 10 else "")
        page.line(f"{len(cause.providers):,} x {cause.cause}", style="bold")
        page.line(f"  providers: {names}")
        page.line(f"  for example: {cause.example}")
        if cause.run_id:
            page.line(f"  look at it: fanout trace {cause.run_id}")
