"""Providers' entries in files: JSON, YAML and CSV. What was written is read back exactly."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml
from pydantic import ValidationError

from contract.nesting import is_too_deep
from fanout.errors import InvalidProviderError
from fanout.providers import EntryOptions, describe, parse_entry

from .command import utc_now
from .errors import UsageError
from .output import safe

Entries = dict[str, dict[str, Any]]
FORMATS = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".csv": "csv"}
REPORTED = ("status", "last_success", "run_id", "error")
"""Fields that the reports of runs write. They are no configuration."""
PROVIDER = "provider"
"""The column of a CSV file that has the providers' names."""
_TEXTS = ("group", "at")
"""Columns of a CSV file whose values are text, even if they look like numbers."""
_LINE_ENDS = frozenset("\x85\u2028\u2029")
_FORMULA = tuple("=+-@\t\r")
"""A spreadsheet takes a cell that begins with one of these for a formula. Source: "CSV Injection", OWASP."""


def format_of(file: str, chosen: str | None) -> str:
    """The format of a file: the chosen one, or the one that its suffix names; JSON for standard input and output.

    Raises
    ------
    UsageError
        The format is unknown.
    """
    found = chosen or ("json" if file == "-" else FORMATS.get(PurePath(file).suffix.lower()))
    if found is None or found not in FORMATS.values():
        raise UsageError(f"{safe(file)} has an unknown format; use .json, .yaml or .csv, or --format")
    return found


def parse(content: bytes, form: str, name: str) -> Entries:
    """Read and validate the entries in a file.

    Raises
    ------
    UsageError
        The file, or at least one entry, is invalid; the message names the first ones.
    """
    try:
        text = content.decode("utf-8-sig")
        entries = {"json": _from_json, "yaml": _from_yaml, "csv": _from_csv}[form](text)
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except (ValueError, TypeError, csv.Error, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split()) if str(error) else type(error).__name__
        raise UsageError(f"{name} is not valid {form.upper()}: {safe(reason)[:300]}") from None
    if not isinstance(entries, dict):
        raise UsageError(f"{name} must contain one object that maps provider names to entries")
    if faults := [fault for provider, entry in entries.items() if (fault := _fault(provider, entry))]:
        more = f" and {len(faults) - 5:,} more" if len(faults) > 5 else ""
        raise UsageError(f"{name}: nothing was changed; invalid entries: {'; '.join(faults[:5])}{more}")
    return entries


def _fault(provider: str, entry: object) -> str:
    """Return why the config API would refuse an entry; empty if it would not."""
    try:
        parse_entry(provider, entry, utc_now())
        EntryOptions.model_validate(entry, strict=True)
        size = len(json.dumps(entry, allow_nan=False))
    except InvalidProviderError as error:
        return str(error)
    except (TypeError, ValueError) as error:
        return f"{provider}: {describe(error) if isinstance(error, ValidationError) else error}"
    return f"{provider}: the entry is longer than 64 KB" if size > EntryOptions.MAX_BYTES else ""


def write(entries: Mapping[str, Mapping[str, Any]], form: str) -> str:
    """Write entries in the order of their names."""
    ordered = {name: dict(entries[name]) for name in sorted(entries)}
    if form == "json":
        return json.dumps(ordered, indent=2) + "\n"
    if form == "yaml":
        return str(yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
    first = ["frequency", "group", "at", "paused"]
    found = {field for entry in ordered.values() for field in entry}
    fields = [field for field in first if field in found] + sorted(found.difference(first))
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow([PROVIDER, *fields])
    table.writerows(
        [name, *(_cell(f, entry[f]) if f in entry else "" for f in fields)] for name, entry in ordered.items()
    )
    return lines.getvalue()


def _from_json(text: str) -> Any:
    if is_too_deep(text):
        raise ValueError("it is nested too deeply")
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    names: set[Any] = set()
    for name, _ in pairs:
        if name in names:
            raise ValueError(f"{name} appears more than once")
        names.add(name)
    return dict(pairs)


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of JSON: 16:00 and no are texts, as in YAML 1.2, and there are no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases are not supported")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        pairs = [
            (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
            for key, value in node.value
        ]
        if wrong := [key for key, _ in pairs if not isinstance(key, str)]:
            raise ValueError(f"the name {wrong[0]} must be text; write it in quotes")
        return _unique(pairs)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `_Loader` or another reader of YAML would take for another type."""

    def represent_text(self, text: str) -> Any:
        """Escape the characters that YAML, but not Python's JSON, takes for the end of a line."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, None if _LINE_ENDS.isdisjoint(text) else '"')


_Dumper.add_representer(str, _Dumper.represent_text)

_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _starts in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", list("-0123456789")),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _starts)


def _from_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def _from_csv(text: str) -> Entries:
    head = text.partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in head and "," not in head else ",", strict=True
    )
    columns = [column.strip() for column in next(rows, [])]
    if PROVIDER not in columns:
        raise ValueError(f"the first line must name the columns, and one of them must be {PROVIDER}")
    if len(set(columns)) < len(columns):
        raise ValueError("a column appears more than once")
    entries: Entries = {}
    for row in rows:
        if not any(row):
            continue
        if len(row) != len(columns):
            raise ValueError(f"line {rows.line_num} has {len(row)} values for {len(columns)} columns")
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=True)}
        provider = cells.pop(PROVIDER)
        if provider in entries:
            raise ValueError(f"{provider} appears more than once, again in line {rows.line_num}")
        entries[provider] = {column: _value(column, cell) for column, cell in cells.items() if cell}
    return entries


def _value(column: str, cell: str) -> Any:
    """The value of a cell: JSON if it is JSON, or else text."""
    if column in _TEXTS and not cell.startswith('"'):
        return cell
    try:
        return _from_json(cell.lower() if column == "paused" else cell)  # spreadsheets write TRUE
    except ValueError:
        return cell


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str) and value and _value(column, value.strip()) == value and not value.startswith(_FORMULA):
        return value
    return json.dumps(value)
