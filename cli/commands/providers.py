"""`fanout providers …`: the list of providers in the config API."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from dataclasses import field as part
from typing import Annotated, Any

import typer

from contract.uris import split_uri
from fanout.errors import FanoutError
from fanout.ledger import drop_backlog, update
from fanout.providers import MAX_FREQUENCY_MINUTES, is_name, parse_entry, refusal

from ..bulk import Outcome, each, lines_of_failures
from ..command import Command, Context, Provider, Yes, iam, utc_now
from ..errors import Exit, UsageError
from ..output import Page, counted
from ..registry import NEW, call
from ..registry import add as add_entry
from . import sync

app = typer.Typer()
providers = typer.Typer(help="List, add, discover, import, export or synchronize providers.", no_args_is_help=True)
app.add_typer(providers, name="providers")
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=JSON",
        help="Another field with its value in JSON, such as owner='\"sales\"'. May be repeated.",
    ),
]
MINUTES = typer.Option("--frequency", min=1, max=MAX_FREQUENCY_MINUTES, help="Minutes between two runs.")
Frequency = Annotated[float | None, MINUTES]
Group = Annotated[str | None, typer.Option("--group", help="Group, whose providers share MaxRunsPerGroup.")]
DEFAULT_FREQUENCY = 60.0


@dataclass(frozen=True)
class ChangesReport:
    """Answer of `discover`."""

    added: tuple[str, ...]
    existing: tuple[str, ...]
    rejected: tuple[str, ...]
    dry_run: bool
    failed: dict[str, str] = part(default_factory=dict)
    not_tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class AcceptReport:
    """Answer of `accept`: the number of listed providers, and the unlisted ones that were forgotten."""

    listed: int
    forgotten: tuple[str, ...]


@providers.command("list", cls=Command, epilog=iam("providers list"))
def list_providers(ctx: Context) -> None:
    """List all providers with their entries."""
    ctx.obj.show({"providers": dict(sorted(ctx.obj.stack.config_api.entries().items()))}, _show_list)


@providers.command(cls=Command, epilog=iam("providers add"))
def add(
    ctx: Context,
    provider: Provider,
    frequency: Frequency = DEFAULT_FREQUENCY,
    group: Group = None,
    field: Fields = None,
) -> None:
    """Add a provider."""
    entry = call(ctx.obj.stack, "PUT", provider, given(frequency, group, field), NEW)
    report = {"provider": provider, "did": "added", "entry": entry}
    ctx.obj.show(report, lambda report, page: page.lines([f"{provider} added", json.dumps(entry)]))


@providers.command(cls=Command, epilog=iam("providers discover"))
def discover(
    ctx: Context,
    frequency: Annotated[float, MINUTES] = DEFAULT_FREQUENCY,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the missing providers, but add none.")] = False,
    yes: Yes = False,
) -> Exit:
    """Add every provider that has a provider=NAME/ folder in the change log and is not in the list."""
    stack = ctx.obj.stack
    known = stack.config_api.entries()
    found = folders(stack.client("s3"), stack.output("ChangeLogDir"))
    rejected = tuple(name for name in found if not is_name(name))
    missing = tuple(name for name in found if name not in known and name not in rejected)
    if missing and not dry_run:
        ctx.obj.confirm(f"Add {counted(len(missing), 'provider')} with a frequency of {frequency:g} minutes?", yes=yes)
        entry = {"frequency": _number(frequency)}
        outcome = each(ctx.obj, missing, lambda name: add_entry(stack, name, entry), "added")
    else:
        outcome = Outcome(done=dict.fromkeys(missing))
    report = ChangesReport(tuple(outcome.done), tuple(known), rejected, dry_run, outcome.failed, outcome.not_tried)
    ctx.obj.show(report, _show_changes)
    return Exit.UNHEALTHY if rejected or outcome.failed or outcome.not_tried else Exit.OK


providers.command("import", cls=Command, epilog=iam("providers import"))(sync.import_providers)
providers.command("sync", cls=Command, epilog=iam("providers sync"))(sync.sync_providers)
providers.command("export", cls=Command, epilog=iam("providers export"))(sync.export_providers)


def folders(s3: Any, change_log_dir: str) -> list[str]:
    """The names of the `provider=` folders in the change log: one request for each 1,000 folders."""
    bucket, prefix = split_uri(change_log_dir.rstrip("/") + "/provider=")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    return [f["Prefix"].removeprefix(prefix)[:-1] for page in pages for f in page.get("CommonPrefixes", ())]


@providers.command(cls=Command, epilog=iam("providers accept"))
def accept(
    ctx: Context,
    provider: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this unlisted provider. Defaults to the whole list.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Accept that the list is shorter, or that unlisted providers have pending objects, which are then forgotten."""
    stack = ctx.obj.stack
    listed, waiting = stack.config_api.entries(), stack.pending.waiting()
    backlogs = [state.provider for state in stack.ledger.attention() if state.has_backlog]
    unlisted = [name for name in sorted({*waiting, *backlogs}) if name not in listed]
    if provider is not None:
        unlisted = [name for name in unlisted if provider in (name, f"provider={name}")]
        if not unlisted:
            raise UsageError(f"{provider} is not an unlisted provider with pending objects; `fanout status` shows them")
    names = f": {', '.join(unlisted)}" if unlisted else ""
    whole = f"the list with {counted(len(listed), 'provider')} and " if provider is None else ""
    ctx.obj.confirm(f"Accept {whole}{counted(len(unlisted), 'unlisted provider')}{names}?", yes=yes)
    for name in unlisted:
        if name in waiting:
            stack.pending.clear(name, waiting[name].pending_count, utc_now())
        if name in backlogs:
            update(stack.ledger, name, drop_backlog)
    if provider is None:
        stack.ledger.put_list_size(len(listed))
    ctx.obj.show(AcceptReport(len(listed), tuple(unlisted)), _show_accepted)


