"""What `make run` shows: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

COLUMNS = ("provider", "due", "engine", "state", "objects", "rows", "messages", "seconds")
_STATE = COLUMNS.index("state")
_NUMBERS = ("objects", "rows", "messages", "seconds")
_COLOURS = {"succeeded": "green", "failed": "red", "running": "cyan", "starting": "cyan", "claiming": "cyan"}
_LAST = ("", "succeeded")
"""States whose providers are left away first when there is no room for all."""

SILENCE_SECONDS = 2.5
"""After so long without a line there is one that says what is going on."""

MOST_ROWS = 12
"""Of more providers than these, a terminal shows so many and the counts of all, plain lines the counts only."""

Row = tuple[str, ...]


def _stamped(start: float, line: str) -> str:
    return f"{time.monotonic() - start:5.1f} s  {line}"


def counts(rows: Sequence[Row]) -> str:
    """How many providers are in which state, and what they sent: "200 providers: 3 running, 197 succeeded; …"."""
    states = Counter(row[_STATE] or "waiting" for row in rows)
    sent = {name: sum(int(row[COLUMNS.index(name)] or 0) for row in rows) for name in ("rows", "messages")}
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{len(rows)} providers: {told}; {sent['rows']} rows, {sent['messages']} messages"


class Screen(ABC):
    """Lines of text and a table of providers. While it is open, it is never silent for long."""

    def __init__(self) -> None:
        self._start = self._spoken = time.monotonic()
        self._doing = "starting"
        self._closed = threading.Event()
        self._heartbeat = threading.Thread(target=self._beat, daemon=True)

    def say(self, line: str) -> None:
        """Show a line with the time since the start."""
        self._spoken, self._doing = time.monotonic(), line
        self._write(_stamped(self._start, line))

    @abstractmethod
    def show(self, title: str, rows: Sequence[Row]) -> None:
        """Show the table as it is now, a row having a text for each of `COLUMNS`; a new title begins a new one."""

    @abstractmethod
    def _write(self, line: str) -> None:
        """Put out a line."""

    def _beat(self) -> None:
        while not self._closed.wait(0.25):
            if time.monotonic() - self._spoken >= SILENCE_SECONDS:
                self._spoken = time.monotonic()
                self._write(_stamped(self._start, f"still running: {self._doing}"))

    def __enter__(self) -> Self:
        self._heartbeat.start()
        return self

    def __exit__(self, *details: Any) -> None:
        self._closed.set()


class LiveScreen(Screen):
    """A table that changes in place, lines of text above it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._live = Live(console=self._console, auto_refresh=False)
        self._title = ""

    def _write(self, line: str) -> None:
        self._console.print(Text(line))

    def show(self, title: str, rows: Sequence[Row]) -> None:
        """See `Screen.show`."""
        self._spoken, self._doing = time.monotonic(), title
        if self._title and title != self._title:  # leave the last state of the former table where it is
            self._live.stop()
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._title = title
        self._live.update(_table(title, rows), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return super().__enter__()

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        self._live.stop()


class PlainScreen(Screen):
    """A line for each provider that changed; of many providers one for their counts, when they changed."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, str] = {}
        self._next_counts = 0.0

    def _write(self, line: str) -> None:
        print(line, flush=True)

    def show(self, title: str, rows: Sequence[Row]) -> None:
        """Show what is not as it was when it was last shown; counts every two seconds at most, and at the end."""
        if len(rows) <= MOST_ROWS:
            for row in rows:
                cells = zip(COLUMNS[1:-1], row[1:-1], strict=True)  # seconds run on by themselves
                self._say_pending(f"{title}: {row[0]:<12}", "  ".join(f"{name}={cell}" for name, cell in cells if cell))
        elif time.monotonic() >= self._next_counts or all(row[_STATE] in ("succeeded", "failed") for row in rows):
            self._next_counts = time.monotonic() + 2
            self._say_pending(f"{title}:", counts(rows))

    def _say_pending(self, what: str, state: str) -> None:
        if self._shown.get(what) != state:
            self._shown[what] = state
            self.say(f"{what} {state}")


def screen() -> Screen:
    """The screen that suits standard output."""
    return LiveScreen(Console()) if sys.stdout.isatty() else PlainScreen()


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in COLUMNS:
        # A name that is too long for the terminal goes on in the next line; no other cell is cut or broken.
        justify: Any = "right" if name in _NUMBERS else "left"
        table.add_column(name, justify=justify, no_wrap=name != "provider", overflow="fold")
    shown = rows
    if len(rows) > MOST_ROWS:
        shown = sorted(rows, key=lambda row: row[_STATE] in _LAST)[:MOST_ROWS]
        table.caption, table.caption_justify = counts(rows), "left"
    for row in shown:
        # Text, not markup: a provider's name may hold brackets.
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return table
