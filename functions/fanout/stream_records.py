"""Converts records of a table's stream into lines of the change log, each with its provider, time and id. No I/O.

Records of a DynamoDB stream are written as Lambda delivers them. From a record of a Kinesis data stream, the change
record in it is written, with its sequence number (`kinesisSequenceNumber`). The job reads both forms.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.nesting import is_too_deep
from contract.times import change_micros, from_micros
from fanout.errors import InvalidProviderError, InvalidRequestError, SettingsError
from fanout.providers import check_name

_NAME = re.compile(r'"(?:[^"\\]|\\.)+"|[^ ."]+')
_ATTRIBUTE = re.compile(rf"(?P<path>(?:{_NAME.pattern})(?:\.(?:{_NAME.pattern}))*)(?: (?P<pattern>.+))?", re.DOTALL)
"""Value of the template's parameter ProviderAttribute: the path, and a pattern."""


@dataclass(frozen=True)
class StreamRecord:
    """One record of a batch.

    Attributes
    ----------
    sequence
        Sequence number in the stream.
    id
        Id of the event, the same at every delivery of the record.
    line
        Line for the change log: JSON without a line break.
    provider
        Provider of the record; None if it cannot be determined.
    time
        When the table was changed; None if the record does not say.
    """

    sequence: str
    id: str
    line: bytes
    provider: str | None
    time: datetime | None


class UnassignedError(Exception):
    """The provider of a record cannot be determined; the text has the reason."""


@dataclass(frozen=True)
class ProviderAttribute:
    """The attribute that has the provider's name.

    Attributes
    ----------
    path
        An attribute, or attributes of maps joined by dots: ``tenant``, ``owner.tenant``. A name with spaces or dots is
        in double quotes, as in JSON: ``owner."Tenant Id"``. Without quotes, ``tenant.id`` is the attribute of that name
        in records that have no map ``tenant`` with ``id``.
    pattern
        Finds the name in the value: the first group that matched, or the whole match if there are no groups. None: the
        value is the name.
    """

    path: tuple[str, ...]
    pattern: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, text: str) -> ProviderAttribute:
        """Read ``path`` or ``path pattern``, such as ``pk ^ORG#([^#]+)#``.

        Raises
        ------
        SettingsError
            There is no path, or the pattern is not a regular expression.
        """
        found = _ATTRIBUTE.fullmatch(text.strip())
        if found is None:
            raise SettingsError(
                "ProviderAttribute must name the attribute that has the provider's name; a name with dots or spaces "
                'needs double quotes, such as "tenant.id"'
            )
        pattern = (found["pattern"] or "").strip()
        try:
            path = tuple(json.loads(name) if name.startswith('"') else name for name in _NAME.findall(found["path"]))
            compiled = re.compile(pattern) if pattern else None
        except re.error as error:
            raise SettingsError(f"ProviderAttribute: {pattern!r} is not a regular expression: {error}") from None
        except ValueError:
            raise SettingsError(f"ProviderAttribute: {found['path']} has a name that is not a JSON string") from None
        return cls(path, compiled)

    def provider_of(self, images: Mapping[str, Any]) -> str:
        """The provider of a change: from its keys, else from the new image, else from the old image.

        Raises
        ------
        UnassignedError
            The attribute is missing, is neither text nor number, does not match, or is not a valid provider name.
        """
        for image in ("Keys", "NewImage", "OldImage"):
            value = self._value(images.get(image))
            if value is not None:
                break
        else:
            raise UnassignedError(f"has no {'.'.join(self.path)}, as text or number, in its keys or images")
        if self.pattern is not None:
            found = self.pattern.search(value)
            groups = () if found is None else found.groups() if found.re.groups else (found[0],)
            value = next((group for group in groups if group is not None), None)
            if value is None:
                raise UnassignedError(f"has a {'.'.join(self.path)} that does not match the pattern")
        try:
            return check_name(value)
        except InvalidProviderError as error:
            raise UnassignedError(str(error)) from None

    def _value(self, image: Any) -> str | None:
        """The attribute's value, also if its name has dots but no quotes."""
        return _text_at(image, self.path) or _text_at(image, (".".join(self.path),))


