"""Times as operators write them: ages, days and weekdays by name, dates, and ISO 8601.

A time without a zone is in the zone of this machine (TZ), so commands print which time in UTC they understood. A text
that could mean two times is rejected.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from dateutil import parser, tz
from dateutil.relativedelta import relativedelta, weekday

from .command import Operator
from .errors import UsageError
from .output import safe, show

YEARS = range(1970, 9001)
"""Years of the times that an operator may give. A calculation with a time near a border of `datetime` would fail."""
FORMS = "30m, 6h, 2d, yesterday, 'last tuesday 14:00', 2026-11-22, 2026-11-22T07:30 or 2026-11-22T07:30:00Z"
"""Examples of every form, for help texts and errors."""
MEANINGS = (
    ("`30m`, `6h`, `2d`, `3 weeks ago`", "Before now; for `--until`, after now. Minutes, hours, days or weeks."),
    ("`today`, `yesterday 14:00`, `tomorrow 2pm`", "A day with a time of day, or else its start."),
    ("`tuesday 14:00`, `18:00`", "The latest that is not in the future; for `--until`, the next one."),
    ("`last tuesday 14:00`, `next monday`", "The last Tuesday before today, the first Monday after today."),
    ("`2026-11-22`, `2026-11-22T07:30`", "ISO 8601 without a zone."),
    ("`2026-11-22T07:30:00Z`, `2026-11-22 09:30+02:00`", "ISO 8601 with its zone."),
    ("`now`", "Now."),
)
"""Every form with its meaning, for the reference."""
_LONGEST = 60

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"([0-9]{1,9}) ?(m|h|d|w|minutes?|hours?|days?|weeks?)( ago)?")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_WORDS = re.compile(
    r"(?:(?P<day>today|yesterday|tomorrow)|(?:(?P<which>last|next) )?"
    r"(?P<weekday>mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?))?"
    r"(?:(?:^| | at )(?P<clock>"
    r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?|(?:0?[1-9]|1[0-2])(?::[0-9]{2})? ?[ap]m|noon|midnight))?"
    r"(?: ?(?P<zone>z|utc|[+-][0-9]{2}:[0-9]{2}))?"
)
_CLOCKS = {"noon": "12:00", "midnight": "00:00"}


def told(op: Operator, text: str, now: datetime, *, ahead: bool = False) -> datetime:
    """Read a time, and print to stderr which one it is, in the machine's zone and in UTC. See `moment`."""
    found = moment(text, now, ahead=ahead)
    if text != "now":
        local = found.astimezone(_machine_zone())
        beside = f" ({local.isoformat(' ', 'seconds')}, {local.tzname()})" if local.utcoffset() else ""
        op.note(f"{safe(text)} is {show(found)}{beside}")
    return found


def moment(text: str, now: datetime, zone: tzinfo | None = None, *, ahead: bool = False) -> datetime:
    """Read a time; return it in UTC.

    Parameters
    ----------
    zone
        Of a text that states none. Defaults to the zone of this machine.
    ahead
        Whether the time is in the future: an age counts from now on, and a weekday or time of day is the next one.
        Otherwise, they are in the past.

    Raises
    ------
    UsageError
        The text has none of the forms, the time does not exist or occurs twice in the zone, or it is not in the future.
    """
    if text == "now" and not ahead:
        return now
    try:
        found = _read(" ".join(text.lower().split()), now, zone, ahead=ahead)
        if found.year not in YEARS:
            raise ValueError(f"the year must be from {YEARS[0]} to {YEARS[-1]}")
    except (ValueError, OverflowError) as error:
        reason = safe(str(error)[:200])
        raise UsageError(f"{safe(text[:100])!r} is not a valid time ({reason}); use {FORMS}") from None
    if ahead and found <= now:
        raise UsageError(f"{safe(text[:100])}, that is {found:%Y-%m-%dT%H:%M:%SZ}, is not in the future")
    return found.replace(microsecond=0) if ahead else found


def _read(text: str, now: datetime, zone: tzinfo | None, *, ahead: bool) -> datetime:
    if len(text) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} characters")
    if age := _AGE.fullmatch(text):
        span = timedelta(**{_UNITS[age[2][0]]: int(age[1])})
        return now + span if ahead and not age[3] else now - span
    words = _WORDS.fullmatch(text)
    if words and (words["day"] or words["weekday"] or words["clock"]):
        suffix = (words["zone"] or "").replace("utc", "z").upper()
        stated = datetime.fromisoformat(f"2000-01-01T00:00{suffix}").tzinfo
        return _in_words(words, now.astimezone(stated or zone or _machine_zone()), ahead=ahead)
    try:
        found = datetime.fromisoformat(re.sub(r" ?utc$", "+00:00", text).upper())
    except ValueError as error:
        raise ValueError("it has an unknown form" if "isoformat" in str(error) else str(error)) from None
    return found.astimezone(UTC) if found.tzinfo else _resolve(found, zone or _machine_zone())


def _in_words(words: re.Match[str], now: datetime, *, ahead: bool) -> datetime:
    """The time for a day, a weekday or a time of day; `now` has the zone of the text."""
    day, step = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None), timedelta(days=1)
    zone = now.tzinfo or UTC
    if words["weekday"]:
        step = timedelta(days=7)
        wanted = _WEEKDAYS.index(words["weekday"][:3])
        first, count = {"last": (-1, -1), "next": (1, 1), None: (0, 1 if ahead else -1)}[words["which"]]
        day += relativedelta(days=first, weekday=weekday(wanted, count))
    elif words["day"]:
        day += timedelta(days=_DAYS[words["day"]])
    clock = words["clock"] or "00:00"
    local = parser.parse(_CLOCKS.get(clock, clock), default=day)
    if not (words["day"] or words["which"]):
        if ahead and local <= now.replace(tzinfo=None):
            local += step
        elif not ahead and local > now.replace(tzinfo=None):
            local -= step
    return _resolve(local, zone)


def _resolve(local: datetime, zone: tzinfo) -> datetime:
    found = local.replace(tzinfo=zone)
    shown = f"{local:%Y-%m-%d %H:%M}"
    if not tz.datetime_exists(found):
        raise ValueError(f"{shown} does not exist in {found.tzname()}, because the clocks go forward; add an offset")
    if tz.datetime_ambiguous(found):
        raise ValueError(f"{shown} occurs twice, because the clocks go back; add UTC or an offset such as +02:00")
    return found.astimezone(UTC)


def _machine_zone() -> tzinfo:
    found = tz.gettz()
    if found is None:
        raise UsageError("the environment variable TZ names an unknown time zone; set it to one such as Europe/Berlin")
    return found
