"""Checks of the values of a mapping. Each raises ValueError with a description of valid values."""

from __future__ import annotations

import zoneinfo

from fanout_job.texts import text_codec
from fanout_job.time_formats import time_format

MAX_FORMATS = 20
"""Maximum formats of one field, because each format is tried on each text."""

NOT_A_SIGN = frozenset("\r\n\0")


def csv_sign(text: str) -> None:
    """Check a delimiter, quote or escape. Arrow supports only single bytes."""
    if len(text) != 1 or not text.isascii() or text in NOT_A_SIGN:
        raise ValueError("one ASCII character other than a line break and NUL")


def number_sign(text: str) -> None:
    """Check a decimal or thousands separator: a character that is not otherwise part of a number."""
    if len(text) != 1 or text.isalnum() or text in "+-" or text in NOT_A_SIGN:
        raise ValueError("one character other than a digit, a letter, + and -")


def encoding(name: str) -> None:
    """Check the name of a text encoding."""
    try:
        text_codec(name)
    except LookupError:
        raise ValueError("a text encoding that Python knows") from None


def formats(forms: tuple[str, ...]) -> None:
    """Check formats of dates and times."""
    if len(forms) > MAX_FORMATS:
        raise ValueError(f"a list of at most {MAX_FORMATS} formats")
    for form in forms:
        time_format(form)


def time_zone(name: str) -> None:
    """Check the name of a time zone. Rejects localtime, which depends on the machine."""
    try:
        if name == "localtime":
            raise ValueError
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError("a time zone that this machine knows") from None


def empty_documents(word: str) -> None:
    """Check the value of `empty`."""
    if word not in ("allowed", "bad"):
        raise ValueError("'allowed' or 'bad'")
