"""A table's stream in memory: its records, and Lambda, which delivers them in batches and retries failed ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fanout.production import Production
from tests.harness.faults import Crash
from tests.harness.world import World

Event = dict[str, Any]


def record(sequence: int, pk: str, moment: datetime, name: str = "MODIFY", **images: Any) -> Event:
    """A DynamoDB Streams record as Lambda gets it."""
    return {
        "eventID": f"event-{sequence}",
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/2026",
        "dynamodb": {
            "ApproximateCreationDateTime": int(moment.timestamp()),
            "Keys": {"pk": {"S": pk}},
            "SequenceNumber": str(sequence),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            **images,
        },
    }


def lines(body: bytes) -> list[Any]:
    """Parse an object of the change log."""
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


class Shard:
    """A shard of a stream. Lambda divides records into batches, and retries failed ones in batches of another size."""

    def __init__(self, made: random.Random, write: Callable[[Event], Production], most: int = 20) -> None:
        self.waiting: list[Event] = []
        self._made, self._write, self._most = made, write, most

    def deliver(self) -> None:
        """Invoke the function once, or up to three times, as Lambda does after a lost answer."""
        batch = self.waiting[: self._made.randint(1, self._most)]
        for _ in range(self._made.choice([1, 1, 2, 3])):
            try:
                done = self._write({"Records": batch})
            except Crash:
                return
            if done.failed is not None:
                numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
                self.waiting = self.waiting[numbers.index(done.failed) :]
                return
        self.waiting = self.waiting[len(batch) :]


class Chain(World):
    """A `World` whose job reads the producer's objects: a row's message is its event's id."""

    def _rows(self, bucket: str, stored: Any) -> list[str]:
        return [str(line["eventID"]) for line in lines(self.objects.stored[f"s3://{bucket}/{stored.key}"][0])]
