"""What `make run` shows: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

COLUMNS = ("provider", "due", "engine", "state", "objects", "rows", "messages", "seconds")
_NUMBERS = ("objects", "rows", "messages", "seconds")
_COLOURS = {"succeeded": "green", "failed": "red", "running": "cyan", "starting": "cyan", "claiming": "cyan"}
Row = tuple[str, ...]


class Screen(Protocol):
    """Shows lines of text and the state of every provider."""

    def say(self, line: str) -> None:
        """Show a line."""

    def show(self, title: str, rows: Iterable[Row]) -> None:
        """Show the table as it is now; a row has a text for each of `COLUMNS`."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def screen() -> Screen:
    """The screen that suits standard output."""
    return LiveScreen() if sys.stdout.isatty() else PlainScreen()


def _stamped(start: float, line: str) -> str:
    return f"{time.monotonic() - start:5.1f} s  {line}"


class LiveScreen(Screen):
    """A table that changes in place, lines of text above it."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._title = ""

    def say(self, line: str) -> None:
        """Show a line above the table."""
        self._console.print(Text(_stamped(self._start, line)))

    def show(self, title: str, rows: Iterable[Row]) -> None:
        """Show the table in its place; a new title begins a new one."""
        if self._title and title != self._title:  # leave the last state of the former table where it is
            self._live.stop()
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._title = title
        self._live.update(_table(title, rows), refresh=True)

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.stop()


class PlainScreen(Screen):
    """A line for each row that changed."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._shown: dict[tuple[str, str], Row] = {}

    def say(self, line: str) -> None:
        """Show a line with the time since the start."""
        print(_stamped(self._start, line), flush=True)

    def show(self, title: str, rows: Iterable[Row]) -> None:
        """Show the rows that are not as they were."""
        for row in rows:
            key = (title, row[0])
            settled = row[:-1]  # seconds run on by themselves
            if self._shown.get(key) != settled:
                self._shown[key] = settled
                cells = dict(zip(COLUMNS, row, strict=True))
                text = "  ".join(f"{name}={cells[name]}" for name in COLUMNS[1:] if cells[name])
                self.say(f"{title}: {row[0]:<12} {text}")

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(self, *details: Any) -> None:
        """Nothing is open."""


def _table(title: str, rows: Iterable[Row]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        # Text, not markup: a provider's name may hold brackets.
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return table
