"""Converts columns of text to a model's types, exactly, and finds the rows that don't fit (docs/decisions.md, D29)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.mapping import Rule
from fanout_job.time_formats import time_format

Convert = Callable[[pa.Array], pa.Array]

Join = Callable[[Sequence[pa.Array]], pa.Array]
"""Converts the columns of one field's sources to one column. It raises ValueError if a value does not fit."""

PLAIN_DIRECTIVES = {"%Y", "%m", "%d", "%H", "%M", "%S"}
"""Directives that Arrow and `time_formats` read alike, provided that Arrow writes the same text again."""

FACTOR_DIGITS = pa.decimal256(56, 18)
"""Type of numbers to multiply: at most 38 digits before the point and 18 after it."""

SAFE_LENGTH = 38
"""Maximum length of decimals that Arrow reads here. It may misread or crash on longer ones and on exponents."""

DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,9})?", re.ASCII | re.IGNORECASE)
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])

FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
FIRST_MOMENT, LAST_MOMENT = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
"""Range that Python, Spark and Athena support. Arrow also reads years 0 and 10000."""


def converted(
    texts: Sequence[pa.Array], kind: pa.DataType, convert: Join, first: int = 0
) -> tuple[pa.Array, list[int]]:
    """Return the column of a field, and the indexes of the bad values, which are null in it.

    A column without bad values, the usual case, takes one call of `convert`. Other columns are halved until each bad
    value is isolated.
    """
    count = len(texts[0])
    try:
        return convert(texts), []
    except (pa.ArrowInvalid, ValueError):
        if count == 1:
            return pa.nulls(1, kind), [first]
    middle = count // 2
    left, bad_left = converted([text[:middle] for text in texts], kind, convert, first)
    right, bad_right = converted([text[middle:] for text in texts], kind, convert, first + middle)
    return pa.concat_arrays([left, right]), bad_left + bad_right


def conversion(kind: pa.DataType, rule: Rule) -> Join:
    """Return the function that converts the columns of a field's sources by a rule."""
    read = _reader(kind, rule)
    no_value = pa.array(rule.nulls or (), pa.string())

    def present(text: pa.Array) -> pa.Array:
        if not rule.nulls:
            return text
        absent = pc.equal(text, "") if rule.nulls == ("",) else pc.is_in(text, no_value)
        # An array of nulls, because Arrow 22 mixes up a sliced column's texts if it gets a single null.
        return pc.if_else(absent, pa.nulls(len(text), pa.string()), text)

    def meaning(texts: Sequence[pa.Array]) -> pa.Array:
        text = present(texts[0]) if len(texts) == 1 else pc.coalesce(*map(present, texts))
        return read(text if rule.values is None else _replaced(text, rule.values))

    def convert(columns: Sequence[pa.Array]) -> pa.Array:
        texts = [column.cast(pa.string()) for column in columns]  # validates the UTF-8
        if rule.trim or kind == pa.string():
            return meaning([pc.utf8_trim_whitespace(text) for text in texts] if rule.trim else texts)
        try:
            return meaning(texts)
        except (pa.ArrowInvalid, ValueError):  # blanks around numbers and dates are rare
            return meaning([pc.utf8_trim_whitespace(text) for text in texts])

    return convert


def knows_zone(name: str) -> bool:
    """Whether Arrow supports a time zone. It knows fewer names than Python."""
    try:
        pc.assume_timezone(pa.array([0], pa.timestamp("us")), name)
    except pa.ArrowInvalid:
        return False
    return True


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
        return lambda text: _within(_timestamps(text, rule), FIRST_MOMENT, LAST_MOMENT)
    if pa.types.is_date(kind):
        return lambda text: _within(_dates(text, rule), FIRST_DAY, LAST_DAY)
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
    numbers = _decimals(text, kind) if pa.types.is_decimal(kind) else text.cast(kind)
    if pa.types.is_floating(kind) and pc.any(pc.invert(pc.is_finite(numbers))).as_py():
        raise ValueError("not a number, or too large for one")
    return numbers


def _multiplied(text: pa.Array, kind: pa.DataType, rule: Rule) -> pa.Array:
    scale = kind.scale if pa.types.is_decimal(kind) else 0 if pa.types.is_integer(kind) else 18
    product = pc.multiply(_decimals(text, FACTOR_DIGITS), pa.scalar(rule.factor))
    rounded = pc.round(product, ndigits=scale, round_mode="half_to_even")
    return rounded.cast(kind)


def _decimals(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return texts as decimals. Arrow 23 misreads 39 digits and crashes on 1e-1000000000."""
    longest = pc.max(pc.binary_length(text)).as_py() or 0
    if longest <= SAFE_LENGTH and not any(pc.any(pc.match_substring(text, sign)).as_py() for sign in "eE"):
        return text.cast(kind)
    return pa.array([None if one is None else _decimal(one, kind.scale) for one in text.to_pylist()], kind)


def _decimal(text: str, scale: int) -> Decimal:
    if not DECIMAL.fullmatch(text):
        raise ValueError("not a number")
    try:
        return Decimal(text).quantize(Decimal(1).scaleb(-scale), context=EXACT)
    except DecimalException:
        raise ValueError("more digits than the field has") from None


# ---- dates and times


def _within(moments: pa.Array, first: date, last: date) -> pa.Array:
    found = pc.min_max(moments)
    kind = moments.type
    if found["min"].is_valid and (
        pc.less(found["min"], pa.scalar(first, kind)).as_py() or pc.greater(found["max"], pa.scalar(last, kind)).as_py()
    ):
        raise ValueError("a time before year 1 or after year 9999")
    return moments


def _dates(text: pa.Array, rule: Rule) -> pa.Array:
    if not rule.format:
        return text.cast(pa.date32())
    found = [_parsed(text, form, _day) for form in rule.format]
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
    naive = _parsed(text, form, _in_utc)
    directives = re.findall(r"%.", form)
    has_offset = "%z" in directives or "%Z" in directives
    return naive.cast(pa.timestamp("us", tz="UTC")) if has_offset else _in_zone(naive, rule)


def _in_zone(naive: pa.Array, rule: Rule) -> pa.Array:
    if rule.timezone not in (None, "UTC"):
        naive = pc.assume_timezone(naive, rule.timezone, ambiguous="raise", nonexistent="raise")
    return naive.cast(pa.timestamp("us", tz="UTC"))


def _parsed(text: pa.Array, form: str, without_zone: Callable[[datetime], datetime]) -> pa.Array:
    """Read texts by a format. Texts that do not fit it become null.

    Arrow's strptime reads February 31 as March 2, so its result counts only if it formats to the same text again.
    Python reads the other texts, each distinct text once.
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
        read = time_format(form).read
        found = [None if (moment := read(one)) is None else without_zone(moment) for one in rest.to_pylist()]
        moments = pc.replace_with_mask(moments, pc.is_null(moments), pa.array(found, pa.timestamp("us")))
    return moments.take(unique.indices)


def _in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC, or unchanged if it has no zone. Raises ValueError outside of years 1 to 9999."""
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        raise ValueError("a time before year 1 or after year 9999") from None


def _day(moment: datetime) -> datetime:
    """Return the day as written, which may differ from the day in UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
