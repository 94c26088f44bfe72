"""How reports reach the operator: as lines and tables that fit the terminal, or with --json as one JSON document."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import textwrap
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from fanout.providers import Unusable
from fanout.times import format_iso

GAP = "  "
LEAST_TEXT = 24
"""Columns that a table's last, wrapped column has at least; with fewer, it goes below its row."""


class Page:
    """Where a command shows its answer.

    A terminal gets lines of its width, in which no name, time or id is cut; whatever else reads it gets every line
    whole. Names, errors and log lines come from outside, so characters that could steer a terminal are shown as
    escapes.

    Parameters
    ----------
    console
        Knows colours.
    width
        Of the terminal; None when there is none.
    """

    def __init__(self, console: Console, width: int | None) -> None:
        self._console = console
        self._width = width

    def line(self, text: str, style: str | None = None, indent: str = "") -> None:
        """Show one line; what does not fit goes on below it, a little further in."""
        self._show(indent, safe(text), len(indent) + len(GAP), style)

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Show names and values, one pair a line."""
        shown = [(name, safe(show(value))) for name, value in pairs]
        wide = max(len(name) for name, _ in shown)
        for name, value in shown:
            self._show(f"{name:{wide}}{GAP}", value, wide + len(GAP))

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Show a table; columns whose name begins with '>' stand to the right.

        On a terminal that is too narrow, the last columns go below their row, each on a line of its own.
        """
        names = list(columns)
        heads = [name.lstrip(">") for name in names]
        cells = [[safe(show(cell)) for cell in row] for row in rows]
        wide = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
        beside = self._beside(wide)

        def aligned(values: list[str]) -> list[str]:
            return [
                " " * (width - cell_len(value)) + value if name.startswith(">") else set_cell_size(value, width)
                for name, value, width in zip(names, values[:beside], wide, strict=False)
            ]

        self._console.print(GAP.join(aligned(heads)).rstrip(), style="bold")
        for row in cells:
            *before, last = aligned(row)
            start = "".join(part + GAP for part in before)
            self._show(start, last.rstrip(), cell_len(start))
            for head, value in list(zip(heads, row, strict=True))[beside:]:
                if value != show(None):
                    self.line(f"{head.lower()}: {value}", indent=GAP)

    def _beside(self, wide: list[int]) -> int:
        """How many columns stand beside one another. The last one, which is text, may be cut into lines."""
        if self._width is None:
            return len(wide)
        ends = [sum(wide[: n + 1]) + n * len(GAP) for n in range(len(wide))]
        fits = [n + 1 for n, end in enumerate(ends) if end <= self._width]
        if len(fits) == len(wide) - 1 and ends[-2] + len(GAP) + LEAST_TEXT <= self._width:
            return len(wide)
        return max(1, len(fits))

    def _show(self, start: str, text: str, indent: int, style: str | None = None) -> None:
        """Print a start and a text behind it, which goes on below at the indent. No word is ever cut."""
        lines = [text]
        if self._width is not None and cell_len(start + text) > self._width:
            room = max(1, self._width - indent)
            lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            self._console.print((" " * indent if number else start) + line.rstrip(), style=style)


Report = TypeVar("Report")
View = Callable[[Report, Page], None]


def page(*, error: bool = False) -> Page:
    """Where answers go, or with `error` what is said beside them."""
    stream = sys.stderr if error else sys.stdout
    stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # of what its encoding does not have
    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    return Page(console, console.width if stream.isatty() else None)


def safe(text: str) -> str:
    """Text in which every character can be shown: control characters, line ends and surrogates become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_json(report: Any) -> str:
    """The report as one JSON document in ASCII: times in ISO 8601, durations in seconds."""
    return json.dumps(report, indent=2, default=_plain).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    """What `json` cannot write by itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return format_iso(value)
    if isinstance(value, Unusable):
        return {"unusable": value.reason}
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


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


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 object``, ``2,000 objects``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def dollars(amount: float) -> str:
    """An amount in cents, and a small one to its second digit, to tell it from nothing: ``$1.50``, ``$0.000012``."""
    digits = 2 if amount == 0 else max(2, 1 - math.floor(math.log10(abs(amount))))
    return f"${amount:,.{digits}f}"
