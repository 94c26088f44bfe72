"""`fanout bookmark …` and `fanout audit`: how far a provider has come, and whether anything was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.filesize import decimal as size

from cli.audit import audit as compare
from cli.command import Operator, Provider, Yes, moment, utc_now
from cli.errors import Exit
from cli.output import Page, counted
from fanout.ledger import ProviderState, set_bookmark, update
from fanout.manifests import StoredObject
from fanout.providers import check_name
from fanout.times import format_iso


@dataclass(frozen=True)
class BookmarkReport:
    """A provider's bookmark."""

    provider: str
    generation: int
    since: datetime | None
    watermark: datetime | None
    manifests_in_window: int
    held_by: str | None


@dataclass(frozen=True)
class AuditReport:
    """Answer of `fanout audit`; see `cli.audit.Audit`."""

    provider: str
    missed: tuple[StoredObject, ...]
    waiting: tuple[StoredObject, ...]
    gone: tuple[StoredObject, ...]


def show(op: Operator, provider: Provider) -> None:
    """Show a provider's bookmark."""
    op.show(report_of(op.stack.ledger.get(check_name(provider))), _show)


def set_to(
    op: Operator,
    provider: Provider,
    since_text: Annotated[str, typer.Argument(metavar="TIME", help="ISO 8601, or 30m, 6h, 2d for so long ago.")],
    yes: Yes = False,
) -> None:
    """Set a provider's bookmark: every object modified since TIME is new again, older ones are left out."""
    since = moment(since_text, utc_now())
    question = f"Make every object of {provider} since {format_iso(since)} new again, and leave out all older ones?"
    _change(op, provider, question, lambda state: set_bookmark(state, since), yes=yes)


def reset(op: Operator, provider: Provider, yes: Yes = False) -> None:
    """Forget a provider's bookmark: every object is new again, and all messages are sent again."""
    question = f"Make every object of {provider} new again, so that all its messages are sent again?"
    _change(op, provider, question, lambda state: set_bookmark(state, None), yes=yes)


def audit(op: Operator, provider: Provider) -> Exit:
    """List the objects that no run has taken, and those deleted since. Status 1 if some were missed for good."""
    state = op.stack.ledger.get(check_name(provider))
    found = compare(op.stack.objects, op.stack.planning, state)
    op.show(AuditReport(provider, found.missed, found.waiting, found.gone), _show_audit)
    return Exit.UNHEALTHY if found.missed else Exit.OK


def _change(
    op: Operator, provider: str, question: str, rule: Callable[[ProviderState], ProviderState], *, yes: bool
) -> None:
    state = op.stack.ledger.get(check_name(provider))
    if state.lease is not None:
        op.note(f"run {state.lease.run_id} has the provider; its commit will be refused, and its changes sent again")
    op.confirm(question, yes=yes)
    op.show(report_of(update(op.stack.ledger, provider, rule)), _show)


def report_of(state: ProviderState) -> BookmarkReport:
    """A provider's bookmark."""
    mark = state.bookmark
    held_by = state.lease.run_id if state.lease else None
    return BookmarkReport(state.provider, mark.generation, mark.since, mark.watermark, len(mark.recent), held_by)


def facts_of(report: BookmarkReport) -> list[tuple[str, object]]:
    """A bookmark, by name."""
    return [
        ("provider", report.provider),
        ("generation", report.generation),
        ("new since", report.since or "the beginning"),
        ("newest sent", report.watermark),
        ("manifests in the window", report.manifests_in_window),
        ("held by run", report.held_by),
    ]


def _show(report: BookmarkReport, page: Page) -> None:
    page.facts(facts_of(report))


def _show_audit(report: AuditReport, page: Page) -> None:
    page.line(f"{report.provider}: {counted(len(report.missed), 'object')} missed, {len(report.waiting):,} waiting")
    if report.gone:
        page.line(f"{counted(len(report.gone), 'object')} deleted after a run; what the job made of them stays")
        page.table(("LAST MODIFIED", ">SIZE", "DELETED"), [(o.last_modified, size(o.size), o.key) for o in report.gone])
    if report.missed:
        rows = [(o.last_modified, size(o.size), o.key) for o in report.missed]
        page.table(("LAST MODIFIED", ">SIZE", "MISSED"), rows)
        first, last = report.missed[0].last_modified, report.missed[-1].last_modified
        page.line(f"send them: fanout replay {report.provider} --from {format_iso(first)} --to {format_iso(last)}")
