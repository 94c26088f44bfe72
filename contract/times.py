"""Formats of times: RFC 1123 in the config API, ISO 8601 with a `Z` everywhere else. Always written in UTC.

Also reads the time of DynamoDB's change records, whose precision differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MAIL_DATE = re.compile(
    r"(?:(?P<day>[a-z]{3}) ?, ?)?(?P<number>[0-9]{1,2}) (?P<month>" + "|".join(_MONTHS) + r") (?P<year>[0-9]{4}) "
    r"(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?) (?:gmt|utc|ut|z|(?P<offset>[+-][0-9]{2}[0-5][0-9]))(?: ?\([ -~]*\))?"
)
_EXAMPLE = "'Tue, 08 Nov 2022 15:47:17 GMT'"

_COMPACT = "%Y%m%dT%H%M%SZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = {"SECOND": 1_000_000, "MILLISECOND": 1_000, "MICROSECOND": 1}
_PRECISION = "ApproximateCreationDateTimePrecision"


def parse_mail_date(text: str) -> datetime:
    """Read a date of RFC 1123 or RFC 5322 that states its zone: ``GMT``, ``UTC``, ``UT``, ``Z``, or an offset.

    Languages print such dates in different ways: ``Tue, 1 Dec 2026 09:00:00 GMT`` (Java), the same without the seconds
    if they are zero (Kotlin), ``Tue, 01 Dec 2026 09:00:00 UTC`` or ``+0000`` (Go). Other names of zones are refused,
    because they are ambiguous: CST is in America and in China. So is ``-0000``, which means an unknown zone.

    `email.utils` is not used: it reads dates without a zone, with another weekday and with any text behind them.

    Raises
    ------
    ValueError
        The text has another format, no zone or an ambiguous one, or the wrong day of the week.
    """
    found = _MAIL_DATE.fullmatch(text.lower())
    if found is None or found["offset"] == "-0000":
        raise ValueError(f"must be an RFC 1123 date with its zone, as GMT, UTC or an offset, such as {_EXAMPLE}")
    month, zone = _MONTHS.index(found["month"]) + 1, found["offset"] or "+00:00"
    local = datetime.fromisoformat(f"{found['year']}-{month:02}-{found['number']:0>2}T{found['time']}{zone}")
    if found["day"] is not None and _DAYS[local.weekday()] != found["day"]:
        raise ValueError("has the wrong day of the week for the date")
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


def format_http_date(moment: datetime) -> str:
    """Write a time as an IMF-fixdate, to the second."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_iso(text: str) -> datetime:
    """Read an ISO 8601 time with an offset.

    Raises
    ------
    ValueError
        The text is not ISO 8601, or has no offset: its meaning would depend on the machine.
    """
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as {text}Z for UTC")
    return parsed.astimezone(UTC)


def format_iso(moment: datetime) -> str:
    """Write a time as ``2026-11-22T07:30:00Z``, with a fraction of a second only if it is not zero."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def compact(moment: datetime) -> str:
    """Write a time as ``20261122T073000Z``, the form used in names and keys."""
    return moment.astimezone(UTC).strftime(_COMPACT)


def parse_compact(text: str) -> datetime:
    """Read a time that `compact` wrote.

    Raises
    ------
    ValueError
        The text has another format.
    """
    return datetime.strptime(text, _COMPACT).replace(tzinfo=UTC)


def from_micros(micros: int) -> datetime:
    """Convert microseconds since 1970 to a time.

    Raises
    ------
    OverflowError
        The time is outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=micros)


def change_micros(record: Mapping[str, Any], body: Mapping[str, Any]) -> int | None:
    """The time of a change in microseconds since 1970; None if the record has no time.

    DynamoDB Streams use seconds. Kinesis Data Streams for DynamoDB use milliseconds, or microseconds if the record says
    so.

    Parameters
    ----------
    record, body
        The change record, and its member `dynamodb`.

    Raises
    ------
    ValueError
        The time is invalid; the text has the reason.
    """
    precision = body.get(_PRECISION) or record.get(_PRECISION)
    moment = body.get("ApproximateCreationDateTime")
    if precision is None:
        ticks = 1_000 if "tableName" in record or "recordFormat" in record else 1_000_000
    elif type(precision) is not str:
        raise ValueError(f"has a {_PRECISION} that is not a string")
    else:
        ticks = _MICROS.get(precision.upper(), 0)
    if not ticks or (moment is not None and type(moment) is not int and type(moment) is not float):
        raise ValueError("has an invalid ApproximateCreationDateTime")
    try:
        return None if moment is None else round(moment * ticks)
    except (OverflowError, ValueError):
        raise ValueError("has an ApproximateCreationDateTime that is not a time") from None