def given(frequency: float | None, group: str | None, fields: list[str] | None) -> dict[str, Any]:
    """The fields of an entry that the options of a command state."""
    entry: dict[str, Any] = {}
    if frequency is not None:
        entry["frequency"] = _number(frequency)
    if group is not None:
        entry["group"] = group
    for text in fields or ():
        name, sign, value = text.partition("=")
        try:
            entry[name] = _json(value)
        except ValueError:
            raise UsageError(f"--field {text}: use NAME=JSON, with quotes around strings: {name}='\"…\"'") from None
        if not sign or not name:
            raise UsageError(f"--field {text}: use NAME=JSON")
    return entry


def _number(frequency: float) -> int | float:
    if not math.isfinite(frequency):  # NaN passes the checks of min and max
        raise UsageError("--frequency must be a number of minutes")
    return int(frequency) if frequency == int(frequency) else frequency


def _json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _show_list(report: dict[str, dict[str, Any]], page: Page) -> None:
    rows = [_row(name, entry) for name, entry in report["providers"].items()]
    page.table(("PROVIDER", ">FREQUENCY", "LAST REPORT", "LAST SUCCESS", "PAUSED", "GROUP", "ERROR"), rows)
    page.line(counted(len(rows), "provider"))


def _row(name: str, raw: object) -> tuple[object, ...]:
    try:
        entry = parse_entry(name, raw, utc_now())
    except FanoutError as error:
        return name, None, "invalid", None, None, None, str(error)
    said = (entry.model_extra or {}).get("error")
    return name, f"{entry.frequency:g} min", entry.status, entry.last_success, entry.paused, entry.group, said


def _show_changes(report: ChangesReport, page: Page) -> None:
    verb = "would be added" if report.dry_run else "added"
    page.line(f"{len(report.added):,} {verb}: {', '.join(report.added) or 'none'}")
    page.line(f"{len(report.existing):,} existed already")
    page.lines(f"skipped provider={name}: {refusal(name)}" for name in report.rejected)
    page.lines(lines_of_failures(report.failed, report.not_tried))


def _show_accepted(report: AcceptReport, page: Page) -> None:
    page.line(f"accepted a list of {counted(report.listed, 'provider')}")
    page.lines(f"forgot the pending objects of {name}" for name in report.forgotten)
