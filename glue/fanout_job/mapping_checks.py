"""What the values of a mapping may be. Each check raises ValueError with what the value should have been."""

from __future__ import annotations

import zoneinfo

from fanout_job.texts import text_codec
from fanout_job.time_formats import time_format

MAX_FORMATS = 20
"""Formats of one field: each of them is tried on each text."""

NOT_A_SIGN = frozenset("\r\n\0")


def csv_sign(text: str) -> None:
    """A delimiter, quote or escape: Arrow reads signs of one byte."""
    if len(text) != 1 or not text.isascii() or text in NOT_A_SIGN:
        raise ValueError("one character of ASCII, other than a line break and NUL")


def number_sign(text: str) -> None:
    """A decimal or thousands sign: any character that is no part of a number otherwise."""
    if len(text) != 1 or text.isalnum() or text in "+-" or text in NOT_A_SIGN:
        raise ValueError("one character that is no digit, letter, + or -")


def encoding(name: str) -> None:
    """A text encoding."""
    try:
        text_codec(name)
    except LookupError:
        raise ValueError("a text encoding that Python knows") from None


def formats(forms: tuple[str, ...]) -> None:
    """Formats of dates and times."""
    if len(forms) > MAX_FORMATS:
        raise ValueError(f"a list of at most {MAX_FORMATS} formats")
    for form in forms:
        time_format(form)


def time_zone(name: str) -> None:
    """A time zone, and not whatever this machine is in."""
    try:
        if name == "localtime":
            raise ValueError
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError("a time zone that this machine knows") from None


def empty_documents(word: str) -> None:
    """What happens to documents without a record."""
    if word not in ("allowed", "bad"):
        raise ValueError("'allowed' or 'bad'")
