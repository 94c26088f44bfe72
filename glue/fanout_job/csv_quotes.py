"""Where quoted fields of a CSV object begin and end. Arrow reads them, but does not notice quotes that are wrong.

Arrow takes the end of an object for the end of a quoted field, and appends what follows a closing quote to the field.
So one missing quote would silently turn the rows after it into text of another row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.errors import CorruptObjectError
from fanout_job.mapping import Csv


@dataclass(frozen=True)
class Dialect:
    """Regular expressions of a CSV dialect. Each begins where a field does.

    Attributes
    ----------
    fields : str
        Whole fields with what ends them and nothing else, for Arrow, which matches a megabyte in 3 ms.
    known
        As many such fields as there are, for Python, which says where the last one ends.
    unfinished
        A field that may go on in the next piece.
    last
        A field that the object may end with.
    plain : bytes
        Fields without this sign need no look, unless it is empty.
    """

    fields: str
    known: re.Pattern[bytes]
    unfinished: re.Pattern[bytes]
    last: re.Pattern[bytes]
    plain: bytes


def dialect_of(how: Csv) -> Dialect | None:
    """Return how a mapping's files are quoted; None if no sign has a meaning beyond its own field.

    A quote within quotes is doubled or follows an escape. Quotes are plain in a field that does not begin with one.
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
        b"" if how.quote is None or escape else how.quote.encode(),
    )


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


def well_quoted(pieces: Iterator[bytes], how: Csv, longest: int) -> Iterator[bytes]:
    """Yield the same bytes, cut in other places: each piece but the last one ends where a field does.

    Parameters
    ----------
    pieces : iterator of bytes
        From the beginning of a row on.
    how : Csv
    longest : int
        Bytes of the longest field.

    Raises
    ------
    CorruptObjectError
        A quoted field does not end, or has text after its closing quote.
    """
    dialect = dialect_of(how)
    if dialect is None:
        yield from pieces
        return
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
        found = dialect.known.match(held)
        if not dialect.last.fullmatch(held, found.end() if found else 0):
            raise CorruptObjectError("ends within quotes; if quotes are plain characters, say quote: null")
        yield held


def _end_of_fields(text: bytes, dialect: Dialect) -> int:
    """Return where the last whole field of a text ends, or the last row, if that is enough."""
    end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    rows = text[:end]
    if end and ((dialect.plain and dialect.plain not in rows) or _matches(rows, dialect.fields)):
        return end
    found = dialect.known.match(text)
    end = found.end() if found else 0
    if not dialect.unfinished.fullmatch(text, end):
        raise CorruptObjectError("has text after a closing quote; if quotes are plain characters, say quote: null")
    return end


def _matches(rows: bytes, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(rows, pa.binary()), pattern).as_py())
