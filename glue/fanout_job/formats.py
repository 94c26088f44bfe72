"""Decompresses the bytes of an object in pieces of bounded size, and splits them into lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from fanout_job.errors import CorruptObjectError

MAX_LINE_BYTES = 16 * 2**20
"""Maximum length of a line. An item has at most 400 KB, so a change with both images as typed JSON is well below."""

PIECE_BYTES = 2**20
"""Maximum size of a decompressed piece. It bounds the memory of a task, even for a malicious object."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompressed(chunks: Iterator[bytes], key: str) -> Iterator[bytes]:
    """Yield an object's plain bytes in pieces of at most PIECE_BYTES, through every gzip member.

    The first bytes identify the format, not the name, because Firehose names gzip objects without `.gz`.

    Raises
    ------
    CorruptObjectError
        Corrupt or truncated gzip, bytes other than zeros after a member, a `.gz` name without gzip data, or zstd.
    """
    head = next(chunks, b"")
    while len(head) < 4 and (more := next(chunks, b"")):
        head += more
    if head.startswith(GZIP_MAGIC):
        yield from unmarked(gunzipped(head, chunks))
    elif head.startswith(ZSTD_MAGIC):
        raise CorruptObjectError("is zstd, which Glue's Python does not support; write gzip or plain JSON lines")
    elif head and key.endswith(".gz"):
        raise CorruptObjectError("is named .gz but is not gzip")
    else:
        yield from unmarked(chain([head], chunks))


def unmarked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Remove a UTF-8 byte order mark at the beginning, which some producers on Windows write."""
    head = b""
    while len(head) < len(BYTE_ORDER_MARK) and (piece := next(pieces, b"")):
        head += piece
    yield head.removeprefix(BYTE_ORDER_MARK)
    yield from pieces


def gunzipped(data: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip with any number of members. `zlib.decompress(b, 31)` would silently stop after the first."""
    member = zlib.decompressobj(31)
    while data or (data := next(chunks, b"")):
        if member.eof:
            data = data.lstrip(b"\0")
            if not data:
                continue
            while len(data) < 2 and (more := next(chunks, b"")):
                data += more
            if not data.startswith(GZIP_MAGIC):
                raise CorruptObjectError("has bytes after the end of its gzip data")
            member = zlib.decompressobj(31)
        try:
            piece = member.decompress(data, PIECE_BYTES)
        except zlib.error:
            raise CorruptObjectError("is corrupt gzip") from None
        data = member.unused_data if member.eof else member.unconsumed_tail
        if piece:
            yield piece
    if not member.eof:
        # zlib can hold back output when the input ended exactly at PIECE_BYTES.
        while piece := member.decompress(b"", PIECE_BYTES):
            yield piece
        if not member.eof:
            raise CorruptObjectError("is truncated gzip")


def split_lines(pieces: Iterable[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[list[bytes | None]]:
    """Yield lists of lines without their newline. A line longer than `limit` is dropped and yields None.

    No piece may be longer than `limit`, so lines within a piece need no length check.
    """
    tail = b""
    too_long = False
    for piece in pieces:
        lines: list[bytes | None] = list(piece.split(b"\n"))
        if too_long:
            if len(lines) == 1:
                continue
            lines[0], too_long = None, False
        elif tail:
            first = tail + (lines[0] or b"")
            lines[0] = first if len(first) <= limit else None
        rest = lines.pop()
        if rest is None or len(rest) > limit:
            tail, too_long = b"", True
        else:
            tail = rest
        if lines:
            yield lines
    if too_long:
        yield [None]
    elif tail:
        yield [tail]
