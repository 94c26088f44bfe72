"""Turns a provider's bytes into rows of the model: reads, converts, transforms and checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.blocks import Bad, Block
from fanout_job.columns import Convert, conversion, knows_zone, tried_format
from fanout_job.csv_source import csv_blocks
from fanout_job.errors import (
    CheckFailedError,
    CorruptObjectError,
    MappingError,
    RecordError,
    RowError,
    TransformError,
    place_of,
)
from fanout_job.json_source import json_blocks, json_line_blocks
from fanout_job.mapping import Mapping, Rule
from fanout_job.mapping_formats import Csv, Json, JsonLines, Xml
from fanout_job.model import Field, Model
from fanout_job.paths import Source
from fanout_job.row_checks import Failed, checks_of
from fanout_job.xml_source import xml_blocks

Record = dict[str, Any]
"""A row: field of the model -> str, int, float, Decimal, bool, date, datetime or None."""

Transform = Callable[[Record], Record | None]
"""The user's code for anything that a mapping cannot express."""


PROVIDER = "_provider"
"""Name of the field that has the provider's name in the records of a transform."""

EXTRA = Field("string", "Additional field of the mapping (`extra`) for `transform`")


@dataclass
class Column:
    """How to make one field of the model: from source fields, of which the first with a value counts, or
    from a constant value.
    """

    name: str
    field: Field
    sources: tuple[Source, ...]
    optional: bool
    convert: Convert
    checks: list[Failed] = dataclass_field(default_factory=list)
    tried: str = ""
    """How texts are read, for `fanout mapping check`."""
    formats: str = ""
    """The formats that were tried, for errors."""
    constant: pa.Scalar | None = None


