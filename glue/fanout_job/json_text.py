"""A JSON document of any size, read value by value: the records at a path, and past whatever is beside them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from json import JSONDecodeError
from typing import Any

from contract.nesting import MAX_DEPTH, is_too_deep
from fanout_job.blocks import MAX_RECORD_BYTES
from fanout_job.errors import CorruptObjectError
from fanout_job.json_records import Decoder, reason_of

PASSED_CHARACTERS = 2**20
"""A value beside the records that is longer is passed over part by part."""

NUMBER = frozenset("0123456789+-.eE")
"""What a number consists of."""

TOO_DEEP = "is nested too deeply"
TOO_LONG = f"is not JSON, or has a value of more than {MAX_RECORD_BYTES} characters"


class Text:
    """A document's text, of which only the part at hand is held.

    Parameters
    ----------
    pieces : iterator of bytes
    wanted : sequence of str
        Paths of the fields that are read from records.

    Attributes
    ----------
    repeated : str or None
        The wanted name that an object of the last value has twice.
    """

    def __init__(self, pieces: Iterator[bytes], wanted: Sequence[str] = ()) -> None:
        self.pieces, self.bytes_decoder = pieces, codecs.getincrementaldecoder("utf-8")()
        self.decoder = Decoder(wanted)
        self.text, self.place, self.ended = "", 0, False
        self.repeated: str | None = None
        self.tried: str | None = None

    def more(self, least: int = 1) -> bool:
        """Take in at least so many characters, or what there is; tell whether there was any."""
        parts, count = [self.text[self.place :]], 0
        try:
            while count < least and not self.ended:
                piece = next(self.pieces, b"")
                self.ended = not piece
                parts.append(self.bytes_decoder.decode(piece, final=self.ended))
                count += len(parts[-1])
        except UnicodeDecodeError:
            raise CorruptObjectError("is not UTF-8 text") from None
        self.text, self.place = "".join(parts), 0
        return count > 0

    def next_sign(self, taken: str = "") -> str:
        """Return the next character that is no blank, empty at the end; go past it if it is one of `taken`."""
        while True:
            while self.place < len(self.text) and self.text[self.place] in " \t\r\n":
                self.place += 1
            if self.place < len(self.text):
                sign = self.text[self.place]
                self.place += sign in taken
                return sign
            if self.ended or not self.more():
                return ""

    def expect(self, sign: str) -> None:
        """Go past one character."""
        if self.next_sign(sign) != sign:
            raise CorruptObjectError(f"is not JSON: no {sign!r} where it belongs")

    def name(self) -> str:
        """Read the name of a member."""
        if self.next_sign() != '"':
            raise CorruptObjectError("is not JSON: no name where one belongs")
        name: str = self.value()
        return name

    def value(self) -> Any:
        """Read one value."""
        found = self._whole(MAX_RECORD_BYTES)
        if found is None:
            raise CorruptObjectError(TOO_LONG)
        value, end = found
        text = self.text[self.place : end]
        if is_too_deep(text):
            raise CorruptObjectError(TOO_DEEP)
        self.repeated, self.place = self.decoder.repeated(text), end
        return value

    def pass_over(self, depth: int = 0) -> None:
        """Go past one value, however long it is."""
        if depth > MAX_DEPTH:
            raise CorruptObjectError(TOO_DEEP)
        if found := self._whole(PASSED_CHARACTERS):
            if is_too_deep(self.text[self.place : found[1]]):
                raise CorruptObjectError(TOO_DEEP)
            self.place = found[1]
            return
        match self.next_sign():
            case "[":
                for _ in self.items("[", "]"):
                    if not self._pass_over_many("[", "]"):
                        self.pass_over(depth + 1)
            case "{":
                for _ in self.items("{", "}"):
                    if not self._pass_over_many("{", "}"):
                        self.name()
                        self.expect(":")
                        self.pass_over(depth + 1)
            case _:
                self.value()

    def _pass_over_many(self, opening: str, closing: str) -> bool:
        """Go past the items at hand, up to the last comma, if they are whole ones. Tried once for each piece."""
        if self.tried is self.text:
            return False
        self.tried = self.text
        end = self.text.rfind(",", self.place)
        try:
            self.decoder.decode(opening + self.text[self.place : max(end, self.place)] + closing)
        except (ValueError, RecursionError):
            return False
        if end <= self.place or is_too_deep(self.text[self.place : end]):
            return False
        self.place = end
        return True

    def items(self, opening: str, closing: str) -> Iterator[None]:
        """Go through an array or an object; what is done for each of its items has to go past it."""
        self.expect(opening)
        if self.next_sign(closing) == closing:
            return
        while True:
            yield
            sign = self.next_sign("," + closing)
            if sign == closing:
                return
            if sign != ",":
                items = "records" if closing == "]" else "members"
                raise CorruptObjectError(f"is not JSON: no ',' between two {items}")

    def _whole(self, longest: int) -> tuple[Any, int] | None:
        """Return a value and where it ends; None if it is longer than that."""
        self.next_sign()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
                if end - self.place > longest:
                    return None
                if self.ended or not self._may_go_on(end):
                    return value, end
            except RecursionError:
                raise CorruptObjectError(TOO_DEEP) from None
            except ValueError as error:
                if is_too_deep(self.text[self.place :]):
                    raise CorruptObjectError(TOO_DEEP) from None
                if self.ended or not isinstance(error, JSONDecodeError):
                    raise CorruptObjectError(reason_of(error)) from None
            held = len(self.text) - self.place
            if held > longest:
                return None
            self.more(min(held, longest - held) + 1)  # twice as much, so that long values take linear time

    def _may_go_on(self, end: int) -> bool:
        """Whether a value is a number that the next piece may continue."""
        return self.text[self.place] in NUMBER and NUMBER.issuperset(self.text[end:])


def records_of(text: Text, path: list[str]) -> Iterator[Any]:
    """Yield the records, and check that the document is whole. No text at all has no records."""
    if not text.next_sign():
        return
    if path:
        yield from member(text, path)
    else:
        yield from records_at(text)
    if text.next_sign():
        raise CorruptObjectError("has more after its end; if it has a record a line, it is json_lines")


def records_at(text: Text) -> Iterator[Any]:
    """Yield what is in an array, or the one value that is there instead."""
    if text.next_sign() == "[":
        for _ in text.items("[", "]"):
            yield text.value()
    else:
        yield text.value()


def member(text: Text, path: list[str]) -> Iterator[Any]:
    """Yield what is at a path of an object, and read the rest of the object."""
    found = False
    for _ in text.items("{", "}"):
        name = text.name()
        text.expect(":")
        if name != path[0]:
            text.pass_over()
            continue
        if found:
            raise CorruptObjectError(f"has {path[0]!r} twice")
        found = True
        yield from member(text, path[1:]) if len(path) > 1 else records_at(text)
    if not found:
        raise CorruptObjectError(f"has no {path[0]!r}")
