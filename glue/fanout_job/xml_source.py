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
from fanout_job.xml_tree import ELEMENT_CHARACTERS, Element, Fields, State, Trie, xml_text

MAX_DEPTH = 200
MAX_SHOWN = 40
"""Maximum characters of an encoding's name in an error."""

DECLARATION = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']""")

TOO_LARGE = f"has a record of more than {MAX_RECORD_BYTES} characters, including its parents' fields"

TRUE = ("true", "1")
NO_LEAVES: frozenset[str] = frozenset()
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
        error.line = records.number + 1
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

    Most elements of a document are wanted elements of a record with nothing but text, so `_start` and `_finish` handle
    only these, with few operations. All others take the longer way through `_start_other` and `_finish_other`.

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
        self.wanted = wanted
        self.fields = Fields(self.rows.own, len(wanted))
        self.own, self.parent, document = Trie(), Trie(), Trie()
        for path in paths:
            (document if path.absolute else self.parent if path.up else self.own).add(path.steps)
        *parents, self.record_name = (expanded(step.name, how.namespaces) for step in parsed_path(how.record).steps)
        self.record_parents = parents
        self.record: Element | None = None
        self.open: list[tuple[Element, State]] = [(Element("", 0), State([document]))]
        """The open elements that paths may lead to, from the document on, without a leaf."""
        self.names: list[str] = []
        """Names of the open elements outside of records."""
        self.unwanted = 0
        """Number of open elements within a record that no path leads through."""
        self.number = self.depth = self.characters = self.silent = self.size = self.parsed = 0
        self.held = bytearray()
        """Bytes that the parser has not got yet."""
        self.texts: list[str] = []
        """Text since the last tag."""
        self.element = self.open[0][0]
        """The innermost open element."""
        self.leaves = NO_LEAVES
        """The leaves that may begin in it, if nothing else in it needs attention."""
        self.leaf = False
        """Whether a leaf is open, and no unwanted element in it."""
        self.kept: int | None = None
        """Number of the texts of the open leaf before an unwanted element in it."""
        self.parser = self._parser()

    def _parser(self) -> Any:
        parser = expat.ParserCreate("utf-8", " ")
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)  # keeps limits the same in all versions of expat
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._finish
        parser.CharacterDataHandler = self.texts.append  # without a call of Python code
        parser.EntityDeclHandler = self._refuse
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
            self._limit_text()

    def _parse(self, piece: bytes, final: bool) -> None:
        try:
            self.parser.Parse(piece, final)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise CorruptObjectError(
                f"is not XML: {reason} in line {error.lineno}", cause=f"is not XML: {reason}"
            ) from None
        if self.parser.CurrentByteIndex != self.parsed:
            self.parsed, self.silent = self.parser.CurrentByteIndex, 0

    def _limit_text(self) -> None:
        """Drop text that is not wanted, and reject a record that is too long, before its end."""
        if self.unwanted or not (self.leaf or self.element.text is not None):
            del self.texts[self.kept :]
        self._limit(sum(map(len, self.element.pieces)) + sum(map(len, self.texts)))

    def _limit(self, more: int = 0) -> None:
        if self.characters + more > MAX_RECORD_BYTES:
            raise CorruptObjectError(TOO_LARGE)

    # ---- handlers for expat

    def _refuse(self, *what: Any) -> None:
        raise CorruptObjectError("declares or uses entities, which are not allowed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in self.leaves and not self.leaf and NIL not in attributes:
            self.texts.clear()
            self.leaf = True
        else:
            self._start_other(name, attributes)

    def _finish(self, name: str) -> None:
        if self.leaf:
            text = "".join(self.texts)
            if name in self.members:
                self.element.add(name, text)
            else:
                self.members[name] = text
            self.characters += ELEMENT_CHARACTERS + len(text)
            self.leaf = False
        else:
            self._finish_other(name)

    def _start_other(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth + self.leaf + (self.kept is not None) > MAX_DEPTH:
            raise CorruptObjectError("is nested too deeply")
        if self.unwanted:
            self.unwanted += 1
            return
        if self.leaf:
            self.leaf, self.kept, self.unwanted, self.leaves = False, len(self.texts), 1, NO_LEAVES
            return
        element, state = self.open[-1]
        if element.text is not None:
            element.keep(self.texts)
        self.texts.clear()
        if self.record is None:
            self.names.append(name)
            parents = self.names[-len(self.record_parents) - 1 : -1]
            begins = name == self.record_name and parents == self.record_parents
            if begins or self.rows.outer:
                self._push(
                    Element(name, self.characters),
                    attributes,
                    state.below(name, self.own if begins else self.parent),
                    begins,
                )
        elif name in state.names:
            self._push(Element(name, self.characters), attributes, state.below(name))
        else:
            self.unwanted, self.leaves = 1, NO_LEAVES

    def _push(self, element: Element, attributes: dict[str, str], state: State, begins: bool = False) -> None:
        if state.text and attributes.get(NIL) not in TRUE:
            element.text = ""
        self.characters += ELEMENT_CHARACTERS
        for key, attribute in state.attributes:
            if key in attributes:
                element.members[attribute] = attributes[key]
                self.characters += len(attributes[key])
        if begins:
            self.record = element
        self.open.append((element, state))
        self._enter(element, state)

    def _enter(self, element: Element, state: State) -> None:
        """Make an element the innermost one."""
        self.element, self.members = element, element.members
        simple = self.record is not None and element.text is None and self.depth < MAX_DEPTH
        self.leaves = state.leaves if simple else NO_LEAVES

    def _finish_other(self, name: str) -> None:
        self.depth -= 1
        if self.unwanted:
            self.unwanted -= 1
            if not self.unwanted:
                self._leave_unwanted()
            return
        record = self.record
        if record is None or record is self.element:
            self.names.pop()
            if record is None and not self.rows.outer:
                return
        element, own = self.open.pop()
        if element.text is not None:
            element.text = "".join([*element.pieces, *self.texts])
            self.characters += len(element.text)
        self.texts.clear()
        self._limit()
        parent, state = self.open[-1]
        if element is record:
            self._complete(element, own)
            self.characters = element.before
            self.record, self.element, self.leaves = None, parent, NO_LEAVES
            return
        self.rows.close(element)
        child = element.text if name in state.leaves else element
        if name not in state.names or element.has_records or child is None:
            self.characters = element.before
        else:
            parent.add(name, child)
        self._enter(parent, state)

    def _leave_unwanted(self) -> None:
        del self.texts[self.kept :]
        self.leaf = self.kept is not None
        self.kept = None
        self._enter(*self.open[-1])

    def _complete(self, record: Element, state: State) -> None:
        self.number += 1
        record.closed = True
        parents: list[Parent] = []
        for parent, _ in self.open:
            parent.has_records = True
            parents.append(parent)
        parents.append(record)
        texts = self.fields.blank.copy()
        try:
            self.fields.read(record, state, texts)
            self.rows.add(self.number, texts, parents)
        except RowError as error:
            error.line = self.number
            shown = {source.name: text for source, text in zip(self.wanted, texts, strict=True)}
            self.bad(error, json.dumps(shown, indent=2).encode())