class Standardizer:
    """Turns the bytes of one object into rows of the model.

    Parameters
    ----------
    mapping : Mapping
    model : Model
    transform : callable, optional
    provider : str
        The provider's name, for the transform.

    Raises
    ------
    MappingError
        The mapping does not fit the model.
    """

    def __init__(self, mapping: Mapping, model: Model, transform: Transform | None = None, provider: str = "") -> None:
        mapping.check_fields(model, transform is not None)
        self.provider = provider
        self.mapping, self.model, self.transform = mapping, model, transform
        names = [*mapping.fields, *(mapping.extra if transform is not None else ())]
        self.columns = [self._column(name) for name in names]
        self.wanted = list(dict.fromkeys(source for column in self.columns for source in column.sources))

    def _column(self, name: str) -> Column:
        field, rule = self.model.fields.get(name, EXTRA), self.mapping.rule(name)
        if not knows_zone(rule.timezone or "UTC"):
            what = f"{name}: {rule.timezone!r} is not a time zone that Arrow supports; use a name such as Europe/Berlin"
            raise MappingError(what, uri=self.mapping.name, line=rule.line)
        column = Column(name, field, rule.sources, rule.optional, conversion(field.arrow, rule))
        column.tried = tried_format(field.arrow, rule)
        if rule.format:
            column.formats = f" in the format {' or '.join(map(repr, rule.format))}"
        plain = conversion(field.arrow, Rule(source=("limit",), nulls=()))

        def limit(text: str) -> pa.Scalar | None:
            values, bad = plain([pa.array([text], pa.string())])
            return None if bad else values[0]

        try:
            column.checks = checks_of(name, field.arrow, rule, limit)
        except ValueError as error:
            raise MappingError(f"{name} {error}", uri=self.mapping.name, line=rule.line) from None
        values, bad = column.convert([pa.array([rule.value], pa.string())])
        column.constant = values[0]
        if bad:
            what = f"{name}'s value is not a valid {field.type}"
            raise MappingError(what, uri=self.mapping.name, line=rule.line)
        return column

    def rows(self, pieces: Iterator[bytes], bad: Bad) -> Iterator[pa.Table]:
        """Yield tables with the model's columns and `_row`. Each table has at least one row.

        Parameters
        ----------
        pieces
            The object's decompressed bytes.
        bad : callable
            Called with each bad row.

        Raises
        ------
        CorruptObjectError
            The object cannot be read, or has no record and the mapping does not allow that.
        """
        records = 0

        def counted(error: RecordError, content: bytes | None) -> None:
            nonlocal records
            records += 1
            bad(error, content)

        for block in self._blocks(pieces, counted):
            records += len(block.numbers)
            if self.mapping.max_rows is not None and records > self.mapping.max_rows:
                raise CheckFailedError(f"has more than {self.mapping.max_rows} rows")
            rows = self._standard(block, bad)
            if rows.num_rows:
                yield rows
        if not records and self.mapping.empty != "allowed":
            raise CorruptObjectError(self._without_records())
        if records < self.mapping.min_rows:
            raise CheckFailedError(f"has {records} rows, fewer than {self.mapping.min_rows}")

    def _without_records(self) -> str:
        how = self.mapping.format_of
        reason = f": it has no element {how.record!r}" if isinstance(how, Xml) else ""
        return f"has no record{reason}; if the provider may send such objects, set empty: allowed in its mapping"

    def _blocks(self, pieces: Iterator[bytes], bad: Bad) -> Iterator[Block]:
        how = self.mapping.format_of
        match how:
            case Csv():
                required = [[s.name for s in column.sources] for column in self.columns if not column.optional]
                return csv_blocks(pieces, how, self.wanted, [names for names in required if names], bad)
            case Json():
                return json_blocks(pieces, how, self.wanted, bad)
            case JsonLines():
                return json_line_blocks(pieces, how, self.wanted, bad)
            case Xml():
                return xml_blocks(pieces, how, self.wanted, bad)

    def _standard(self, block: Block, bad: Bad) -> pa.Table:
        made, wrong = self._mapped(block)
        left_out: set[int] = set()
        if self.transform is not None:
            made, left_out = self._transformed(self.transform, made, wrong)
        self._check_required(made, wrong, left_out)
        places = sorted(wrong)
        for place, (number, shown) in zip(places, block.rows(places), strict=True):
            wrong[place].line = number
            bad(wrong[place], shown)
        table = pa.table({"_row": block.numbers, **{name: made[name] for name in self.model.fields}})
        absent = left_out | wrong.keys()
        return table.filter(pa.array([n not in absent for n in range(len(table))])) if absent else table

    def _mapped(self, block: Block) -> tuple[dict[str, pa.Array], dict[int, RecordError]]:
        """Return the columns made by the mapping, and the errors by row index."""
        count = len(block.numbers)
        made: dict[str, pa.Array] = {name: pa.nulls(count, field.arrow) for name, field in self.model.fields.items()}
        wrong: dict[int, RecordError] = {}
        for column in self.columns:
            if not column.sources:
                made[column.name] = pa.repeat(column.constant, count)
                continue
            made[column.name], places = column.convert([block.columns[source] for source in column.sources])
            names = " or ".join(repr(source.name) for source in column.sources)
            self._check(column, made[column.name], places, block, wrong)
            for place in places:
                what = f"{column.name} (from {names}) is not a valid {column.field.type}{column.formats}"
                wrong.setdefault(place, self._bad_value(column, what))
        return made, wrong

    @staticmethod
    def _bad_value(column: Column, what: str) -> RowError:
        return RowError(what, sources=tuple(source.name for source in column.sources), tried=column.tried)

    def _check(
        self, column: Column, values: pa.Array, bad: list[int], block: Block, wrong: dict[int, RecordError]
    ) -> None:
        """Add the rows that fail the column's checks. Raise CheckFailedError if the mapping says so."""
        invalid = set(bad)
        for check in column.checks:
            for place, what in check(values):
                if place in invalid:
                    continue
                if self.mapping.failed_check == "object":
                    raise CheckFailedError(what, line=block.numbers[place].as_py())
                wrong.setdefault(place, self._bad_value(column, what))

    def _check_required(self, made: dict[str, pa.Array], wrong: dict[int, RecordError], left_out: set[int]) -> None:
        for name, field in self.model.fields.items():
            if field.required:
                for place in pc.indices_nonzero(pc.is_null(made[name])).to_pylist():
                    if place not in left_out:
                        wrong.setdefault(place, RowError(f"{name} has no value, and the model requires one"))

    def _transformed(
        self, transform: Transform, made: dict[str, pa.Array], wrong: dict[int, RecordError]
    ) -> tuple[dict[str, pa.Array], set[int]]:
        """Return the columns after the user's transform, and the indexes of the rows that it drops."""
        rows: list[Record] = [{} for _ in range(len(next(iter(made.values()))))]
        left_out: set[int] = set()
        for place, record in enumerate(pa.table(made).to_pylist()):
            if place in wrong:
                continue
            try:
                changed = transform(record | {PROVIDER: self.provider})
                if changed is None:
                    left_out.add(place)
                elif unknown := changed.keys() - made.keys() - {PROVIDER}:
                    wrong[place] = _of_transform(f"transform returned {', '.join(sorted(unknown))}: not in the model")
                else:
                    for name, field in self.model.fields.items():
                        pa.scalar(changed.get(name), field.arrow)
                    rows[place] = changed
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                # Its text may contain the row, so the message has only its type and line.
                what = f"transform, or what it returned, raised {type(error).__name__} at {place_of(error, transform)}"
                wrong[place] = _of_transform(what)
                wrong[place].__context__ = error  # for `fanout job try`, as after `raise … from None`
        made = {n: pa.array([r.get(n) for r in rows], field.arrow) for n, field in self.model.fields.items()}
        return made, left_out


def _of_transform(what: str) -> TransformError:
    error = TransformError(what)
    error.unit = RowError.unit
    return error
