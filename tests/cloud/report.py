"""Report of the smoke test: one line for each part of the stack."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cli.errors import Exit
from cli.output import Page


class Outcome(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Check:
    """One part of the stack, and what the smoke test found."""

    part: str
    outcome: Outcome
    details: str


@dataclass(frozen=True)
class Report:
    """Answer of the smoke test."""

    checks: tuple[Check, ...]
    strict: bool = False
    """Whether a part that was not checked counts as failed."""

    @property
    def status(self) -> Exit:
        """The exit status."""
        bad = {Outcome.FAILED, Outcome.NOT_CHECKED} if self.strict else {Outcome.FAILED}
        return Exit.UNHEALTHY if any(check.outcome in bad for check in self.checks) else Exit.OK


class BrokenError(Exception):
    """A part of the stack does not work.

    Parameters
    ----------
    details
        What is wrong, and where to look.
    part
        The part concerned, if it is not the one that was being checked.
    """

    def __init__(self, details: str, part: str | None = None) -> None:
        super().__init__(details)
        self.part = part


class NotCheckedError(Exception):
    """A part cannot be checked here; the message says why, and what to do about it."""


def show(report: Report, page: Page) -> None:
    """Print the report as a table, and the result as a sentence."""
    page.table(("RESULT", "PART", "DETAILS"), [(c.outcome.value, c.part, c.details) for c in report.checks])
    count = {outcome: sum(check.outcome is outcome for check in report.checks) for outcome in Outcome}
    failed = ", ".join(check.part for check in report.checks if check.outcome is Outcome.FAILED)
    said = f"{count[Outcome.OK]} parts work" + (f", broken: {failed}" if failed else "")
    page.line(said + (f", {count[Outcome.NOT_CHECKED]} not checked" if count[Outcome.NOT_CHECKED] else ""))
