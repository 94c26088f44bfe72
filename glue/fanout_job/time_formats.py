"""Formats of times in a mapping: those of strptime's directives that result in exactly one instant.

Python's own strptime ignores `%Z`, reads "202431" with `%Y%m%d` as March 1, does not check the day of the week, and
differs between versions.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

MONTHS: tuple[str, ...] = ("january", "february", "march", "april", "may", "june")
MONTHS += ("july", "august", "september", "october", "november", "december")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WHAT = "a format of Python's strptime that results in exactly one time, or one of epoch, epoch_ms, excel, rfc2822"
NUMERIC_FORMATS = ("epoch", "epoch_ms", "excel")
"""Names of formats that are numbers: seconds and milliseconds since 1970, and Excel's days since 1900."""

RFC_2822 = "rfc2822"
"""Name of the format of dates in e-mail, HTTP and RSS."""

US_ZONES = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
"""Zones of RFC 822 -> hours."""

SAMPLE = datetime(2024, 11, 23, 14, 5, 6, 123456, UTC)

MAX_LENGTH = 100
"""Maximum characters of a format."""

DIGITS = {"Y": 4, "m": 2, "d": 2, "j": 3, "y": 2, "H": 2, "I": 2, "M": 2, "S": 2, "f": 9}
"""Directive -> its digits. Fewer are accepted if the text remains unambiguous."""

WORDS = {
    "b": "|".join(month[:3] for month in MONTHS),
    "B": "|".join(MONTHS),
    "a": "|".join(day[:3] for day in DAYS),
    "A": "|".join(DAYS),
    "p": "am|pm",
    "z": r"z|[+-]\d\d(?::?\d\d)?",
    "Z": "utc|gmt|ut|z",
}

RFC_2822_PATTERN = re.compile(
    rf"(?:(?P<a>{WORDS['a']}),\s*)?(?P<d>\d{{1,2}})\s+(?P<b>{WORDS['b']})\s+(?P<Y>\d{{4}})\s+(?P<H>\d\d):(?P<M>\d\d)"
    rf"(?::(?P<S>\d\d))?\s+(?P<z>[+-]\d{{4}}|{WORDS['Z']}|{'|'.join(US_ZONES)})",
    re.IGNORECASE | re.ASCII,
)

ONE_OF = ("Yy", "mbB", "HI", "aA", "zZ")
"""Alternative directives, of which a format has at most one."""

NEEDS = {"M": "HI", "S": "M", "f": "S", "I": "p", "p": "I", "m": "d", "b": "d", "B": "d", "d": "mbB"}
"""Directive -> directives of which it needs at least one."""


