"""`fanout providers …`: who there is, in the config API."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import typer

from cli.command import Operator, Provider, Yes, utc_now
from cli.deployment import Deployment
from cli.errors import AccessError, Exit, OperatorError, UsageError
from cli.output import Page, as_json, counted
from fanout.errors import ConfigApiAnswerError, FanoutError, InvalidProviderError
from fanout.manifests import split_uri
from fanout.providers import MAX_FREQUENCY_MINUTES, check_name, parse_entries, parse_entry

Fields = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=JSON", help="Any other field, such as owner='\"sales\"'. Repeatable."),
]
MINUTES = typer.Option("--frequency", min=1, max=MAX_FREQUENCY_MINUTES, help="Minutes between two runs.")
Frequency = Annotated[float | None, MINUTES]
Group = Annotated[str | None, typer.Option("--group", help="Providers of one group share MaxRunsPerGroup.")]
DEFAULT_FREQUENCY = 60.0
PARALLEL = 8
NEW = {"If-None-Match": "*"}
"""The header that lets a PUT make a provider, and not replace one."""


@dataclass(frozen=True)
class ChangesReport:
    """Answer of `discover` and `import`."""

    registered: tuple[str, ...]
    there_already: tuple[str, ...]
    refused: tuple[str, ...]
    dry_run: bool


def list_providers(op: Operator) -> None:
    """List the providers and their entries."""
    op.show({"providers": dict(sorted(op.stack.config_api.entries().items()))}, _show_list)


def add(
    op: Operator,
    provider: Provider,
    frequency: Frequency = DEFAULT_FREQUENCY,
    group: Group = None,
    field: Fields = None,
) -> None:
    """Register a provider."""
    _show_change(op, provider, "added", call(op.stack, "PUT", provider, _given(frequency, group, field), NEW))


def change(
    op: Operator, provider: Provider, frequency: Frequency = None, group: Group = None, field: Fields = None
) -> None:
    """Change fields of a provider's entry; --field NAME=null removes one."""
    changes = _given(frequency, group, field)
    if not changes:
        raise UsageError("say what to change: --frequency, --group or --field")
    _show_change(op, provider, "changed", call(op.stack, "PATCH", provider, changes))


def pause(op: Operator, provider: Provider) -> None:
    """Keep a provider from being started; a run that is under way goes on."""
    _show_change(op, provider, "paused", call(op.stack, "PATCH", provider, {"paused": True}))


def resume(op: Operator, provider: Provider) -> None:
    """Let a paused provider be started again; what came meanwhile is processed with its next run."""
    _show_change(op, provider, "resumed", call(op.stack, "PATCH", provider, {"paused": None}))


def remove(op: Operator, provider: Provider, yes: Yes = False) -> None:
    """Take a provider off the list. Change log, bookmark and records stay: added again, it goes on where it was."""
    call(op.stack, "GET", provider)  # so that nobody is asked about a provider that is not there
    op.confirm(f"Take {provider} off the list?", yes=yes)
    call(op.stack, "DELETE", provider)
    _show_change(op, provider, "removed", None)


def discover(
    op: Operator,
    frequency: Annotated[float, MINUTES] = DEFAULT_FREQUENCY,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which are missing.")] = False,
    yes: Yes = False,
) -> Exit:
    """Register every provider that has a provider=NAME/ folder in the change log and is not registered yet."""
    known = op.stack.config_api.entries()
    found = folders(op.stack.client("s3"), op.stack.output("ChangeLogDir"))
    refused = tuple(name for name in found if not is_name(name))
    missing = tuple(name for name in found if name not in known and name not in refused)
    if missing and not dry_run:
        op.confirm(f"Register {counted(len(missing), 'provider')}, every {frequency:g} minutes?", yes=yes)
        _each(missing, lambda name: call(op.stack, "PUT", name, {"frequency": _number(frequency)}, NEW))
    op.show(ChangesReport(missing, tuple(known), refused, dry_run), _show_changes)
    return Exit.UNHEALTHY if refused else Exit.OK


def folders(s3: Any, change_log_dir: str) -> list[str]:
    """Names behind `provider=` in the change log; one request for each 1,000, however many objects they hold."""
    bucket, prefix = split_uri(change_log_dir.rstrip("/") + "/provider=")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    return [f["Prefix"].removeprefix(prefix)[:-1] for page in pages for f in page.get("CommonPrefixes", ())]


