"""Times as the contracts write them: RFC 1123 in the config API, ISO 8601 with a `Z` everywhere else. Always UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


def parse_http_date(text: str) -> datetime:
    """Read an IMF-fixdate such as ``Tue, 08 Nov 2022 15:47:17 GMT`` (RFC 9110, 5.6.7), and nothing else.

    Raises
    ------
    ValueError
        The text has another form, another zone, or a week day that does not fit the date.
    """
    parsed = datetime.strptime(text, _HTTP_DATE).replace(tzinfo=UTC)
    if format_http_date(parsed) != text:  # strptime takes any week day, any case and missing zeros
        raise ValueError(f"{text!r} is not an RFC 1123 date; this one is written {format_http_date(parsed)!r}")
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
