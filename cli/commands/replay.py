"""`fanout replay`: send objects of providers again, or those that arrived too late for any run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.filesize import decimal as size

from contract.manifest import Replay, StoredObject
from contract.times import format_iso
from fanout.claims import MAX_OBJECTS, listing
from fanout.ledger import sent_late, update
from fanout.manifests import select_replay
from fanout.providers import check_name
from fanout.runs import LateData, RunRecord

from ..audit import audit, ranges_of
from ..bulk import Outcome, each, lines_of_failures, summarize, table_of_providers
from ..command import Context, Operator, iam, utc_now
from ..deployment import Deployment
from ..errors import Exit, UsageError
from ..output import Page, counted, show
from ..selection import OrderCommand, Request, Selected, check_startable, requested, select, shown, these
from ..starting import Starting
from ..times import FORMS, told
from .run import REPLAY, STARTED, NoWait, execution_input, start_and_follow, totals

app = typer.Typer()
REPLAYED = "replayed"
COLUMNS = ("PROVIDER", ">OBJECTS", ">SIZE")


@dataclass(frozen=True)
class ReplayPlan:
    """The objects that a replay would send again."""

    provider: str
    start: datetime
    end: datetime
    objects: int
    bytes: int
    first: str | None
    last: str | None


@dataclass(frozen=True)
class ReplayReport:
    """The objects that a replay of several providers would send again, and the providers for which it is impossible."""

    start: datetime
    end: datetime
    plans: tuple[ReplayPlan, ...]
    failed: dict[str, str]

    @property
    def found(self) -> list[ReplayPlan]:
        """The plans that have objects."""
        return [plan for plan in self.plans if plan.objects]


@dataclass(frozen=True)
class LatePlan:
    """A provider's objects that arrived too late for any run.

    Attributes
    ----------
    ranges
        The ranges of LastModified in which they are sent, one run for each.
    noted
        The late data that the ledger has noted, which are settled once all ranges are sent.
    """

    provider: str
    objects: tuple[StoredObject, ...]
    ranges: tuple[Replay, ...]
    noted: LateData | None


@dataclass(frozen=True)
class LateReport:
    """The late objects of providers, and the providers whose objects could not be listed."""

    plans: tuple[LatePlan, ...]
    failed: dict[str, str]


@app.command(cls=OrderCommand, epilog=iam("replay"))
def replay(
    ctx: Context,
    start_text: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help=f"Oldest LastModified: {FORMS}.")
    ] = None,
    end_text: Annotated[str, typer.Option("--to", metavar="TIME", help="Newest LastModified, inclusive.")] = "now",
    late: Annotated[
        bool, typer.Option("--late", help="Instead of a range, send the objects that arrived too late for any run.")
    ] = False,
    no_wait: NoWait = False,
) -> Exit:
    """Send a range of providers' objects again, with the same message ids. The bookmarks do not change."""
    op, now, asked = ctx.obj, utc_now(), requested(ctx)
    if late and (start_text is not None or no_wait):
        raise UsageError("--late excludes --from and --no-wait")
    if not late and start_text is None:
        raise UsageError("select the objects with --from TIME or --late")
    wanted = None if start_text is None else _range(told(op, start_text, now), told(op, end_text, now))
    alone = asked.wanted.alone  # a provider that was removed from the list may be replayed, too
    selected = Selected((check_name(asked.wanted.names[0]),)) if alone else select(op.stack, asked.wanted)
    if not asked.dry_run:
        check_startable(op.stack, selected.names)
    if wanted is None:
        return _send_late(op, selected, asked)
    return _send_again(op, selected, asked, wanted, no_wait=no_wait)


def _range(start: datetime, end: datetime) -> Replay:
    if start > end:
        raise UsageError("--from must not be later than --to")
    return Replay(start, end)


def _send_again(op: Operator, selected: Selected, asked: Request, wanted: Replay, *, no_wait: bool) -> Exit:
    planned = each(op, selected.names, lambda name: plan_replay(op.stack, name, wanted), "planned")
    found = {name: plan for name, plan in planned.done.items() if plan.objects}
    report = ReplayReport(wanted.start, wanted.end, tuple(planned.done.values()), planned.failed)
    if planned.failed or planned.not_tried:
        op.show(report, _show_plans)
        op.note("nothing was sent: the replay of every selected provider must be possible")
        return Exit.UNHEALTHY
    if asked.dry_run or not found:
        op.show(report, _show_plans)
        return Exit.OK
    objects, total = sum(plan.objects for plan in found.values()), sum(plan.bytes for plan in found.values())
    op.confirm(f"Send {counted(objects, 'object')} ({size(total)}) of {these(found)} again?", yes=asked.yes)
    if asked.wanted.alone:
        return start_and_follow(op, selected.names[0], _bounds(wanted), no_wait=no_wait)
    inputs = {name: execution_input(name, _bounds(wanted)) for name in found}
    outcome = Starting(op, inputs, REPLAY).run(no_wait=no_wait)
    chosen = Selected(tuple(found), selected.left_out)
    return summarize(op, STARTED if no_wait else REPLAYED, chosen, outcome, totals(outcome.done.values()))


