"""Reads the fields of many JSON records at once: a column for each field, without Python code for each record.

This is for records whose fields are single values. If any record of a batch needs more attention, such as one that
has a name twice, the caller reads the records of the batch one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from contract.nesting import MAX_DEPTH, is_too_deep
from fanout_job.json_records import Decoder
from fanout_job.paths import Path, Source

BETWEEN = re.compile(r"[ \t\r\n]*+,[ \t\r\n]*+(?=\{)")
"""Between an object and the next one."""
ESCAPED = re.compile(r"""\\u[^"]*+("[ \t\r\n]*+:)?""")
"""An escape and the rest of its string. The group matches if the string is a name."""

MOST_RECORDS = 2**8
"""Maximum records of a batch, so that they stay in the processor's cache."""

TEXT, TEXT_OR_FLAG = frozenset({str, type(None)}), frozenset({str, type(None), bool})
FLAGS = {True: "true", False: "false"}


@dataclass
class Batch:
    """Decoded objects that follow each other, and the text that they come from.

    Attributes
    ----------
    starts, ends
        The place of each object in the text.
    """

    values: list[Any]
    text: str
    starts: list[int]
    ends: list[int]

    def has_no_name_twice(self) -> bool:
        """Whether no object in the batch has a name twice. True is certain.

        The decoder keeps one member of those with the same name, so that there are fewer members than names.
        """
        text, start, end = self.text, self.starts[0], self.ends[-1]
        if any(text.find(blank, start, end) != -1 and text.count(f"{blank}:", start, end) for blank in "\t\r\n "):
            return False  # blanks before colons, so that the names cannot be counted by their quotes
        names = text.count('":', start, end)  # too many if a text contains this
        return names == sum(map(len, self.values)) or names == members_of(self.values)

    def before_deep(self) -> Batch | None:
        """Return the objects before the first one that is nested too deeply, or None if that is the first one."""
        text, start, end = self.text, self.starts[0], self.ends[-1]
        brackets = text.count("{", start, end) + text.count("[", start, end)
        if brackets < MAX_DEPTH + len(self.values):
            return self  # each object has one at least, so none has more than MAX_DEPTH
        pairs = enumerate(zip(self.starts, self.ends, strict=True))
        count = next((place for place, (s, e) in pairs if is_too_deep(text[s:e])), len(self.values))
        return Batch(self.values[:count], text, self.starts[:count], self.ends[:count]) if count else None


def members_of(values: Sequence[Any]) -> int:
    """Return the number of members of all objects in some values."""
    count, stack = 0, list(values)
    while stack:
        one = stack.pop()
        inner = one
        if type(one) is dict:
            count, inner = count + len(one), one.values()
        stack += [value for value in inner if type(value) is dict or type(value) is list]
    return count


def scanned(decoder: Decoder, text: str, start: int, longest: int) -> Batch | None:
    """Decode objects between commas, from the one at `start` to the last one that is complete and well-formed.

    Stops before an object that is longer than `longest` or nested too deeply. Returns None if that is the first one.
    """
    scan = decoder.scan_once
    batch = Batch([], text, [], [])
    while len(batch.values) < MOST_RECORDS:
        try:
            value, end = scan(text, start)
        except (StopIteration, ValueError, RecursionError):
            break
        if end - start > longest:
            break
        batch.values.append(value)
        batch.starts.append(start)
        batch.ends.append(end)
        between = BETWEEN.match(text, end)
        if between is None:
            break
        start = between.end()
    return batch.before_deep() if batch.values else None


def lines_of(decoder: Decoder, lines: Sequence[bytes | None]) -> Batch | None:
    """Decode lines that are one object each, or empty. Return None if any is something else."""
    whole = [line for line in lines if line is not None]
    if len(whole) < len(lines):
        return None
    scan = decoder.scan_once
    try:
        text = b"\n".join(whole).decode()
        batch = Batch([], text, [], [])
        start = 0
        for line in text.split("\n"):
            if line:
                value, end = scan(line, 0)
                after = line[end:].strip(" \t\r") if end < len(line) else ""
                if type(value) is not dict or after:
                    return None
                batch.values.append(value)
                batch.starts.append(start)
                batch.ends.append(start + end)
            start += len(line) + 1
    except (StopIteration, ValueError, RecursionError):
        return None
    return batch if batch.values and batch.before_deep() == batch else None


def texts_of(values: Sequence[Any]) -> list[str | None]:
    """Return texts, flags as texts, and None."""
    return [FLAGS[value] if type(value) is bool else value for value in values]


@dataclass
class Node:
    """A member that paths need: the places of the fields that it is the value of, and its own members."""

    places: list[int] = field(default_factory=list)
    members: dict[str, Node] = field(default_factory=dict)


class Columns:
    """The columns of the fields within records.

    Parameters
    ----------
    own : sequence
        Place, source and path of each field.
    decoder : Decoder
    """

    def __init__(self, own: Iterable[tuple[int, Source, Path]], decoder: Decoder) -> None:
        self.decoder, self.root = decoder, Node()
        self.possible = not decoder.escaped
        """Whether the mapping needs nothing but single values."""
        for place, _, path in own:
            node = self.root
            for step in path.steps:
                self.possible &= not (step.every or step.where is not None)
                node = node.members.setdefault(step.name, Node())
            node.places.append(place)
        self.possible &= not self.root.places

    def of(self, batch: Batch) -> dict[int, list[str | None]] | None:
        """Return the column of each field by its place. None if a record may be bad, or needs more attention."""
        if not self.possible:
            return None
        found: dict[int, list[str | None]] = {}
        present = dict.fromkeys(self.decoder.quoted_names, 0)
        if not self._read(self.root, batch.values, found, present):
            return None
        if batch.has_no_name_twice():
            return found
        text, start, end = batch.text, batch.starts[0], batch.ends[-1]
        if text.count("\\u", start, end) and any(ESCAPED.findall(text, start, end)):
            return None  # a name with an escape may be a wanted one
        # A text that occurs as often as the objects have it as a name is in none of them twice, nor anywhere else.
        quoted = self.decoder.quoted_names
        return found if all(text.count(quoted[n], start, end) == count for n, count in present.items()) else None

    def _read(self, node: Node, values: list[Any], found: dict[int, list[str | None]], present: dict[str, int]) -> bool:
        """Read the members of objects. Return False if a value is not of the expected kind."""
        for name, member in node.members.items():
            try:
                column = list(map(itemgetter(name), values))
            except KeyError:
                column = [value.get(name) for value in values]
            kinds = set(map(type, column))
            present[name] += sum(name in value for value in values) if type(None) in kinds else len(values)
            if member.members:
                if member.places or not kinds <= {dict, type(None)}:
                    return False
                objects = [value or {} for value in column]
                if not self._read(member, objects, found, present):
                    return False
                continue
            if not kinds <= TEXT:
                if not kinds <= TEXT_OR_FLAG:
                    return False
                column = texts_of(column)
            for place in member.places:
                found[place] = column
        return True
