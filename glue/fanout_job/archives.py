"""Opens the files of the standardize job: plain, gzip, bzip2, xz, Zstandard, or zip with one file.

The first bytes identify the format, not the name. Everything is read as a stream in pieces of bounded size, so that a
malicious object costs no memory. Source for zip: PKWARE's APPNOTE.TXT, 4.3.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from fanout_job.errors import CorruptObjectError
from fanout_job.formats import PIECE_BYTES, decompressed, unmarked

BZIP2_MAGIC, XZ_MAGIC, ZSTD_MAGIC, OLE_MAGIC = b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\xd0\xcf\x11\xe0"
ZIP_FILE, ZIP_DIRECTORY, ZIP_DESCRIPTOR = b"PK\3\4", b"PK\1\2", b"PK\7\x08"
ZIP_EMPTY = b"PK\5\6"
LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
STORED, DEFLATED = 0, 8
ENCRYPTED, SIZE_FOLLOWS = 1, 8

OFFICE = ("[Content_Types].xml", "_rels/", "xl/", "docProps/", "mimetype")
"""Beginnings of names of the files in a workbook or another office document."""
NO_WORKBOOK = "is an office document, not CSV, JSON or XML; in Excel, save the sheet as CSV UTF-8 and send that file"

MAX_RATIO = 2_000
"""Maximum ratio of plain to compressed bytes beyond FREE_BYTES. No format reaches it with ordinary text."""
FREE_BYTES = 2**28
MAX_LZMA_BYTES = 2**27
"""Maximum memory of the xz decoder."""


class Input(io.RawIOBase):
    """An object's bytes as a file that can look ahead."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self.chunks, self.held = chunks, b""
        self.taken = 0
        """Number of the bytes that came from the object so far."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def peek(self, count: int) -> bytes:
        """Return the next bytes, fewer at the end, without consuming them."""
        while len(self.held) < count and (chunk := next(self.chunks, b"")):
            self.taken += len(chunk)
            self.held += chunk
        return self.held[:count]

    def some(self) -> bytes:
        """Return the next bytes, empty at the end."""
        self.peek(1)
        data, self.held = self.held, b""
        return data

    def exactly(self, count: int) -> bytes:
        """Return this number of bytes.

        Raises
        ------
        CorruptObjectError
        """
        data = self.peek(count)
        if len(data) < count:
            raise CorruptObjectError("is truncated zip")
        self.held = self.held[count:]
        return data

    def give_back(self, data: bytes) -> None:
        """Put bytes back before the next ones."""
        self.held = data + self.held

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into a buffer."""
        data = self.some()
        self.give_back(data[len(buffer) :])
        data = data[: len(buffer)]
        buffer[: len(data)] = data
        return len(data)


def unpacked(chunks: Iterator[bytes], key: str) -> Iterator[bytes]:
    """Yield an object's plain bytes in pieces of at most PIECE_BYTES.

    Raises
    ------
    CorruptObjectError
        The data is damaged, truncated or encrypted, is an archive with several files or an office document, or expands
        to more than MAX_RATIO times its size.
    """
    file = Input(chunks)
    size = 0
    for piece in _plain(file, key):
        size += len(piece)
        if size > FREE_BYTES + MAX_RATIO * file.taken:
            raise CorruptObjectError(f"expands to more than {MAX_RATIO} times its size")
        yield piece


def _plain(file: Input, key: str) -> Iterator[bytes]:
    head = file.peek(8)
    if head.startswith(BZIP2_MAGIC):
        return unmarked(_members(file, bz2.BZ2Decompressor, "bzip2"))
    if head.startswith(XZ_MAGIC):
        return unmarked(_members(file, partial(lzma.LZMADecompressor, memlimit=MAX_LZMA_BYTES), "xz"))
    if head.startswith(ZSTD_MAGIC):
        return unmarked(_zstd(file))
    if head.startswith((ZIP_FILE, ZIP_EMPTY)):
        return unmarked(_zip(file))
    if head.startswith(OLE_MAGIC):
        raise CorruptObjectError(NO_WORKBOOK)
    return decompressed(iter(file.some, b""), key)


def _members(file: Input, start: Callable[[], Any], kind: str) -> Iterator[bytes]:
    """Decompress streams that follow each other."""
    while file.peek(1):
        member = start()
        data = b""
        try:
            while not member.eof:
                if member.needs_input and not (data := file.some()):
                    raise CorruptObjectError(f"is truncated {kind}")
                if piece := member.decompress(data, PIECE_BYTES):
                    yield piece
                data = b""
        except (OSError, lzma.LZMAError):
            raise CorruptObjectError(f"is corrupt {kind}") from None
        file.give_back(member.unused_data.lstrip(b"\0"))


def _zstd(file: Input) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    while True:
        try:
            piece: bytes = stream.read(PIECE_BYTES)
        except OSError:
            raise CorruptObjectError("is corrupt or truncated zstd") from None
        if not piece:
            return
        yield piece


def _zip(file: Input) -> Iterator[bytes]:
    found = False
    while (magic := file.peek(4)) == ZIP_FILE:
        header = file.exactly(LOCAL_HEADER.size)
        _, _, flags, method, _, _, crc, packed, _, name_size, extra_size = LOCAL_HEADER.unpack(header)
        name = file.exactly(name_size).decode("utf-8", "replace")
        file.exactly(extra_size)
        if name.startswith(OFFICE):
            raise CorruptObjectError(NO_WORKBOOK)
        if flags & ENCRYPTED or method not in (STORED, DEFLATED) or (method == STORED and flags & SIZE_FOLLOWS):
            raise CorruptObjectError("is a zip that is encrypted, or compressed by a method other than deflate")
        folder = name.endswith("/")
        if found and not folder:
            raise CorruptObjectError("is a zip with several files; send them one by one")
        found, made = found or not folder, 0
        for piece in _stored(file, packed) if method == STORED else _deflated(file):
            made = zlib.crc32(piece, made)
            yield piece
        if flags & SIZE_FOLLOWS:
            crc = int.from_bytes(file.exactly(8)[4:] if file.peek(4) == ZIP_DESCRIPTOR else file.exactly(4), "little")
            while file.peek(4) not in (ZIP_FILE, ZIP_DIRECTORY):  # the sizes, of four or eight bytes each
                file.exactly(4)
        if made != crc:
            raise CorruptObjectError("is corrupt zip")
    if magic not in (ZIP_DIRECTORY, ZIP_EMPTY):
        raise CorruptObjectError("is corrupt or truncated zip")
    if not found:
        raise CorruptObjectError("is a zip without a file")


def _stored(file: Input, size: int) -> Iterator[bytes]:
    while size:
        piece = file.exactly(min(size, PIECE_BYTES))
        size -= len(piece)
        yield piece


def _deflated(file: Input) -> Iterator[bytes]:
    member, data = zlib.decompressobj(-15), b""
    while not member.eof:
        data = data or file.some()
        if not data:
            raise CorruptObjectError("is truncated zip")
        try:
            piece = member.decompress(data, PIECE_BYTES)
        except zlib.error:
            raise CorruptObjectError("is corrupt zip") from None
        data = member.unconsumed_tail
        if piece:
            yield piece
    file.give_back(member.unused_data)
