"""Reads columns of text as dates and times. A text that is not a time by any of a rule's formats becomes null."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.mapping import Rule
from fanout_job.numbers import decimals
from fanout_job.time_formats import time_format

MICROS = pa.timestamp("us")
MOMENTS = pa.timestamp("us", tz="UTC")

PLAIN_DIRECTIVES = {"%Y", "%m", "%d", "%H", "%M", "%S"}
"""Directives that Arrow and `time_formats` read alike, provided that Arrow writes the same text again."""

FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
FIRST_MOMENT, LAST_MOMENT = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
"""Range that Python, Spark and Athena support. Arrow also reads years 0 and 10000."""

LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
DAY = (
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{LEAP}-02-29)"
)
TIME = r"[T ](?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?)?"
ZONE = "(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]|[+-](?:[01][0-9]|2[0-3]))"
"""ISO 8601 with only the days and times that exist."""

REWRITES = (
    (r"^([0-9]{4})([0-9]{2})([0-9]{2})", r"\1-\2-\3"),
    (r"^([0-9-]{10}[T ][0-9]{2})([0-9]{2})", r"\1:\2"),
    (r"^([0-9-]{10}[T ][0-9]{2}:[0-9]{2})([0-9]{2})", r"\1:\2"),
    (r"^([^,]{19}),([0-9])", r"\1.\2"),
    (r"(\.[0-9]{6})[0-9]{1,3}", r"\1"),
    (r"z$", "Z"),
    (r" (Z|[+-][0-9:]{2,5})$", r"\1"),
)
"""From the basic form of ISO 8601 and longer fractions to the form that Arrow reads."""

EPOCHS = {"epoch": 1_000_000, "epoch_ms": 1_000}
"""Name of a format -> the microseconds of its unit."""

SERIAL = pa.decimal128(38, 15)
MAX_SERIAL_DIGITS = r"^-?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE]\+?[0-9]{1,2})?$"
EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - the mapping sets the zone
FIRST_SERIAL = 61
"""1900-03-01. Excel has a February 29 in 1900, so earlier numbers are ambiguous."""


def time_reader(kind: pa.DataType, rule: Rule) -> Callable[[pa.Array], pa.Array]:
    """Return the function that reads a column of dates or timestamps by a rule."""
    if pa.types.is_date(kind):
        return lambda text: _within(_dates(text, rule), FIRST_DAY, LAST_DAY)
    return lambda text: _within(_timestamps(text, rule), FIRST_MOMENT, LAST_MOMENT)


def _within(moments: pa.Array, first: date, last: date) -> pa.Array:
    first, last = pa.scalar(first, moments.type), pa.scalar(last, moments.type)
    return _where(pc.and_(pc.greater_equal(moments, first), pc.less_equal(moments, last)), moments)


def _dates(text: pa.Array, rule: Rule) -> pa.Array:
    if not rule.format:
        try:
            return text.cast(pa.date32())
        except pa.ArrowInvalid:
            iso = _iso(text)
            return _where(pc.match_substring_regex(iso, f"^{DAY}$"), iso).cast(pa.date32())
    return pc.coalesce(*(_days(text, form, rule) for form in rule.format)).cast(pa.date32())


def _days(text: pa.Array, form: str, rule: Rule) -> pa.Array:
    if form in EPOCHS:
        return pc.local_timestamp(_numeric(_pointed(text, rule), form).cast(pa.timestamp("us", rule.timezone)))
    if form == "excel":
        return _serial(_pointed(text, rule))
    return _parsed(text, form, lambda moment: moment.replace(tzinfo=None))  # the day as written, not the day in UTC


def _timestamps(text: pa.Array, rule: Rule) -> pa.Array:
    if rule.format:
        return pc.coalesce(*(_moments(text, form, rule) for form in rule.format))
    try:
        return text.cast(MOMENTS)
    except pa.ArrowInvalid:
        iso = _iso(text)
    there = _where(pc.match_substring_regex(iso, f"^{DAY}{TIME}{ZONE}$"), iso).cast(MOMENTS)
    naive = _where(pc.match_substring_regex(iso, f"^{DAY}(?:{TIME})?$"), iso).cast(MICROS)
    return pc.coalesce(there, _in_zone(naive, rule))


def _where(fits: pa.Array, values: pa.Array) -> pa.Array:
    return pc.if_else(fits, values, pa.nulls(len(values), values.type))


def _iso(text: pa.Array) -> pa.Array:
    for form, replacement in REWRITES:
        text = pc.replace_substring_regex(text, form, replacement)
    return text


def _moments(text: pa.Array, form: str, rule: Rule) -> pa.Array:
    if form in EPOCHS:
        return _numeric(_pointed(text, rule), form)
    if form == "excel":
        return _in_zone(_serial(_pointed(text, rule)), rule)
    naive = _parsed(text, form, lambda moment: moment)  # Arrow stores a moment with a zone in UTC
    return naive.cast(MOMENTS) if time_format(form).has_offset else _in_zone(naive, rule)


def _in_zone(naive: pa.Array, rule: Rule) -> pa.Array:
    """Return local times in UTC. Times that a clock change skips, or repeats without a rule for it, become null."""
    zone = rule.timezone or "UTC"
    if zone == "UTC":
        return naive.cast(MOMENTS)
    try:
        return pc.assume_timezone(naive, zone, ambiguous="raise", nonexistent="raise").cast(MOMENTS)
    except pa.ArrowInvalid:
        first, last = (pc.assume_timezone(naive, zone, ambiguous=e, nonexistent=e) for e in ("earliest", "latest"))
    there = pc.and_(pc.equal(pc.local_timestamp(first), naive), pc.equal(pc.local_timestamp(last), naive))
    if rule.ambiguous is None:
        there = pc.and_(there, pc.equal(first, last))
    return _where(there, last if rule.ambiguous == "later" else first).cast(MOMENTS)


def _pointed(text: pa.Array, rule: Rule) -> pa.Array:
    return text if rule.decimal in (None, ".") else pc.replace_substring(text, rule.decimal, ".")


def _numeric(text: pa.Array, form: str) -> pa.Array:
    """Return seconds or milliseconds since 1970 as moments. Digits beyond microseconds are cut off."""
    numbers = decimals(_where(pc.match_substring_regex(text, MAX_SERIAL_DIGITS), text), SERIAL)
    product = pc.floor(pc.multiply(numbers.cast(pa.decimal256(46, 15)), pa.scalar(Decimal(EPOCHS[form]))))
    inside = pc.and_(pc.less(product, pa.scalar(Decimal(10**18))), pc.greater(product, pa.scalar(Decimal(-(10**18)))))
    return _where(inside, product).cast(pa.int64()).cast(MOMENTS)


def _serial(text: pa.Array) -> pa.Array:
    """Return Excel's serial numbers of the 1900 date system as local times, to the millisecond like Excel."""
    numbers = decimals(_where(pc.match_substring_regex(text, MAX_SERIAL_DIGITS), text), SERIAL)
    days = numbers.cast(pa.float64())
    days = _where(pc.and_(pc.greater_equal(days, float(FIRST_SERIAL)), pc.less(days, 2_958_466.0)), days)
    millis = pc.round(pc.multiply(days, 86_400_000.0)).cast(pa.int64())
    since = int((EXCEL_EPOCH - datetime(1970, 1, 1)).total_seconds()) * 1_000  # noqa: DTZ001
    return pc.add(millis, since).cast(pa.timestamp("ms")).cast(MICROS)


def _parsed(text: pa.Array, form: str, kept: Callable[[datetime], datetime]) -> pa.Array:
    """Read texts by a format. Texts that do not fit it become null.

    Arrow's strptime reads February 31 as March 2, so its result counts only if it formats to the same text again.
    Python reads the other texts, each distinct text once.
    """
    unique = text.dictionary_encode()
    texts = unique.dictionary
    if "%" in form and set(re.findall(r"%.", form)) <= PLAIN_DIRECTIVES:
        quick = pc.strptime(texts, format=form, unit="s", error_is_null=True)
        same = pc.equal(pc.strftime(quick, format=form), texts)
        moments = pc.if_else(same, quick, None).cast(MICROS)
    else:
        moments = pa.nulls(len(texts), MICROS)
    rest = texts.filter(pc.is_null(moments))
    read = time_format(form).read
    found = [None if (moment := read(one)) is None else kept(moment) for one in rest.to_pylist()]
    moments = pc.replace_with_mask(moments, pc.is_null(moments), pa.array(found, MICROS))
    return moments.take(unique.indices)
