"""Reads messages about new objects: S3's own events, and the same in envelopes of SNS and EventBridge. No I/O.

Sources: "Event message structure" and "EventBridge event message structure", Amazon S3 user guide; "Fanout Amazon SNS
notifications to Amazon SQS queues", Amazon SNS developer guide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from contract.nesting import is_too_deep

UNREADABLE_MESSAGE = "not a message of S3"
UNREADABLE_EVENT = "not an event of S3"
UNREADABLE = (UNREADABLE_MESSAGE, UNREADABLE_EVENT)
OTHER_EVENT = "not about a new object"

MAX_SIZE = 2**53
"""Larger than any object. A wrong size must not fail the counting of others."""
_ENVELOPES = 3
"""The most envelopes of SNS around one event."""


@dataclass(frozen=True)
class NewObject:
    """A new object, as announced; `key` is not encoded."""

    bucket: str
    key: str
    size: int


def new_objects(body: object) -> Iterator[NewObject | str]:
    """The objects that a message announces; for anything else in it, the reason why it announces none.

    S3's test message, which it sends when notifications are turned on, has neither.
    """
    message = _parsed(body)
    for _ in range(_ENVELOPES):
        if message.get("Type") == "Notification" and "Message" in message:  # of SNS
            message = _parsed(message["Message"])
    records = message.get("Records")
    if isinstance(records, list) and records:
        for record in records:
            yield _of_s3(record)
    elif message.get("source") == "aws.s3" and "detail-type" in message:
        yield _of_event_bridge(message)
    elif message.get("Event") != "s3:TestEvent":
        yield UNREADABLE_MESSAGE


def _parsed(text: object) -> Mapping[str, Any]:
    try:
        message = json.loads(text) if isinstance(text, str) and not is_too_deep(text) else None
    except ValueError:
        message = None
    return message if isinstance(message, dict) else {}


def _of_s3(record: Any) -> NewObject | str:
    """An event of S3. Its key is URL-encoded, with ``+`` for a space."""
    try:
        name = record.get("eventName", "ObjectCreated:")
        stored = record["s3"]["object"]
        if not name.removeprefix("s3:").startswith("ObjectCreated:"):
            return OTHER_EVENT
        return _new_object(record["s3"]["bucket"], unquote_plus(stored["key"], errors="strict"), stored)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return UNREADABLE_EVENT


def _of_event_bridge(event: Mapping[str, Any]) -> NewObject | str:
    """An event of S3 by EventBridge. Its key is not encoded."""
    if event["detail-type"] != "Object Created":
        return OTHER_EVENT
    try:
        stored = event["detail"]["object"]
        return _new_object(event["detail"]["bucket"], stored["key"], stored)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return UNREADABLE_EVENT


def _new_object(bucket: Mapping[str, Any], key: str, stored: Mapping[str, Any]) -> NewObject:
    key.encode()  # a lone surrogate is in no key
    return NewObject(bucket["name"], key, min(max(0, int(stored.get("size", 0))), MAX_SIZE))
