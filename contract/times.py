"""Formats of times: RFC 1123 in the config API, ISO 8601 with a `Z` everywhere else. Always UTC.

Also reads the time of DynamoDB's change records, whose precision differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: f"{number:02}" for number, name in enumerate(_MONTHS, 1)}
_HTTP_DATE = re.compile(r"([A-Z][a-z]{2}), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT")

_COMPACT = "%Y%m%dT%H%M%SZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = {"SECOND": 1_000_000, "MILLISECOND": 1_000, "MICROSECOND": 1}
_PRECISION = "ApproximateCreationDateTimePrecision"


def parse_http_date(text: str) -> datetime:
    """Read an IMF-fixdate such as ``Tue, 08 Nov 2022 15:47:17 GMT`` (RFC 9110, 5.6.7), and nothing else.

    `strptime` is not used: it accepts any week day, case and number of digits, depends on the locale, and is several
    times slower.

    Raises
    ------
    ValueError
        The text has another format or zone, or the wrong day of the week.
    """
    found = _HTTP_DATE.fullmatch(text)
    month = _MONTH_NUMBERS.get(found[3]) if found else None
    if found is None or month is None:
        raise ValueError("must be an RFC 1123 date such as 'Tue, 08 Nov 2022 15:47:17 GMT'")
    parsed = datetime.fromisoformat(f"{found[4]}-{month}-{found[2]}T{found[5]}+00:00")
    if _DAYS[parsed.weekday()] != found[1]:
        raise ValueError("has the wrong day of the week for the date")
    return parsed


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
