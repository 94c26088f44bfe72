"""What the config API says of a provider: the allow-list of names, and the entry."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fanout.errors import ConfigApiAnswerError, InvalidProviderError
from fanout.nesting import MAX_DEPTH, is_too_deep
from fanout.times import parse_http_date

NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"
"""A provider's name becomes an S3 prefix, a job argument and part of an execution name."""

MAX_FREQUENCY_MINUTES = 366 * 24 * 60
CLOCK_SKEW = timedelta(minutes=5)
"""How far clocks may disagree. What lies further in the future is wrong, not early."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""As a last success: there was none."""

_name = re.compile(NAME_PATTERN)
_number = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")


class Unusable:
    """Stands in an answer for an entry that could be read but not trusted, so that it is refused alone."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def check_name(name: object) -> str:
    """Return the name if the allow-list admits it.

    Raises
    ------
    InvalidProviderError
        The name could leave its prefix, break an argument, or look like another provider's.
    """
    if isinstance(name, str) and _name.fullmatch(name) and ".." not in name:
        return name
    shown = ascii(name)[:80]
    raise InvalidProviderError(
        f"provider name {shown} is not allowed: use 1 to 64 ASCII letters, digits, '.', '_' or '-', "
        "a letter or digit first and last, and no '..'"
    )


def _minutes(value: object) -> float:
    """The contract takes a number or a string of one; true, "1_000" and "٣" are neither."""
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
    moment = parse_http_date(value)
    return None if moment == NEVER else moment


def _status(value: object) -> object:
    return None if value == "new" else value


class ProviderEntry(BaseModel):
    """One provider in the config API's answer. Fields it does not know are kept.

    A provider that never ran has neither `last_success` nor `status`; 1970 and "new" mean the same.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    frequency: Annotated[float, BeforeValidator(_minutes), Field(ge=1, le=MAX_FREQUENCY_MINUTES, allow_inf_nan=False)]
    last_success: Annotated[datetime | None, BeforeValidator(_date)] = None
    status: Annotated[Literal["running", "succeeded", "failed"] | None, BeforeValidator(_status)] = None
    paused: bool | None = None
    group: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    @property
    def period(self) -> timedelta:
        """The cadence as a duration."""
        return timedelta(minutes=self.frequency)


def parse_entry(name: object, raw: object, now: datetime) -> ProviderEntry:
    """Validate one entry of the config API alone.

    Parameters
    ----------
    name, raw
        Key and value as they stand in the API's JSON.
    now
        The present. A last success later than this and `CLOCK_SKEW` is refused, for it would silently keep the
        provider from ever being due; one that is later by less counts as a success just now.

    Raises
    ------
    InvalidProviderError
        Names the provider, the field and what is wrong with it, never the value.
    """
    provider = check_name(name)
    if isinstance(raw, Unusable):
        raise InvalidProviderError(f"{provider}: {raw.reason}")
    if not isinstance(raw, Mapping):
        raise InvalidProviderError(f"{provider}: the entry must be an object, not {type(raw).__name__}")
    try:
        entry = ProviderEntry.model_validate(raw)
    except ValidationError as error:
        raise InvalidProviderError(f"{provider}: {describe(error)}") from None
    if entry.last_success is not None and entry.last_success > now + CLOCK_SKEW:
        raise InvalidProviderError(f"{provider}: last_success lies in the future; is a clock wrong?")
    return entry


def parse_entries(
    listed: Mapping[str, object], now: datetime
) -> tuple[dict[str, ProviderEntry], dict[str, InvalidProviderError]]:
    """Validate every entry of the config API by itself, as `parse_entry` does: (the usable ones, what is wrong)."""
    usable: dict[str, ProviderEntry] = {}
    faults: dict[str, InvalidProviderError] = {}
    for name, raw in listed.items():
        try:
            usable[name] = parse_entry(name, raw, now)
        except InvalidProviderError as error:
            faults[name] = error
    return usable, faults


_WORDS = {
    "missing": "is missing",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "holds half of a surrogate pair, which is no character",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "is not of its form",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "extra_forbidden": "is not known",
}
"""What pydantic's kinds of errors mean to whoever wrote the value."""


def describe(error: ValidationError) -> str:
    """Say which fields are wrong and why, without their values (they are somebody's data); one fault a field."""
    found: dict[str, str] = {}
    for fault in error.errors(include_input=False, include_url=False):
        field = ascii(".".join(map(str, fault["loc"])) or "entry")[1:-1][:80]
        words = _WORDS.get(fault["type"])
        said = words.format(**fault.get("ctx", {})) if words else fault["msg"].removeprefix("Value error, ")
        found.setdefault(field, said)
    return "; ".join(f"{field}: {said}" for field, said in list(found.items())[:3])


class _Repeating(dict[str, object]):
    """A JSON object in which names repeat."""

    names: frozenset[str]


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    repeating = _Repeating(plain)
    repeating.names = frozenset(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeating


def _integer(digits: str) -> float:
    """Python refuses integers of more than 4,300 digits; one such must not spoil the entries beside it."""
    return int(digits) if len(digits) < 400 else float(digits)


def read_entries(content: bytes) -> dict[str, object]:
    """Read an answer of the config API. What is wrong inside one entry, as far as JSON can be read, stays its fault.

    That includes NaN and Infinity, which many servers write although JSON has none, and names that repeat.

    Raises
    ------
    ConfigApiAnswerError
        Not a JSON object.
    """
    try:
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        if is_too_deep(text):
            raise ValueError(f"more than {MAX_DEPTH} levels")
        entries = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except ValueError:
        raise ConfigApiAnswerError(
            "the config API did not answer JSON; does ConfigApiUrl point at the list of providers?"
        ) from None
    if not isinstance(entries, dict):
        raise ConfigApiAnswerError(
            f"the config API answered a JSON {type(entries).__name__}, not an object of provider to entry"
        )
    for name, entry in entries.items():
        if isinstance(entry, _Repeating):
            entries[name] = Unusable("a field appears more than once in the entry")
    if isinstance(entries, _Repeating):
        entries.update(dict.fromkeys(entries.names, Unusable("the provider appears more than once in one answer")))
    return entries