class TimeFormat:
    """One format.

    Parameters
    ----------
    form : str

    Raises
    ------
    ValueError
        The format does not result in exactly one instant. The message describes valid formats.
    """

    def __init__(self, form: str) -> None:
        if form == RFC_2822:
            self.pattern, self.has_offset = RFC_2822_PATTERN, True
            return
        if len(form) > MAX_LENGTH:
            raise ValueError(f"{WHAT}: it has more than {MAX_LENGTH} characters")
        self.parts = re.findall(r"%.|%\Z|[^%]", form, re.DOTALL)
        self.directives = [part[1:] for part in self.parts if part[0] == "%" and part != "%%"]
        self._check()
        self.pattern = re.compile("".join(map(self._pattern, range(len(self.parts)))), re.IGNORECASE | re.ASCII)
        self.has_offset = "z" in self.directives or "Z" in self.directives
        if self.read(SAMPLE.strftime(form)) is None:
            raise ValueError(f"{WHAT}: no time fits it")

    def _check(self) -> None:
        known = {*DIGITS, *WORDS}
        if unknown := [directive for directive in self.directives if directive not in known]:
            allowed = " ".join(f"%{directive}" for directive in sorted(known))
            raise ValueError(f"{WHAT}: it may have {allowed} and %%, and not %{unknown[0]}")
        if twice := [one for one in known if self.directives.count(one) > 1]:
            raise ValueError(f"{WHAT}: it has %{min(twice)} twice")
        there = set(self.directives)
        for alike in ONE_OF:
            if len(there & set(alike)) > 1:
                raise ValueError(f"{WHAT}: it has more than one of {_listed(alike)}")
        if not there & set("Yy") or not (there & set("mbB") or "j" in there):
            raise ValueError(f"{WHAT}: it needs a year, a month and a day")
        if "j" in there and there & set("mbBd"):
            raise ValueError(f"{WHAT}: it has more than one of %j and the month and day")
        for directive, needed in NEEDS.items():
            if directive in there and not there & set(needed):
                raise ValueError(f"{WHAT}: %{directive} also needs {_listed(needed)}")
        for place, part in enumerate(self.parts):
            if part in ("%z", "%f") and self._is_number(place + 1):
                raise ValueError(f"{WHAT}: a digit may not follow {part}")

    def _is_number(self, place: int) -> bool:
        part = self.parts[place] if 0 <= place < len(self.parts) else ""
        return part.isdigit() or part[1:] in DIGITS

    def _pattern(self, place: int) -> str:
        """Return the regular expression of a part. Adjacent numbers must have all their digits."""
        part = self.parts[place]
        if part[0] != "%" or part == "%%":
            return r"\s+" if part.isspace() and part.isascii() else re.escape(part[-1])
        name = part[1:]
        if name in WORDS:
            return f"(?P<{name}>{WORDS[name]})"
        digits = DIGITS[name]
        tight = self._is_number(place - 1) or self._is_number(place + 1)
        return rf"(?P<{name}>\d{{{digits if (tight and name != 'f') or name in 'Yy' else f'1,{digits}'}}})"

    def read(self, text: str) -> datetime | None:
        """Return the time of a text, or None if the text does not fit. It has an offset only if the text has one."""
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        said = {name: value.lower() for name, value in found.groupdict().items() if value is not None}
        try:
            moment = _moment(said)
        except (ValueError, OverflowError):
            return None
        weekday = said.get("a") or said.get("A")
        return moment if weekday is None or DAYS[moment.weekday()].startswith(weekday) else None


def _listed(directives: str) -> str:
    return " or ".join(f"%{directive}" for directive in directives)


def _moment(said: dict[str, str]) -> datetime:
    """Return the moment of a text's parts. Raises ValueError if it does not exist."""
    number = {name: int(said[name]) for name in DIGITS if name in said}
    year = number["Y"] if "Y" in number else number["y"] + (1900 if number["y"] >= 69 else 2000)  # rule of POSIX
    if "j" in number:
        date = datetime(year, 1, 1) + timedelta(days=number["j"] - 1)  # noqa: DTZ001 - the mapping sets the zone
        if date.year != year:
            raise ValueError("no such day of the year")
        month, day = date.month, date.day
    else:
        name = said.get("b") or said.get("B", "")
        month = number["m"] if "m" in number else [one[:3] for one in MONTHS].index(name[:3]) + 1
        day = number["d"]
    hour = number.get("H", 0)
    if "I" in number:
        if not 1 <= number["I"] <= 12:
            raise ValueError("no such hour")
        hour = number["I"] % 12 + (12 if said["p"] == "pm" else 0)
    micros = int((said.get("f", "") + "000000")[:6])
    zone = UTC if "Z" in said else _zone(said["z"]) if "z" in said else None
    return datetime(year, month, day, hour, number.get("M", 0), number.get("S", 0), micros, zone)


def _zone(offset: str) -> timezone:
    if offset in US_ZONES:
        return timezone(timedelta(hours=US_ZONES[offset]))
    if offset[0] not in "+-":
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if int(digits[2:]) > 59:
        raise ValueError("no such offset")
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


@lru_cache(maxsize=256)
def time_format(form: str) -> TimeFormat:
    """Return a format from the cache."""
    return TimeFormat(form)
