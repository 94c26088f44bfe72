"""Dataclasses as JSON documents, which one deployable writes and another reads with a check of every member.

A member's JSON type is derived from its annotation, which may also describe it: ``Annotated[int, About("bytes")]``.
Unknown members are ignored, so that a newer writer can add members.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from contract.times import format_iso, parse_iso

Document = TypeVar("Document")
Reader = Callable[[Any], Any]
Text = bytes
"""A document as it is stored. Used in classes whose member `bytes` hides the type."""

_SCALARS = (str, int, float, NoneType)
EXPECTED = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


class ContractError(ValueError):
    """A document is invalid. The text names the member and what was expected, without any content."""

    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(f"{path}: expected {expected}" if path else f"expected {expected}")
        self.expected, self.path = expected, path

    def within(self, name: str) -> ContractError:
        """The same error with the path extended by the name of the containing member."""
        separator = "" if not self.path or self.path.startswith("[") else "."
        return ContractError(self.expected, f"{name}{separator}{self.path}")


@dataclass(frozen=True)
class About:
    """Description of a member, in its annotation beside the type.

    Attributes
    ----------
    description
        For the schema: units, and what the name does not say.
    name
        Name in JSON, if it is a keyword in Python.
    required
        Whether the member must be in the document although Python has a default for it.
    """

    description: str = ""
    name: str | None = None
    required: bool = False


@dataclass(frozen=True)
class Member:
    """One member of a document: its name in JSON and in Python, its type, and whether it is required."""

    name: str
    attribute: str
    type: Any
    description: str
    required: bool


@cache
def members(kind: type) -> tuple[Member, ...]:
    """The members of a dataclass's documents."""
    hints, found = get_type_hints(kind, include_extras=True), []
    for one in fields(kind):
        hint, about = hints[one.name], About()
        if get_origin(hint) is Annotated:
            hint, about = get_args(hint)
        mandatory = about.required or (one.default is MISSING and one.default_factory is MISSING)
        found.append(Member(about.name or one.name, one.name, hint, about.description, mandatory))
    return tuple(found)


class Stored:
    """Base of the dataclasses that are stored as documents of their own."""

    def to_json(self) -> Text:
        """Write the document as JSON."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: Text) -> Self:
        """Read the document from JSON.

        Raises
        ------
        ContractError
        """
        return from_json(cls, text)


def to_json(document: Any) -> bytes:
    """Write a dataclass."""
    return json.dumps(plain(document), separators=(",", ":"), allow_nan=False).encode()


def plain(value: Any) -> Any:
    """A dataclass as JSON types: times as ISO 8601, tuples as arrays."""
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, datetime):
        return format_iso(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.attribute)) for one in members(type(value))}
    if isinstance(value, tuple | list):
        return [plain(element) for element in value]
    if isinstance(value, Mapping):
        return {name: plain(element) for name, element in value.items()}
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def from_json(kind: type[Document], text: Text) -> Document:
    """Read a dataclass.

    Raises
    ------
    ContractError
        The text is not JSON, or does not match the dataclass.
    """
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ContractError("JSON") from None
    return read(kind, value)


def _no_number(text: str) -> Any:
    raise ValueError(text)  # NaN and Infinity, which JSON does not have


def read(kind: type[Document], value: Any) -> Document:
    """Convert parsed JSON to a dataclass.

    Raises
    ------
    ContractError
        The value does not match the dataclass.
    """
    reader: Any = _reader
    document: Document = reader(kind)(value)
    return document


@cache
def _reader(kind: Any) -> Reader:
    """Return the function that reads values of a type. Cached, because a manifest has ten thousand values."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in EXPECTED:
        allowed = (int, float) if kind is float else (kind,)
        return _checked(lambda value: type(value) in allowed, EXPECTED[kind])
    if kind is datetime:
        return _read_time
    if origin is Literal:
        return _checked(
            lambda value: any(type(value) is type(one) and value == one for one in arguments),
            " or ".join(map(repr, arguments)),
        )
    if origin in (Union, UnionType):
        inner = _reader(arguments[0])  # of X | None
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _array_reader(_reader(arguments[0]))
    return _object_reader(kind) if isinstance(kind, type) else _read_map


def _checked(holds: Callable[[Any], bool], expected: str) -> Reader:
    def one(value: Any) -> Any:
        if not holds(value):
            raise ContractError(expected)
        return value

    return one


_read_map = _checked(lambda value: isinstance(value, dict), "an object")
_read_list = _checked(lambda value: isinstance(value, list), "an array")


def _read_time(value: Any) -> datetime:
    try:
        return parse_iso(value)
    except (ValueError, TypeError):
        raise ContractError("a time in ISO 8601 with a time zone") from None


def _array_reader(element: Reader) -> Reader:
    def array(value: Any) -> tuple[Any, ...]:
        elements, found = _read_list(value), list[Any]()
        try:
            found.extend(map(element, elements))
        except ContractError as error:
            raise error.within(f"[{len(found)}]") from None
        return tuple(found)

    return array


def _object_reader(kind: type) -> Reader:
    known = [(one.name, one.attribute, _reader(one.type), one.required) for one in members(kind)]

    def whole(value: Any) -> Any:
        document, given = _read_map(value), {}
        for name, attribute, reader, required in known:
            if name in document:
                try:
                    given[attribute] = reader(document[name])
                except ContractError as error:
                    raise error.within(name) from None
            elif required:
                raise ContractError("a value", name)
        try:
            return kind(**given)
        except ValueError as error:  # from the check in a dataclass
            raise ContractError(str(error)) from None

    return whole