def _send_late(op: Operator, selected: Selected, asked: Request) -> Exit:
    """Send what `fanout audit` lists as missed, in as few replays as possible; then the late data are settled."""
    planned = each(op, selected.names, lambda name: _plan_late(op.stack, name), "audited")
    report = LateReport(tuple(planned.done.values()), planned.failed)
    if planned.failed or planned.not_tried:
        op.show(report, _show_late)
        op.note("nothing was sent: the objects of every selected provider must be listed")
        return Exit.UNHEALTHY
    found = {plan.provider: plan for plan in report.plans if plan.objects}
    if asked.dry_run or not found:
        op.show(report, _show_late)
    if asked.dry_run:
        return Exit.OK
    for plan in report.plans:
        if not plan.objects:
            _settle(op.stack, plan)
    if not found:
        return Exit.OK
    objects, runs = sum(len(plan.objects) for plan in found.values()), sum(len(plan.ranges) for plan in found.values())
    op.confirm(f"Send {counted(objects, 'object')} of {these(found)} in {counted(runs, 'run')}?", yes=asked.yes)
    if not asked.wanted.alone:
        return _send_many(op, found, selected)
    (plan,) = found.values()
    for wanted in plan.ranges:
        if (ended := start_and_follow(op, plan.provider, _bounds(wanted), no_wait=False)) is not Exit.OK:
            return ended
    _settle(op.stack, plan)
    return Exit.OK


def _send_many(op: Operator, found: Mapping[str, LatePlan], selected: Selected) -> Exit:
    """Send each provider's ranges one after the other, because a provider has one run at a time."""
    outcome, records, left = Outcome(), [], {name: plan.ranges for name, plan in found.items()}
    while left:
        inputs = {name: execution_input(name, _bounds(ranges[0])) for name, ranges in left.items()}
        sent = Starting(op, inputs, REPLAY).run(no_wait=False)
        succeeded = [name for name, done in sent.done.items() if isinstance(done, RunRecord)]
        records += [sent.done[name] for name in succeeded]
        outcome.failed |= sent.failed
        outcome.not_tried += sent.not_tried
        for name in succeeded:
            if len(left[name]) == 1:
                _settle(op.stack, found[name])
                outcome.done[name] = sent.done[name]
        left = {name: left[name][1:] for name in succeeded if len(left[name]) > 1}
        if sent.interrupted:
            running = [name for name in sent.done if name not in succeeded]
            outcome.interrupted, outcome.not_tried, left = True, (*outcome.not_tried, *running, *left), {}
        if left:
            time.sleep(1)  # an execution's name contains the second of its start
    return summarize(op, REPLAYED, Selected(tuple(found), selected.left_out), outcome, totals(records))


def _settle(stack: Deployment, plan: LatePlan) -> None:
    update(stack.ledger, plan.provider, lambda state: sent_late(state, plan.noted))


def plan_replay(stack: Deployment, provider: str, wanted: Replay) -> ReplayPlan:
    """Find the objects that a replay of a range would send again."""
    settings = stack.planning
    found = listing(stack.objects, settings, provider, None)
    chosen = select_replay(found, wanted, MAX_OBJECTS, settings.max_bytes_per_run).objects
    return ReplayPlan(
        provider=provider,
        start=wanted.start,
        end=wanted.end,
        objects=len(chosen),
        bytes=sum(o.size for o in chosen),
        first=chosen[0].key if chosen else None,
        last=chosen[-1].key if chosen else None,
    )


def _plan_late(stack: Deployment, provider: str) -> LatePlan:
    state, settings = stack.ledger.get(provider), stack.planning
    missed = audit(stack.objects, settings, state).missed
    listed = listing(stack.objects, settings, provider, None)
    ranges = ranges_of(listed, missed, MAX_OBJECTS, settings.max_bytes_per_run)
    return LatePlan(provider, missed, tuple(ranges), state.late)


def _bounds(wanted: Replay) -> dict[str, str]:
    return {"from": format_iso(wanted.start), "to": format_iso(wanted.end)}


def _show_plans(report: ReplayReport, page: Page) -> None:
    span = f"from {show(report.start)} to {show(report.end)}"
    plans = report.found
    if not plans and not report.failed:
        names = shown(plan.provider for plan in report.plans)
        page.line(f"{names}: no objects {span}, so nothing would be sent again")
        return
    objects, total = sum(plan.objects for plan in plans), sum(plan.bytes for plan in plans)
    page.line(f"{counted(objects, 'object')}, {size(total)}, {span} would be sent again")
    if len(report.plans) == 1 and plans:
        page.facts([("first", plans[0].first), ("last", plans[0].last)])
    else:
        table_of_providers(page, COLUMNS, [(p.provider, p.objects, size(p.bytes)) for p in plans])
    page.lines(lines_of_failures(report.failed))


def _show_late(report: LateReport, page: Page) -> None:
    plans = [plan for plan in report.plans if plan.objects]
    if len(report.plans) == 1 and not report.failed:
        (plan,) = report.plans
        page.line(f"{plan.provider}: {counted(len(plan.objects), 'object')} arrived too late for any run")
        if plan.objects:
            rows = [(o.last_modified, size(o.size), o.key) for o in plan.objects]
            page.table(("LAST MODIFIED", ">SIZE", "LATE"), rows)
        return
    objects = sum(len(plan.objects) for plan in plans)
    page.line(f"{counted(objects, 'object')} of {counted(len(plans), 'provider')} arrived too late for any run")
    table_of_providers(
        page, COLUMNS, [(p.provider, len(p.objects), size(sum(o.size for o in p.objects))) for p in plans]
    )
    page.lines(lines_of_failures(report.failed))
