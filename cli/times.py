"""Times as an operator writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cli.errors import UsageError
from fanout.times import parse_iso

_AGO = re.compile(r"(\d+)(m|h|d)")
_UNIT = {"m": "minutes", "h": "hours", "d": "days"}


def utc_now() -> datetime:
    """The current time."""
    return datetime.now(UTC)


def moment(text: str, now: datetime) -> datetime:
    """Read ``now``, ``30m``, ``6h`` or ``2d`` (ago), a day, or an ISO 8601 time with its zone.

    Raises
    ------
    UsageError
    """
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        text += "T00:00:00Z"
    try:
        return parse_iso(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a time ({error}); write 2026-11-22T07:30:00Z, 2026-11-22, now, or 30m, "
            "6h, 2d for so long ago"
        ) from None
