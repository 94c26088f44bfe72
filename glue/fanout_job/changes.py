"""Parses a line of the change log, in any of three record formats, to a `Change` with plain values. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from contract.times import change_micros, from_micros
from fanout_job.errors import RecordError
from fanout_job.foreign import after_record

Payload = dict[str, Any]
"""The `data` of one message."""


@dataclass(slots=True)
class Change:
    """One changed row, in plain values."""

    id: str
    """The same each time the row is read: the stream's event id, or else a hash of the object's key, the line's number
    and the line.
    """
    operation: str
    """insert, modify or remove; upsert (an insert or a modify) if the record does not say which of the two it is."""
    time: str | None
    """RFC 3339, UTC; None if the record has no time."""
    micros: int
    """`time` in microseconds since 1970; 0 if the record has no time."""
    keys: Payload
    new: Payload | None
    old: Payload | None
    table: str | None
    sequence: str | None
    expired: bool
    """Deleted by TTL, not by a client."""

    @property
    def data(self) -> Payload:
        """The default `data` of a message: table, keys, new and old, as far as the record has them."""
        data: Payload = {}
        if self.table is not None:
            data["table"] = self.table
        data["keys"] = self.keys
        if self.new is not None:
            data["new"] = self.new
        if self.old is not None:
            data["old"] = self.old
        return data


_OPERATIONS = {"INSERT": "insert", "MODIFY": "modify", "REMOVE": "remove"}
_short_integer = re.compile(r"-?[1-9][0-9]{0,17}|0").fullmatch
_any_number = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch

MAX_NUMBER_DIGITS = 38
SMALLEST_EXPONENT, LARGEST_EXPONENT = -130, 125
"""Range of a DynamoDB number: 1E-130 to 9.99…E+125. Source: "Data types and naming rules", DynamoDB developer guide."""

MAX_NUMBER_CHARACTERS = 200
"""Maximum length of a number in that range, written with all its zeros."""

MAX_MICROS_DIGITS = 18
"""More digits are no time before the year 10000, and Python reads very many digits slowly, or not at all."""

MAX_SEQUENCE_DIGITS = 40
"""Source: SequenceNumber of StreamRecord, DynamoDB Streams API reference."""


def parse_change(line: bytes | str, fallback_id: str) -> Change:
    """Read one line of any of the three record formats.

    Records of DynamoDB Streams and Kinesis have `dynamodb`, those of incremental exports `Metadata`. The last of
    duplicate JSON keys wins, as in most readers (DynamoDB writes no duplicates). Invalid UTF-8 and lone surrogates
    are errors, because a message cannot contain them. JSON number literals are valid only in timestamps, where a
    float is exact to the microsecond.

    Raises
    ------
    RecordError
        The line is invalid. The caller adds object and line; the message never contains the row's content.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        hint = after_record(line, error.pos) if "after document" in error.msg else ""
        reason = f"not JSON: {error.msg}"
        raise RecordError(f"{reason} at column {error.pos + 1}{hint}", cause=reason + hint) from None
    if type(record) is not dict:
        raise RecordError("is JSON but no change record: not an object")
    try:
        if "dynamodb" in record:
            return _from_stream(record, fallback_id)
        if "Metadata" in record:
            return _from_export(record, fallback_id)
    except RecursionError:
        raise RecordError("is nested too deeply") from None
    if "Item" in record:
        raise RecordError("is a record of a full export; the job reads only incremental exports")
    raise RecordError("is JSON but no change record: neither dynamodb nor Metadata is in it")


def _from_stream(record: Payload, fallback_id: str) -> Change:
    """Read a record of DynamoDB Streams or of Kinesis Data Streams for DynamoDB."""
    body = record["dynamodb"]
    operation = _OPERATIONS.get(_text(record, "eventName") or "")
    if type(body) is not dict or operation is None:
        raise RecordError("is not a change record: eventName must be INSERT, MODIFY or REMOVE, and dynamodb an object")
    try:
        micros = change_micros(record, body)
    except ValueError as error:
        raise RecordError(str(error)) from None
    sequence = body.get("SequenceNumber")
    if sequence is not None and not (
        type(sequence) is str and sequence.isascii() and sequence.isdigit() and len(sequence) <= MAX_SEQUENCE_DIGITS
    ):
        raise RecordError(f"has a SequenceNumber that is not a string of at most {MAX_SEQUENCE_DIGITS} digits")
    table = _text(record, "tableName")
    if table is None and (arn := _text(record, "eventSourceARN")):
        table = arn.partition("/")[2].partition("/")[0] or None
    identity = record.get("userIdentity")
    return Change(
        _text(record, "eventID") or fallback_id,
        operation,
        None if micros is None else _rfc3339(micros),
        micros or 0,
        _image(body, "Keys") or _no_keys(),
        _image(body, "NewImage"),
        _image(body, "OldImage"),
        table,
        sequence,
        identity is not None and _by_ttl(identity),
    )


