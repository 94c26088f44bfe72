"""A mapping: how one provider writes its data, and what becomes which field of the model. One YAML or JSON document.

docs/standardize.md has examples. Every error names the file and the line.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

import yaml

from fanout_job import mapping_checks as checks
from fanout_job.errors import MappingError
from fanout_job.mapping_text import nodes_of
from fanout_job.model import Model

MAX_SHOWN = 60
"""Characters of a text of the mapping that an error repeats."""

FACTOR_DIGITS = 18
"""Of a factor, before the point and after it."""

MAX_PLACE_DIGITS = 100
"""Of a step of a JSON path; names may consist of digits, too."""


def _checked(check: Callable[[Any], None], default: Any = None) -> Any:
    """Return a field whose value `check` looks at; it raises ValueError with what the value should have been."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Csv:
    """Comma-separated values, or whatever separates them."""

    delimiter: str = _checked(checks.csv_sign, ",")
    quote: str | None = _checked(checks.csv_sign, '"')
    escape: str | None = _checked(checks.csv_sign)
    """The quote as its own escape means what it means anyway: a quote within quotes is doubled."""
    encoding: str = _checked(checks.encoding, "utf-8")
    """As Python names it: utf-8, latin-1, cp1252, utf-16 and so on."""
    columns: tuple[str, ...] = ()
    """Names of the columns where the file has no header."""
    skip: int = 0
    """Lines before the header."""

    nulls: ClassVar[tuple[str, ...]] = ("",)

    def __post_init__(self) -> None:
        if self.delimiter in (self.quote, self.escape):
            raise ValueError(f"has {self.delimiter!r} as its delimiter and as its quote or escape")


@dataclass(frozen=True)
class Json:
    """One JSON document: an array of records, or an object in which they are."""

    records: str = ""
    """Names on the way to the array, or to the one record, with dots between them."""

    nulls: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class JsonLines:
    """One JSON record a line."""

    nulls: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Xml:
    """An XML document."""

    record: str
    """Name of the element that is one record, wherever it stands."""
    namespaces: dict[str, str] = field(default_factory=dict)
    """Prefix, as this mapping writes it, -> URI. The prefix "" is for elements named without one."""

    nulls: ClassVar[tuple[str, ...]] = ("",)


@dataclass(frozen=True)
class Spelling:
    """How values are written. Stands beside `fields` for all of them, or in a field for this one."""

    decimal: str | None = _checked(checks.number_sign)
    """The decimal sign; "." if nothing is said."""
    thousands: str | None = _checked(checks.number_sign)
    nulls: tuple[str, ...] | None = None
    """Texts that mean: no value. If nothing is said, the empty text, but not in JSON."""
    format: tuple[str, ...] | None = _checked(checks.formats)
    """Of dates and timestamps, as `time_formats` reads them; tried in this order. ISO 8601 if nothing is said."""
    timezone: str | None = _checked(checks.time_zone)
    """Of timestamps that are written without an offset, such as Europe/Berlin; UTC if nothing is said."""
    trim: bool = False
    """Leave out blanks around texts, too. Around all other values they never count."""


@dataclass(frozen=True)
class Rule(Spelling):
    """Where one field's values come from."""

    source: str | None = field(default=None, metadata={"name": "from"})
    """Column of a CSV file, path of a JSON record (a.b.0) or path in an XML record (a/b, a/@b, @b, .)."""
    value: str | None = None
    """The same value for every row, instead."""
    values: dict[str, str] | None = None
    """Text in the source -> text to take for it. A text that is not among them makes a bad row."""
    factor: Decimal | None = None
    """What numbers are multiplied with, to change their unit; the product is rounded half to even."""
    line: int = 0


@dataclass(frozen=True)
class Mapping(Spelling):
    """A provider's mapping."""

    fields: dict[str, Rule] = field(default_factory=dict)
    """Field of the model -> where its values come from."""
    extra: dict[str, Rule] = field(default_factory=dict)
    """What `transform` gets as text, besides the model's fields, by name."""
    csv: Csv | None = None
    json: Json | None = None
    json_lines: JsonLines | None = None
    xml: Xml | None = None
    empty: str = _checked(checks.empty_documents, "bad")
    """Whether objects without a single record are "allowed", or "bad"."""
    name: str = ""

    @classmethod
    def parse(cls, text: bytes, name: str) -> Mapping:
        """Read a mapping.

        Parameters
        ----------
        text : bytes
            YAML, or JSON if `name` ends in ".json".
        name : str
            What errors call the document.

        Raises
        ------
        MappingError
        """
        return _read(nodes_of(text, name), name)

    @property
    def format_of(self) -> Csv | Json | JsonLines | Xml:
        """How the provider's objects are to be read."""
        chosen = self.csv or self.json or self.json_lines or self.xml
        assert chosen is not None  # noqa: S101 - `parse` has seen to it
        return chosen

    def rule(self, target: str) -> Rule:
        """Return the rule of a field, complete: with what the mapping says for all fields."""
        own = self.fields.get(target) or self.extra[target]
        spelled = {f.name: getattr(own, f.name) for f in dataclasses.fields(Spelling)}
        common = {name: getattr(self, name) if value in (None, False) else value for name, value in spelled.items()}
        if common["nulls"] is None:
            common["nulls"] = self.format_of.nulls
        return dataclasses.replace(own, **common)

    def check_fields(self, model: Model) -> None:
        """Hold the mapping against the model.

        Raises
        ------
        MappingError
            A field is not in the model, or a required one is not in the mapping.
        """
        for target, rule in chain(self.fields.items(), self.extra.items()):
            if (target in self.fields) != (target in model.fields):
                told = f"{'a' if target in model.fields else 'no'} field of the model {model.name}"
                what = f"{_shown(target)} is {told}, which has {', '.join(model.fields)}"
                raise MappingError(what, uri=self.name, line=rule.line)
            self._check_rule(target)
            for step in (rule.source or "").split("/"):
                prefix = step.removeprefix("@").rpartition(":")[0]
                if self.xml and prefix and prefix not in self.xml.namespaces:
                    what = f"{target}: xml.namespaces has no prefix {_shown(prefix)}"
                    raise MappingError(what, uri=self.name, line=rule.line)
        missing = [name for name, spec in model.fields.items() if spec.required and name not in self.fields]
        if missing:
            raise MappingError(f"fields lacks {', '.join(missing)}, which the model requires", uri=self.name, line=1)

    def _check_rule(self, target: str) -> None:
        rule = self.rule(target)
        if (rule.decimal or ".") == rule.thousands:
            what = f"{target}: {rule.thousands!r} is both the decimal and the thousands sign"
            raise MappingError(what, uri=self.name, line=rule.line)
        if (self.json or self.json_lines) and rule.source is not None:
            for step in rule.source.split("."):
                if step.isdecimal() and len(step) > MAX_PLACE_DIGITS:
                    what = f"{target}: {_shown(step)} is neither a name nor a place in an array"
                    raise MappingError(what, uri=self.name, line=rule.line)


