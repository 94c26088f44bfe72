"""Reads XML with expat, element by element. Rejects entities, and never fetches anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any
from xml.parsers import expat

from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.mapping_formats import Xml
from fanout_job.parents import Rows
from fanout_job.paths import Parent, Path, Source, parsed_path
from fanout_job.texts import as_utf8, joined, marked_encoding, text_codec
from fanout_job.xml_tree import Element, State, Trie, xml_reader, xml_text

MAX_DEPTH = 200
MAX_SHOWN = 40
"""Maximum characters of an encoding's name in an error."""

DECLARATION = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']""")

TOO_LARGE = f"has a record of more than {MAX_RECORD_BYTES} characters, including its parents' fields"

TRUE = ("true", "1")
NIL = "http://www.w3.org/2001/XMLSchema-instance nil"


def xml_blocks(pieces: Iterator[bytes], how: Xml, wanted: Sequence[Source], bad: Bad) -> Iterator[Block]:
    """Yield the records of an XML object.

    Raises
    ------
    CorruptObjectError
        The XML is not well-formed, declares entities, or is nested too deeply. Earlier records were good.
    """
    records = Records(how, wanted, bad)
    try:
        for piece in chain(in_utf8(pieces), [b""]):
            records.feed(piece)
            yield from records.rows.taken()
    except CorruptObjectError as error:
        yield from records.rows.rest()
        error.line = error.line or records.number + 1
        raise
    records.rows.close(records.open[0][0])
    yield from records.rows.rest()


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
    if marked := marked_encoding(head):
        return marked
    declared = DECLARATION.match(head)
    if declared is None:
        return "utf-8"
    name = declared[1].decode(errors="replace")
    try:
        text_codec(name)
    except LookupError:
        raise CorruptObjectError(f"declares the encoding {name[:MAX_SHOWN]!r}, which Python does not know") from None
    return name


def expanded(name: str, namespaces: dict[str, str]) -> str:
    """Return a name of the mapping as expat reports it. An attribute without a prefix has no namespace."""
    attribute, name = name.startswith("@"), name.removeprefix("@")
    prefix, _, local = name.rpartition(":")
    uri = None if attribute and not prefix else namespaces.get(prefix)
    return ("@" if attribute else "") + (f"{uri} {local}" if uri else name)


def expanded_path(path: Path, namespaces: dict[str, str]) -> Path:
    """Return a path with the names that expat reports."""
    steps = [
        replace(
            step,
            name=expanded(step.name, namespaces),
            where=step.where and (expanded(step.where[0], namespaces), step.where[1]),
        )
        for step in path.steps
    ]
    return replace(path, steps=tuple(steps))


