"""Times as the contracts write them: RFC 1123 in the config API, ISO 8601 with a `Z` everywhere else. Always UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: f"{number:02}" for number, name in enumerate(_MONTHS, 1)}
_HTTP_DATE = re.compile(r"([A-Z][a-z]{2}), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT")


def parse_http_date(text: str) -> datetime:
    """Read an IMF-fixdate such as ``Tue, 08 Nov 2022 15:47:17 GMT`` (RFC 9110, 5.6.7), and nothing else.

    By pattern and not by `strptime`, which takes any week day, case and number of digits, follows the
    locale, and costs several times as much.

    Raises
    ------
    ValueError
        The text has another form, another zone, or a week day that does not fit the date.
    """
    found = _HTTP_DATE.fullmatch(text)
    month = _MONTH_NUMBERS.get(found[3]) if found else None
    if found is None or month is None:
        raise ValueError("must be an RFC 1123 date such as 'Tue, 08 Nov 2022 15:47:17 GMT'")
    parsed = datetime.fromisoformat(f"{found[4]}-{month}-{found[2]}T{found[5]}+00:00")
    if _DAYS[parsed.weekday()] != found[1]:
        raise ValueError("names a day of the week that does not fit the date")
    return parsed


def format_http_date(moment: datetime) -> str:
    """Write a time as an IMF-fixdate, to the second."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_iso(text: str) -> datetime:
    """Read an ISO 8601 time with an offset.

    Raises
    ------
    ValueError
        Not ISO 8601, or without an offset (a naive time would mean another moment on another machine).
    """
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as {text}Z for UTC")
    return parsed.astimezone(UTC)


def format_iso(moment: datetime) -> str:
    """Write a time as ``2026-11-22T07:30:00Z``, with a fraction only when there is one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def compact(moment: datetime) -> str:
    """Write a time as ``20261122T073000Z``, the form used in names and keys."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
