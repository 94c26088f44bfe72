"""Reads a JSON document of any size value by value, and skips values."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any

from contract.nesting import MAX_DEPTH, is_too_deep
from fanout_job.blocks import MAX_RECORD_BYTES
from fanout_job.errors import CorruptObjectError
from fanout_job.json_batch import Batch, scanned
from fanout_job.json_records import Decoder, reason_of

WHOLE, MANY = 2**13, 2**10
"""Length of the text in which the end of one skipped value, or of several ones, is searched. Longer values are skipped
in parts.
"""

BLANKS = re.compile(r"[ \t\r\n]*+")
NUMBER = re.compile(r"[0-9+\-.eE]*+")
"""The characters of a number."""

TOO_DEEP = "is nested too deeply"
TOO_LONG = f"is not JSON, or has a value of more than {MAX_RECORD_BYTES} characters"


class Text:
    """A document's text. Only the current part is in memory.

    Parameters
    ----------
    pieces : iterator of bytes
    decoder : Decoder, optional
        Has the names of the members that are read.

    Attributes
    ----------
    repeated : str or None
        A wanted name that an object in the last value has twice.
    """

    def __init__(self, pieces: Iterator[bytes], decoder: Decoder | None = None) -> None:
        self.pieces, self.bytes_decoder = pieces, codecs.getincrementaldecoder("utf-8")()
        self.decoder = decoder or Decoder(())
        self.text, self.place, self.ended = "", 0, False
        self.repeated: str | None = None
        self.tried = 0
        """Place up to which several values need not be skipped at once."""

    def more(self, least: int = 1) -> None:
        """Read at least `least` more characters, or all that remain."""
        parts, count = [self.text[self.place :]], 0
        try:
            while count < least and not self.ended:
                piece = next(self.pieces, b"")
                self.ended = not piece
                parts.append(self.bytes_decoder.decode(piece, final=self.ended))
                count += len(parts[-1])
        except UnicodeDecodeError:
            raise CorruptObjectError("is not UTF-8 text") from None
        self.tried -= self.place
        self.text, self.place = "".join(parts), 0

    def next_sign(self, taken: str = "") -> str:
        """Return the next character that is not blank, or "" at the end. Consume it if it is one of `taken`."""
        while True:
            self.place = _end(BLANKS, self.text, self.place)
            if self.place < len(self.text):
                sign = self.text[self.place]
                self.place += sign in taken
                return sign
            if self.ended:
                return ""
            self.more()

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
        value, end = self._whole()
        text = self.text[self.place : end]
        if len(text) > MAX_RECORD_BYTES:
            raise CorruptObjectError(TOO_LONG)
        if is_too_deep(text):
            raise CorruptObjectError(TOO_DEEP)
        self.repeated, self.place = self.decoder.repeated(text), end
        return value

    def values(self) -> Batch | None:
        """Read the next objects of an array, as far as they are in memory. Return None if `value` must read the next
        value.
        """
        if self.next_sign() != "{":
            return None
        batch = scanned(self.decoder, self.text, self.place, MAX_RECORD_BYTES)
        if batch is not None:
            self.place = batch.ends[-1]
        return batch

    def skip(self, depth: int = 0) -> None:
        """Skip one value of any length. Its text is read a bounded number of times for each level."""
        if depth > MAX_DEPTH:
            raise CorruptObjectError(TOO_DEEP)
        sign = self.next_sign()
        if sign not in ("[", "{"):
            self.value()
        elif not self._skip_whole():
            closing = "]" if sign == "[" else "}"
            for _ in self.items(sign, closing):
                if not self._skip_many(sign, closing):
                    if sign == "{":
                        self.name()
                        self.expect(":")
                    self.skip(depth + 1)

    def _skip_whole(self) -> bool:
        """Skip an array or object if it ends within `WHOLE` characters."""
        text = self.text[self.place : self.place + WHOLE]
        try:
            end = self.decoder.raw_decode(text)[1]
        except (ValueError, RecursionError):
            return False
        if is_too_deep(text[:end]):
            raise CorruptObjectError(TOO_DEEP)
        self.place += end
        return True

    def _skip_many(self, opening: str, closing: str) -> bool:
        """Skip the next items up to a comma, if they are complete. A text is tried only once."""
        if self.place < self.tried:
            return False
        end = self.text.rfind(",", self.place, self.place + MANY)
        text = self.text[self.place : max(end, self.place)]
        if text.strip() and self._is_valid(opening + text + closing):
            self.place = end
            return True
        self.tried = self.place + MANY
        return False

    def _is_valid(self, text: str) -> bool:
        try:
            self.decoder.decode(text)
        except (ValueError, RecursionError):
            return False
        return not is_too_deep(text)

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
                items = "elements" if closing == "]" else "members"
                raise CorruptObjectError(f"is not JSON: no ',' between two {items}")

    def _whole(self) -> tuple[Any, int]:
        """Return a value and its end."""
        self.next_sign()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
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
            if held > MAX_RECORD_BYTES:
                raise CorruptObjectError(TOO_LONG)
            self.more(min(held, MAX_RECORD_BYTES - held) + 1)  # doubles, so that long values take linear time

    def _may_continue(self, end: int) -> bool:
        """Whether a value is a number that may continue in the next piece."""
        # Looks only at the characters of a number: the rest of the text may have thousands of numbers.
        return _end(NUMBER, self.text, self.place) > self.place and _end(NUMBER, self.text, end) == len(self.text)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Return the end of a match that starts at `start`."""
    found = pattern.match(text, start)
    return found.end() if found else start
