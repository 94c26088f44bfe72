"""Blocks of rows between a source and the model: up to thousands of rows, each source field a column of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.errors import RecordError
from fanout_job.paths import Source

Bad = Callable[[RecordError, bytes | None], None]
"""Handles a bad row: its error, which has the row number, and its text, or None if the text is too long."""

BLOCK_ROWS = 2**14
BLOCK_CHARACTERS = 2**22
"""Maximum size of a block. The last row may exceed it."""

MAX_RECORD_BYTES = 2**24
"""Maximum length of a record, in bytes or characters."""


@dataclass
class Block:
    """Rows of one source.

    Attributes
    ----------
    numbers : int64 array
        Row numbers in the source, from 1.
    columns : dict of Source to array
        Source field -> its text, as UTF-8 that is not validated yet. Null if a row has no such field.
    """

    numbers: pa.Array
    columns: dict[Source, pa.Array]

    def rows(self, places: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each row at these places, and its fields as readable JSON."""
        indexes = pa.array(places, pa.int64())
        columns = {source.name: column.take(indexes).to_pylist() for source, column in self.columns.items()}
        for row, number in enumerate(self.numbers.take(indexes).to_pylist()):
            texts = {name: column[row] for name, column in columns.items()}
            shown = {n: t.decode(errors="backslashreplace") if isinstance(t, bytes) else t for n, t in texts.items()}
            yield number, json.dumps(shown, indent=2).encode()

    def filtered(self, keep: pa.Array) -> Block:
        """Return the rows for which `keep` is true."""
        return Block(self.numbers.filter(keep), {source: text.filter(keep) for source, text in self.columns.items()})


class Gathering:
    """Collects single rows, and columns of several rows, into blocks."""

    def __init__(self, wanted: Sequence[Source]) -> None:
        self.wanted = wanted
        self.numbers: list[int] = []
        self.rows: list[Sequence[str | None]] = []
        """Single rows after the parts."""
        self.parts: list[list[pa.Array]] = []
        """Columns of earlier rows."""
        self.characters = 0

    def add(self, number: int, texts: Sequence[str | None]) -> None:
        """Add a row; `texts` are in the order of `wanted`."""
        self.numbers.append(number)
        self.rows.append(texts)
        self.characters += sum(map(len, filter(None, texts)))

    def extend(self, first: int, count: int, columns: Sequence[Sequence[str | None]]) -> None:
        """Add consecutive rows; `columns` are in the order of `wanted`."""
        self._add_part(self.rows)
        self.numbers.extend(range(first, first + count))
        part = [texts_of(column) for column in columns]
        self.parts.append(part)
        self.characters += sum(column.nbytes for column in part)
        self.rows = []

    def _add_part(self, rows: list[Sequence[str | None]]) -> None:
        if rows:
            self.parts.append([texts_of(column) for column in zip(*rows, strict=True)])

    @property
    def full(self) -> bool:
        """Whether the block has its maximum size."""
        return len(self.numbers) >= BLOCK_ROWS or self.characters >= BLOCK_CHARACTERS

    def taken(self) -> Iterator[Block]:
        """Yield the rows collected so far as a block, if there are any."""
        if self.numbers:
            self._add_part(self.rows)
            columns = zip(*self.parts, strict=True)
            yield Block(
                pa.array(self.numbers, pa.int64()),
                {source: _concatenated(column) for source, column in zip(self.wanted, columns, strict=True)},
            )
            self.numbers, self.rows, self.parts, self.characters = [], [], [], 0


def _concatenated(parts: Sequence[pa.Array]) -> pa.Array:
    if len({part.type for part in parts}) > 1:
        parts = [part.cast(pa.binary()) for part in parts]
    return pa.concat_arrays(parts)


def texts_of(values: Sequence[str | None]) -> pa.Array:
    """Return texts as an array. Keeps invalid lone surrogates, which the validation of the rows then reports."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([v if v is None else v.encode(errors="surrogatepass") for v in values], pa.binary())


def counted(first: int, count: int) -> pa.Array:
    """Return `count` consecutive numbers, starting at `first`."""
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count), start=first - 1)
