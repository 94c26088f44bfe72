"""XML, read by expat, element by element. Entities are refused, and nothing is ever fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any
from xml.parsers import expat

from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block, Gathering
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.mapping import Xml

MAX_DEPTH = 200
NIL = "http://www.w3.org/2001/XMLSchema-instance nil"


def xml_blocks(pieces: Iterator[bytes], how: Xml, wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the records of an XML object.

    Raises
    ------
    CorruptObjectError
        It is not well-formed, declares entities, or is nested too deeply. The records before that were good.
    """
    gathered = Gathering(wanted)
    records = Records(how, wanted)
    damage: CorruptObjectError | None = None
    for piece in chain(pieces, [b""]):
        try:
            records.feed(piece) if piece else records.end()
        except CorruptObjectError as error:
            damage = error
        for number, texts, wrong in records.taken():
            if wrong is None:
                gathered.add(number, texts)
            else:
                content = json.dumps(dict(zip(wanted, texts, strict=True)), indent=2).encode()
                bad(RowError(wrong, line=number), content)
        if damage or gathered.full:
            yield from gathered.taken()
        if damage:
            raise damage
    yield from gathered.taken()


class Records:
    """Picks records out of a stream of elements.

    Parameters
    ----------
    how : Xml
    wanted : sequence of str
        Paths from the record's element: names of elements with slashes, an attribute after `@` at the end, or "." for
        the record's own text.
    """

    def __init__(self, how: Xml, wanted: Sequence[str]) -> None:
        self.how = how
        self.places = {self.path_of(path): place for place, path in enumerate(wanted)}
        self.wanted = wanted
        self.record_name = self.expanded(how.record)
        self.depth = 0
        self.path: list[str] | None = None
        """Names from the record's element down to where the reader is; None outside of a record."""
        self.texts: list[str | None] = []
        self.open: list[list[str] | None] = []
        """For each element of the path the pieces of its text, if it is wanted."""
        self.wrong: str | None = None
        self.number = self.characters = self.silent = self.size = 0
        self.found: list[tuple[int, list[str | None], str | None]] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._finish
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse
        self.parser.SkippedEntityHandler = self._refuse

    def path_of(self, path: str) -> tuple[str, ...]:
        """Return a path as the parser names things."""
        steps = [] if path == "." else path.split("/")
        return tuple("@" + self.expanded(s[1:], False) if s.startswith("@") else self.expanded(s) for s in steps)

    def expanded(self, name: str, element: bool = True) -> str:
        """Return a name with its namespace. An attribute without a prefix has none."""
        prefix, _, local = name.rpartition(":")
        uri = self.how.namespaces.get(prefix) if prefix or element else None
        return f"{uri} {local}" if uri else name

    def feed(self, piece: bytes) -> None:
        """Read on."""
        self.size += len(piece)
        self.silent += len(piece)
        if self.silent > MAX_RECORD_BYTES:
            raise CorruptObjectError(f"has a tag of more than {MAX_RECORD_BYTES} bytes", line=self.number + 1)
        self._parse(piece, False)

    def end(self) -> None:
        """Read what the parser has held back, and check that the document is whole. No bytes at all hold no record.

        Since expat 2.6 the parser defers a tag that it has seen only part of, and may do so up to the end.
        """
        if self.size:
            self._parse(b"", True)

    def _parse(self, piece: bytes, final: bool) -> None:
        try:
            self.parser.Parse(piece, final)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise CorruptObjectError(f"is not XML: {reason} in line {error.lineno}", line=self.number + 1) from None

    def taken(self) -> list[tuple[int, list[str | None], str | None]]:
        """Return the records found since the last time: number, texts, and what is wrong, if anything is."""
        found, self.found = self.found, []
        return found

    # ---- what expat calls

    def _refuse(self, *what: Any) -> int:
        raise CorruptObjectError("declares or uses entities, which are refused", line=self.number + 1)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.silent = 0
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CorruptObjectError("is nested too deeply", line=self.number + 1)
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
                raise CorruptObjectError(
                    f"has a record of more than {MAX_RECORD_BYTES} characters", line=self.number + 1
                )
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