def _from_export(record: Payload, fallback_id: str) -> Change:
    """Read a record of an incremental export: both images = update, no new image = delete.

    A record with only a new image is an insert, or an update if the export's view is NEW_IMAGE. Records do not name the
    view. Source: "DynamoDB table export output format", DynamoDB developer guide.
    """
    metadata = record["Metadata"]
    written = metadata.get("WriteTimestampMicros") if type(metadata) is dict else None
    if type(written) is dict:
        written = written.get("N")
    if type(written) is str and written.isascii() and written.isdigit() and len(written) <= MAX_MICROS_DIGITS:
        written = int(written)
    if type(written) is not int:
        raise RecordError("has no Metadata.WriteTimestampMicros, or one that is not a number")
    new, old = _image(record, "NewImage"), _image(record, "OldImage")
    operation = "remove" if new is None else "upsert" if old is None else "modify"
    keys = _image(record, "Keys") or _no_keys()
    return Change(fallback_id, operation, _rfc3339(written), written, keys, new, old, None, None, False)


def _text(record: Payload, name: str) -> str | None:
    value = record.get(name)
    if value is not None and type(value) is not str:
        raise RecordError(f"has a {name} that is not a string")
    return value


def _by_ttl(identity: Any) -> bool:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    principal = "principalId" if type(identity) is dict and "principalId" in identity else "PrincipalId"
    return type(identity) is dict and identity.get(principal) == "dynamodb.amazonaws.com"


def _no_keys() -> Payload:
    raise RecordError("has no Keys")


def _rfc3339(micros: int) -> str:
    try:
        return from_micros(micros).isoformat()[:-6] + "Z"  # same as `format_iso`, but several times faster
    except OverflowError:
        raise RecordError("has a time outside the years 1 to 9999") from None


def _image(body: Payload, name: str) -> Payload | None:
    image = body.get(name)
    return None if image is None else plain_item(image)


def plain_item(image: Any) -> Payload:
    """Return a DynamoDB-typed map as plain values, without any loss.

    Raises
    ------
    RecordError
        DynamoDB has no such type, or a value does not fit its type.
    """
    if type(image) is not dict:
        raise RecordError("has a map that is not a JSON object")
    plain: Payload = {}
    for name, typed in image.items():
        if type(typed) is not dict or len(typed) != 1:
            raise RecordError("has a value that is not an object of one DynamoDB type")
        for kind, value in typed.items():
            if kind == "S" and type(value) is str:
                plain[name] = value
            elif kind == "N":
                plain[name] = plain_number(value)
            else:
                plain[name] = _plain_value(kind, value)
    return plain


def _plain_value(kind: str, value: Any) -> Any:
    if kind in ("S", "B") and type(value) is str:
        return value
    if kind == "BOOL" and type(value) is bool:
        return value
    if kind == "NULL" and value is True:
        return None
    if kind == "M":
        return plain_item(value)
    if type(value) is list:
        if kind == "L":
            return [plain_item({"": element})[""] for element in value]
        if kind == "NS":
            return [plain_number(element) for element in value]
        if kind in ("SS", "BS") and all(type(element) is str for element in value):
            return value
    raise RecordError("has a value of a type unknown to DynamoDB, or one that does not fit its type")


def plain_number(text: Any) -> int | Decimal:
    """Return a DynamoDB number exactly, with up to 38 digits, never as a float.

    Raises
    ------
    RecordError
        The text is not a number, or is outside DynamoDB's range.
    """
    if type(text) is not str:
        raise RecordError("has an N that is not a number")
    if _short_integer(text):
        return int(text)
    if len(text) > MAX_NUMBER_CHARACTERS or not _any_number(text):
        raise RecordError("has an N that is not a number")
    number = Decimal(text)
    # Up to 38 characters without an exponent are always in range, so most numbers need no further check.
    if (len(text) > MAX_NUMBER_DIGITS or "e" in text or "E" in text) and not _in_range(number):
        raise RecordError("has a number outside DynamoDB's range of 38 digits, 1E-130 to 9.99E+125")
    return number


def _in_range(number: Decimal) -> bool:
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    return not digits or (
        len(digits) <= MAX_NUMBER_DIGITS and SMALLEST_EXPONENT <= number.adjusted() <= LARGEST_EXPONENT
    )
