"""`fanout providers import`, `export` and `sync`: the list of providers and a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fanout.providers import is_name

from ..bulk import each, lines_of_failures
from ..command import Context, Operator, Yes
from ..deployment import Deployment
from ..entry_files import REPORTED, Entries, format_of, parse, write
from ..errors import Exit, UsageError
from ..output import Page, counted
from ..registry import AGAIN, add, call
from ..selection import shown

File = Annotated[str, typer.Argument(help="JSON, YAML or CSV file, by its suffix; - for standard input.")]
Form = Annotated[str | None, typer.Option("--format", help="Format of the file: json, yaml or csv.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the differences, but change nothing.")]
SHOWN = 20
"""The most changed providers that the text lists; --json has all."""


@dataclass(frozen=True)
class SyncReport:
    """The differences between a file and the list of providers, and what was done about them.

    Attributes
    ----------
    changed
        Provider -> field -> its value in the list and its value in the file; None for none.
    fields
        The fields that added providers have.
    """

    dry_run: bool
    added: tuple[str, ...]
    changed: dict[str, dict[str, tuple[Any, Any]]]
    removed: tuple[str, ...]
    unchanged: int
    fields: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    not_tried: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every provider that differs; removals are last."""
        return (*self.added, *self.changed, *self.removed)


def import_providers(ctx: Context, file: File, form: Form = None, dry_run: DryRun = False, yes: Yes = False) -> Exit:
    """Add the providers of a file, and change the fields that differ. Removes no provider and no field."""
    return _apply(ctx.obj, _read(file, form), remove=False, dry_run=dry_run, yes=yes)


def sync_providers(ctx: Context, file: File, form: Form = None, dry_run: DryRun = False, yes: Yes = False) -> Exit:
    """Make the list of providers equal to a file: add, change and remove. Status and last success are kept."""
    entries = _read(file, form)
    if not entries:
        raise UsageError(f"{file} has no provider; use `fanout remove --all` to remove all providers")
    return _apply(ctx.obj, entries, remove=True, dry_run=dry_run, yes=yes)


def export_providers(
    ctx: Context,
    file: Annotated[str, typer.Argument(help="File to write; - for standard output.")] = "-",
    form: Form = None,
    reports: Annotated[
        bool, typer.Option("--reports", help="Include what runs reported: status, last success, run and error.")
    ] = False,
) -> Exit:
    """Write all entries to a JSON, YAML or CSV file, for `import` and `sync`."""
    chosen, listed = format_of(file, form), ctx.obj.stack.config_api.entries()
    good = {name: entry for name, entry in listed.items() if is_name(name) and isinstance(entry, Mapping)}
    text = write({name: dict(entry) if reports else settings(entry) for name, entry in good.items()}, chosen)
    if file == "-":
        print(text, end="")  # noqa: T201 - the file is this command's answer
    else:
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}") from None
        ctx.obj.note(f"wrote {counted(len(good), 'provider')} to {file}")
    if left_out := [name for name in listed if name not in good]:
        ctx.obj.note(f"left out {counted(len(left_out), 'invalid entry', 'invalid entries')}: {shown(left_out)}")
        return Exit.UNHEALTHY
    return Exit.OK


def settings(entry: object) -> dict[str, Any]:
    """The fields of an entry that an operator sets; empty for an entry that is not an object."""
    given = entry if isinstance(entry, Mapping) else {}
    return {name: value for name, value in given.items() if name not in REPORTED}


def compare(listed: Mapping[str, object], wanted: Entries, *, remove: bool) -> SyncReport:
    """The differences between the list of providers and the entries of a file.

    Parameters
    ----------
    remove
        Whether providers and fields that the file lacks are removed.
    """
    changed = {}
    for name in sorted(wanted.keys() & listed.keys()):
        before, after = settings(listed[name]), settings(wanted[name])
        fields = [*after, *(f for f in before if remove and f not in after)]
        differences = {f: (before.get(f), after.get(f)) for f in fields if not _same(f, before.get(f), after.get(f))}
        if differences:
            changed[name] = differences
    added = tuple(sorted(wanted.keys() - listed.keys()))
    removed = tuple(sorted(listed.keys() - wanted.keys())) if remove else ()
    known = tuple(dict.fromkeys(field for name in added for field in wanted[name]))
    return SyncReport(True, added, changed, removed, len(wanted) - len(added) - len(changed), known)


def _same(name: str, before: Any, after: Any) -> bool:
    """Whether two values mean the same: a frequency may be a number or a string."""
    if name == "frequency" and before is not None and after is not None:
        try:
            return float(before) == float(after)
        except (TypeError, ValueError):
            return False
    return type(before) is type(after) and before == after if isinstance(before, bool) else bool(before == after)


def _apply(op: Operator, wanted: Entries, *, remove: bool, dry_run: bool, yes: bool) -> Exit:
    report = compare(op.stack.config_api.entries(), wanted, remove=remove)
    if dry_run or not report.names:
        op.show(report, _show)
        return Exit.OK
    for line in _lines(report):
        op.note(line)
    counts = [(len(report.added), "add"), (len(report.changed), "change"), (len(report.removed), "remove")]
    doing = ", ".join(f"{verb} {number:,}" for number, verb in counts if number)
    op.confirm(f"{doing.capitalize()} of {counted(len(report.names) + report.unchanged, 'provider')}?", yes=yes)
    outcome = each(op, report.names, lambda name: _write(op.stack, name, wanted, report), "written")
    done = outcome.done.keys()
    report = replace(
        report,
        dry_run=False,
        added=tuple(name for name in report.added if name in done),
        changed={name: fields for name, fields in report.changed.items() if name in done},
        removed=tuple(name for name in report.removed if name in done),
        failed=outcome.failed,
        not_tried=outcome.not_tried,
    )
    op.show(report, _show)
    return outcome.exit_status


def _write(stack: Deployment, name: str, wanted: Entries, report: SyncReport) -> None:
    if name in report.removed:
        call(stack, "DELETE", name, tries=AGAIN)
    elif name in report.changed:
        changes = {f: after for f, (_, after) in report.changed[name].items()}
        call(stack, "PATCH", name, changes, tries=AGAIN)
    else:
        add(stack, name, wanted[name])


def _read(file: str, form: str | None) -> Entries:
    chosen = format_of(file, form)
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    return parse(content, chosen, "standard input" if file == "-" else file)


def _show(report: SyncReport, page: Page) -> None:
    page.lines(_lines(report))


def _lines(report: SyncReport) -> list[str]:
    would = "would be " if report.dry_run else ""
    lines = [
        f"{len(names):,} {would}{did}" + (f": {shown(names)}" if names else "")
        for did, names in (("added", report.added), ("changed", report.changed), ("removed", report.removed))
        if names
    ]
    if report.added and report.dry_run:
        lines.append(f"  fields of those added: {shown(report.fields)}")
    lines.append(f"{counted(report.unchanged, 'provider')} unchanged")
    for name, fields in list(report.changed.items())[:SHOWN]:
        lines.append(f"  {name}: " + ", ".join(f"{f}: {_text(b)} -> {_text(a)}" for f, (b, a) in fields.items()))
    if len(report.changed) > SHOWN:
        lines.append(f"  and {len(report.changed) - SHOWN:,} more; --json has all")
    return [*lines, *lines_of_failures(report.failed, report.not_tried)]


def _text(value: Any) -> str:
    return "-" if value is None else str(value)[:60]
