"""Reads a JSON document of any size value by value, and skips values."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from typing import Any

from contract.nesting import MAX_DEPTH, is_too_deep
from fanout_job.blocks import MAX_RECORD_BYTES
from fanout_job.errors import CorruptObjectError
from fanout_job.json_records import Decoder, reason_of

SKIPPED_CHARACTERS = 2**20
"""Maximum length of a value that is skipped as a whole. Longer values are skipped in parts."""

NUMBER = frozenset("0123456789+-.eE")
"""Characters of a number."""

TOO_DEEP = "is nested too deeply"
TOO_LONG = f"is not JSON, or has a value of more than {MAX_RECORD_BYTES} characters"


class Text:
    """A document's text. Only the current part is in memory.

    Parameters
    ----------
    pieces : iterator of bytes
    wanted : iterable of str
        Names of the members that are read.

    Attributes
    ----------
    repeated : str or None
        A wanted name that an object in the last value has twice.
    """

    def __init__(self, pieces: Iterator[bytes], wanted: Iterable[str] = ()) -> None:
        self.pieces, self.bytes_decoder = pieces, codecs.getincrementaldecoder("utf-8")()
        self.decoder = Decoder(wanted)
        self.text, self.place, self.ended = "", 0, False
        self.repeated: str | None = None
        self.tried: str | None = None

    def more(self, least: int = 1) -> bool:
        """Read at least `least` more characters, or all that remain; return whether there were any."""
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
        """Return the next character that is not blank, or "" at the end. Consume it if it is one of `taken`."""
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
        """Consume one character, which must be `sign`."""
        if self.next_sign(sign) != sign:
            raise CorruptObjectError(f"is not JSON: {sign!r} is missing")

    def name(self) -> str:
        """Read the name of an object's member."""
        if self.next_sign() != '"':
            raise CorruptObjectError("is not JSON: a name is missing")
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

    def skip(self, depth: int = 0) -> None:
        """Skip one value of any length."""
        if depth > MAX_DEPTH:
            raise CorruptObjectError(TOO_DEEP)
        if found := self._whole(SKIPPED_CHARACTERS):
            if is_too_deep(self.text[self.place : found[1]]):
                raise CorruptObjectError(TOO_DEEP)
            self.place = found[1]
            return
        match self.next_sign():
            case "[":
                for _ in self.items("[", "]"):
                    if not self._skip_many("[", "]"):
                        self.skip(depth + 1)
            case "{":
                for _ in self.items("{", "}"):
                    if not self._skip_many("{", "}"):
                        self.name()
                        self.expect(":")
                        self.skip(depth + 1)
            case _:
                self.value()

    def _skip_many(self, opening: str, closing: str) -> bool:
        """Skip the items in memory up to the last comma, if they are complete. Tries this once per piece."""
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
        """Yield once for each item of an array or object. The caller must consume the item."""
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
        """Return a value and its end; None if it is longer than `longest`."""
        self.next_sign()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
                if end - self.place > longest:
                    return None
                if self.ended or not self._may_continue(end):
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
            self.more(min(held, longest - held) + 1)  # doubles, so that long values take linear time

    def _may_continue(self, end: int) -> bool:
        """Whether a value is a number that may continue in the next piece."""
        return self.text[self.place] in NUMBER and NUMBER.issuperset(self.text[end:])
