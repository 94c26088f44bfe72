"""Reads CSV with Arrow, as blocks of text columns with row numbers."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from pyarrow import csv as arrow_csv

from fanout_job.blocks import Bad, Block, counted
from fanout_job.csv_lines import without_lines
from fanout_job.csv_quotes import well_quoted
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.mapping_formats import Csv
from fanout_job.paths import Source
from fanout_job.texts import as_utf8, joined

BLOCK_BYTES = 2**21
"""Size of Arrow's read blocks. A row must fit into one block."""

MAX_HEADER_BYTES = 2**18

CARRIAGE_RETURN = ord("\r")


def csv_blocks(
    pieces: Iterator[bytes], how: Csv, wanted: Sequence[Source], required: Sequence[Sequence[str]], bad: Bad
) -> Iterator[Block]:
    """Yield the rows of a CSV object.

    Parameters
    ----------
    pieces, how, bad
    wanted
        The columns to read. A column that the header lacks is empty.
    required
        Names of columns: of each list, the header must have at least one.

    Raises
    ------
    CorruptObjectError
        The header lacks a column, the encoding is wrong, a row is too long, or a quote is never closed.
    """
    names, rest = header_of(as_utf8(joined(pieces), how.encoding), how)
    if names is None:
        return
    columns = Columns(names, how, wanted)
    columns.check(required)
    numbering = Numbering(bad)
    lines = without_lines(well_quoted(rest, how, BLOCK_BYTES), how)
    try:
        for batch in opened(lines, how, len(columns.names), columns.read, numbering.reject):
            yield from columns.blocks(batch, numbering.numbers(batch.num_rows), bad)
    except CorruptObjectError as error:
        error.line = numbering.next
        raise
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        long = f"has a row of more than {BLOCK_BYTES} bytes, or quotes that are never closed"
        what = long if "straddling" in str(error) else "is not CSV that can be read"
        raise CorruptObjectError(what, line=numbering.next) from None
    numbering.finish()


class Columns:
    """The columns of one object.

    Parameters
    ----------
    names : list of str
        The header.
    how : Csv
    wanted : sequence of Source
    """

    def __init__(self, names: list[str], how: Csv, wanted: Sequence[Source]) -> None:
        self.how, self.wanted = how, wanted
        surplus = how.trailing_delimiter and names[-1] != ""
        self.names = [*names, ""] if surplus else names
        self.keys = [self._key(name) for name in self.names]
        self.there = [source for source in wanted if self._key(source.name) in self.keys]
        self.read = [self.keys.index(self._key(source.name)) for source in self.there]
        if surplus:
            self.read.append(len(names))

    def _key(self, name: str) -> str:
        return " ".join(name.split()).casefold() if self.how.loose_names else name

    def check(self, required: Sequence[Sequence[str]]) -> None:
        """Raise CorruptObjectError if the header lacks a required column, or has a wanted one twice."""
        for group in required:
            if not {self._key(name) for name in group} & set(self.keys):
                raise CorruptObjectError(f"its header has no column {' or '.join(map(repr, group))}", line=1)
        for source in self.wanted:
            if self.keys.count(self._key(source.name)) > 1:
                raise CorruptObjectError(f"its header has the column {source.name!r} twice", line=1)

    def blocks(self, batch: pa.RecordBatch, numbers: pa.Array, bad: Bad) -> Iterator[Block]:
        """Yield the rows of a batch, without repeated headers and without rows with text after their last delimiter."""
        texts = dict(zip(self.there, batch.columns, strict=False))
        absent = pa.nulls(batch.num_rows, pa.binary())
        block = Block(numbers, {source: texts.get(source, absent) for source in self.wanted})
        keep = pa.repeat(True, batch.num_rows)
        if len(self.read) > len(self.there):
            empty = pc.equal(batch.columns[-1], b"")
            for number, shown in block.rows(pc.indices_nonzero(pc.invert(empty)).to_pylist()):
                bad(RowError("has text after its last delimiter", line=number), shown)
            keep = pc.and_(keep, empty)
        if self.how.repeated_header and texts:
            same = [
                pc.equal(text, self.names[place].encode())
                for text, place in zip(texts.values(), self.read, strict=False)
            ]
            keep = pc.and_(keep, pc.invert(reduce(pc.and_, same)))
        yield block if pc.all(keep).as_py() else block.filtered(keep)


