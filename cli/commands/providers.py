"""`fanout providers …`: the list of providers in the config API."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from contract.uris import split_uri
from fanout.errors import ConfigApiAnswerError, FanoutError
from fanout.ledger import drop_backlog, update
from fanout.providers import MAX_FREQUENCY_MINUTES, check_name, is_name, parse_entries, parse_entry, refusal

from ..command import Command, Context, Operator, Provider, Yes, iam, utc_now
from ..deployment import Deployment
from ..errors import AccessError, Exit, OperatorError, UsageError
from ..output import Page, as_json, counted

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
AGAIN = 5
"""Attempts for a request that has the same effect if it is repeated."""
NEW = {"If-None-Match": "*"}
"""A header with which a PUT adds a provider, but does not replace one."""


@dataclass(frozen=True)
class ChangesReport:
    """Answer of `discover` and `import`."""

    added: tuple[str, ...]
    existing: tuple[str, ...]
    rejected: tuple[str, ...]
    dry_run: bool


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
    _show_change(ctx.obj, provider, "added", entry)


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
        _each(missing, lambda name: call(stack, "PUT", name, {"frequency": _number(frequency)}, NEW))
    ctx.obj.show(ChangesReport(missing, tuple(known), rejected, dry_run), _show_changes)
    return Exit.UNHEALTHY if rejected else Exit.OK


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


@providers.command("import", cls=Command, epilog=iam("providers import"))
def import_providers(
    ctx: Context,
    file: Annotated[str, typer.Argument(help="JSON file as `export` writes it; - for standard input.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace existing entries.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, but change nothing.")] = False,
) -> None:
    """Add the providers of a JSON file. All entries are validated before the first one is written."""
    entries = _read_file(file)
    known = ctx.obj.stack.config_api.entries()
    existing = tuple(name for name in entries if name in known)
    wanted = {name: entry for name, entry in entries.items() if replace or name not in known}
    if not dry_run:
        _each(wanted, lambda name: call(ctx.obj.stack, "PUT", name, wanted[name]))
    ctx.obj.show(ChangesReport(tuple(wanted), () if replace else existing, (), dry_run), _show_changes)


@providers.command("export", cls=Command, epilog=iam("providers export"))
def export_providers(
    ctx: Context,
    file: Annotated[str, typer.Argument(help="File to write; - for standard output.")] = "-",
) -> None:
    """Write all entries as one JSON object, for `import`."""
    text = as_json(dict(sorted(ctx.obj.stack.config_api.entries().items())))
    if file == "-":
        print(text)  # noqa: T201 - this command's answer is JSON in any case
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text + "\n", encoding="utf-8")
    ctx.obj.note(f"wrote {file}")


def call(
    stack: Deployment,
    method: str,
    provider: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    tries: int = 1,
) -> dict[str, Any]:
    """Send a request about a provider to the config API; return its entry afterwards, empty if it was removed.

    A request that may be repeated is sent up to `tries` times while the API throttles it or does not answer.
    """
    try:
        answer = stack.config_api.change(method, check_name(provider), body, headers, tries=tries)
    except ConfigApiAnswerError as error:
        if method == "DELETE" and error.status == 404:  # an attempt whose answer was lost, or another operator
            return {}
        raise _in_operators_words(error, method, provider) from None
    entry: dict[str, Any] = json.loads(answer.body or "{}")
    return entry


def _in_operators_words(error: ConfigApiAnswerError, method: str, provider: str) -> OperatorError:
    status = error.status
    if status is None:
        return AccessError(str(error))
    if status == 404:
        return UsageError(f"provider {provider} not found; list all with `fanout providers list`")
    if status == 412:
        return UsageError(f"{provider} exists already; change it with `fanout set {provider}`")
    if status in (405, 501):
        return UsageError(f"this config API does not support {method}; change {provider} at its source")
    if status < 500:
        return UsageError(f"the config API rejected {provider} (HTTP {status}): {_detail(error.answer)}")
    return AccessError(f"{provider}: the config API answered HTTP {status} to the {method} request; try again")


def _detail(answer: str) -> str:
    """The detail of an RFC 9457 problem, or else the beginning of the answer."""
    try:
        body = json.loads(answer)
        return str(body.get("detail") or body.get("message") or body)[:300]
    except (ValueError, AttributeError):
        return answer[:300]


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


def _each(names: Any, register_one: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(register_one, names))


def _read_file(file: str) -> Mapping[str, dict[str, Any]]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        entries = _json(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(entries, dict):
        raise UsageError(f"{file} must contain one JSON object that maps provider names to entries")
    if faults := list(parse_entries(entries, utc_now())[1].values()):
        raise UsageError(f"{file}: nothing was imported; invalid entries: " + "; ".join(map(str, faults[:5])))
    return entries


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


def _show_change(op: Operator, provider: str, did: str, entry: dict[str, Any] | None) -> None:
    def view(report: dict[str, Any], page: Page) -> None:
        page.line(f"{provider} {did}")
        if entry is not None:
            page.line(json.dumps(entry))

    op.show({"provider": provider, "did": did, "entry": entry}, view)


def _show_changes(report: ChangesReport, page: Page) -> None:
    verb = "would be added" if report.dry_run else "added"
    page.line(f"{len(report.added):,} {verb}: {', '.join(report.added) or 'none'}")
    page.line(f"{len(report.existing):,} existed already")
    for name in report.rejected:
        page.line(f"skipped provider={name}: {refusal(name)}")


def _show_accepted(report: AcceptReport, page: Page) -> None:
    page.line(f"accepted a list of {counted(report.listed, 'provider')}")
    for name in report.forgotten:
        page.line(f"forgot the pending objects of {name}")
