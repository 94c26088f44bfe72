"""Reads XML with expat, element by element. Rejects entities, and never fetches anything."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any
from xml.parsers import expat

from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block, Gathering
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.mapping import Xml
from fanout_job.texts import as_utf8, joined, text_codec

MAX_DEPTH = 200
MAX_SHOWN = 40
"""Maximum characters of an encoding's name in an error."""

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

DECLARATION = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']""")

NIL = "http://www.w3.org/2001/XMLSchema-instance nil"


def xml_blocks(pieces: Iterator[bytes], how: Xml, wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the records of an XML object.

    Raises
    ------
    CorruptObjectError
        The XML is not well-formed, declares entities, or is nested too deeply. Earlier records were good.
    """
    gathered, records = Gathering(wanted), Records(how, wanted)
    parts = chain(in_utf8(pieces), [b""])
    piece = damage = None
    while piece != b"":
        try:
            piece = next(parts)
            records.feed(piece)
        except CorruptObjectError as error:
            piece, damage = b"", error
        for number, texts, wrong in records.taken():
            if wrong is None:
                gathered.add(number, texts)
            else:
                content = json.dumps(dict(zip(wanted, texts, strict=True)), indent=2).encode()
                bad(RowError(wrong, line=number), content)
        if gathered.full or not piece:
            yield from gathered.taken()
    if damage is not None:
        damage.line = damage.line or records.number + 1
        raise damage


def in_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a document as UTF-8, because expat supports few multibyte encodings.

    Raises
    ------
    CorruptObjectError
        Python does not support the encoding, or the document is not in this encoding.
    """
    pieces = joined(pieces)
    head = next(pieces, b"")
    yield from filter(None, as_utf8(chain([head], pieces), encoding_of(head), "strict"))


def encoding_of(head: bytes) -> str:
    """Return the encoding of a document, from its byte order mark or declaration; the default is UTF-8.

    Raises
    ------
    CorruptObjectError
        Python does not support the declared encoding.
    """
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    declared = DECLARATION.match(head)
    if declared is None:
        return "utf-8"
    name = declared[1].decode(errors="replace")
    try:
        text_codec(name)
    except LookupError:
        raise CorruptObjectError(f"declares the encoding {name[:MAX_SHOWN]!r}, which Python does not know") from None
    return name


class Records:
    """Extracts records from a stream of elements.

    Parameters
    ----------
    how : Xml
    wanted : sequence of str
        Paths from the record's element: names of elements separated by slashes, optionally with `@` and an attribute
        at the end, or "." for the record's own text.
    """

    def __init__(self, how: Xml, wanted: Sequence[str]) -> None:
        self.how = how
        self.places = {self.path_of(path): place for place, path in enumerate(wanted)}
        self.wanted = wanted
        self.record_name = self.expanded(how.record)
        self.depth = 0
        self.path: list[str] | None = None
        """Names of the open elements within the record; None outside of a record."""
        self.texts: list[str | None] = []
        self.open: list[list[str] | None] = []
        """For each element of the path, the pieces of its text, or None if the text is not wanted."""
        self.wrong: str | None = None
        self.number = self.characters = self.silent = self.size = 0
        self.found: list[tuple[int, list[str | None], str | None]] = []
        self.parser = expat.ParserCreate("utf-8", " ")
        if hasattr(self.parser, "SetReparseDeferralEnabled"):
            self.parser.SetReparseDeferralEnabled(False)  # keeps limits the same in all versions of expat
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._finish
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse
        self.parser.SkippedEntityHandler = self._refuse

    def path_of(self, path: str) -> tuple[str, ...]:
        """Return a path with the parser's names."""
        steps = [] if path == "." else path.split("/")
        return tuple("@" + self.expanded(s[1:], False) if s.startswith("@") else self.expanded(s) for s in steps)

    def expanded(self, name: str, element: bool = True) -> str:
        """Return a name with its namespace. An attribute without a prefix has no namespace."""
        prefix, _, local = name.rpartition(":")
        uri = self.how.namespaces.get(prefix) if prefix or element else None
        return f"{uri} {local}" if uri else name

    def feed(self, piece: bytes) -> None:
        """Parse the next piece. An empty piece ends the document, which must then be complete. An empty document has
        no records.
        """
        self.size += len(piece)
        self.silent += len(piece)
        if self.silent > MAX_RECORD_BYTES:
            raise CorruptObjectError(f"has a tag of more than {MAX_RECORD_BYTES} bytes")
        if self.size:
            self._parse(piece, not piece)

    def _parse(self, piece: bytes, final: bool) -> None:
        try:
            self.parser.Parse(piece, final)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise CorruptObjectError(
                f"is not XML: {reason} in line {error.lineno}", cause=f"is not XML: {reason}"
            ) from None

    def taken(self) -> list[tuple[int, list[str | None], str | None]]:
        """Return the records found since the last call: number, texts, and the error or None."""
        found, self.found = self.found, []
        return found

    # ---- handlers for expat

    def _refuse(self, *what: Any) -> int:
        raise CorruptObjectError("declares or uses entities, which are not allowed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.silent = 0
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CorruptObjectError("is nested too deeply")
        if self.path is None:
            if name != self.record_name:
                return
            self.path, self.texts, self.wrong, self.characters = [], [None] * len(self.wanted), None, 0
        else:
            self.path.append(name)
        for attribute, value in attributes.items():
            self._keep((*self.path, "@" + attribute), value)
        taken = tuple(self.path) in self.places and attributes.get(NIL) not in ("true", "1")
        self.open.append([] if taken else None)

    def _text(self, text: str) -> None:
        self.silent = 0
        if self.open and (pieces := self.open[-1]) is not None:
            self.characters += len(text)
            if self.characters > MAX_RECORD_BYTES:
                raise CorruptObjectError(f"has a record of more than {MAX_RECORD_BYTES} characters")
            pieces.append(text)

    def _finish(self, name: str) -> None:
        self.silent = 0
        self.depth -= 1
        if self.path is None:
            return
        if (pieces := self.open.pop()) is not None:
            self._keep(tuple(self.path), "".join(pieces))
        if self.path:
            self.path.pop()
            return
        self.number += 1
        self.found.append((self.number, self.texts, self.wrong))
        self.path = None

    def _keep(self, path: tuple[str, ...], text: str) -> None:
        place = self.places.get(path)
        if place is not None:
            if self.texts[place] is not None:
                self.wrong = f"has {self.wanted[place]!r} more than once"
            self.texts[place] = text
