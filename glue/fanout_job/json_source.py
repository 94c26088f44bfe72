"""JSON, read record by record: lines, or an array anywhere in a document of any size. Numbers keep all their digits."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block, Gathering
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.formats import split_lines
from fanout_job.json_faults import described, is_too_deep


def no_number(text: str) -> Any:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(text)


DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=no_number)
"""Numbers stay the text they are, so that no digit is lost on the way to the model."""


def json_line_blocks(pieces: Iterator[bytes], wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the rows of an object that has one record a line. Blank lines are passed over."""
    gathered, number = Gathering(wanted), 0
    fields = fields_of(wanted)
    for lines in split_lines(pieces, MAX_RECORD_BYTES):
        for line in lines:
            if line is not None and not line.strip():
                continue
            number += 1
            try:
                if line is None:
                    raise RowError(f"is longer than {MAX_RECORD_BYTES} bytes")
                text = line.decode()
                if is_too_deep(text):
                    raise RowError("is nested too deeply")
                gathered.add(number, fields(DECODER.decode(text)))
            except RowError as error:
                error.line = number
                bad(error, line)
            except ValueError as error:
                bad(RowError(reason_of(error), line=number), line)
        if gathered.full:
            yield from gathered.taken()
    yield from gathered.taken()


def json_blocks(pieces: Iterator[bytes], path: str, wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the rows of one JSON document, whose records are in the array at `path`, or are the one object there.

    Raises
    ------
    CorruptObjectError
        It is not JSON, or has nothing at `path`. The records before that were good.
    """
    gathered, fields = Gathering(wanted), fields_of(wanted)
    for number, record in enumerate(records_of(Text(pieces), path.split(".") if path else []), 1):
        try:
            gathered.add(number, fields(record))
        except RowError as error:
            error.line = number
            bad(error, json.dumps(record, indent=2).encode())
        if gathered.full:
            yield from gathered.taken()
    yield from gathered.taken()


def reason_of(error: Exception) -> str:
    """Say why a text is not JSON, without any of it."""
    if isinstance(error, json.JSONDecodeError):
        expected, place = described(error)
        return f"is not JSON: {expected} at character {place + 1}"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    return "is not JSON: NaN or Infinity"


def fields_of(wanted: Sequence[str]) -> Callable[[Any], list[str | None]]:
    """Return the function that finds the wanted fields in a record; a path names keys, and places in arrays."""
    paths = [(name, name.split(".")) for name in wanted]

    def fields(record: Any) -> list[str | None]:
        if not isinstance(record, dict):
            raise RowError("is JSON, but not an object")
        return [leaf(record, name, steps) for name, steps in paths]

    return fields


def leaf(value: Any, name: str, steps: list[str]) -> str | None:
    """Return the text at the end of a path; None if there is nothing."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise RowError(f"{name!r} is {'an object' if isinstance(value, dict) else 'an array'}, not a single value")


class Text:
    """A document's text, of which only the part at hand is held."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.decoder = pieces, codecs.getincrementaldecoder("utf-8")()
        self.text, self.place, self.ended = "", 0, False

    def more(self) -> bool:
        """Take in the next piece; tell whether there was one."""
        piece = next(self.pieces, b"")
        self.ended = not piece
        try:
            self.text = self.text[self.place :] + self.decoder.decode(piece, final=self.ended)
        except UnicodeDecodeError:
            raise CorruptObjectError("is not UTF-8 text") from None
        self.place = 0
        return not self.ended

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

    def value(self) -> Any:
        """Read one value."""
        self.next_sign()
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.place)
                # A number that ends where the piece does may go on in the next.
                if end < len(self.text) or self.ended:
                    if is_too_deep(self.text[self.place : end]):
                        raise CorruptObjectError("is nested too deeply")
                    self.place = end
                    return value
            except RecursionError:
                raise CorruptObjectError("is nested too deeply") from None
            except ValueError as error:
                if self.ended or not isinstance(error, json.JSONDecodeError):
                    raise CorruptObjectError(reason_of(error).partition(" at character")[0]) from None
            if len(self.text) - self.place > MAX_RECORD_BYTES:
                raise CorruptObjectError(f"is not JSON, or has a value of more than {MAX_RECORD_BYTES} characters")
            self.more()


def records_of(text: Text, path: list[str]) -> Iterator[Any]:
    """Yield the records, and see to it that the document is whole."""
    if path:
        yield from member(text, path)
    elif text.next_sign() == "[":
        yield from elements(text)
    elif text.next_sign():
        yield text.value()
    if text.next_sign():
        raise CorruptObjectError("has more after its end; if it has a record a line, it is json_lines")


def elements(text: Text) -> Iterator[Any]:
    """Yield what is in an array."""
    text.expect("[")
    if text.next_sign("]") == "]":
        return
    while True:
        yield text.value()
        if text.next_sign(",]") == "]":
            return
        if text.text[text.place - 1] != ",":
            raise CorruptObjectError("is not JSON: no ',' between two records")


def member(text: Text, path: list[str]) -> Iterator[Any]:
    """Yield what is at a path of an object, and read the rest of the object."""
    text.expect("{")
    found = False
    sign = text.next_sign("}")
    while sign != "}":
        name = text.value()
        text.expect(":")
        if name != path[0] or found:
            text.value()
        else:
            found = True
            if len(path) > 1:
                yield from member(text, path[1:])
            elif text.next_sign() == "[":
                yield from elements(text)
            else:
                yield text.value()
        sign = text.next_sign(",}")
        if sign not in (",", "}"):
            raise CorruptObjectError("is not JSON: no ',' between two members")
    if not found:
        raise CorruptObjectError(f"has no {path[0]!r}")
