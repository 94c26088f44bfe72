"""The output of `make run`: a live table on a terminal, plain lines otherwise."""

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

from cli.output import safe

COLUMNS = ("provider", "due", "engine", "state", "objects", "rows", "messages", "seconds")
_STATE = COLUMNS.index("state")
_NUMBERS = ("objects", "rows", "messages", "seconds")
_COLOURS = {"succeeded": "green", "failed": "red", "running": "cyan", "starting": "cyan", "claiming": "cyan"}
_LAST = ("", "succeeded")
"""States whose providers are omitted first if there are too many."""

SILENCE_SECONDS = 2.5
"""After this time without output, the current step is printed again."""

MAX_ROWS = 12
"""For more providers, a terminal shows this many and the counts of all, plain lines only the counts."""

Row = tuple[str, ...]


def _stamped(start: float, line: str) -> str:
    return f"{time.monotonic() - start:5.1f} s  {line}"


def counts(rows: Sequence[Row]) -> str:
    """Return the number of providers in each state, and of rows and messages: "200 providers: 3 running, …"."""
    states = Counter(row[_STATE] or "waiting" for row in rows)
    sent = {name: sum(int(row[COLUMNS.index(name)] or 0) for row in rows) for name in ("rows", "messages")}
    by_state = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{len(rows)} providers: {by_state}; {sent['rows']} rows, {sent['messages']} messages"


class Screen(ABC):
    """Lines of text and a table of providers. While it is open, it prints something every few seconds."""

    def __init__(self) -> None:
        self._start = self._spoken = time.monotonic()
        self._doing = "starting"
        self._closed = threading.Event()
        self._heartbeat = threading.Thread(target=self._beat, daemon=True)

    def say(self, line: str) -> None:
        """Print a line with the time since the start."""
        line = safe(line)
        self._spoken, self._doing = time.monotonic(), line
        self._write(_stamped(self._start, line))

    @abstractmethod
    def show(self, title: str, rows: Sequence[Row]) -> None:
        """Show the table's current rows, each with a text for each of `COLUMNS`. A new title starts a new table."""

    @abstractmethod
    def _write(self, line: str) -> None:
        """Print a line."""

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
    """A table that is updated in place, with lines of text above it."""

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
        if self._title and title != self._title:  # keep the previous table on the screen
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
    """A line for each provider that changed; for many providers, a line with their counts."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, str] = {}
        self._next_counts = 0.0

    def _write(self, line: str) -> None:
        print(line, flush=True)

    def show(self, title: str, rows: Sequence[Row]) -> None:
        """Print what has changed since the last call; counts at most every two seconds, and at the end."""
        if len(rows) <= MAX_ROWS:
            for row in rows:
                cells = zip(COLUMNS[1:-1], row[1:-1], strict=True)  # without the seconds, which always change
                self._say_changed(f"{title}: {row[0]:<12}", "  ".join(f"{name}={cell}" for name, cell in cells if cell))
        elif time.monotonic() >= self._next_counts or all(row[_STATE] in ("succeeded", "failed") for row in rows):
            self._next_counts = time.monotonic() + 2
            self._say_changed(f"{title}:", counts(rows))

    def _say_changed(self, what: str, state: str) -> None:
        if self._shown.get(what) != state:
            self._shown[what] = state
            self.say(f"{what} {state}")


def screen() -> Screen:
    """Return the screen for standard output."""
    return LiveScreen(Console()) if sys.stdout.isatty() else PlainScreen()


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in COLUMNS:
        # A long provider name continues on the next line; no other cell is truncated or wrapped.
        justify: Any = "right" if name in _NUMBERS else "left"
        table.add_column(name, justify=justify, no_wrap=name != "provider", overflow="fold")
    shown = rows
    if len(rows) > MAX_ROWS:
        shown = sorted(rows, key=lambda row: row[_STATE] in _LAST)[:MAX_ROWS]
        table.caption, table.caption_justify = counts(rows), "left"
    for row in shown:
        # Text instead of markup, because a provider's name may contain brackets.
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return table
