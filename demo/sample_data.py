"""Generates change logs: gzip JSON lines in the three forms in which DynamoDB publishes changes.

The same arguments give the same bytes. No two rows have the same event id.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

DEFAULT_START = datetime(2026, 1, 5, tzinfo=UTC)
_WORDS = ["alder", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow", "żółw"]
NAMES = ["aurora", "borealis", "cumulus", "drizzle", "equinox", "foehn", "gale", "hail"]


def provider_names(count: int) -> list[str]:
    """Return names of providers."""
    return [*NAMES, *(f"provider-{n:03d}" for n in range(len(NAMES), count))][:count]


class Shape(StrEnum):
    """The source of a change log."""

    STREAMS = "streams"
    KINESIS = "kinesis"
    EXPORT = "export"


class View(StrEnum):
    """A DynamoDB stream's view type, which determines the images in a record."""

    KEYS_ONLY = "KEYS_ONLY"
    NEW_IMAGE = "NEW_IMAGE"
    OLD_IMAGE = "OLD_IMAGE"
    NEW_AND_OLD_IMAGES = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True)
class Style:
    """The form of one provider's change log. Exports have only the last two view types (and always keys)."""

    shape: Shape
    view: View


STYLES = (
    Style(Shape.STREAMS, View.NEW_AND_OLD_IMAGES),
    Style(Shape.KINESIS, View.NEW_IMAGE),
    Style(Shape.EXPORT, View.NEW_AND_OLD_IMAGES),
    Style(Shape.STREAMS, View.KEYS_ONLY),
    Style(Shape.KINESIS, View.OLD_IMAGE),
    Style(Shape.EXPORT, View.NEW_IMAGE),
)


@dataclass(frozen=True)
class Part:
    """One object of a change log: its key in the change log's directory, its content and its number of lines."""

    key: str
    body: bytes
    rows: int


def change_log(
    provider: str, rows: int, objects: int, style: Style, seed: int = 1, start: datetime = DEFAULT_START
) -> list[Part]:
    """Generate one provider's change log of at most `objects` objects, one per hour from `start`.

    Keys are provider=X/YYYY/MM/DD/HH/part-NNNNN.json.gz.
    """
    made = random.Random(f"{seed}/{provider}/{style.shape}/{style.view}/{start.isoformat()}")
    lines = list(_lines(made, provider, rows, style, start))
    objects = max(1, min(objects, rows))
    parts = []
    for number in range(objects):
        mine = lines[number * rows // objects : (number + 1) * rows // objects]
        hour = start + timedelta(hours=number)
        key = f"provider={provider}/{hour:%Y/%m/%d/%H}/part-{number:05d}.json.gz"
        parts.append(Part(key, _compressed(mine, members=1 + number % 3), len(mine)))
    return parts


def _compressed(lines: list[bytes], members: int) -> bytes:
    """Compress to gzip with several members, as Firehose writes it from records that are already compressed."""
    size = max(1, -(-len(lines) // members))
    chunks = [lines[first : first + size] for first in range(0, len(lines), size)]
    return b"".join(gzip.compress(b"".join(line + b"\n" for line in chunk), 6, mtime=0) for chunk in chunks)


def _lines(made: random.Random, provider: str, rows: int, style: Style, start: datetime) -> Iterator[bytes]:
    for number in range(rows):
        moment = start + timedelta(milliseconds=number * 40)
        yield json.dumps(
            _record(made, provider, number, style, moment), ensure_ascii=False, separators=(",", ":")
        ).encode()


def _record(made: random.Random, provider: str, number: int, style: Style, moment: datetime) -> dict[str, Any]:
    event = made.choices(["INSERT", "MODIFY", "REMOVE"], weights=[45, 40, 15])[0]
    keys = {"pk": {"S": f"ITEM#{made.randrange(10**9):09d}"}, "sk": {"N": str(made.randrange(100))}}
    images: dict[str, Any] = {"Keys": keys}
    new = {**keys, **attributes(made)} if event != "REMOVE" else None
    old = {**keys, **attributes(made)} if event != "INSERT" else None
    if old is not None and style.view in (View.OLD_IMAGE, View.NEW_AND_OLD_IMAGES):
        images["OldImage"] = old
    if new is not None and style.view in (View.NEW_IMAGE, View.NEW_AND_OLD_IMAGES):
        images["NewImage"] = new
    micros = int(moment.timestamp() * 1_000_000)
    if style.shape is Shape.EXPORT:
        # Exports contain the time as a DynamoDB number or as a plain number, depending on their kind.
        return {"Metadata": {"WriteTimestampMicros": {"N": str(micros)} if number % 2 else micros}, **images}
    common = {"awsRegion": "us-east-1", "eventName": event, "eventSource": "aws:dynamodb"}
    change = {**images, "SizeBytes": made.randrange(60, 900)}
    if style.shape is Shape.KINESIS:
        change |= {"ApproximateCreationDateTime": micros, "ApproximateCreationDateTimePrecision": "MICROSECOND"}
        return {
            "eventID": str(uuid.UUID(int=made.getrandbits(128), version=4)),
            **common,
            "userIdentity": None,
            "recordFormat": "application/json",
            "tableName": f"things-{provider}",
            "dynamodb": change,
        }
    change |= {
        "ApproximateCreationDateTime": int(moment.timestamp()),
        "SequenceNumber": f"{10**20 + number}",
        "StreamViewType": str(style.view),
    }
    record: dict[str, Any] = {
        "eventID": f"{made.getrandbits(128):032x}",
        **common,
        "eventVersion": "1.1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/2026-01-01T00:00:00.000",
    }
    if event == "REMOVE" and number % 3 == 0:  # removed because its time to live had expired
        record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    return record


def attributes(made: random.Random) -> dict[str, Any]:
    """Generate an item's attributes: every DynamoDB type, and numbers and strings that are easily corrupted."""
    item: dict[str, Any] = {
        "title": {"S": " ".join(made.choices(_WORDS, k=3))},
        "Title": {"S": "differs from title in its case only"},
        "price": {"N": f"{made.randrange(10**6) / 100:.2f}"},
        "active": {"BOOL": made.random() < 0.8},
        "digits": {"N": "".join(made.choices("123456789", k=38))},
    }
    choice = made.random()
    if choice < 0.3:
        item["tags"] = {"SS": sorted({*made.choices(_WORDS, k=3)})}
        item["sizes"] = {"NS": ["1", "2.5", "1E+3"]}
    elif choice < 0.5:
        item["box"] = {"M": {"width": {"N": str(made.randrange(99))}, "unit": {"S": "cm"}, "empty": {"M": {}}}}
        item["history"] = {"L": [{"N": "-0.1"}, {"S": ""}, {"NULL": True}, {"L": []}]}
    elif choice < 0.6:
        item["picture"] = {"B": base64.b64encode(made.randbytes(24)).decode()}
        item["pictures"] = {"BS": [base64.b64encode(made.randbytes(6)).decode()]}
    return item
