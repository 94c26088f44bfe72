"""Providers in the config API's list: allowed names, the validation of entries, and maintenance windows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Protocol, TypeGuard

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contract.nesting import MAX_DEPTH, is_too_deep
from contract.times import parse_mail_date
from fanout.errors import ConfigApiAnswerError, InvalidProviderError

NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"
"""A provider's name becomes an S3 prefix, a job argument and part of an execution name."""

MAX_FREQUENCY_MINUTES = 366 * 24 * 60
CLOCK_SKEW = timedelta(minutes=5)
"""How far clocks may differ. A later time is invalid."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A last success at this time means that there was none."""

_name = re.compile(NAME_PATTERN)
_time_of_day = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
_number = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")


class InvalidEntry:
    """Replaces an entry that is ambiguous, so that only this entry is rejected."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def check_name(name: object) -> str:
    """Return the name if it is allowed.

    Raises
    ------
    InvalidProviderError
        The name could escape from its prefix, break an argument, or be mistaken for another name.
    """
    if isinstance(name, str) and _name.fullmatch(name) and ".." not in name:
        return name
    raise InvalidProviderError(refusal(name))


def refusal(name: object) -> str:
    """Why a name that is not allowed is refused."""
    return (
        f"provider name {ascii(name)[:80]} is not allowed: use 1 to 64 ASCII letters, digits, '.', '_' or '-', "
        "a letter or digit first and last, and no '..'"
    )


def is_name(name: object) -> TypeGuard[str]:
    """Whether a provider's name is allowed."""
    try:
        check_name(name)
    except InvalidProviderError:
        return False
    return True


def _minutes(value: object) -> float:
    """A number, or a string that contains one; true, "1_000" and "٣" are invalid."""
    if isinstance(value, str) and _number.fullmatch(text := value.strip(" ")):
        return float(text)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    raise ValueError("must be a number of minutes")


def _date(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be an RFC 1123 date such as 'Tue, 08 Nov 2022 15:47:17 GMT', or null")
    moment = parse_mail_date(value)
    return None if moment == NEVER else moment


def _at(value: str) -> str:
    if _time_of_day.fullmatch(value):
        return value
    raise ValueError("must be a time of day in UTC with two digits for hour and minute, such as '06:00'")


def _status(value: object) -> object:
    return None if value == "new" else value


class EntryOptions(BaseModel):
    """Fields of an entry that are optional and mean the same to the dispatcher and to the built-in config API."""

    MAX_BYTES: ClassVar = 64 * 1024
    """The largest entry. DynamoDB allows 400 KB for an item, but configuration is not that large."""

    paused: bool | None = Field(default=None, description="if true, no tick starts the provider")
    group: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="the providers of a group share MaxRunsPerGroup"
    )
    at: Annotated[str, AfterValidator(_at), Field(json_schema_extra={"pattern": _time_of_day.pattern})] | None = Field(
        default=None, description="time of day in UTC, such as 06:00, from which the frequency is counted"
    )


class ProviderEntry(EntryOptions):
    """One provider in the config API's answer. Unknown fields are kept.

    A provider that never ran has no `last_success` and no `status`; 1970 and "new" mean the same.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    frequency: Annotated[float, BeforeValidator(_minutes), Field(ge=1, le=MAX_FREQUENCY_MINUTES, allow_inf_nan=False)]
    last_success: Annotated[datetime | None, BeforeValidator(_date)] = None
    status: Annotated[Literal["running", "succeeded", "failed"] | None, BeforeValidator(_status)] = None

    @property
    def period(self) -> timedelta:
        """The frequency as a duration."""
        return timedelta(minutes=self.frequency)

    def next_turn(self, success: datetime, work_since: datetime | None = None) -> datetime:
        """The time from which the provider may run again after a success.

        Without `at`, that is one period later. With `at`, it is a time of its schedule: the first one after the success
        and not before there was work.
        """
        if self.at is None:
            return success + self.period
        earliest = max(success + timedelta.resolution, work_since or success)
        hours, minutes = map(int, self.at.split(":"))
        start = NEVER + timedelta(hours=hours, minutes=minutes)
        return start - (start - earliest) // self.period * self.period


def parse_entry(name: object, raw: object, now: datetime) -> ProviderEntry:
    """Validate one entry of the config API.

    Parameters
    ----------
    name, raw
        Key and value in the API's JSON.
    now
        The current time. A last success that is later by more than `CLOCK_SKEW` is invalid, because it would keep the
        provider from being due; one that is later by less counts as a success just now.

    Raises
    ------
    InvalidProviderError
        The message names the provider, the field and the fault, but not the value.
    """
    provider = check_name(name)

    def invalid(cause: str) -> InvalidProviderError:
        return InvalidProviderError(f"{provider}: {cause}", cause=cause)

    if isinstance(raw, InvalidEntry):
        raise invalid(raw.reason)
    if not isinstance(raw, Mapping):
        raise invalid(f"the entry must be an object, not {type(raw).__name__}")
    try:
        entry = ProviderEntry.model_validate(raw)
    except ValidationError as error:
        raise invalid(describe(error)) from None
    if entry.last_success is not None and entry.last_success > now + CLOCK_SKEW:
        raise invalid("last_success is in the future; check the clock of its writer")
    return entry


def parse_entries(
    listed: Mapping[str, object], now: datetime
) -> tuple[dict[str, ProviderEntry], dict[str, InvalidProviderError]]:
    """Validate every entry of the config API on its own, as `parse_entry` does; return valid entries and errors."""
    valid: dict[str, ProviderEntry] = {}
    faults: dict[str, InvalidProviderError] = {}
    for name, raw in listed.items():
        try:
            valid[name] = parse_entry(name, raw, now)
        except InvalidProviderError as error:
            faults[name] = error
    return valid, faults


_WORDS = {
    "missing": "is missing",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "contains a lone surrogate, which is not a character",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "does not match its pattern",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "extra_forbidden": "is unknown",
}
"""Plain words for pydantic's error types."""


