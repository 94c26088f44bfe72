"""A mapping: the format of one provider's data, and the source of each field of the model. A YAML or JSON document.

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
"""Maximum characters of a text of the mapping in an error."""

FACTOR_DIGITS = 18
"""Maximum digits of a factor before and after the point."""

MAX_PLACE_DIGITS = 100
"""Maximum digits of a step in a JSON path. A step of digits is an array index or a name."""


def _checked(check: Callable[[Any], None], default: Any = None) -> Any:
    """Return a field with a check of its value. The check raises ValueError with a description of valid values."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Csv:
    """Comma-separated values, or values with another delimiter."""

    delimiter: str = _checked(checks.csv_sign, ",")
    quote: str | None = _checked(checks.csv_sign, '"')
    escape: str | None = _checked(checks.csv_sign)
    """The same character as `quote` has no effect: a quote within quotes is doubled in any case."""
    encoding: str = _checked(checks.encoding, "utf-8")
    """Python's name of the encoding: utf-8, latin-1, cp1252, utf-16 and so on."""
    columns: tuple[str, ...] = ()
    """Names of the columns, if the file has no header."""
    skip: int = 0
    """Number of lines before the header."""

    nulls: ClassVar[tuple[str, ...]] = ("",)

    def __post_init__(self) -> None:
        if self.delimiter in (self.quote, self.escape):
            raise ValueError(f"has {self.delimiter!r} as its delimiter and as its quote or escape")


@dataclass(frozen=True)
class Json:
    """One JSON document: an array of records, or an object that contains the records."""

    records: str = ""
    """Path to the array, or to a single record: names separated by dots."""

    nulls: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class JsonLines:
    """One JSON record per line."""

    nulls: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Xml:
    """An XML document."""

    record: str
    """Name of the element that is one record, at any level of the document."""
    namespaces: dict[str, str] = field(default_factory=dict)
    """Prefix in this mapping -> URI. The prefix "" is for element names without a prefix."""

    nulls: ClassVar[tuple[str, ...]] = ("",)


@dataclass(frozen=True)
class Spelling:
    """Format of values. Set it next to `fields` for all fields, or in a single field."""

    decimal: str | None = _checked(checks.number_sign)
    """Decimal separator. Defaults to "."."""
    thousands: str | None = _checked(checks.number_sign)
    """Thousands separator. Defaults to none."""
    nulls: tuple[str, ...] | None = None
    """Texts that mean no value. Defaults to the empty text, in JSON to none."""
    format: tuple[str, ...] | None = _checked(checks.formats)
    """Formats of dates and timestamps, with strptime directives; tried in this order. Defaults to ISO 8601."""
    timezone: str | None = _checked(checks.time_zone)
    """Time zone of timestamps without an offset, such as Europe/Berlin. Defaults to UTC."""
    trim: bool = False
    """Whether to remove blanks around texts. Blanks around all other values are always ignored."""


@dataclass(frozen=True)
class Rule(Spelling):
    """Source and format of one field."""

    source: str | None = field(default=None, metadata={"name": "from"})
    """Column of a CSV file, path of a JSON record (a.b.0) or path in an XML record (a/b, a/@b, @b, .)."""
    value: str | None = None
    """A constant value for every row, instead of `from`."""
    values: dict[str, str] | None = None
    """Text in the source -> text to use instead. A row with any other text is bad."""
    factor: Decimal | None = None
    """Factor for numbers, to convert their unit. The product is rounded half to even."""
    line: int = 0


@dataclass(frozen=True)
class Mapping(Spelling):
    """A provider's mapping."""

    fields: dict[str, Rule] = field(default_factory=dict)
    """Field of the model -> source and format of its values."""
    extra: dict[str, Rule] = field(default_factory=dict)
    """Additional fields, as text, for `transform`: name -> source and format."""
    csv: Csv | None = None
    json: Json | None = None
    json_lines: JsonLines | None = None
    xml: Xml | None = None
    empty: str = _checked(checks.empty_documents, "bad")
    """Whether objects without any record are "allowed" or "bad"."""
    name: str = ""

    @classmethod
    def parse(cls, text: bytes, name: str) -> Mapping:
        """Read a mapping.

        Parameters
        ----------
        text : bytes
            YAML, or JSON if `name` ends in ".json".
        name : str
            Name of the document in errors.

        Raises
        ------
        MappingError
        """
        return _read(nodes_of(text, name), name)

    @property
    def format_of(self) -> Csv | Json | JsonLines | Xml:
        """The format of the provider's objects."""
        chosen = self.csv or self.json or self.json_lines or self.xml
        assert chosen is not None  # noqa: S101 - `parse` has checked it
        return chosen

    def rule(self, target: str) -> Rule:
        """Return the rule of a field, including the defaults that the mapping sets for all fields."""
        own = self.fields.get(target) or self.extra[target]
        spelled = {f.name: getattr(own, f.name) for f in dataclasses.fields(Spelling)}
        common = {name: getattr(self, name) if value in (None, False) else value for name, value in spelled.items()}
        if common["nulls"] is None:
            common["nulls"] = self.format_of.nulls
        return dataclasses.replace(own, **common)

    def check_fields(self, model: Model) -> None:
        """Check the mapping against the model.

        Raises
        ------
        MappingError
            A field is not in the model, or a required one is not in the mapping.
        """
        for target, rule in chain(self.fields.items(), self.extra.items()):
            if (target in self.fields) != (target in model.fields):
                kind = f"{'a' if target in model.fields else 'not a'} field of the model {model.name}"
                what = f"{_shown(target)} is {kind}, which has {', '.join(model.fields)}"
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
            what = f"{target}: {rule.thousands!r} is both the decimal and the thousands separator"
            raise MappingError(what, uri=self.name, line=rule.line)
        if (self.json or self.json_lines) and rule.source is not None:
            for step in rule.source.split("."):
                if step.isdecimal() and len(step) > MAX_PLACE_DIGITS:
                    what = f"{target}: {_shown(step)} is neither a name nor an array index"
                    raise MappingError(what, uri=self.name, line=rule.line)


def _read(tree: yaml.Node, name: str) -> Mapping:
    reader = _Reader(name)
    mapping: Mapping = reader.dataclass(tree, Mapping, "the mapping")
    formats = [kind for kind in ("csv", "json", "json_lines", "xml") if getattr(mapping, kind) is not None]
    if len(formats) != 1:
        raise reader.error(tree, f"has {' and '.join(formats) or 'no format'}; set one of csv, json, json_lines, xml")
    if not mapping.fields:
        raise reader.error(tree, "has no fields")
    return dataclasses.replace(mapping, name=name)


def _is_text(text: str) -> bool:
    """Whether a text has no lone surrogates, which escapes in YAML can produce."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _shown(text: str) -> str:
    """Return a text of the mapping for an error, shortened if it is long."""
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}… of {len(text)} characters"


def _factor(text: str) -> Decimal | None:
    """Return a number of at most 18 digits, without a positive exponent, for which Arrow has no type."""
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
        """Return a node's value as `kind`. Uses the text of scalars, not the types that YAML derives from it."""
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
                raise self.error(node, f"{what} has half of a surrogate pair, which is not a character")
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
                raise self.error(node, f"{what} needs either 'from' or 'value'")
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
