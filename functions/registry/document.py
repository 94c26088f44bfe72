"""What a client of the built-in config API may write into a provider's entry. OpenAPI's schemas come from here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from fanout.errors import InvalidProviderError, InvalidRequestError
from fanout.nesting import MAX_DEPTH, is_too_deep
from fanout.providers import MAX_FREQUENCY_MINUTES, NEVER, check_name, describe, parse_entry
from fanout.times import format_http_date

Entry = dict[str, Any]

NEVER_RAN: Entry = {"status": "new", "last_success": format_http_date(NEVER)}
"""What an entry says until a run has reported. The contract's fields are never absent: clients read them unasked."""

MAX_ENTRY_BYTES = 64 * 1024
"""An item of DynamoDB has at most 400 KB; an entry this long is not configuration any more."""
MAX_DIGITS = 308
"""Of a whole number: longer ones are no double, so not everybody could read them. Python itself refuses 4,301."""

Frequency = (
    Annotated[float, Field(ge=1, le=MAX_FREQUENCY_MINUTES, allow_inf_nan=False)]
    | Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}(\.[0-9]{1,6})?$")]
)
HttpDate = Annotated[str, Field(json_schema_extra={"format": "http-date"})]


class EntryTooLargeError(InvalidRequestError):
    """The entry is longer than an entry may be."""


class EntryPatch(BaseModel):
    """Fields of an entry to change. null removes a field; fields not named here are kept as they are given."""

    model_config = ConfigDict(strict=True, extra="allow")

    frequency: Frequency = Field(default=0.0, description="minutes between two runs, as a number or a string of one")
    last_success: HttpDate | None = Field(default=None, description="RFC 1123 date of the last success; 1970: never")
    status: Literal["new", "running", "succeeded", "failed"] | None = Field(
        default=None, description="how the last run stands; new: there was none"
    )
    paused: bool | None = Field(default=None, description="true keeps the provider from being started")
    group: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="providers of one group share MaxRunsPerGroup"
    )
    run_id: str | None = Field(default=None, description="the execution that reported last")
    error: str | None = Field(default=None, description="why the last run failed")

    @field_validator("frequency", mode="wrap")
    @classmethod
    def _one_fault(cls, value: object, way: ValidatorFunctionWrapHandler) -> object:
        try:
            return way(value)
        except ValidationError:  # has a fault for the number, and another one for the string
            words = f"must be minutes from 1 to {MAX_FREQUENCY_MINUTES}, as a number or a string of one"
            raise ValueError(words) from None


class EntryDocument(EntryPatch):
    """A provider's entry. Fields not named here are kept as they are given."""

    frequency: Frequency = Field(description="minutes between two runs, as a number or a string of one")


def read_json(text: str) -> Entry:
    """Read a request's body.

    Raises
    ------
    InvalidRequestError
        Not a JSON object (RFC 8259, so no NaN and no Infinity either), or it holds what cannot be kept: a number that
        is too large, or half of a surrogate pair.
    """
    if is_too_deep(text):
        raise InvalidRequestError(
            f"the body must be a JSON object, and this one is nested too deeply: more than {MAX_DEPTH} levels"
        )
    try:
        body = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_float)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise InvalidRequestError(f"the body holds {half}, half of a surrogate pair, which is no character") from None
    except ValueError:
        raise InvalidRequestError("the body must be a JSON object") from None
    if not isinstance(body, dict):
        raise InvalidRequestError(f"the body must be a JSON object, not a {type(body).__name__}")
    return body


def checked(provider: str, entry: Entry, now: datetime) -> Entry:
    """Return a complete entry, without its nulls and with what `NEVER_RAN` says, if the dispatcher takes it.

    Raises
    ------
    InvalidProviderError
        Names the provider, the field and what is wrong with it.
    EntryTooLargeError
        It has more than `MAX_ENTRY_BYTES`.
    """
    _validate(EntryDocument, provider, entry)
    present = {name: value for name, value in entry.items() if value is not None}
    present |= {name: value for name, value in NEVER_RAN.items() if name not in present}
    parse_entry(check_name(provider), present, now)
    if len(json.dumps(present)) > MAX_ENTRY_BYTES:
        raise EntryTooLargeError(f"{provider}: the entry is longer than {MAX_ENTRY_BYTES} bytes")
    return present


def merged(provider: str, stored: Entry, changes: Entry) -> Entry:
    """Apply a patch. A new status without an error clears the last error.

    Raises
    ------
    InvalidProviderError
        The patch alone is wrong already.
    """
    _validate(EntryPatch, provider, changes)
    return {**stored, **({"error": None} if "status" in changes else {}), **changes}


def _validate(model: type[BaseModel], provider: str, body: Mapping[str, Any]) -> None:
    try:
        model.model_validate(dict(body))
    except ValidationError as error:
        raise InvalidProviderError(f"{ascii(provider)[1:-1][:80]}: {describe(error)}") from None


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else _too_large(digits)


def _float(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _too_large(digits)


def _too_large(digits: str) -> NoReturn:
    shown = digits if len(digits) <= 20 else f"{digits[:20]}... of {len(digits):,} characters"
    raise InvalidRequestError(f"the body holds a number that is too large: {shown}")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
