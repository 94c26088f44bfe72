"""Decodes one JSON value, returns its fields as texts, and describes its errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fanout_job.errors import RowError
from fanout_job.json_faults import described
from fanout_job.paths import Source, Step

if TYPE_CHECKING:
    from fanout_job.json_batch import Batch

MAX_PLACE_DIGITS = 9
"""Maximum digits of an array index. No record is long enough for more elements."""


def no_number(text: str) -> Any:
    """Reject NaN and Infinity, which are not JSON."""
    raise ValueError(text)


class Decoder:
    """Decodes values. Numbers remain texts, so that no digit is lost before the conversion to the model.

    Parameters
    ----------
    wanted : iterable of str
        Names of the members that are read.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        self.names = set(wanted)
        self.quoted_names = {name: json.dumps(name, ensure_ascii=False) for name in self.names}
        self.quoted = list(self.quoted_names.values())
        self.escaped = any("/" in name for name in self.names)
        """Whether a wanted name can be written with escapes other than `\\u`."""
        self.found: set[str] = set()
        numbers: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": no_number}
        plain: Any = json.JSONDecoder(**numbers)
        self.decode, self.raw_decode, self.scan_once = plain.decode, plain.raw_decode, plain.scan_once
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

    def checked(self, batch: Batch) -> Iterator[tuple[Any, str | None]]:
        """Yield each value of a batch, and the name that it has twice."""
        sure = batch.has_no_name_twice()
        for value, start, end in zip(batch.values, batch.starts, batch.ends, strict=True):
            yield value, None if sure else self.repeated(batch.text[start:end])

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


def json_reader(source: Source) -> Callable[[Any], str | None]:
    """Return a function that reads the field of a decoded value from there."""
    return partial(text_at, source=source, steps=source.path.steps)


def text_at(value: Any, source: Source, steps: Sequence[Step]) -> str | None:
    """Return the text of a field; None if it does not exist.

    Raises
    ------
    RowError
        The path leads to an array or object, or to several values.
    """
    for place, step in enumerate(steps):
        if step.every or step.where is not None:
            texts = [leaf(one, source.name) for one in _values(value, steps[place:])]
            return source.pick([text for text in texts if text is not None])
        value = below(value, step.name)
    return leaf(value, source.name)


def below(value: Any, name: str) -> Any:
    """Return the member of an object, or the element of an array; None if it does not exist."""
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and len(name) <= MAX_PLACE_DIGITS:
        return value[int(name)] if int(name) < len(value) else None
    return None


def _values(value: Any, steps: Sequence[Step]) -> list[Any]:
    found = [value]
    for step in steps:
        if step.every:
            found = [inner for one in found for inner in members(one)]
            continue
        found = [below(one, step.name) for one in found]
        if step.where is not None:
            key, text = step.where
            listed = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
            found = [one for one in listed if isinstance(one, dict) and _is(one.get(key), text)]
    return found


def members(value: Any) -> Iterable[Any]:
    """Return the elements of an array, or the values of an object's members."""
    return value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()


def _is(value: Any, text: str) -> bool:
    return (("true" if value else "false") if isinstance(value, bool) else value) == text


def leaf(value: Any, name: str) -> str | None:
    """Return a single value as text.

    Raises
    ------
    RowError
        The value is an array or an object.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise RowError(f"{name!r} is {'an object' if isinstance(value, dict) else 'an array'}, not a single value")
