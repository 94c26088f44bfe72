"""Reads a document of YAML nodes as dataclasses, by their type hints. Every error names the document and the line."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from fanout_job.errors import MappingError

MAX_SHOWN = 60
"""Maximum characters of a text of the mapping in an error."""

FACTOR_DIGITS = 18
"""Maximum digits of a factor before and after the point."""


def _is_text(text: str) -> bool:
    """Whether a text has no lone surrogates, which escapes in YAML can produce."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def shown(text: str) -> str:
    """Return a text of the mapping for an error, shortened if it is long."""
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}… of {len(text)} characters"


def _factor(text: str) -> Decimal | None:
    """Return a number of at most 18 digits, without a positive exponent, for which Arrow has no type."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not -FACTOR_DIGITS <= number.adjusted() < FACTOR_DIGITS:
        return None
    number = Decimal(format(number, "f"))
    _, digits, exponent = number.as_tuple()
    return number if isinstance(exponent, int) and max(len(digits), -exponent) <= FACTOR_DIGITS else None


class Reader:
    """Reads nodes of one document.

    A dataclass may have `short`, the name of the field that a node other than a map gives, and a field `line`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def error(self, node: yaml.Node, message: str) -> MappingError:
        """Return an error at a node."""
        return MappingError(message, uri=self.name, line=node.start_mark.line + 1)

    def read(self, node: yaml.Node, kind: Any, what: str) -> Any:
        """Return a node's value as `kind`. Uses the text of scalars, not the types that YAML derives from it."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            inner = arguments[0]  # the other one is None
            if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null") and not dataclasses.is_dataclass(inner):
                return None
            return self.read(node, inner, what)
        if origin is dict:
            return {key: self.read(value, arguments[1], f"{what}.{key}") for key, value in self._pairs(node, what)}
        if origin is tuple:
            nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
            return tuple(self.read(one, arguments[0], what) for one in nodes)
        if dataclasses.is_dataclass(kind):
            if hasattr(kind, "short") and not isinstance(node, yaml.MappingNode):
                key = yaml.ScalarNode("tag:yaml.org,2002:str", kind.short, node.start_mark, node.end_mark)
                node = yaml.MappingNode("tag:yaml.org,2002:map", [(key, node)], node.start_mark, node.end_mark)
            return self.dataclass(node, kind, what)
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, f"{what} is not a single value")
        return self._scalar(node, kind, what)

    def _scalar(self, node: yaml.ScalarNode, kind: Any, what: str) -> Any:
        text: str = node.value
        if kind is str:
            if not _is_text(text):
                raise self.error(node, f"{what} has half of a surrogate pair, which is not a character")
            return text
        if kind is bool and text in ("true", "false"):
            return text == "true"
        if kind is int and text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
        if kind is Decimal and (number := _factor(text)) is not None:
            return number
        named = {bool: "true or false", int: "a whole number", Decimal: "a number of at most 18 digits"}
        raise self.error(node, f"{what} is {shown(text)}, not {named[kind]}")

    def dataclass(self, node: yaml.Node, kind: Any, what: str) -> Any:
        """Read a map as a dataclass. Each key must be the name of a field."""
        hints = get_type_hints(kind)
        known = {f.metadata.get("name", f.name): f for f in dataclasses.fields(kind) if f.name not in ("line", "name")}
        values: dict[str, Any] = {}
        for key, value in self._pairs(node, what):
            if key not in known:
                raise self.error(value, f"{what} has no {shown(key)}; it may have {', '.join(sorted(known))}")
            inner = key if what == "the mapping" else f"{what}.{key}"
            found = values[known[key].name] = self.read(value, hints[known[key].name], inner)
            if found is not None and (check := known[key].metadata.get("check")):
                try:
                    check(found)
                except ValueError as error:
                    raise self.error(value, f"{inner} is not {error}") from None
        for name, spec in known.items():
            needed = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
            if needed and spec.name not in values:
                raise self.error(node, f"{what} lacks {name!r}")
        if "line" in hints:
            values["line"] = node.start_mark.line + 1
        try:
            return kind(**values)
        except ValueError as error:
            raise self.error(node, f"{what} {error}") from None

    def _pairs(self, node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
            return
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} is not a map of names to values")
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or not _is_text(key.value):
                raise self.error(key, f"{what} has a name that is not a text")
            if key.value in seen:
                raise self.error(key, f"{what} has {shown(key.value)} twice")
            seen.add(key.value)
            yield key.value, value
