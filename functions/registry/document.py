"""The fields of a provider's entry in the built-in config API, and their validation. Source of the OpenAPI schemas."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from contract.nesting import MAX_DEPTH, is_too_deep
from contract.times import format_http_date
from fanout.errors import InvalidProviderError, InvalidRequestError
from fanout.providers import MAX_FREQUENCY_MINUTES, NEVER, EntryOptions, check_name, describe, parse_entry

Entry = dict[str, Any]

NEVER_RAN: Entry = {"status": "new", "last_success": format_http_date(NEVER)}
"""The fields of an entry before the first report of a run. They are always present, because clients rely on them."""

MAX_DIGITS = 308
"""The longest whole number: longer ones exceed a double, so that not every client could read them."""

Frequency = (
    Annotated[float, Field(ge=1, le=MAX_FREQUENCY_MINUTES)]
    | Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}(\.[0-9]{1,6})?$")]
)
HttpDate = Annotated[str, Field(json_schema_extra={"format": "http-date"})]


class EntryTooLargeError(InvalidRequestError):
    """The entry is too large."""


class EntryPatch(EntryOptions):
    """Fields of an entry to change. null removes a field; unknown fields are kept as given."""

    model_config = ConfigDict(strict=True, extra="allow")

    frequency: Frequency = Field(default=0.0, description="minutes between two runs, as a number or as a string")
    last_success: HttpDate | None = Field(default=None, description="RFC 1123 date of the last success; 1970: never")
    status: Literal["new", "running", "succeeded", "failed"] | None = Field(
        default=None, description="status of the last run; new: there was none"
    )
    run_id: str | None = Field(default=None, description="execution that sent the last report")
    error: str | None = Field(default=None, description="error of the last run, if it failed")

    @field_validator("frequency", mode="wrap")
    @classmethod
    def _one_fault(cls, value: object, way: ValidatorFunctionWrapHandler) -> object:
        try:
            return way(value)
        except ValidationError:  # it has one fault for the number and one for the string
            words = f"must be minutes from 1 to {MAX_FREQUENCY_MINUTES}, as a number or as a string"
            raise ValueError(words) from None


class EntryDocument(EntryPatch):
    """A provider's entry. Unknown fields are kept as given."""

    frequency: Frequency = Field(description="minutes between two runs, as a number or as a string")


def read_json(text: str) -> Entry:
    """Read a request's body.

    Raises
    ------
    InvalidRequestError
        The body is not a JSON object (RFC 8259, which has no NaN and no Infinity), or it contains a number that is too
        large, or a lone surrogate.
    """
    if is_too_deep(text):
        raise InvalidRequestError(
            f"the body is nested too deeply: a JSON object with at most {MAX_DEPTH} levels is allowed"
        )
    try:
        body = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_float)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise InvalidRequestError(f"the body contains {half}, a lone surrogate, which is not a character") from None
    except ValueError:
        raise InvalidRequestError("the body must be a JSON object") from None
    if not isinstance(body, dict):
        raise InvalidRequestError(f"the body must be a JSON object, not a {type(body).__name__}")
    return body


def checked(provider: str, entry: Entry, now: datetime) -> Entry:
    """Validate an entry as the dispatcher does; return it without nulls and with the fields of `NEVER_RAN`.

    A last success in another form of RFC 1123 is returned in the form of HTTP, which every client reads.

    Raises
    ------
    InvalidProviderError
        The message names the provider, the field and the fault.
    EntryTooLargeError
        The entry has more than `EntryOptions.MAX_BYTES` bytes.
    """
    try:
        EntryDocument.model_validate(entry)
    except ValidationError as error:
        raise InvalidProviderError(f"{ascii(provider)[1:-1][:80]}: {describe(error)}") from None
    present = {name: value for name, value in entry.items() if value is not None}
    present |= {name: value for name, value in NEVER_RAN.items() if name not in present}
    last_success = parse_entry(check_name(provider), present, now).last_success
    present["last_success"] = format_http_date(last_success or NEVER)
    if len(json.dumps(present)) > EntryOptions.MAX_BYTES:
        raise EntryTooLargeError(f"{provider}: the entry is longer than {EntryOptions.MAX_BYTES} bytes")
    return present


def merged(stored: Entry, changes: Entry) -> Entry:
    """Apply a patch, not validated. A new status without an error clears the last error."""
    return {**stored, **({"error": None} if "status" in changes else {}), **changes}


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else _too_large(digits)


def _float(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _too_large(digits)


def _too_large(digits: str) -> NoReturn:
    shown = digits if len(digits) <= 20 else f"{digits[:20]}... of {len(digits):,} characters"
    raise InvalidRequestError(f"the body contains a number that is too large: {shown}")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
