"""Removes comment lines and the footer of a CSV object. Lines within quotes are never removed."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from fanout_job.csv_quotes import dialect_of
from fanout_job.errors import CorruptObjectError
from fanout_job.mapping_formats import Csv

MAX_FOOTER_LINES = 100
"""Maximum lines of a footer, so that a data row that begins like the footer does not end the data unnoticed."""

LINE_END = re.compile(rb"\r\n|\n|\r")


def without_lines(pieces: Iterator[bytes], how: Csv) -> Iterator[bytes]:
    """Yield the rows without comments and footer.

    Parameters
    ----------
    pieces : iterator of bytes
        Each begins at the beginning of a field, and the first one at the beginning of a row.
    how : Csv

    Raises
    ------
    CorruptObjectError
        More than MAX_FOOTER_LINES lines follow the beginning of the footer.
    """
    if how.comment is None and not how.footer:
        yield from pieces
        return
    lines = _Lines(how)
    for piece in pieces:
        if kept := lines.kept(piece):
            yield kept


class _Lines:
    def __init__(self, how: Csv) -> None:
        self.comment = None if how.comment is None else how.comment.encode()
        texts = [text.encode() for text in how.footer] + ([] if self.comment is None else [self.comment])
        self.mark = re.compile(rb"(?:\A|(?<=[\r\n]))(?:" + b"|".join(map(re.escape, texts)) + rb")")
        dialect = dialect_of(how)
        self.field = dialect.field if dialect else None
        self.at_start, self.in_comment, self.footer_lines = True, False, 0

    def kept(self, piece: bytes) -> bytes:
        starts, kept, place = self._starts(piece), list[bytes](), 0
        while place < len(piece):
            if self.footer_lines:
                self.footer_lines += len(LINE_END.findall(piece, place))
                if self.footer_lines > MAX_FOOTER_LINES + 2:  # its first line, and the empty one after the last
                    raise CorruptObjectError(
                        f"has more than {MAX_FOOTER_LINES} lines after the beginning of its footer"
                    )
                break
            if self.in_comment:
                end = LINE_END.search(piece, place)
                place, self.in_comment = (end.end(), False) if end else (len(piece), True)
            index = bisect_left(starts, place)
            start = starts[index] if index < len(starts) else len(piece)
            kept.append(piece[place:start])
            place = start
            if start < len(piece):
                self.in_comment = self.comment is not None and piece.startswith(self.comment, start)
                self.footer_lines = int(not self.in_comment)
        self.at_start = piece.endswith((b"\n", b"\r"))
        return b"".join(kept)

    def _starts(self, piece: bytes) -> list[int]:
        """Return where comments and footers begin: at the beginning of rows, and not within quotes."""
        found = [mark.start() for mark in self.mark.finditer(piece)]
        if found and found[0] == 0 and not self.at_start:
            del found[0]
        if not found or self.field is None:
            return found
        rows = {0} | {one.end() for one in self.field.finditer(piece) if piece[one.end() - 1] in b"\r\n"}
        return [place for place in found if place in rows]
