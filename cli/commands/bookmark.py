"""`fanout bookmark …` and `fanout audit`: how much of a change log was processed, and whether objects were missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.filesize import decimal as size

from contract.manifest import StoredObject
from contract.times import format_iso
from fanout.ledger import ProviderState, set_bookmark, update
from fanout.providers import check_name

from ..audit import IgnoredObject
from ..audit import audit as compare
from ..command import Command, Context, Operator, Provider, Yes, iam, utc_now
from ..errors import Exit, UsageError
from ..output import Page, counted
from ..times import FORMS, told

app = typer.Typer()
bookmark = typer.Typer(
    help="Show, set or reset a provider's bookmark: how much of its change log was processed.", no_args_is_help=True
)
app.add_typer(bookmark, name="bookmark")


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
    ignored: tuple[IgnoredObject, ...]


@bookmark.command(cls=Command, epilog=iam("bookmark show"))
def show(ctx: Context, provider: Provider) -> None:
    """Show a provider's bookmark."""
    ctx.obj.show(report_of(ctx.obj.stack.ledger.get(check_name(provider))), _show)


@bookmark.command("set", cls=Command, epilog=iam("bookmark set"))
def set_to(
    ctx: Context,
    provider: Provider,
    since_text: Annotated[str, typer.Argument(metavar="TIME", help=f"{FORMS}.")],
    yes: Yes = False,
) -> None:
    """Set a provider's bookmark: objects modified since TIME are processed again, older ones are skipped."""
    now = utc_now()
    since = told(ctx.obj, since_text, now)
    if since > now:
        raise UsageError("the time is in the future; until then, no run would process new objects")
    question = f"Process every object of {provider} modified since {format_iso(since)} again, and skip all older ones?"
    _change(ctx.obj, provider, question, lambda state: set_bookmark(state, since), yes=yes)


@bookmark.command(cls=Command, epilog=iam("bookmark reset"))
def reset(ctx: Context, provider: Provider, yes: Yes = False) -> None:
    """Reset a provider's bookmark: every object is processed again, and all messages are sent again."""
    question = f"Process every object of {provider} again, and send all its messages again?"
    _change(ctx.obj, provider, question, lambda state: set_bookmark(state, None), yes=yes)


@app.command(cls=Command, epilog=iam("audit"))
def audit(ctx: Context, provider: Provider) -> Exit:
    """List objects that no run processed, deleted ones, and ignored ones. Exit status 1 if any were missed for good."""
    stack = ctx.obj.stack
    found = compare(stack.objects, stack.planning, stack.ledger.get(check_name(provider)))
    ctx.obj.show(AuditReport(provider, found.missed, found.waiting, found.gone, found.ignored), _show_audit)
    return Exit.UNHEALTHY if found.missed else Exit.OK


def _change(
    op: Operator, provider: str, question: str, rule: Callable[[ProviderState], ProviderState], *, yes: bool
) -> None:
    state = op.stack.ledger.get(check_name(provider))
    if state.lease is not None:
        op.note(f"run {state.lease.run_id} is in progress; its commit will be rejected, and its changes sent again")
    op.confirm(question, yes=yes)
    op.show(report_of(update(op.stack.ledger, provider, rule)), _show)


def report_of(state: ProviderState) -> BookmarkReport:
    """A provider's bookmark."""
    mark = state.bookmark
    held_by = state.lease.run_id if state.lease else None
    return BookmarkReport(state.provider, mark.generation, mark.since, mark.watermark, len(mark.recent), held_by)


def facts_of(report: BookmarkReport) -> list[tuple[str, object]]:
    """The fields of a bookmark, by name."""
    return [
        ("provider", report.provider),
        ("generation", report.generation),
        ("objects since", report.since or "the beginning"),
        ("newest processed object", report.watermark),
        ("manifests in the lookback window", report.manifests_in_window),
        ("run in progress", report.held_by),
    ]


def _show(report: BookmarkReport, page: Page) -> None:
    page.facts(facts_of(report))


def _show_audit(report: AuditReport, page: Page) -> None:
    left = f"{len(report.waiting):,} pending, {len(report.ignored):,} ignored"
    page.line(f"{report.provider}: {counted(len(report.missed), 'object')} missed, {left}")
    if report.ignored:
        rows = [(one.stored.last_modified, size(one.stored.size), one.stored.key, one.reason) for one in report.ignored]
        page.table(("LAST MODIFIED", ">SIZE", "IGNORED", "REASON"), rows)
    if report.gone:
        page.line(f"{counted(len(report.gone), 'object')} were processed, then deleted; their messages remain")
        page.table(("LAST MODIFIED", ">SIZE", "DELETED"), [(o.last_modified, size(o.size), o.key) for o in report.gone])
    if report.missed:
        lines = [(o.last_modified, size(o.size), o.key) for o in report.missed]
        page.table(("LAST MODIFIED", ">SIZE", "MISSED"), lines)
        page.line(f"To send them: `fanout replay {report.provider} --late`")