def opened(
    pieces: Iterator[bytes], how: Csv, count: int, read: Sequence[int], reject: Callable[[Any], str]
) -> Iterable[pa.RecordBatch]:
    """Return Arrow's reader: batches of the columns at the places `read` as bytes, not converted or validated."""
    reader: Iterable[pa.RecordBatch] = arrow_csv.open_csv(
        Bytes(pieces),
        arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=[str(n) for n in range(count)]),
        arrow_csv.ParseOptions(
            delimiter=how.delimiter,
            quote_char=how.quote or False,
            escape_char=how.escape if how.escape != how.quote else None,
            newlines_in_values=how.quote is not None or how.escape is not None,
            invalid_row_handler=reject,
        ),
        arrow_csv.ConvertOptions(
            include_columns=[str(place) for place in read],
            column_types={str(n): pa.binary() for n in range(count)},
            strings_can_be_null=False,
        ),
    )
    return reader


class Numbering:
    """Numbers the rows, and reports rows with too few or too many fields in the order of the rows.

    Arrow omits such rows from its batches and passes them, with their numbers, to `reject` while it reads ahead.
    """

    def __init__(self, bad: Bad) -> None:
        self.bad, self.next = bad, 1
        self.rejected: deque[Any] = deque()

    def reject(self, row: Any) -> str:
        """Record a row that Arrow cannot use, and tell Arrow to skip it."""
        self.rejected.append(row)
        return "skip"

    def numbers(self, count: int) -> pa.Array:
        """Return the numbers of the next `count` good rows."""
        parts = []
        while self.rejected and self.rejected[0].number < self.next + count:
            before = self.rejected[0].number - self.next
            parts.append(counted(self.next, before))
            count -= before
            self._report()
        parts.append(counted(self.next, count))
        self.next += count
        return pa.concat_arrays(parts)

    def finish(self) -> None:
        """Report the rejected rows after the last good row."""
        while self.rejected:
            self._report()

    def _report(self) -> None:
        row = self.rejected.popleft()
        self.next = row.number + 1
        what = f"has {row.actual_columns} fields, not {row.expected_columns}"
        self.bad(RowError(what, line=row.number), row.text.encode(errors="surrogateescape"))


def header_of(pieces: Iterator[bytes], how: Csv) -> tuple[list[str] | None, Iterator[bytes]]:
    """Return the names of the columns, or None if the object is empty, and the bytes after the header.

    Raises
    ------
    CorruptObjectError
        The header cannot be read.
    """
    head = b""
    while len(head) < MAX_HEADER_BYTES and (piece := next(pieces, b"")):
        head += piece
    lines = head.splitlines(keepends=True)
    del lines[: how.skip]
    if how.comment is not None:
        comment = how.comment.encode()
        while lines and lines[0].startswith(comment):
            del lines[0]
    names: list[str] | None = list(how.columns)
    if not names:
        escape = how.escape if how.escape != how.quote else None
        dialect: dict[str, Any] = {"delimiter": how.delimiter, "escapechar": escape, "quotechar": how.quote}
        try:
            reader = csv.reader((line.decode() for line in lines), strict=True, **dialect)
            names = next((names for names in reader if names), None)
        except (csv.Error, UnicodeDecodeError):
            raise CorruptObjectError(f"its header is not CSV in {how.encoding}", line=1) from None
        del lines[: reader.line_num]
    return names, filter(None, chain([b"".join(lines)], pieces))


class Bytes(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the whole buffer, because Arrow treats the bytes of one call as a block, and rows must fit into a block.

        A block never ends with a carriage return unless the object does: Arrow would drop a line feed that follows,
        even within quotes (github.com/apache/arrow/issues/51368).
        """
        filled = 0
        while filled < len(buffer) and self._more():
            count = min(len(buffer) - filled, len(self.rest))
            buffer[filled : filled + count], self.rest = self.rest[:count], self.rest[count:]
            filled += count
        if filled > 1 and buffer[filled - 1] == CARRIAGE_RETURN and self._more():
            self.rest = memoryview(b"\r" + self.rest)
            filled -= 1
        return filled

    def _more(self) -> bool:
        while not self.rest and (piece := next(self.pieces, None)) is not None:
            self.rest = memoryview(piece)
        return bool(self.rest)
