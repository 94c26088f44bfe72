"""An object's bytes as text: pieces that are worth parsing, and any encoding as UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain

from fanout_job.errors import CorruptObjectError

LEAST_BYTES = 2**16
"""Pieces are at least this long: a parser that looks again at what it has not finished then takes linear time."""

NOT_FOR_FILES = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})
"""Codecs that Python counts among the text encodings, and in which no file is written."""


def joined(pieces: Iterator[bytes], least: int = LEAST_BYTES) -> Iterator[bytes]:
    """Yield the same bytes in pieces of at least `least` bytes, but for the last one. None is empty."""
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
        Python has none of this name.
    """
    try:
        "".encode(name)  # refuses codecs that are no text encodings, such as base64
        codec = codecs.lookup(name)
    except ValueError:
        raise LookupError(name) from None
    if codec.name.replace("_", "-") in NOT_FOR_FILES:
        raise LookupError(name)
    return codec


def as_utf8(pieces: Iterator[bytes], encoding: str, errors: str = "surrogateescape") -> Iterator[bytes]:
    """Yield text of any encoding as UTF-8.

    Parameters
    ----------
    pieces : iterator of bytes
    encoding : str
        As Python names it. UTF-8 and ASCII are passed on as they are.
    errors : str
        "strict", or "surrogateescape": bytes that the encoding does not have become bytes that UTF-8 does not have,
        and so a bad row later on.

    Raises
    ------
    CorruptObjectError
        The bytes are not text of this encoding.
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
