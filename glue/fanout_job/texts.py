"""Prepares an object's bytes for a parser: pieces of sufficient size, and UTF-8 from any encoding."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain

from fanout_job.errors import CorruptObjectError

LEAST_BYTES = 2**16
"""Minimum size of a piece, so that a parser that rescans an incomplete value takes linear time."""

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
    "<".encode("utf-16-le"): "utf-16-le",
    "<".encode("utf-16-be"): "utf-16-be",
}
"""First bytes -> encoding. UTF-32 is before UTF-16, because it begins with the same bytes."""

NOT_FOR_FILES = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})
"""Text encodings of Python that are not used for files."""


def joined(pieces: Iterator[bytes], least: int = LEAST_BYTES) -> Iterator[bytes]:
    """Yield the same bytes in pieces of at least `least` bytes, except for the last one. No piece is empty."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= least:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


def text_codec(name: str) -> codecs.CodecInfo:
    """Return Python's codec of a text encoding.

    Raises
    ------
    LookupError
        Python has no text encoding of this name.
    """
    try:
        "".encode(name)  # rejects codecs that are not text encodings, such as base64
        codec = codecs.lookup(name)
    except ValueError:
        raise LookupError(name) from None
    if codec.name.replace("_", "-") in NOT_FOR_FILES:
        raise LookupError(name)
    return codec


def as_utf8(pieces: Iterator[bytes], encoding: str, errors: str = "surrogateescape") -> Iterator[bytes]:
    """Yield text in any encoding as UTF-8.

    Parameters
    ----------
    pieces : iterator of bytes
    encoding : str
        Python's name of the encoding. UTF-8 and, unless `errors` is "strict", ASCII are yielded unchanged.
    errors : str
        "strict", or "surrogateescape", which turns bytes that are invalid in the encoding into bytes that are invalid
        in UTF-8. The row is then bad.

    Raises
    ------
    CorruptObjectError
        The bytes are not text in this encoding.
    """
    codec = text_codec(encoding)
    if codec.name == "utf-8" or (codec.name == "ascii" and errors != "strict"):
        yield from pieces
        return
    decoder = codec.incrementaldecoder(errors)
    try:
        for piece in chain(pieces, [b""]):
            if text := decoder.decode(piece, final=not piece):
                yield text.encode(errors="surrogatepass")
    except UnicodeError:
        raise CorruptObjectError(f"is not {encoding} text") from None


def marked_encoding(head: bytes) -> str | None:
    """Return the encoding of a text from its first bytes, or None."""
    return next((encoding for mark, encoding in MARKS.items() if head.startswith(mark)), None)
