"""How reports reach the operator: as tables, or with --json as one JSON document."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanout.times import format_iso

Report = TypeVar("Report")
View = Callable[[Report, Console], None]

WIDTH_WITHOUT_TERMINAL = 160
"""Piped output is not folded at rich's 80 columns, which would cut names in two."""


def console(*, error: bool = False) -> Console:
    """A console for people."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())


def as_json(report: Any) -> str:
    """The report as one JSON document: times in ISO 8601, durations in seconds."""
    return json.dumps(report, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    """What `json` cannot write by itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return format_iso(value)
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table; columns whose name begins with '>' stand to the right."""
    names = list(columns)
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=any(names))
    for column in names:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(show(cell)) for cell in row))
    return made


def show(value: object) -> str:
    """One cell."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def duration(span: timedelta) -> str:
    """A duration in its two largest units: ``2d 3h``, ``5m 10s``."""
    seconds = int(abs(span.total_seconds()))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count or unit == "s")
    return f"-{shown}" if span < timedelta() else shown


def dollars(amount: float) -> str:
    """An amount, with enough digits to tell it from nothing."""
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.6f}".rstrip("0")
