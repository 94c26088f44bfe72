"""`fanout doctor`: is everything in place for runs?"""

from __future__ import annotations

from dataclasses import dataclass

import typer
from rich.console import Console

from cli.checks import Check, Verdict, examine
from cli.command import Operator, command
from cli.errors import Exit
from cli.output import table
from cli.times import utc_now


@dataclass(frozen=True)
class DoctorReport:
    """Every check."""

    healthy: bool
    checks: tuple[Check, ...]


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app)(doctor)


def doctor(op: Operator) -> Exit:
    """Check configuration, permissions, quotas, secret, schedule, script and clock. Status 1 if a check fails."""
    checks = tuple(examine(op.stack, utc_now))
    healthy = all(check.verdict is not Verdict.FAIL for check in checks)
    op.show(DoctorReport(healthy, checks), _show)
    return Exit.OK if healthy else Exit.UNHEALTHY


def _show(report: DoctorReport, console: Console) -> None:
    rows = [
        (check.verdict.value, check.name, check.found + (f" -> {check.advice}" if check.advice else ""))
        for check in report.checks
    ]
    console.print(table(("", "CHECK", "FOUND"), rows))
