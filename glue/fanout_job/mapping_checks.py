"""Checks of the values of a mapping. Each raises ValueError with a description of valid values."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

from fanout_job.paths import Path, parsed_path
from fanout_job.texts import text_codec
from fanout_job.time_formats import NUMERIC_FORMATS, time_format

MAX_FORMATS = 20
"""Maximum formats of one field, because each format is tried on each text."""

MAX_PLACE_DIGITS = 100
"""Maximum digits of a step in a JSON path. A step of digits is an array index or a name."""

NOT_A_SIGN = frozenset("\r\n\0")


def one_of(*words: str) -> Callable[[str], None]:
    """Return the check of a value that is one of some words."""

    def check(word: str) -> None:
        if word not in words:
            raise ValueError(" or ".join(map(repr, words)))

    return check


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
        if form not in NUMERIC_FORMATS:
            time_format(form)


def time_zone(name: str) -> None:
    """Check the name of a time zone. Rejects localtime, which depends on the machine."""
    try:
        if name == "localtime":
            raise ValueError
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError("a time zone that this machine knows") from None


def record_path(text: str) -> None:
    """Check the path of a JSON document's records."""
    path = parsed_path(text) if text else None
    if path and (path.outside or any(step.where for step in path.steps)):
        raise ValueError("a path to the records such as data/orders or data/*/lines")


def header_path(text: str) -> None:
    """Check the path of column names in a JSON document."""
    if text != "first" and not parsed_path(text).absolute:
        raise ValueError("'first' or a path from the document such as /meta/columns/*/name")


def element_path(text: str) -> None:
    """Check the name of an XML record element, which may have the names of its parents before it."""
    path = parsed_path(text)
    if path.outside or not path.steps or any(s.every or s.where or s.name.startswith("@") for s in path.steps):
        raise ValueError("the name of an element such as line, or order/line")


def json_path(path: Path) -> None:
    """Check a path in a JSON document."""
    for step in path.steps:
        if step.name.isdecimal() and len(step.name) > MAX_PLACE_DIGITS:
            raise ValueError("a path: it has a number that is neither a name nor an array index")


def xml_path(path: Path, namespaces: dict[str, str]) -> None:
    """Check a path in an XML document."""
    for place, step in enumerate(path.steps):
        if step.every or step.key:
            raise ValueError("a path in XML, which has neither * nor key()")
        if step.name.startswith("@") and place < len(path.steps) - 1:
            raise ValueError("a path in XML: an attribute may only be its last step")
        for name in (step.name, step.where[0] if step.where else ""):
            prefix = name.removeprefix("@").rpartition(":")[0]
            if prefix and prefix not in namespaces:
                raise ValueError(f"a path: xml.namespaces has no prefix {prefix!r}")


def units(texts: tuple[str, ...]) -> None:
    """Check the texts that may precede or follow a number."""
    if not all(
        text and not text.isspace() and not any(sign.isdigit() or sign in "+-.,()" for sign in text) for text in texts
    ):
        raise ValueError("a list of texts without digits, signs, points, commas and parentheses")


def negatives(words: tuple[str, ...]) -> None:
    """Check the value of `negative`."""
    if not set(words) <= {"parentheses", "trailing"}:
        raise ValueError("'parentheses' or 'trailing'")


def line_start(text: str) -> None:
    """Check the beginning of a line."""
    if not text or NOT_A_SIGN & set(text):
        raise ValueError("a text without line breaks and NUL")


def line_starts(texts: tuple[str, ...]) -> None:
    """Check the beginnings of lines."""
    for text in texts:
        line_start(text)
