"""CSV, read by Arrow: blocks of text columns, with the number of each row."""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import csv as arrow_csv

from fanout_job.blocks import Bad, Block, counted
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.mapping import Csv

BLOCK_BYTES = 2**21
"""What Arrow reads at a time. Each row has to fit into it."""

MAX_HEADER_BYTES = 2**18


def csv_blocks(pieces: Iterator[bytes], how: Csv, wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the rows of a CSV object.

    Raises
    ------
    CorruptObjectError
        The header lacks a column, the text is not of this encoding, a row is too long or its quotes are never closed.
    """
    names, rest = header_of(as_utf8(pieces, how.encoding), how)
    if names is None:
        return
    check_header(names, wanted)
    quotes, numbering = Quotes(rest, how), Numbering(bad)
    last: Block | None = None
    try:
        for batch in opened(quotes.seen(), how, names, wanted, numbering.reject):
            if last is not None:
                yield last
            last = Block(numbering.numbers(batch.num_rows), dict(zip(wanted, batch.columns, strict=True)))
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        long = f"has a row of more than {BLOCK_BYTES} bytes, or quotes that are never closed"
        what = long if "straddling" in str(error) else "is not CSV that can be read"
        raise CorruptObjectError(what, line=numbering.next) from None
    quotes.check(numbering.next)
    if last is not None:
        yield last
    numbering.finish()


def check_header(names: list[str], wanted: Sequence[str]) -> None:
    """Raise CorruptObjectError unless each wanted column is there once."""
    for name in wanted:
        if name not in names:
            raise CorruptObjectError(f"its header has no column {name!r}", line=1)
        if names.count(name) > 1:
            raise CorruptObjectError(f"its header has the column {name!r} twice", line=1)


def opened(
    pieces: Iterator[bytes], how: Csv, names: list[str], wanted: Sequence[str], reject: Callable[[Any], str]
) -> Iterable[pa.RecordBatch]:
    """Return Arrow's reader: batches of the wanted columns as bytes, which nobody has converted or checked."""
    reader: Iterable[pa.RecordBatch] = arrow_csv.open_csv(
        Bytes(pieces),
        arrow_csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, column_names=[str(n) for n in range(len(names))]
        ),
        arrow_csv.ParseOptions(
            delimiter=how.delimiter,
            quote_char=how.quote or False,
            escape_char=how.escape or False,
            newlines_in_values=how.quote is not None,
            invalid_row_handler=reject,
        ),
        arrow_csv.ConvertOptions(
            include_columns=[str(names.index(name)) for name in wanted],
            column_types={str(n): pa.binary() for n in range(len(names))},
            strings_can_be_null=False,
        ),
    )
    return reader


class Numbering:
    """Numbers the rows, and tells of those that have too few or too many fields in their turn.

    Arrow leaves them out of its batches, tells of them while it reads ahead, and knows their numbers.
    """

    def __init__(self, bad: Bad) -> None:
        self.bad, self.next = bad, 1
        self.rejected: deque[Any] = deque()

    def reject(self, row: Any) -> str:
        """Take in a row that Arrow cannot use; answer what to do with it."""
        self.rejected.append(row)
        return "skip"

    def numbers(self, count: int) -> pa.Array:
        """Return the numbers of the next `count` good rows."""
        parts = []
        while self.rejected and self.rejected[0].number < self.next + count:
            before = self.rejected[0].number - self.next
            parts.append(counted(self.next, before))
            count -= before
            self._tell()
        parts.append(counted(self.next, count))
        self.next += count
        return pa.concat_arrays(parts)

    def finish(self) -> None:
        """Tell of what comes after the last good row."""
        while self.rejected:
            self._tell()

    def _tell(self) -> None:
        row = self.rejected.popleft()
        self.next = row.number + 1
        what = f"has {row.actual_columns} fields, not {row.expected_columns}"
        self.bad(RowError(what, line=row.number), row.text.encode(errors="surrogateescape"))


def as_utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield text of any encoding as UTF-8.

    Bytes that a one-byte encoding does not know become bytes that UTF-8 does not know, and so a bad row later on.

    Raises
    ------
    CorruptObjectError
        An encoding of several bytes finds no way to go on.
    """
    codec = codecs.lookup(encoding)
    if codec.name in ("utf-8", "ascii"):
        yield from pieces
        return
    decoder = codec.incrementaldecoder("surrogateescape")
    try:
        for piece in chain(pieces, [b""]):
            if text := decoder.decode(piece, final=not piece):
                yield text.encode(errors="surrogatepass")
    except UnicodeError:
        raise CorruptObjectError(f"is not {encoding} text") from None


def header_of(pieces: Iterator[bytes], how: Csv) -> tuple[list[str] | None, Iterator[bytes]]:
    """Return the names of the columns, and the bytes that follow; None if there is nothing at all.

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
    names: list[str] | None = list(how.columns)
    if not names:
        dialect: dict[str, Any] = {"delimiter": how.delimiter, "escapechar": how.escape, "quotechar": how.quote}
        if how.quote is None:
            dialect["quoting"] = csv.QUOTE_NONE
        try:
            reader = csv.reader((line.decode() for line in lines), strict=True, **dialect)
            names = next((names for names in reader if names), None)
        except (csv.Error, UnicodeDecodeError):
            raise CorruptObjectError(f"its header is not CSV in {how.encoding}", line=1) from None
        del lines[: reader.line_num]
    return names, chain([b"".join(lines)], pieces)


class Quotes:
    """Counts quotes, because Arrow takes the end of an object for the end of a quoted field."""

    def __init__(self, pieces: Iterable[bytes], how: Csv) -> None:
        self.pieces, self.count = pieces, 0
        self.sign = how.quote.encode() if how.quote and not how.escape else None

    def seen(self) -> Iterator[bytes]:
        """Yield the pieces."""
        for piece in self.pieces:
            self.count += piece.count(self.sign) if self.sign else 0
            yield piece

    def check(self, number: int) -> None:
        """Raise CorruptObjectError unless each quote has its counterpart."""
        if self.count % 2:
            raise CorruptObjectError(
                "ends within quotes; where quotes are plain characters, say quote: null", line=number
            )


class Bytes(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self.pieces, self.rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, because Arrow takes what one call gives for a block, in which rows have to fit."""
        filled = 0
        while filled < len(buffer):
            if not self.rest:
                if (piece := next(self.pieces, None)) is None:
                    break
                self.rest = memoryview(piece)
            count = min(len(buffer) - filled, len(self.rest))
            buffer[filled : filled + count], self.rest = self.rest[:count], self.rest[count:]
            filled += count
        return filled
