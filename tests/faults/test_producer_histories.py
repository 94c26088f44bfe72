"""Random histories of the producer: killed at any call, batches redelivered up to three times in other sizes, S3 down.

The invariant is stronger than delivery needs: if Lambda redelivers from a position where it began before, each record
is in exactly one object, and each provider's objects in key order contain its records in the order of the stream.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fanout.errors import StorageUnavailableError
from fanout.production import Producer
from fanout.stream_records import ProviderAttribute
from tests.harness.faults import Crash

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
HISTORIES = min(int(os.environ.get("HISTORIES") or 200), 5000)


@dataclass
class UnreliableObjects:
    """`ObjectStore` whose calls may fail before or after their effect, or kill the caller."""

    chance: random.Random
    stored: dict[str, bytes] = field(default_factory=dict)
    refusing: bool = False
    deadly: float = 0.0
    dead: bool = False
    written: dict[str, int] = field(default_factory=dict)

    def create(self, uri: str, body: bytes) -> bool:
        self._before()
        new = uri not in self.stored
        if new:
            self.stored[uri] = body
            self.written[uri] = self.written.get(uri, 0) + 1
        self._after()
        return new

    def read(self, uri: str, at_most: int | None = None) -> bytes | None:
        self._before()
        return self.stored[uri][:at_most] if uri in self.stored else None

    def list(self, prefix: str, start_after: str = "") -> Any:
        raise AssertionError("the producer lists nothing")

    def _before(self) -> None:
        if self.dead or self.chance.random() < self.deadly:
            self.dead = True
            raise Crash
        if self.refusing and self.chance.random() < 0.6:
            raise StorageUnavailableError("refused")

    def _after(self) -> None:
        if self.dead or self.chance.random() < self.deadly:
            self.dead = True
            raise Crash
        if self.refusing and self.chance.random() < 0.3:
            raise StorageUnavailableError("written, but the answer was lost")


def stream(chance: random.Random, kinesis: bool) -> list[dict[str, Any]]:
    """Some records of some providers; a few have no provider."""
    providers = [f"p{n}" for n in range(chance.randint(1, 5))] + ["../evil"]
    records, moment = [], NOW - timedelta(hours=3)
    for number in range(chance.randint(1, 60)):
        moment += timedelta(seconds=chance.choice([0, 0, 1, 900]))
        keys = {"pk": {"S": f"ORG#{chance.choice(providers)}#{number}"}}
        body = {"Keys": keys, "ApproximateCreationDateTime": int(moment.timestamp()) * (1000 if kinesis else 1)}
        change = {"eventID": f"event-{number}", "eventName": "INSERT", "dynamodb": body}
        if not kinesis:
            body["SequenceNumber"] = str(900 + 7 * number)
            records.append(change)
        else:
            records.append(in_kinesis({**change, "tableName": "things"}, 900 + 7 * number))
    return records


def in_kinesis(change: dict[str, Any], sequence: int) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(change).encode()).decode()
    return {"eventID": f"shardId-0:{sequence}", "kinesis": {"sequenceNumber": str(sequence), "data": data}}


def sequence_of(record: dict[str, Any]) -> str:
    return str(record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["dynamodb"]["SequenceNumber"])


@dataclass
class Poller:
    """Lambda's poller: the position of its next batch, and every position where a batch began."""

    records: list[dict[str, Any]]
    producer: Producer
    objects: UnreliableObjects
    chance: random.Random
    begins: list[int] = field(default_factory=lambda: [0])

    def deliver(self) -> None:
        """Deliver a batch of any size from the end of the last one, or from an earlier beginning."""
        begin = self.begins[-1]
        if self.chance.random() < 0.25:
            begin = self.chance.choice(self.begins)  # the poller lost its position
        batch = self.records[begin : begin + self.chance.randint(1, 20)]
        if not batch:
            return
        self.objects.dead = False
        self.objects.deadly = self.chance.choice([0, 0, 0.05, 0.3])
        self.objects.refusing = self.chance.random() < 0.3
        try:
            failed = self.producer.produce({"Records": batch}).failed
        except Crash:
            failed = sequence_of(batch[0])
        end = begin + len(batch)
        if failed is not None:
            end = begin + [sequence_of(record) for record in batch].index(failed)
        self.begins.append(end)

    def finish(self) -> None:
        while self.begins[-1] < len(self.records):
            self.objects.dead, self.objects.deadly, self.objects.refusing = False, 0.0, False
            begin = self.begins[-1]
            batch = self.records[begin : begin + self.chance.randint(1, 20)]
            assert self.producer.produce({"Records": batch}).failed is None
            self.begins.append(begin + len(batch))


@pytest.mark.fault(34)
@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("kinesis", [False, True], ids=["dynamodb", "kinesis"])
def test_every_record_is_in_exactly_one_object_in_the_order_of_the_stream(part: int, kinesis: bool) -> None:
    for seed in range(part, HISTORIES, 5):
        chance = random.Random(f"{seed}/{kinesis}")
        objects = UnreliableObjects(chance)
        attribute = ProviderAttribute.parse("pk ^ORG#([^#]+)#")
        producer = Producer(objects, "s3://log/change_log", "s3://data", attribute, lambda: NOW, lambda line: None, 1)
        poller = Poller(stream(chance, kinesis), producer, objects, chance)
        for _ in range(chance.randint(3, 40)):
            poller.deliver()
        poller.finish()
        assert held(objects) == expected(poller.records), f"history {seed}"
        assert set(objects.written.values()) == {1}


def held(objects: UnreliableObjects) -> dict[str, list[str]]:
    """Provider -> ids of its records in key order, without hidden objects, which are not data."""
    found: dict[str, list[str]] = {}
    for uri in sorted(objects.stored):
        if not uri.rpartition("/")[2].startswith("_"):
            name = uri.split("provider=")[1].split("/")[0] if "provider=" in uri else "unassigned"
            lines = [json.loads(line) for line in gzip.decompress(objects.stored[uri]).splitlines()]
            found.setdefault(name, []).extend(str(line["eventID"]) for line in lines)
    return found


def expected(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for record in records:
        change = json.loads(base64.b64decode(record["kinesis"]["data"])) if "kinesis" in record else record
        name = change["dynamodb"]["Keys"]["pk"]["S"].split("#")[1]
        good = name.startswith("p")
        wanted.setdefault(name if good else "unassigned", []).append((change if good else record)["eventID"])
    return wanted
