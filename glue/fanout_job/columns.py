"""Converts columns of text to a model's types, exactly, and finds the rows that don't fit (docs/decisions.md, D29).

The readers of a type return null for a text that does not fit, so that bad values take only a few more vectorized
operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.mapping import Rule
from fanout_job.numbers import number_reader
from fanout_job.times import time_reader

Read = Callable[[pa.Array], pa.Array]

Convert = Callable[[Sequence[pa.Array]], tuple[pa.Array, list[int]]]
"""Converts the columns of a field's sources. Returns the field's column, and the indexes of the bad values."""

BOOLEAN = "(?i)^(?:true|false|0|1)$"


def conversion(kind: pa.DataType, rule: Rule) -> Convert:
    """Return the function that converts the columns of a field's sources by a rule. Bad values are null."""
    read = _reader(kind, rule)
    no_value = pa.array(rule.nulls or (), pa.string())

    def present(text: pa.Array) -> pa.Array:
        if not rule.nulls:
            return text
        absent = pc.equal(text, "") if rule.nulls == ("",) else pc.is_in(text, no_value)
        # An array of nulls, because Arrow 22 mixes up a sliced column's texts if it gets a single null.
        return pc.if_else(absent, pa.nulls(len(text), pa.string()), text)

    def meaning(texts: Sequence[pa.Array]) -> tuple[pa.Array, pa.Array | None]:
        text = present(texts[0]) if len(texts) == 1 else pc.coalesce(*map(present, texts))
        values = read(text if rule.values is None else _replaced(text, rule.values))
        bad = None if values.null_count == text.null_count else pc.and_(pc.is_null(values), pc.is_valid(text))
        return values, bad

    def convert(columns: Sequence[pa.Array]) -> tuple[pa.Array, list[int]]:
        decoded = [_decoded(column) for column in columns]
        texts = [text for text, _ in decoded]
        if rule.trim:
            texts = [pc.utf8_trim_whitespace(text) for text in texts]
        values, bad = meaning(texts)
        if bad is not None and kind != pa.string():  # blanks around numbers and dates are rare
            trimmed, still_bad = meaning([pc.utf8_trim_whitespace(text) for text in texts])
            values = pc.if_else(bad, trimmed, values)
            bad = None if still_bad is None else pc.and_(bad, still_bad)
        masks = [mask for mask in (bad, *(invalid for _, invalid in decoded)) if mask is not None]
        return values, pc.indices_nonzero(reduce(pc.or_, masks)).to_pylist() if masks else []

    return convert


def tried_format(kind: pa.DataType, rule: Rule) -> str:
    """Return how texts are read as values of a type, for people."""
    if pa.types.is_temporal(kind):
        formats = " or ".join(map(repr, rule.format or ("ISO 8601",)))
        return f"format {formats}" + (f", time zone {rule.timezone or 'UTC'}" if pa.types.is_timestamp(kind) else "")
    if pa.types.is_boolean(kind):
        return "true, false, 1 or 0"
    if pa.types.is_string(kind):
        return "text"
    signs = f"decimal separator {rule.decimal or '.'!r}"
    return signs + (f", thousands separator {rule.thousands!r}" if rule.thousands else ", no thousands separator")


def knows_zone(name: str) -> bool:
    """Whether Arrow supports a time zone. It knows fewer names than Python."""
    try:
        pc.assume_timezone(pa.array([0], pa.timestamp("us")), name)
    except pa.ArrowInvalid:
        return False
    return True


def _decoded(column: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Return a column as text, and the mask of the values that are not UTF-8, which are null in it."""
    try:
        return column.cast(pa.string()), None
    except pa.ArrowInvalid:
        texts = [_utf8(value) for value in column.to_pylist()]
        text = pa.array(texts, pa.string())
        return text, pc.and_(pc.is_null(text), pc.is_valid(column))


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _replaced(text: pa.Array, values: dict[str, str]) -> pa.Array:
    places = pc.index_in(text, pa.array(list(values), pa.string()))
    return pa.array(list(values.values()), pa.string()).take(places)


def _reader(kind: pa.DataType, rule: Rule) -> Read:
    if pa.types.is_temporal(kind):
        return time_reader(kind, rule)
    if pa.types.is_boolean(kind):
        return _booleans
    if pa.types.is_string(kind):
        return lambda text: text
    return number_reader(kind, rule)


def _booleans(text: pa.Array) -> pa.Array:
    try:
        return text.cast(pa.bool_())
    except pa.ArrowInvalid:
        fits = pc.match_substring_regex(text, BOOLEAN)
        return pc.if_else(fits, text, pa.nulls(len(text), pa.string())).cast(pa.bool_())
