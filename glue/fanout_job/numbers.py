"""Reads columns of text as numbers, exactly. A text that is not a number of the type becomes null.

The usual case takes one cast of Arrow for a column. Columns with other texts are matched with regular expressions, and
texts that Arrow may misread are read by Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from functools import partial
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.mapping import Rule

FACTOR_DIGITS = pa.decimal256(56, 18)
"""Type of numbers to multiply: at most 38 digits before the point and 18 after it."""

SAFE_LENGTH = 38
"""Maximum length of decimals that Arrow reads here. It may misread or crash on longer ones and on exponents."""

PLAIN = r"^[+-]?[0-9]+(?:\.[0-9]+)?$"
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?$"
SPACES = " \u00a0\u202f\u2009"
"""A thousands separator that is one of these matches all of them."""

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
MAX_INTEGER = 2**63 - 1

Read = Callable[[pa.Array], pa.Array]


def number_reader(kind: pa.DataType, rule: Rule) -> Read:
    """Return the function that reads a column of numbers by a rule."""
    read: Read = lambda text: decimals(text, kind)  # noqa: E731
    if pa.types.is_integer(kind):
        read = _integers
    elif pa.types.is_floating(kind):
        read = _floats
    if rule.factor is not None:
        read = lambda text: _multiplied(text, kind, rule.factor)  # noqa: E731
    if rule.decimal in (None, ".") and not (rule.thousands or rule.unit or rule.negative):
        return read
    plain = _Spelling(rule).plain
    return lambda text: read(plain(text))


class _Spelling:
    """Turns numbers in the spelling of a rule into plain ones. Other texts become null."""

    def __init__(self, rule: Rule) -> None:
        group, point = rule.thousands or "", re.escape(rule.decimal or ".")
        self.point = rule.decimal or "."
        self.group = f"[{SPACES}]" if group and group in SPACES else re.escape(group)
        grouping = f"[0-9]{{1,3}}(?:{self.group}[0-9]{{2,3}})*{self.group}[0-9]{{3}}|" if group else ""
        digits = f"(?:{grouping}[0-9]+)(?:{point}[0-9]+)?(?:[eE][+-]?[0-9]{{1,9}})?"
        units = "|".join(map(re.escape, rule.unit or ()))
        self.unit = f"[{SPACES}]?(?:{units})[{SPACES}]?" if units else ""
        before, after = (f"(?:{self.unit})?", f"(?:{self.unit})?") if units else ("", "")
        self.negatives = []
        if "parentheses" in (rule.negative or ()):
            self.negatives.append(rf"^{before}\({before}({digits}){after}\){after}$")
        if "trailing" in (rule.negative or ()):
            self.negatives.append(f"^{before}({digits}){after}-{after}$")
        self.plain_form = f"^{before}([+-]?){before}({digits}){after}$"

    def plain(self, text: pa.Array) -> pa.Array:
        text = _with_ascii_minus(text)
        for form in self.negatives:
            text = pc.replace_substring_regex(text, form, r"-\1")
        fits = pc.match_substring_regex(text, self.plain_form)
        text = pc.if_else(fits, text, pa.nulls(len(text), pa.string()))
        if self.unit:
            text = pc.replace_substring_regex(text, self.plain_form, r"\1\2")
        if self.group:
            text = pc.replace_substring_regex(text, self.group, "")
        return text if self.point == "." else pc.replace_substring(text, self.point, ".")


def decimals(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return texts as decimals. Arrow 23 misreads 39 digits and crashes on 1e-1000000000."""
    longest = pc.max(pc.binary_length(text)).as_py() or 0
    if longest <= SAFE_LENGTH and not any(pc.any(pc.match_substring(text, sign)).as_py() for sign in "eE"):
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            pass
    text = _with_ascii_minus(text)
    whole = max(kind.precision - kind.scale, 0)
    fitting = rf"^[+-]?0*[0-9]{{0,{whole}}}(?:\.[0-9]{{0,{kind.scale}}}0*)?$"
    quick = pc.and_(
        pc.and_(pc.match_substring_regex(text, PLAIN), pc.less_equal(pc.binary_length(text), SAFE_LENGTH)),
        pc.match_substring_regex(text, fitting),
    )
    return _read_apart(text, quick, kind, lambda one: _decimal(one, kind))


def _with_ascii_minus(text: pa.Array) -> pa.Array:
    return pc.replace_substring(text, "\u2212", "-")


def _decimal(text: str, kind: pa.DataType) -> Decimal | None:
    try:
        number = Decimal(text).quantize(Decimal(1).scaleb(-kind.scale), context=EXACT)
    except DecimalException:
        return None  # more digits than the field has
    return number if number.adjusted() < kind.precision - kind.scale else None


def _integers(text: pa.Array) -> pa.Array:
    if not any(pc.any(pc.match_substring(text, sign)).as_py() for sign in "xX"):  # Arrow would read hexadecimals
        try:
            return text.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    plain = pc.replace_substring_regex(_with_ascii_minus(text), r"^\+", "")
    plain = pc.replace_substring_regex(plain, r"^(-?[0-9]+)\.0*$", r"\1")
    return _read_apart(plain, pc.match_substring_regex(plain, r"^-?[0-9]{1,18}$"), pa.int64(), _integer)


def _integer(text: str) -> int | None:
    number = Decimal(text)
    is_whole = number == number.to_integral_value()
    return int(number) if is_whole and -MAX_INTEGER - 1 <= number <= MAX_INTEGER else None


def _floats(text: pa.Array) -> pa.Array:
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        text = _with_ascii_minus(text)
        numbers = _read_apart(text, pc.match_substring_regex(text, NUMBER), pa.float64(), float)
    finite = pc.is_finite(numbers)
    return numbers if pc.all(finite).as_py() else pc.if_else(finite, numbers, pa.nulls(len(text), pa.float64()))


def _multiplied(text: pa.Array, kind: pa.DataType, factor: Decimal | None) -> pa.Array:
    scale = kind.scale if pa.types.is_decimal(kind) else 0 if pa.types.is_integer(kind) else 18
    product = pc.multiply(decimals(text, FACTOR_DIGITS), pa.scalar(factor))
    rounded = pc.round(product, ndigits=scale, round_mode="half_to_even")
    try:
        return rounded.cast(kind)
    except pa.ArrowInvalid:  # a product is too large
        one_by_one = _integer if pa.types.is_integer(kind) else partial(_decimal, kind=kind)
        return _read_apart(rounded.cast(pa.string()), pa.array([False] * len(text)), kind, one_by_one)


def _read_apart(text: pa.Array, quick: pa.Array, kind: pa.DataType, read: Callable[[str], Any]) -> pa.Array:
    """Read the texts for which `quick` is true by Arrow, and other numbers by `read`, each distinct text once."""
    try:
        values = pc.if_else(quick, text, pa.nulls(len(text), pa.string())).cast(kind)
    except pa.ArrowInvalid:
        values, quick = pa.nulls(len(text), kind), pc.and_(quick, False)
    rest = pc.and_(pc.invert(pc.fill_null(quick, True)), pc.match_substring_regex(text, NUMBER))
    if not pc.any(rest).as_py():
        return values
    slow = pc.if_else(rest, text, pa.nulls(len(text), pa.string())).dictionary_encode()
    found = pa.array([read(one) for one in slow.dictionary.to_pylist()], kind)
    return pc.coalesce(values, found.take(slow.indices))
