"""Decompresses the bytes of an object in pieces of bounded size, and splits them into lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from fanout_job.errors import CorruptObjectError
from fanout_job.foreign import HEAD_BYTES, binary_format

MAX_LINE_BYTES = 16 * 2**20
"""Maximum length of a line. An item has at most 400 KB, so a change with both images as typed JSON is well below."""

PIECE_BYTES = 2**20
"""Maximum size of a decompressed piece. It bounds the memory of a task, even for a malicious object."""

FIRST_STEP_BYTES, LAST_STEP_BYTES = 2**8, 2**16
"""Size of the first part of a gzip member that zlib gets, and maximum size of a part."""

EXPANDED_BYTES, MAX_EXPANSION = 2**28, 1000
"""An object may decompress to EXPANDED_BYTES, or to MAX_EXPANSION times its compressed size if that is more. It bounds
the time of a task, even for a malicious object. gzip allows a factor of 1,032, which takes repetitions of one byte.
"""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"


def decompressed(chunks: Iterator[bytes], key: str) -> Iterator[bytes]:
    """Yield an object's plain bytes in pieces of at most PIECE_BYTES, through every gzip member.

    The first bytes identify the format, not the name, because Firehose names gzip objects without `.gz`.

    Raises
    ------
    CorruptObjectError
        Corrupt or truncated gzip, bytes other than zeros after a member, a `.gz` name without gzip data, or another
        binary format.
    """
    head = next(chunks, b"")
    while len(head) < HEAD_BYTES and (more := next(chunks, b"")):
        head += more
    if head.startswith(GZIP_MAGIC):
        yield from unmarked(plain_content(gunzipped(head, chunks)))
    elif what := binary_format(head):
        raise CorruptObjectError(what)
    elif head and key.endswith(".gz"):
        raise CorruptObjectError("is named .gz but is not gzip")
    else:
        yield from unmarked(chain([head], chunks))


def plain_content(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, unless they are gzip again or of another binary format.

    Raises
    ------
    CorruptObjectError
    """
    head = next(pieces, b"")
    if head.startswith(GZIP_MAGIC):
        raise CorruptObjectError("is gzip within gzip; compress once")
    if what := binary_format(head[:HEAD_BYTES]):
        raise CorruptObjectError(f"is gzip of an object that {what}")
    yield head
    yield from pieces


def unmarked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Remove a UTF-8 byte order mark at the beginning, which some producers on Windows write."""
    head = b""
    while len(head) < len(BYTE_ORDER_MARK) and (piece := next(pieces, b"")):
        head += piece
    yield head.removeprefix(BYTE_ORDER_MARK)
    yield from pieces


def gunzipped(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip with any number of members, in pieces of at most PIECE_BYTES.

    A member's bytes are held back until its checksum was right, or up to PIECE_BYTES: a corrupt member yields no rows
    that only look right.
    """
    held: list[bytes] = []
    size = 0
    for piece, complete in members(head, chunks):
        if size + len(piece) > PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
        held.append(piece)
        size += len(piece)
        if complete:
            yield b"".join(held)
            held, size = [], 0


def members(head: bytes, chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield decompressed bytes, and whether what came before may be used. `zlib.decompress(b, 31)` would silently stop
    after the first member.

    zlib copies the input after the end of a member. So each member gets small parts of the input first, and larger ones
    as long as it continues: the bytes copied stay proportional to the input, even for members of one byte.
    """
    data, member, step = memoryview(head), zlib.decompressobj(31), FIRST_STEP_BYTES
    taken = made = 0
    while data or (data := memoryview(next(chunks, b""))):
        if member.eof:
            padding = bytes(data[:LAST_STEP_BYTES])
            data = data[len(padding) - len(padding.lstrip(b"\0")) :]
            if not data:
                continue
            if len(data) < len(GZIP_MAGIC):
                data = memoryview(bytes(data) + next(chunks, b""))
            if data[:2] != GZIP_MAGIC:
                raise CorruptObjectError("has bytes after the end of its gzip data")
            member, step = zlib.decompressobj(31), FIRST_STEP_BYTES
        part = data[:step]
        try:
            piece = member.decompress(part, PIECE_BYTES)
        except zlib.error:
            raise CorruptObjectError("is corrupt gzip") from None
        used = len(part) - len(member.unused_data if member.eof else member.unconsumed_tail)
        data, step = data[used:], min(2 * step, LAST_STEP_BYTES)
        taken, made = taken + used, made + len(piece)
        if made > max(EXPANDED_BYTES, MAX_EXPANSION * taken):
            raise CorruptObjectError(f"decompresses to more than {MAX_EXPANSION} times its size")
        yield piece, member.eof
    if not member.eof:
        yield b"", True  # the rows before the damage are processed
        raise CorruptObjectError("is truncated gzip")


def split_lines(pieces: Iterable[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[list[bytes | None]]:
    """Yield lists of lines without their newline. A line longer than `limit` is dropped and yields None.

    No piece may be longer than `limit`, so lines within a piece need no length check.
    """
    held = bytearray()  # extending it does not copy it, so a line of many small pieces takes linear time
    too_long = False
    for piece in pieces:
        first, *lines = piece.split(b"\n")
        held.extend(first)
        if len(held) > limit:
            held, too_long = bytearray(), True
        if not lines:
            continue
        rest = lines.pop()
        yield [None if too_long else bytes(held), *lines]
        held, too_long = bytearray(rest), len(rest) > limit
    if too_long:
        yield [None]
    elif held:
        yield [bytes(held)]
