"""How commands print reports: as lines and tables that fit the terminal, or with --json as one JSON document."""

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

from contract.times import format_iso
from fanout.providers import InvalidEntry

GAP = "  "
LEAST_TEXT = 24
"""The least width of a table's last column, which wraps; with less room, its values are printed below their rows."""


class Page:
    """Prints the answer of a command.

    On a terminal, lines wrap at its width, and no name, time or id is cut; in a file or pipe, lines don't wrap. Names,
    errors and log lines are not trusted: characters that could control a terminal are printed as escapes.

    Parameters
    ----------
    console
        Prints text with styles.
    width
        Width of the terminal; None without a terminal.
    """

    def __init__(self, console: Console, width: int | None) -> None:
        self._console = console
        self._width = width

    def line(self, text: str, style: str | None = None, indent: str = "") -> None:
        """Print one line; a line that is too long wraps, indented."""
        self._show(indent, safe(text), len(indent) + len(GAP), style)

    def lines(self, texts: Iterable[str]) -> None:
        """Print lines."""
        for text in texts:
            self.line(text)

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Print names and values, one pair per line."""
        shown = [(name, safe(show(value))) for name, value in pairs]
        wide = max(len(name) for name, _ in shown)
        for name, value in shown:
            self._show(f"{name:{wide}}{GAP}", value, wide + len(GAP))

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Print a table; columns whose name begins with '>' are aligned to the right.

        On a narrow terminal, the values of the last columns are printed below their row, each on its own line.
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
        """How many columns fit beside one another. The last one is text and may wrap."""
        if self._width is None:
            return len(wide)
        ends = [sum(wide[: n + 1]) + n * len(GAP) for n in range(len(wide))]
        fits = [n + 1 for n, end in enumerate(ends) if end <= self._width]
        if len(fits) == len(wide) - 1 and ends[-2] + len(GAP) + LEAST_TEXT <= self._width:
            return len(wide)
        return max(1, len(fits))

    def _show(self, start: str, text: str, indent: int, style: str | None = None) -> None:
        """Print a start and a text, which wraps at the indent. Words are not cut."""
        lines = [text]
        if self._width is not None and cell_len(start + text) > self._width:
            room = max(1, self._width - indent)
            lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            self._console.print((" " * indent if number else start) + line.rstrip(), style=style)


Report = TypeVar("Report")
View = Callable[[Report, Page], None]


def page(*, error: bool = False) -> Page:
    """The page of stdout, for answers; with `error` the page of stderr, for remarks and errors."""
    stream = sys.stderr if error else sys.stdout
    stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # for characters that its encoding lacks
    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    return Page(console, console.width if stream.isatty() else None)


def safe(text: str) -> str:
    """The text with control characters, line ends and surrogates as escapes, so that it is safe to print."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_json(report: Any) -> str:
    """The report as one JSON document in ASCII: times in ISO 8601, durations in seconds."""
    return json.dumps(report, indent=2, default=_plain).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    """A JSON value for an object that `json` cannot write."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return format_iso(value)
    if isinstance(value, InvalidEntry):
        return {"invalid": value.reason}
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def show(value: object) -> str:
    """A value as text."""
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
    """An amount in cents; a small one with two significant digits: ``$1.50``, ``$0.000012``."""
    digits = 2 if amount == 0 else max(2, 1 - math.floor(math.log10(abs(amount))))
    return f"${amount:,.{digits}f}"
