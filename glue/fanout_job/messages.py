"""Makes CloudEvents 1.0 JSON messages from changed rows: one per row, unless the user's `transform` differs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from fanout_job.changes import Change, Payload
from fanout_job.errors import MessageTooLargeError, RecordError, TransformError, place_of
from fanout_job.objects import put
from fanout_job.settings import Settings

Transform = Callable[[Change], Payload | list[Payload] | None]
"""The user's row-level ETL. Sends nothing for None or [], one message for a dict, one per element for a list."""


class Message(NamedTuple):
    """One message, ready to send."""

    id: str
    body: str
    size: int
    """Bytes of the body in UTF-8, to which the targets' limits apply."""
    kind: str
    group: str = ""
    """With MessageOrder=key, a hash of the row's key; otherwise empty."""
    position: tuple[int, ...] = ()
    """With MessageOrder=key, the sort key of the messages within a group."""


def encode(value: Any) -> bytes:
    """Return JSON. Decimals become number literals with all digits.

    Raises
    ------
    TypeError
        JSON cannot represent a value. Only values of the user's transform can cause this.
    """
    return orjson.dumps(value, default=_literal)


def _literal(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def sendable(body: bytes) -> bytes:
    """Escape U+FFFE and U+FFFF, which SQS rejects in a message. A JSON parser reads the same text.

    SQS also rejects control characters, but JSON always escapes them.
    """
    if b"\xef\xbf" in body:
        return body.replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")
    return body


class Draft(NamedTuple):
    """The variable parts of one message: the row's part of the envelope, and the payload."""

    id: str
    operation: str
    time: str | None
    subject: str
    """The row's keys as compact JSON."""
    sequence: str | None
    position: tuple[int, ...]
    """Sort key of the messages of one key: sequence number, time, position in the manifest."""
    payload: Any


class MessageMaker:
    """Turns a provider's changes into messages, with claim checks for messages that are too large.

    Parameters
    ----------
    settings : Settings
    transform : callable
        The user's row-level ETL.
    limit : int
        Maximum bytes of a message.
    s3 : boto3 S3 client
        For claim checks, written to `claim-check/` in the data bucket.
    """

    def __init__(self, settings: Settings, transform: Transform, limit: int, s3: Any) -> None:
        self.settings, self.transform, self.limit, self.s3 = settings, transform, limit, s3
        self.source = f"/glue-fanout/{settings.env}/{settings.job}/{settings.provider}"
        self.ordered = settings.message_order == "key"

    def drafts(self, change: Change, index: int, line: int) -> list[Draft]:
        """Return the drafts for a row, by the user's transform; `index` and `line` are its position in the manifest.

        Raises
        ------
        TransformError, RecordError
        """
        try:
            payloads = self.transform(change)
            several = [payloads] if type(payloads) is dict else list(payloads or ())
            if not all(type(payload) is dict for payload in several):
                raise TypeError("transform must return None, a dict or a list of dicts")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            # Its text may contain the row, so the message has only its type and line.
            raise TransformError(
                f"transform raised {type(error).__name__} at {place_of(error, self.transform)}"
            ) from None
        id_, operation, moment, sequence = change.id, change.operation, change.time, change.sequence
        try:
            subject = encode(change.keys).decode()
        except TypeError:
            raise RecordError("has Keys that are nested too deeply") from None
        position = (int(sequence or 0), change.micros, index, line)
        if len(several) == 1:
            return [Draft(id_, operation, moment, subject, sequence, position, several[0])]
        return [
            Draft(f"{id_}-{n}", operation, moment, subject, sequence, (*position, n), payload)
            for n, payload in enumerate(several)
        ]

    def message(self, draft: Draft) -> Message:
        """Return the message, with a claim check if it would be too large.

        Raises
        ------
        TransformError, MessageTooLargeError, StorageError
        """
        id_, operation, moment, subject, sequence, position, payload = draft
        event: Payload = {
            "specversion": "1.0",
            "id": id_,
            "source": self.source,
            "type": f"dynamodb.{operation}",
            "time": moment,
            "subject": subject,
            "datacontenttype": "application/json",
            "provider": self.settings.provider,
        }
        if sequence is not None:
            event["sequence"] = sequence
        if moment is None:
            del event["time"]
        event["data"] = payload
        try:
            body = sendable(encode(event))
        except TypeError as error:
            cause = "the payload cannot be written as JSON, or is nested too deeply"
            raise TransformError(f"{cause}: transform at {place_of(error, self.transform)}", cause=cause) from None
        if len(body) > self.limit:
            del event["data"]
            event["dataref"] = self.claim_check(id_, encode(payload))
            body = sendable(encode(event))
            if len(body) > self.limit:
                cause = "the message is too large even without its data"
                raise MessageTooLargeError(f"{cause}: {len(body)} bytes", cause=cause)
        if not self.ordered:
            return Message(id_, body.decode(), len(body), event["type"])
        group = hashlib.sha256(subject.encode()).hexdigest()[:32]
        return Message(id_, body.decode(), len(body), event["type"], group, position)

    def claim_check(self, id_: str, data: bytes) -> str:
        """Store the data, under the same key in a repeated run, and return its URI (CloudEvents `dataref`)."""
        name = hashlib.sha256(id_.encode()).hexdigest()
        key = f"claim-check/provider={self.settings.provider}/{name}.json"
        put(self.s3, self.settings.data_bucket, key, data)
        return f"s3://{self.settings.data_bucket}/{key}"
