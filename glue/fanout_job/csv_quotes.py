"""Checks the quotes of a CSV object, because Arrow does not report wrong quotes.

Arrow ends a quoted field at the end of the object, and appends text after a closing quote to the field. So one missing
quote would silently turn the following rows into text of a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.errors import CorruptObjectError
from fanout_job.mapping_formats import Csv


@dataclass(frozen=True)
class Dialect:
    """Regular expressions of a CSV dialect. Each starts at the beginning of a field.

    Attributes
    ----------
    fields : str
        Only complete fields with their delimiters or line ends, for Arrow, which matches a megabyte in 3 ms.
    known
        As many complete fields as possible, for Python, which returns the end of the last one.
    unfinished
        A field that the next piece may continue.
    last
        A valid last field of the object.
    field
        One complete field with its delimiter or line end.
    plain : bytes
        Text without these bytes needs no check. Each text contains the empty bytes.
    """

    fields: str
    known: re.Pattern[bytes]
    unfinished: re.Pattern[bytes]
    last: re.Pattern[bytes]
    field: re.Pattern[bytes]
    plain: bytes

    def end_of_known(self, text: bytes) -> int:
        """Return where as many complete fields as possible end."""
        return next(self.known.finditer(text)).end()  # matches at the beginning, at least nothing


def dialect_of(how: Csv) -> Dialect | None:
    """Return the quoting rules of a mapping; None if it has neither a quote nor an escape.

    A quote within quotes is doubled or follows an escape. In a field that does not begin with a quote, quotes are text.
    """
    escape = how.escape if how.escape != how.quote else None
    if how.quote is None and escape is None:
        return None
    q, e, ends = re.escape(how.quote or ""), re.escape(escape or ""), re.escape(how.delimiter) + r"\r\n"
    escaped = f"|{e}." if escape else ""
    unquoted = f"(?:[^{ends}{q}{e}]{escaped})(?:[^{ends}{e}]++{escaped})*+"
    body = f"{q}(?:[^{q}{e}]++|{q}{q}{escaped})*+"
    quoted = f"{body}{q}(?=[{ends}])|" if how.quote else ""
    fields = f"(?:(?:{quoted}{unquoted})?[{ends}])*+"
    return Dialect(
        "(?s)^" + re.sub(r"\(\?=.*?\]\)", "", fields).replace("++", "+").replace("*+", "*") + "$",
        _compiled(fields),
        _compiled((f"{body}[{q}{e}]?|" if how.quote else "") + f"(?:{unquoted})?{e}{'?' if escape else ''}"),
        _compiled((f"{body}{q}|" if how.quote else "") + f"(?:{unquoted})?"),
        _compiled(f"(?:{quoted}{unquoted})?[{ends}]"),
        b"" if how.quote is None or escape else how.quote.encode(),
    )


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


def well_quoted(pieces: Iterator[bytes], how: Csv, longest: int) -> Iterator[bytes]:
    """Yield the same bytes in other pieces: each piece, except possibly the last, ends at the end of a field.

    Parameters
    ----------
    pieces : iterator of bytes
        Starting at the beginning of a row.
    how : Csv
    longest : int
        Maximum size of a field in bytes.

    Raises
    ------
    CorruptObjectError
        A quoted field is not closed, or has text after its closing quote.
    """
    dialect = dialect_of(how)
    held = b""
    for piece in pieces:
        text = held + piece
        end = _end_of_fields(text, dialect)
        held = text[end:]
        if len(held) > longest:
            raise CorruptObjectError(f"has a row of more than {longest} bytes, or quotes that are never closed")
        if end:
            yield text[:end]
    if held:
        if dialect and not dialect.last.fullmatch(held, dialect.end_of_known(held)):
            raise CorruptObjectError("ends within quotes; set quote: null if quotes are plain characters")
        yield held


def _end_of_fields(text: bytes, dialect: Dialect | None) -> int:
    """Return the end of the last complete row that needs no further check, or else of the last complete field."""
    end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    if dialect is None:
        return end or len(text)  # a row too long to hold back
    rows = text[:end]
    if end and (dialect.plain not in rows or _matches(rows, dialect.fields)):
        return end
    end = dialect.end_of_known(text)
    if not dialect.unfinished.fullmatch(text, end):
        raise CorruptObjectError("has text after a closing quote; set quote: null if quotes are plain characters")
    return end


def _matches(rows: bytes, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(rows, pa.binary()), pattern).as_py())
