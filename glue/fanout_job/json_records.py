"""Decodes one JSON value, returns its fields as texts, and describes its errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from fanout_job.errors import RowError
from fanout_job.json_faults import described

MAX_PLACE_DIGITS = 9
"""Maximum digits of an array index. No record is long enough for more elements."""


def no_number(text: str) -> Any:
    """Reject NaN and Infinity, which are not JSON."""
    raise ValueError(text)


class Decoder:
    """Decodes values. Numbers remain texts, so that no digit is lost before the conversion to the model.

    Parameters
    ----------
    wanted : sequence of str
        Paths of the fields that are read.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.names = {step for path in wanted for step in path.split(".")}
        self.quoted = [json.dumps(name, ensure_ascii=False) for name in self.names]
        self.escaped = any("\\" in name or "/" in name for name in self.quoted)
        """Whether a wanted name can be written with escapes other than `\\u`."""
        self.found: set[str] = set()
        numbers: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": no_number}
        plain = json.JSONDecoder(**numbers)
        self.decode, self.raw_decode = plain.decode, plain.raw_decode
        self.watching = json.JSONDecoder(**numbers, object_pairs_hook=self._object)

    def repeated(self, text: str) -> str | None:
        """Return a wanted name that an object has twice, or None. JSON allows it, but parsers differ in their choice.

        Parameters
        ----------
        text
            A value that `decode` accepts.
        """
        if not self.escaped and "\\u" not in text:
            for name in self.quoted:
                if text.count(name) > 1:
                    break
            else:
                return None  # watching each object takes half as long as decoding
        self.found.clear()
        self.watching.decode(text)
        return min(self.found, default=None)

    def _object(self, pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) != len(pairs):
            self.found |= {name for name, count in Counter(name for name, _ in pairs).items() if count > 1} & self.names


def reason_of(error: ValueError) -> str:
    """Return why a text is not JSON, without any of its content."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {described(error)[0]}"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    return "is not JSON: NaN or Infinity"


def place_in(error: ValueError) -> str:
    """Return the position of the error in the text, if the decoder knows it."""
    return f" at character {described(error)[1] + 1}" if isinstance(error, json.JSONDecodeError) else ""


def fields_of(wanted: Sequence[str]) -> Callable[[Any], list[str | None]]:
    """Return a function that extracts the wanted fields of a record. A path consists of keys and array indexes."""
    paths = [(name, name.split(".")) for name in wanted]

    def fields(record: Any) -> list[str | None]:
        if not isinstance(record, dict):
            raise RowError("is JSON, but not an object")
        return [leaf(record, name, steps) for name, steps in paths]

    return fields


def leaf(value: Any, name: str, steps: list[str]) -> str | None:
    """Return the text at a path; None if the path does not exist."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and len(step) <= MAX_PLACE_DIGITS:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise RowError(f"{name!r} is {'an object' if isinstance(value, dict) else 'an array'}, not a single value")