def _text_at(image: Any, path: tuple[str, ...]) -> str | None:
    for name in path[:-1]:
        image = image[name].get("M") if isinstance(image, Mapping) and isinstance(image.get(name), Mapping) else None
    typed = image.get(path[-1]) if isinstance(image, Mapping) else None
    value = (typed.get("S") or typed.get("N")) if isinstance(typed, Mapping) else None
    return value if isinstance(value, str) else None


def stream_records(event: Mapping[str, Any], attribute: ProviderAttribute) -> Iterator[StreamRecord]:
    """The records of a batch that Lambda read from a DynamoDB stream or a Kinesis data stream.

    Raises
    ------
    InvalidRequestError
        The event is not such a batch.
    """
    try:
        for record in event["Records"]:
            kinesis = record.get("kinesis")
            sequence = (kinesis or record["dynamodb"])["SequenceNumber" if kinesis is None else "sequenceNumber"]
            change = record if kinesis is None else _embedded(kinesis["data"], sequence)
            yield _record(str(sequence), str(record["eventID"]), record, change, attribute)
    except (KeyError, TypeError, AttributeError):
        raise InvalidRequestError("not a batch of a DynamoDB stream or a Kinesis data stream") from None


def _embedded(data: str, sequence: str) -> Any:
    """The change record in a Kinesis record; None if there is none."""
    try:
        text = base64.b64decode(data, validate=True).decode()
        change = None if is_too_deep(text) else json.loads(text)
        return {**change, "kinesisSequenceNumber": sequence} if isinstance(change, dict) else None
    except (binascii.Error, ValueError):
        return None


def _record(
    sequence: str, delivered_as: str, record: Mapping[str, Any], change: Any, attribute: ProviderAttribute
) -> StreamRecord:
    try:
        if (
            not isinstance(change, dict)
            or not isinstance(change.get("dynamodb"), dict)
            or not _is_text(change.get("eventID"))
        ):
            raise UnassignedError("is not a change record of DynamoDB")
        provider = attribute.provider_of(change["dynamodb"])
        return StreamRecord(sequence, str(change["eventID"]), json_line(change), provider, change_time(change))
    except UnassignedError as reason:
        line = unassigned_line(delivered_as, reason, sequence, record)
        return StreamRecord(sequence, delivered_as, line, None, change_time(record))


def unassigned_line(event_id: str, reason: UnassignedError, sequence: str, record: Mapping[str, Any]) -> bytes:
    """The line for a record without a provider."""
    return json_line({"eventID": event_id, "reason": str(reason), "sequence": sequence, "record": record})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def restored(line: bytes) -> StreamRecord:
    """Read a record from its line; its provider is not in the line.

    Raises
    ------
    ValueError
        The line was not written by the producer.
    """
    try:
        written = json.loads(line)
        if "dynamodb" in written:
            change, sequence = written, written.get("kinesisSequenceNumber") or written["dynamodb"]["SequenceNumber"]
        else:
            change, sequence = written["record"], written["sequence"]
        name, time = written["eventID"], change_time(change)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a line of the producer") from None
    if not (_is_text(name) and _is_text(sequence) and sequence.isascii() and sequence.isdigit()):
        raise ValueError("not a line of the producer")
    return StreamRecord(sequence, name, line, None, time)


def json_line(value: Mapping[str, Any]) -> bytes:
    """A value as a line: the same bytes for the same value. ASCII, because a lone surrogate has no UTF-8."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def change_time(change: Mapping[str, Any]) -> datetime | None:
    """When the table was changed; None if the record has no valid time."""
    body = change.get("dynamodb")
    try:
        micros = change_micros(change, body) if isinstance(body, Mapping) else None
        return None if micros is None else from_micros(micros)
    except (ValueError, OverflowError):
        return None
