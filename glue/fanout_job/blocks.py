"""Rows on their way from a source to the model: some thousands at a time, each source field a column of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.errors import RecordError

Bad = Callable[[RecordError, bytes | None], None]
"""Gets a bad row, with its number in the error, and as much of its text as there is."""

BLOCK_ROWS = 2**14
BLOCK_CHARACTERS = 2**22
"""What a block holds at most, give or take a row."""

MAX_RECORD_BYTES = 2**24
"""The longest record that is read, in bytes or characters."""


@dataclass
class Block:
    """Rows of one source.

    Attributes
    ----------
    numbers : int64 array
        The rows' places in their source, from 1.
    columns : dict of str to array
        Source field -> its text, as UTF-8 that nobody has checked yet. Null where a row has no such field.
    """

    numbers: pa.Array
    columns: dict[str, pa.Array]

    def row(self, index: int) -> bytes:
        """Return the fields of a row as JSON, for people to look at."""
        texts = {name: column[index].as_py() for name, column in self.columns.items()}
        shown = {n: t.decode(errors="backslashreplace") if isinstance(t, bytes) else t for n, t in texts.items()}
        return json.dumps(shown, indent=2).encode()


class Gathering:
    """Makes blocks of rows that come one by one."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = wanted
        self.numbers: list[int] = []
        self.rows: list[Sequence[str | None]] = []
        self.characters = 0

    def add(self, number: int, texts: Sequence[str | None]) -> None:
        """Take a row in; `texts` are in the order of `wanted`."""
        self.numbers.append(number)
        self.rows.append(texts)
        self.characters += sum(map(len, filter(None, texts)))

    @property
    def full(self) -> bool:
        """Whether it is time to take the block."""
        return len(self.rows) >= BLOCK_ROWS or self.characters >= BLOCK_CHARACTERS

    def taken(self) -> Iterator[Block]:
        """Give what there is as a block, if there is anything."""
        if self.rows:
            columns = zip(*self.rows, strict=True) if self.wanted else ()
            yield Block(
                pa.array(self.numbers, pa.int64()),
                {name: texts_of(column) for name, column in zip(self.wanted, columns, strict=True)},
            )
            self.numbers, self.rows, self.characters = [], [], 0


def texts_of(values: Sequence[str | None]) -> pa.Array:
    """Return texts as an array. Lone surrogates, which no text may have, are kept, for whoever checks the rows."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([v if v is None else v.encode(errors="surrogatepass") for v in values], pa.binary())


def counted(first: int, count: int) -> pa.Array:
    """Return `count` numbers from `first` on."""
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count), start=first - 1)
