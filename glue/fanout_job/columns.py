"""A column of text as a column of a model's type: exactly, or with the rows that do not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.mapping import Rule

Convert = Callable[[pa.Array], pa.Array]

PLAIN_DIRECTIVES = {"%Y", "%m", "%d", "%H", "%M", "%S"}
"""What Arrow and Python read alike, as long as Arrow would write it the same way again."""

FACTOR_DIGITS = pa.decimal256(56, 18)
"""Numbers that are multiplied have at most 38 digits before the point and 18 after it."""


def converted(text: pa.Array, kind: pa.DataType, convert: Convert, first: int = 0) -> tuple[pa.Array, list[int]]:
    """Return a converted column, and the places of the values that do not fit, which are null in it.

    A column that fits, as most do, costs one call of `convert`. One that does not is halved until the bad values are
    alone.
    """
    try:
        return convert(text), []
    except (pa.ArrowInvalid, ValueError):
        if len(text) == 1:
            return pa.nulls(1, kind), [first]
    middle = len(text) // 2
    left, bad_left = converted(text[:middle], kind, convert, first)
    right, bad_right = converted(text[middle:], kind, convert, first + middle)
    return pa.concat_arrays([left, right]), bad_left + bad_right


def conversion(kind: pa.DataType, rule: Rule) -> Convert:
    """Return the function that reads a column as a rule says; it raises ValueError if a value does not fit."""
    read = _reader(kind, rule)
    no_value = pa.array(rule.nulls or (), pa.string())

    def meaning(text: pa.Array) -> pa.Array:
        if rule.nulls:
            absent = pc.equal(text, "") if rule.nulls == ("",) else pc.is_in(text, no_value)
            # An array of nulls, because Arrow 22 mixes up a sliced column's texts when it is given one null.
            text = pc.if_else(absent, pa.nulls(len(text), pa.string()), text)
        return read(text if rule.values is None else _replaced(text, rule.values))

    def convert(column: pa.Array) -> pa.Array:
        text = column.cast(pa.string())  # which sees to it that it is UTF-8
        if rule.trim or kind == pa.string():
            return meaning(pc.utf8_trim_whitespace(text) if rule.trim else text)
        try:
            return meaning(text)
        except (pa.ArrowInvalid, ValueError):  # blanks around numbers and dates are rare, and cost time to look for
            return meaning(pc.utf8_trim_whitespace(text))

    return convert


def _replaced(text: pa.Array, values: dict[str, str]) -> pa.Array:
    places = pc.index_in(text, pa.array(list(values), pa.string()))
    replaced = pa.array(list(values.values()), pa.string()).take(places)
    return _all_there(replaced, text)


def _all_there(found: pa.Array, text: pa.Array) -> pa.Array:
    if found.null_count != text.null_count:
        raise ValueError("a text that means nothing")
    return found


def _reader(kind: pa.DataType, rule: Rule) -> Convert:
    if pa.types.is_timestamp(kind):
        return lambda text: _timestamps(text, rule)
    if pa.types.is_date(kind):
        return lambda text: _dates(text, rule)
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return lambda text: _numbers(text, kind, rule)
    return lambda text: text.cast(kind)


# ---- numbers


def _numbers(text: pa.Array, kind: pa.DataType, rule: Rule) -> pa.Array:
    point, group = rule.decimal or ".", rule.thousands
    if point != "." or group:
        sign = re.escape(group or "")
        grouping = rf"\d{{1,3}}(?:{sign}\d{{2,3}})*{sign}\d{{3}}|" if group else ""
        well_formed = rf"^[+-]?(?:{grouping}\d+)(?:{re.escape(point)}\d+)?$"
        if not pc.all(pc.match_substring_regex(text, well_formed)).as_py() and text.null_count < len(text):
            raise ValueError("a number that is written in another way")
        if group:
            text = pc.replace_substring(text, group, "")
        if point != ".":
            text = pc.replace_substring(text, point, ".")
    if rule.factor is not None:
        return _multiplied(text, kind, rule)
    if pa.types.is_integer(kind) and any(pc.any(pc.match_substring(text, sign)).as_py() for sign in "xX"):
        raise ValueError("Arrow would read it as hexadecimal")
    numbers = text.cast(kind)
    if pa.types.is_floating(kind) and pc.any(pc.invert(pc.is_finite(numbers))).as_py():
        raise ValueError("not a number, or too large for one")
    return numbers


def _multiplied(text: pa.Array, kind: pa.DataType, rule: Rule) -> pa.Array:
    scale = kind.scale if pa.types.is_decimal(kind) else 0 if pa.types.is_integer(kind) else 18
    product = pc.multiply(text.cast(FACTOR_DIGITS), pa.scalar(rule.factor))
    rounded = pc.round(product, ndigits=scale, round_mode="half_to_even")
    return rounded.cast(kind)


# ---- dates and times


def _dates(text: pa.Array, rule: Rule) -> pa.Array:
    if not rule.format:
        return text.cast(pa.date32())
    found = [_parsed(text, form) for form in rule.format]
    return _all_there(pc.coalesce(*found), text).cast(pa.date32())


def _timestamps(text: pa.Array, rule: Rule) -> pa.Array:
    if not rule.format:
        try:
            return text.cast(pa.timestamp("us", tz="UTC"))
        except pa.ArrowInvalid:
            return _in_zone(text.cast(pa.timestamp("us")), rule)
    found = [_moments(text, form, rule) for form in rule.format]
    return _all_there(pc.coalesce(*found), text)


def _moments(text: pa.Array, form: str, rule: Rule) -> pa.Array:
    naive = _parsed(text, form)
    return naive.cast(pa.timestamp("us", tz="UTC")) if "%z" in form else _in_zone(naive, rule)


def _in_zone(naive: pa.Array, rule: Rule) -> pa.Array:
    if rule.timezone not in (None, "UTC"):
        naive = pc.assume_timezone(naive, rule.timezone, ambiguous="raise", nonexistent="raise")
    return naive.cast(pa.timestamp("us", tz="UTC"))


def _parsed(text: pa.Array, form: str) -> pa.Array:
    """Read texts as Python's strptime does; null where it does not. Moments with an offset become UTC.

    Arrow's strptime takes the 31st of February for the 2nd of March, so it is believed only where it writes the same
    text again. Python reads the rest, each text once.
    """
    unique = text.dictionary_encode()
    texts = unique.dictionary
    if set(re.findall(r"%.", form)) <= PLAIN_DIRECTIVES:
        quick = pc.strptime(texts, format=form, unit="s", error_is_null=True)
        same = pc.equal(pc.strftime(quick, format=form), texts)
        moments = pc.if_else(same, quick, None).cast(pa.timestamp("us"))
    else:
        moments = pa.nulls(len(texts), pa.timestamp("us"))
    if moments.null_count:
        rest = texts.filter(pc.is_null(moments))
        slow = pa.array([_moment(one, form) for one in rest.to_pylist()], pa.timestamp("us"))
        moments = pc.replace_with_mask(moments, pc.is_null(moments), slow)
    return moments.take(unique.indices)


def _moment(text: str, form: str) -> datetime | None:
    try:
        found = datetime.strptime(text, form)  # noqa: DTZ007 - the mapping says which zone
    except ValueError:
        return None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