def _read(tree: yaml.Node, name: str) -> Mapping:
    reader = _Reader(name)
    mapping: Mapping = reader.dataclass(tree, Mapping, "the mapping")
    formats = [kind for kind in ("csv", "json", "json_lines", "xml") if getattr(mapping, kind) is not None]
    if len(formats) != 1:
        raise reader.error(tree, f"has {' and '.join(formats) or 'no format'}; say one of csv, json, json_lines, xml")
    if not mapping.fields:
        raise reader.error(tree, "has no fields")
    return dataclasses.replace(mapping, name=name)


def _is_text(text: str) -> bool:
    """Whether a text has no lone surrogates, which the escapes of YAML can write."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _shown(text: str) -> str:
    """Return a text of the mapping for an error, cut if it is long."""
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}… of {len(text)} characters"


def _factor(text: str) -> Decimal | None:
    """Return a number of at most 18 digits, without an exponent above 0, which Arrow has no type for."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or not -FACTOR_DIGITS <= number.adjusted() < FACTOR_DIGITS:
        return None
    number = Decimal(format(number, "f"))
    _, digits, exponent = number.as_tuple()
    return number if isinstance(exponent, int) and max(len(digits), -exponent) <= FACTOR_DIGITS else None


class _Reader:
    """Reads YAML's nodes as the types above, by their type hints."""

    def __init__(self, name: str) -> None:
        self.name = name

    def error(self, node: yaml.Node, message: str) -> MappingError:
        return MappingError(message, uri=self.name, line=node.start_mark.line + 1)

    def read(self, node: yaml.Node, kind: Any, what: str) -> Any:
        """Return a node's value as `kind`. Scalars are taken as they are written, whatever YAML makes of them."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            inner = next(k for k in arguments if k is not type(None))
            if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null") and not dataclasses.is_dataclass(inner):
                return None
            return self.read(node, inner, what)
        if origin is dict:
            return {key: self.read(value, arguments[1], f"{what}.{key}") for key, value in self.pairs(node, what)}
        if origin is tuple:
            nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
            return tuple(self.read(one, arguments[0], what) for one in nodes)
        if dataclasses.is_dataclass(kind):
            if kind is Rule and isinstance(node, yaml.ScalarNode):
                return Rule(source=self.read(node, str, what), line=node.start_mark.line + 1)
            return self.dataclass(node, kind, what)
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, f"{what} is not a single value")
        return self.scalar(node, kind, what)

    def scalar(self, node: yaml.ScalarNode, kind: Any, what: str) -> Any:
        text: str = node.value
        if kind is str:
            if not _is_text(text):
                raise self.error(node, f"{what} has half of a surrogate pair, which is no character")
            return text
        if kind is bool and text in ("true", "false"):
            return text == "true"
        if kind is int and text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
        if kind is Decimal and (number := _factor(text)) is not None:
            return number
        named = {bool: "true or false", int: "a whole number", Decimal: "a number of at most 18 digits"}
        raise self.error(node, f"{what} is {_shown(text)}, not {named[kind]}")

    def dataclass(self, node: yaml.Node, kind: Any, what: str) -> Any:
        hints = get_type_hints(kind)
        known = {f.metadata.get("name", f.name): f for f in dataclasses.fields(kind) if f.name not in ("line", "name")}
        values: dict[str, Any] = {}
        for key, value in self.pairs(node, what):
            if key not in known:
                raise self.error(value, f"{what} has no {_shown(key)}; it may have {', '.join(sorted(known))}")
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
        if kind is Rule:
            values["line"] = node.start_mark.line + 1
            if ("source" in values) == ("value" in values):
                raise self.error(node, f"{what} has to have either 'from' or 'value'")
        try:
            return kind(**values)
        except ValueError as error:
            raise self.error(node, f"{what} {error}") from None

    def pairs(self, node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
            return
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} is not a map of names to values")
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or not _is_text(key.value):
                raise self.error(key, f"{what} has a name that is not a text")
            if key.value in seen:
                raise self.error(key, f"{what} has {_shown(key.value)} twice")
            seen.add(key.value)
            yield key.value, value
