"""A mapping: the format of one provider's data, and the source of each field of the model. A YAML or JSON document.

docs/standardize.md has examples. Every error names the file and the line.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import ClassVar

from fanout_job import mapping_checks as checks
from fanout_job.errors import MappingError
from fanout_job.mapping_formats import Csv, Json, JsonLines, Xml, checked
from fanout_job.mapping_reader import Reader, shown
from fanout_job.mapping_text import nodes_of
from fanout_job.model import Model
from fanout_job.paths import Source

__all__ = ["Csv", "Json", "JsonLines", "Mapping", "Rule", "Spelling", "Xml"]


@dataclass(frozen=True)
class Spelling:
    """Format of values. Set it next to `fields` for all fields, or in a single field."""

    decimal: str | None = checked(checks.number_sign)
    """Decimal separator. Defaults to "."."""
    thousands: str | None = checked(checks.number_sign)
    """Thousands separator. Defaults to none. A space also matches no-break and narrow spaces."""
    unit: tuple[str, ...] | None = checked(checks.units)
    """Texts that may precede or follow a number and are ignored, such as €, EUR or %."""
    negative: tuple[str, ...] | None = checked(checks.negatives)
    """Other ways to write negative numbers: "parentheses" for (1.50), "trailing" for 1.50-."""
    nulls: tuple[str, ...] | None = None
    """Texts that mean no value. Defaults to the empty text, in JSON to none."""
    format: tuple[str, ...] | None = checked(checks.formats)
    """Formats of dates and timestamps, with strptime directives or a name, tried in this order. Default: ISO 8601."""
    timezone: str | None = checked(checks.time_zone)
    """Time zone of timestamps without an offset, such as Europe/Berlin. Defaults to UTC."""
    ambiguous: str | None = checked(checks.one_of("earlier", "later"))
    """Which of the two times is meant in the hour that the end of daylight saving time repeats: "earlier" or "later".
    By default, such times are bad."""
    trim: bool | None = None
    """Whether to remove blanks around texts. Blanks around all other values are always ignored."""


@dataclass(frozen=True)
class Rule(Spelling):
    """Source and format of one field."""

    source: tuple[str, ...] = field(default=(), metadata={"name": "from"})
    """Column of a CSV file, or path in a JSON or XML document. Of several, the first that has a value is used."""
    take: str | None = checked(checks.one_of("first", "last"))
    """Which of several values at a path is used: "first" or "last"."""
    join: str | None = None
    """Text between the values, if all values at a path are joined."""
    optional: bool = False
    """Whether a CSV file may lack the column."""
    value: str | None = None
    """A constant value for every row, instead of `from`."""
    values: dict[str, str] | None = None
    """Text in the source -> text to use instead. A row with any other text is bad."""
    factor: Decimal | None = None
    """Factor for numbers, to convert their unit. The product is rounded half to even."""
    required: bool = False
    """Whether a row without a value is bad."""
    min: str | None = None
    """Least value of a number, date or time."""
    max: str | None = None
    """Greatest value."""
    pattern: str | None = None
    """Regular expression (RE2) that the whole text must match."""
    unique: bool = False
    """Whether each value may occur only once in an object."""
    line: int = 0

    short: ClassVar[str] = "from"

    def __post_init__(self) -> None:
        if bool(self.source) == (self.value is not None):
            raise ValueError("needs either 'from' or 'value'")
        if self.take is not None and self.join is not None:
            raise ValueError("has both 'take' and 'join'")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The source fields."""
        return tuple(Source(name, self.take, self.join) for name in self.source)


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
    empty: str = checked(checks.one_of("allowed", "bad"), "bad")
    """Whether objects without any record are "allowed" or "bad"."""
    failed_check: str = checked(checks.one_of("row", "object"), "row")
    """Whether a failed check makes the "row" or the "object" bad."""
    min_rows: int = 0
    """Least number of records of an object."""
    max_rows: int | None = None
    """Greatest number of records of an object."""
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
        tree, reader = nodes_of(text, name), Reader(name)
        mapping: Mapping = reader.dataclass(tree, cls, "the mapping")
        formats = [kind for kind in ("csv", "json", "json_lines", "xml") if getattr(mapping, kind) is not None]
        if len(formats) != 1:
            what = f"has {' and '.join(formats) or 'no format'}; set one of csv, json, json_lines, xml"
            raise reader.error(tree, what)
        if not mapping.fields:
            raise reader.error(tree, "has no fields")
        return dataclasses.replace(mapping, name=name)

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
        common = {name: getattr(self, name) if value is None else value for name, value in spelled.items()}
        if common["nulls"] is None:
            common["nulls"] = self.format_of.nulls
        return dataclasses.replace(own, **common)

    def check_fields(self, model: Model, transformed: bool) -> None:
        """Check the mapping against the model.

        Parameters
        ----------
        model
        transformed
            Whether a transform may fill the required fields that the mapping lacks.

        Raises
        ------
        MappingError
            A field is not in the model, or a required one is not in the mapping.
        """
        for target, rule in chain(self.fields.items(), self.extra.items()):
            if (target in self.fields) != (target in model.fields):
                kind = f"{'a' if target in model.fields else 'not a'} field of the model {model.name}"
                what = f"{shown(target)} is {kind}, which has {', '.join(model.fields)}"
                raise MappingError(what, uri=self.name, line=rule.line)
            self._check_rule(target)
        missing = [name for name, spec in model.fields.items() if spec.required and name not in self.fields]
        if missing and not transformed:
            raise MappingError(f"fields lacks {', '.join(missing)}, which the model requires", uri=self.name, line=1)

    def _check_rule(self, target: str) -> None:
        rule = self.rule(target)
        if (rule.decimal or ".") == rule.thousands:
            what = f"{target}: {rule.thousands!r} is both the decimal and the thousands separator"
            raise MappingError(what, uri=self.name, line=rule.line)
        for source in rule.sources:
            try:
                self._check_source(source)
            except ValueError as error:
                what = f"{target}: {shown(source.name)} is not {error}"
                raise MappingError(what, uri=self.name, line=rule.line) from None

    def _check_source(self, source: Source) -> None:
        how = self.format_of
        if isinstance(how, Csv):
            if source.take or source.join is not None:
                raise ValueError("a path, so it has neither 'take' nor 'join'")
        elif isinstance(how, Xml):
            checks.xml_path(source.path, how.namespaces)
        else:
            checks.json_path(source.path)