def is_name(name: object) -> TypeGuard[str]:
    """Whether the allow-list admits a name: only then does S3 hold anything of that provider."""
    try:
        check_name(name)
    except InvalidProviderError:
        return False
    return True


def import_providers(
    op: Operator,
    file: Annotated[str, typer.Argument(help="JSON as `export` writes it; - for standard input.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace entries that are there already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the file.")] = False,
) -> None:
    """Register the providers of a JSON file. All entries are checked before the first is written."""
    entries = _read_file(file)
    known = op.stack.config_api.entries()
    there = tuple(name for name in entries if name in known)
    wanted = {name: entry for name, entry in entries.items() if replace or name not in known}
    if not dry_run:
        _each(wanted, lambda name: call(op.stack, "PUT", name, wanted[name]))
    op.show(ChangesReport(tuple(wanted), () if replace else there, (), dry_run), _show_changes)


def export_providers(
    op: Operator,
    file: Annotated[str, typer.Argument(help="Where to write; - for standard output.")] = "-",
) -> None:
    """Write all entries as one JSON object, for `import`."""
    text = as_json(dict(sorted(op.stack.config_api.entries().items())))
    if file == "-":
        print(text)  # noqa: T201 - this command's answer is JSON in any case
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text + "\n", encoding="utf-8")
    op.note(f"wrote {file}")


def call(
    stack: Deployment,
    method: str,
    provider: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Change a provider in the config API and return its entry as it is then; of one that was removed, nothing."""
    try:
        answer = stack.config_api.change(method, check_name(provider), body, headers)
    except ConfigApiAnswerError as error:
        raise _in_operators_words(error, method, provider) from None
    entry: dict[str, Any] = json.loads(answer.body or "{}")
    return entry


def _in_operators_words(error: ConfigApiAnswerError, method: str, provider: str) -> OperatorError:
    status = error.status
    if status is None:
        return AccessError(str(error))
    if status == 404:
        return UsageError(f"there is no provider {provider}; `fanout providers list` shows all")
    if status == 412:
        return UsageError(f"{provider} is there already; change it with `fanout providers set {provider}`")
    if status in (405, 501):
        return UsageError(f"this config API does not take {method}: change {provider} where it is kept")
    if status < 500:
        return UsageError(f"the config API refused {provider} (HTTP {status}): {_detail(error.answer)}")
    return AccessError(f"the config API answered HTTP {status} to {method} of {provider}; try again")


def _detail(answer: str) -> str:
    """What problem details (RFC 9457) say, else the beginning of whatever came."""
    try:
        body = json.loads(answer)
        return str(body.get("detail") or body.get("message") or body)[:300]
    except (ValueError, AttributeError):
        return answer[:300]


def _given(frequency: float | None, group: str | None, fields: list[str] | None) -> dict[str, Any]:
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
            raise UsageError(f"--field {text}: write NAME=JSON, and strings in quotes: {name}='\"…\"'") from None
        if not sign or not name:
            raise UsageError(f"--field {text}: write NAME=JSON")
    return entry


def _number(frequency: float) -> int | float:
    if not math.isfinite(frequency):  # NaN is neither below the least nor above the most
        raise UsageError("--frequency must be a number of minutes")
    return int(frequency) if frequency == int(frequency) else frequency


def _json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _each(names: Any, register_one: Any) -> None:
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(register_one, names))


def _read_file(file: str) -> Mapping[str, dict[str, Any]]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        entries = _json(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(entries, dict):
        raise UsageError(f"{file} must hold one JSON object of provider name to entry")
    if faults := list(parse_entries(entries, utc_now())[1].values()):
        raise UsageError("nothing was imported; wrong: " + "; ".join(map(str, faults[:5])))
    return entries


def _show_list(report: dict[str, dict[str, Any]], page: Page) -> None:
    rows = [_row(name, entry) for name, entry in report["providers"].items()]
    page.table(("PROVIDER", ">EVERY", "STATUS", "LAST SUCCESS", "PAUSED", "GROUP", "ERROR"), rows)
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
    verb = "would be registered" if report.dry_run else "registered"
    page.line(f"{len(report.registered):,} {verb}: {', '.join(report.registered) or 'none'}")
    page.line(f"{len(report.there_already):,} there already")
    for name in report.refused:
        page.line(f"refused: provider={name} is not a name that the allow-list admits")