def describe(error: ValidationError) -> str:
    """Name the invalid fields and their faults, at most one per field, without the values, which are customer data."""
    found: dict[str, str] = {}
    for fault in error.errors():
        field = ascii(".".join(map(str, fault["loc"])) or "entry")[1:-1][:80]
        words = _WORDS.get(fault["type"])
        said = words.format(**fault.get("ctx", {})) if words else fault["msg"].removeprefix("Value error, ")
        found.setdefault(field, said)
    return "; ".join(f"{field}: {said}" for field, said in list(found.items())[:3])


class _Repeating(dict[str, object]):
    """A JSON object with duplicate names."""

    names: frozenset[str]


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    repeating = _Repeating(plain)
    repeating.names = frozenset(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeating


def _integer(digits: str) -> float:
    """Python rejects integers of more than 4,300 digits; one of them must not invalidate the other entries."""
    return int(digits) if len(digits) < 400 else float(digits)


def read_entries(content: bytes) -> dict[str, object]:
    """Parse an answer of the config API. A fault in one entry invalidates only that entry, if the JSON can be parsed.

    Such faults include duplicate names, and NaN and Infinity, which many servers write although JSON excludes them.

    Raises
    ------
    ConfigApiAnswerError
        The answer is not a JSON object.
    """
    try:
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        if is_too_deep(text):
            raise ValueError(f"more than {MAX_DEPTH} levels")
        entries = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except ValueError:
        raise ConfigApiAnswerError(
            "the config API's answer is not JSON; check that ConfigApiUrl is the address of the list of providers"
        ) from None
    if not isinstance(entries, dict):
        raise ConfigApiAnswerError(
            f"the config API's answer is a JSON {type(entries).__name__}; it must be an object of names and entries"
        )
    for name, entry in entries.items():
        if isinstance(entry, _Repeating):
            entries[name] = InvalidEntry("a field appears more than once in the entry")
    if isinstance(entries, _Repeating):
        entries.update(dict.fromkeys(entries.names, InvalidEntry("the provider appears more than once in one answer")))
    return entries


def missing_providers(before: int, listed: int) -> int:
    """How many providers the config API's list lost, if it lost half of them or more; else 0.

    Parameters
    ----------
    before
        How many it had when it had last not shrunk.
    """
    return before - listed if 2 * listed <= before else 0


FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """A maintenance window, in which no run starts. The run ledger's table keeps it, not the config API.

    Attributes
    ----------
    group
        The group of providers that it is for; None for all providers.
    until
        Its end; None for a window that lasts until an operator ends it.
    """

    group: str | None
    since: datetime
    until: datetime | None = None

    @property
    def text(self) -> str:
        """For whom and until when, in words."""
        whose = "all providers" if self.group is None else f"group {self.group}"
        end = f"until {self.until:%Y-%m-%d %H:%M:%SZ}" if self.until else "without an end"
        return f"maintenance of {whose} {end}"


@dataclass(frozen=True)
class Maintenance:
    """The windows that are open at one time."""

    windows: tuple[Window, ...] = ()

    @classmethod
    def at(cls, windows: Iterable[Window], now: datetime) -> Maintenance:
        """Those of all windows that are open."""
        return cls(tuple(window for window in windows if now < (window.until or FOREVER)))

    def of(self, group: str | None) -> Window | None:
        """The window for a provider of this group, the one that ends last; None if there is none."""
        found = (window for window in self.windows if window.group in (None, group))
        return max(found, key=lambda window: window.until or FOREVER, default=None)


NO_MAINTENANCE = Maintenance()


class MaintenanceStore(Protocol):
    """Port: the maintenance windows."""

    def windows(self) -> list[Window]:
        """All windows, also those that have ended; read consistently."""
        ...
