"""`fanout maintenance`: windows in which no run starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from fanout.providers import Maintenance, Window

from ..command import Command, Context, Yes, iam, utc_now
from ..errors import UsageError
from ..output import Page, counted, show
from ..selection import of_group
from ..times import told

app = typer.Typer()
maintenance = typer.Typer(help="Open or end a maintenance window, in which no run starts.", no_args_is_help=True)
app.add_typer(maintenance, name="maintenance")
Group = Annotated[str | None, typer.Option("--group", help="Only the providers of a group. Defaults to all providers.")]


@dataclass(frozen=True)
class MaintenanceReport:
    """The windows that are open after the command."""

    windows: tuple[Window, ...]


@maintenance.command(cls=Command, epilog=iam("maintenance on"))
def on(
    ctx: Context,
    group: Group = None,
    until_text: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="End: 2h from now, 18:00, 'monday 08:00', or ISO 8601."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Open a window: neither a tick nor an operator starts a run. Runs in progress continue; objects stay pending."""
    stack, now = ctx.obj.stack, utc_now()
    until = None if until_text is None else told(ctx.obj, until_text, now, ahead=True)
    listed = stack.config_api.entries()
    names: Iterable[str] = listed if group is None else of_group(group, listed)
    window = Window(group, now.replace(microsecond=0), until)
    ctx.obj.confirm(f"Start no run of {counted(len(list(names)), 'provider')}: {window.text}?", yes=yes)
    stack.maintenance.open(window)
    ctx.obj.show(MaintenanceReport(Maintenance.at(stack.maintenance.windows(), now).windows), _show)


@maintenance.command(cls=Command, epilog=iam("maintenance off"))
def off(ctx: Context, group: Group = None) -> None:
    """End all windows, or that of a group. Providers that became due start at the next tick."""
    stack, now = ctx.obj.stack, utc_now()
    windows = stack.maintenance.windows()
    if group is not None and group not in [window.group for window in windows]:
        raise UsageError(f"the group {group} has no maintenance window; `fanout status` shows the open ones")
    for window in windows:
        if group is None or window.group == group:
            stack.maintenance.close(window.group)
    ctx.obj.show(MaintenanceReport(Maintenance.at(stack.maintenance.windows(), now).windows), _show)


def _show(report: MaintenanceReport, page: Page) -> None:
    page.lines(f"{window.text}, since {show(window.since)}; no run starts" for window in report.windows)
    if not report.windows:
        page.line("no maintenance window is open")