class Records:
    """Extracts records from a stream of elements.

    Parameters
    ----------
    how : Xml
    wanted : sequence of Source
    bad : callable
        Called with each bad row.
    """

    def __init__(self, how: Xml, wanted: Sequence[Source], bad: Bad) -> None:
        self.bad = bad
        paths = [expanded_path(source.path, how.namespaces) for source in wanted]
        self.rows = Rows(wanted, paths, xml_text, bad)
        self.wanted, self.blank = wanted, list[str | None]([None]) * len(wanted)
        self.readers = [(place, xml_reader(source, path.steps)) for place, source, path in self.rows.own]
        self.own, self.parent, document = Trie(), Trie(), Trie()
        for path in paths:
            (document if path.absolute else self.parent if path.up else self.own).add(path.steps)
        self.record_names = [expanded(step.name, how.namespaces) for step in parsed_path(how.record).steps]
        self.record: Element | None = None
        self.open: list[tuple[Element, State]] = [(Element("", None), State([document]))]
        """The open elements that paths may lead to, from the document on."""
        self.names: list[str] = []
        """Names of the open elements outside of records."""
        self.unwanted = 0
        """Number of open elements within a record that no path leads through."""
        self.number = self.depth = self.characters = self.silent = self.size = 0
        self.held = bytearray()
        """Bytes that the parser has not got yet."""
        self.parser = self._parser()

    def _parser(self) -> Any:
        parser = expat.ParserCreate("utf-8", " ")
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)  # keeps limits the same in all versions of expat
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._finish
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.SkippedEntityHandler = self._refuse
        return parser

    def feed(self, piece: bytes) -> None:
        """Parse the next piece. An empty piece ends the document, which must then be complete. An empty document has
        no records.
        """
        final = not piece
        self.size += len(piece)
        self.held += piece
        # The parser reads a tag from its start again with each piece. So the pieces of a long tag double in size.
        if not final and len(self.held) < min(self.silent, MAX_RECORD_BYTES - self.silent):
            return
        self.silent += len(self.held)
        if self.silent > MAX_RECORD_BYTES:
            raise CorruptObjectError(f"has a tag of more than {MAX_RECORD_BYTES} bytes")
        if self.size:
            piece, self.held = bytes(self.held), bytearray()
            self._parse(piece, final)

    def _parse(self, piece: bytes, final: bool) -> None:
        try:
            self.parser.Parse(piece, final)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise CorruptObjectError(
                f"is not XML: {reason} in line {error.lineno}", cause=f"is not XML: {reason}"
            ) from None

    # ---- handlers for expat

    def _refuse(self, *what: Any) -> int:
        raise CorruptObjectError("declares or uses entities, which are not allowed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.silent = 0
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CorruptObjectError("is nested too deeply")
        if self.unwanted:
            self.unwanted += 1
            return
        state = self.open[-1][1]
        if self.record is None:
            self.names.append(name)
            begins = name == self.record_names[-1] and self.names[-len(self.record_names) :] == self.record_names
            if not begins and not self.rows.outer:
                return
            self._push(name, attributes, state.below(name, self.own if begins else self.parent), begins)
        elif name in state.names:
            self._push(name, attributes, state.below(name))
        else:
            self.unwanted = 1

    def _push(self, name: str, attributes: dict[str, str], state: State, begins: bool = False) -> None:
        element = Element(name, "" if state.text and (not attributes or attributes.get(NIL) not in TRUE) else None)
        if begins:
            self.record = element
        if attributes and state.attributes:
            element.attributes = {key: attributes[key] for key in state.attributes if key in attributes}
            element.size += sum(map(len, element.attributes.values()))
        self.open.append((element, state))
        self.characters += element.size
        if self.characters > MAX_RECORD_BYTES:
            raise CorruptObjectError(TOO_LARGE)

    def _text(self, text: str) -> None:
        self.silent = 0
        element = self.open[-1][0]
        if self.unwanted or element.text is None:
            return
        if element.pieces is not None:
            element.pieces.append(text)
        elif element.text:
            element.pieces = [element.text, text]
        else:
            element.text = text
        element.size += len(text)
        self.characters += len(text)
        if self.characters > MAX_RECORD_BYTES:
            raise CorruptObjectError(TOO_LARGE)

    def _finish(self, name: str) -> None:
        self.silent = 0
        self.depth -= 1
        if self.unwanted:
            self.unwanted -= 1
            return
        record = self.record
        if record is None:
            self.names.pop()
            if not self.rows.outer:
                return
        element, _ = self.open.pop()
        if element.pieces is not None:
            element.text = "".join(element.pieces)
        parent, state = self.open[-1]
        if element is record:
            self.names.pop()
            self._complete(element)
            self.record = None
        elif record is None:
            self.rows.close(element)
        if element is not record and name in state.names and not element.has_records:
            if name in parent:
                parent[name].append(element)
            else:
                parent[name] = [element]
            parent.size += element.size
        else:
            self.characters -= element.size

    def _complete(self, record: Element) -> None:
        self.number += 1
        record.closed = True
        parents: list[Parent] = []
        if self.rows.outer:
            for parent, _ in self.open:
                parent.has_records = True
                parents.append(parent)
        parents.append(record)
        texts = self.blank.copy()
        try:
            for place, read in self.readers:
                texts[place] = read(record)
            self.rows.add(self.number, texts, parents)
        except RowError as error:
            error.line = self.number
            shown = {source.name: text for source, text in zip(self.wanted, texts, strict=True)}
            self.bad(error, json.dumps(shown, indent=2).encode())
