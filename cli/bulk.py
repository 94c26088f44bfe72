"""Carries out an order for many providers: a plan first, one confirmation, progress, and a summary of what failed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from .command import Operator
from .errors import EXPECTED, Exit, as_operator_error
from .output import Page, counted
from .selection import SHOWN, Request, Selected, shown

PARALLEL = 16
"""Requests at once. The built-in config API allows 500 requests a second, each of which takes about 100 ms."""
HOPELESS = 20
"""So many failures without a success have a common cause; the remaining providers are not tried."""
NOTES = 10
"""Into how many steps progress is divided."""
FAILURES = 20
"""The most failures that the text of a summary lists; --json has all."""


@dataclass
class Outcome:
    """The outcome of an order, by provider.

    Attributes
    ----------
    done
        The result of each.
    failed
        The error of each.
    not_tried
        The rest, after an interruption or because every attempt failed.
    """

    done: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    not_tried: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_status(self) -> Exit:
        """The exit status of a command with this outcome."""
        if self.interrupted:
            return Exit.INTERRUPTED
        return Exit.UNHEALTHY if self.failed or self.not_tried else Exit.OK


@dataclass(frozen=True)
class BulkReport:
    """Answer of an order for any number of providers."""

    did: str
    dry_run: bool
    selected: int
    done: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)
    not_tried: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    totals: str | None = None


def order(
    op: Operator,
    selected: Selected,
    did: str,
    work: Callable[[str], Any],
    asked: Request,
    *,
    question: str,
    ask_for_one: bool = False,
) -> Exit:
    """Carry out an order for the selected providers, and print its summary.

    Parameters
    ----------
    did
        What was done, such as ``paused``.
    work
        Carries out the order for one provider.
    question
        The confirmation for several providers, or with `ask_for_one` also for a single one.
    """
    names = selected.names
    if asked.dry_run:
        report = BulkReport(did, True, len(names), dict.fromkeys(names), left_out=selected.left_out)
        op.show(report, show_report)
        return Exit.OK
    if not asked.wanted.alone:
        announce(op, selected)
    if not asked.wanted.alone or ask_for_one:
        op.confirm(question, yes=asked.yes)
    outcome = each(op, names, work, did)
    return summarize(op, did, selected, outcome)


def announce(op: Operator, selected: Selected) -> None:
    """Say which providers are selected, before the confirmation."""
    op.note(f"{counted(len(selected.names), 'provider')} selected: {shown(selected.names)}")
    if selected.left_out:
        op.note(f"left out, because the name is not allowed: {shown(selected.left_out)}")


def summarize(op: Operator, did: str, selected: Selected, outcome: Outcome, totals: str | None = None) -> Exit:
    """Print the summary of an order; return the exit status."""
    op.show(report_of(did, selected, outcome, totals), show_report)
    return outcome.exit_status


def report_of(did: str, selected: Selected, outcome: Outcome, totals: str | None = None) -> BulkReport:
    """The summary of an order that was carried out."""
    done = outcome.done, outcome.failed, outcome.not_tried
    return BulkReport(did, False, len(selected.names), *done, selected.left_out, totals)


def each(op: Operator, names: Sequence[str], work: Callable[[str], Any], did: str) -> Outcome:
    """Do the work for each provider, in parallel. An error of a single provider that is alone is raised."""
    outcome = Outcome()
    if len(names) == 1:
        outcome.done[names[0]] = work(names[0])
        return outcome
    stop = threading.Event()

    def one(name: str) -> None:
        if stop.is_set():
            return
        try:
            outcome.done[name] = work(name)
        except EXPECTED as error:
            outcome.failed[name] = str(as_operator_error(error, local=op.where.cloud_file is not None))
            if len(outcome.failed) >= HOPELESS and not outcome.done:
                stop.set()

    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            _follow(op, [pool.submit(one, name) for name in names], did)
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            stop.set()
    tried = outcome.done.keys() | outcome.failed.keys()
    outcome.done = {name: outcome.done[name] for name in names if name in outcome.done}
    outcome.not_tried = tuple(name for name in names if name not in tried)
    return outcome


def _follow(op: Operator, tasks: Iterable[Any], did: str) -> None:
    """Wait for all tasks, and report progress."""
    tasks = list(tasks)
    step = max(-(-len(tasks) // NOTES), NOTES)
    for number, task in enumerate(as_completed(tasks), 1):
        task.result()
        if number % step == 0 and number < len(tasks):
            op.note(f"{number:,} of {len(tasks):,} {did}")


def show_report(report: BulkReport, page: Page) -> None:
    """Print the summary of an order."""
    page.lines(lines_of(report))


def lines_of(report: BulkReport) -> Iterator[str]:
    """The summary of an order in words."""
    if report.dry_run:
        yield f"{counted(len(report.done), 'provider')} would be {report.did}: {shown(report.done)}"
    elif report.selected == 1 and report.done:
        ((name, entry),) = report.done.items()
        yield f"{name} {report.did}"
        if isinstance(entry, dict) and entry:
            yield json.dumps(entry)
    else:
        yield f"{len(report.done):,} of {counted(report.selected, 'provider')} {report.did}"
    if report.totals:
        yield report.totals
    yield from lines_of_failures(report.failed, report.not_tried)
    if report.left_out:
        yield f"left out, because the name is not allowed: {shown(report.left_out)}"


def lines_of_failures(failed: Mapping[str, str], not_tried: Sequence[str] = ()) -> Iterator[str]:
    """The first providers for which an order failed, with the errors, and those for which it was not tried."""
    for name, why in list(failed.items())[:FAILURES]:
        yield f"failed: {name}: {why.removeprefix(f'{name}: ')}"
    if len(failed) > FAILURES:
        yield f"{len(failed) - FAILURES:,} more failed; --json lists all"
    if not_tried:
        yield f"{counted(len(not_tried), 'provider')} not tried: {shown(not_tried)}"


def table_of_providers(page: Page, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the first rows of a table with a row for each provider, and how many more there are."""
    if rows:
        page.table(columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        page.line(f"{len(rows) - SHOWN:,} more providers; --json lists all")
