"""Paths: the place of a field in a JSON or XML document. JSON and XML have the same language.

    path = "." | [ "/" | "../"... ] step [ "/" step ]...     from the record, from the document, or from a parent
    step = name [ "[" name "='" text "'" "]" ] | "*" | "key()"

docs/reference/mappings.md describes it with examples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from fanout_job.errors import RowError

QUOTED = r"'(?:[^']|'')*'"
STEP = re.compile(
    rf"(?P<name>{QUOTED}|[^'/\[\]][^/\[\]]*)(?:\[(?P<key>{QUOTED}|[^'=\[\]]+)=(?P<text>{QUOTED})\])?(?:/(?!\Z)|\Z)"
)

VALID = "a path such as buyer/name, ../currency or tag[@k='name']/@v; quote names that contain / [ ] or begin with '"


@dataclass(frozen=True)
class Step:
    """One step of a path.

    Attributes
    ----------
    name
        Name of a member, attribute (with "@") or element. Empty if `every` or `key` is set.
    where
        A name and a text: only elements in which the name has this text.
    every
        Every element of an array, or every member of an object (`*`).
    key
        The name of the record or parent itself (`key()`).
    """

    name: str
    where: tuple[str, str] | None = None
    every: bool = False
    key: bool = False


@dataclass(frozen=True)
class Path:
    """A path: `up` parents up from the record, or from the document (`absolute`), and then the steps down."""

    steps: tuple[Step, ...]
    up: int = 0
    absolute: bool = False

    @property
    def outside(self) -> bool:
        """Whether the path leads out of the record."""
        return self.absolute or self.up > 0 or any(step.key for step in self.steps)


@dataclass(frozen=True)
class Source:
    """A source field, and which of several values it takes.

    Attributes
    ----------
    name
        Column of a CSV file, or path.
    take
        "first" or "last"; with None, a record that has several values is bad.
    join
        The text between the values, if all of them are joined.
    """

    name: str
    take: str | None = None
    join: str | None = None

    @property
    def path(self) -> Path:
        """The name as a path."""
        return parsed_path(self.name)

    def pick(self, texts: Sequence[str]) -> str | None:
        """Return the value of several texts.

        Raises
        ------
        RowError
            There are several, and the field does not say which one to take.
        """
        if not texts:
            return None
        if self.join is not None:
            return self.join.join(texts)
        if self.take is None and len(texts) > 1:
            raise RowError(f"has {self.name!r} more than once")
        return texts[-1 if self.take == "last" else 0]


class Parent(Protocol):
    """An object or element that contains records, or a record.

    Attributes
    ----------
    name, closed
    used
        Fields that rows have already taken from it, with their steps.
    """

    name: str
    closed: bool
    used: dict[Source, Sequence[Step]] | None

    @property
    def content(self) -> Any:
        """Its fields, which may be incomplete until it is closed."""


@lru_cache(maxsize=4096)
def parsed_path(text: str) -> Path:
    """Read a path.

    Raises
    ------
    ValueError
        The text is not a path. The message describes valid paths.
    """
    absolute, rest = text.startswith("/"), text.removeprefix("/")
    up = 0
    while rest.startswith("../") and not absolute:
        up, rest = up + 1, rest[3:]
    steps: list[Step] = []
    place = 0
    while rest != "." and (place < len(rest) or not steps):
        found = STEP.match(rest, place)
        if found is None:
            raise ValueError(VALID)
        steps.append(_step(found))
        place = found.end()
    if any(step.name in (".", "..") or step.key for step in steps[:-1]) or (steps and steps[-1].name in (".", "..")):
        raise ValueError(VALID)
    return Path(tuple(steps), up, absolute)


def _step(found: re.Match[str]) -> Step:
    name = found["name"]
    where = None if found["key"] is None else (_unquoted(found["key"]), _unquoted(found["text"]))
    if name in ("*", "key()"):
        return Step("", where, every=name == "*", key=name == "key()")
    return Step(_unquoted(name), where)


def _unquoted(name: str) -> str:
    return name[1:-1].replace("''", "'") if name.startswith("'") else name


def located(chain: Sequence[Parent], path: Path) -> tuple[Parent, tuple[Step, ...]]:
    """Return the parent from which a path leads down, and the steps from there.

    A path from the document follows the parents of the record as far as their names match, so `/a/b` is the `b` of the
    `a` that contains the record, even if the document has several.

    Parameters
    ----------
    chain
        The document, the parents, and the record itself.
    path

    Raises
    ------
    RowError
        The record does not have so many parents.
    """
    if not path.absolute:
        if path.up >= len(chain):
            raise RowError("has a path that leads out of the document")
        return chain[-1 - path.up], path.steps
    place, steps = 0, path.steps
    while steps and place + 1 < len(chain) and steps[0].where is None and chain[place + 1].name == steps[0].name:
        place, steps = place + 1, steps[1:]
    return chain[place], steps
