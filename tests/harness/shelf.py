"""A producer over objects in memory."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from fanout.manifests import why_ignored
from fanout.production import Producer
from fanout.stream_records import ProviderAttribute
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Faults

LOG, DATA = "s3://log/change_log", "s3://data"
ASIDE = f"{DATA}/unassigned"


@dataclass
class Shelf:
    """A producer and the objects that it writes."""

    attribute: str = "pk ^ORG#([^#]+)#"
    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults = Faults(self.clock)
        self.objects = MemoryObjects(self.faults)
        attribute = ProviderAttribute.parse(self.attribute)
        self.producer = Producer(self.objects, LOG, DATA, attribute, self.clock, self.said.append, parallel=1)

    def change(self, number: int, org: str, **body: Any) -> dict[str, Any]:
        keys = {"pk": {"S": f"ORG#{org}#1"}}
        moment = int(self.clock().timestamp())
        known = {"Keys": keys, "SequenceNumber": str(number), "ApproximateCreationDateTime": moment}
        return {"eventID": f"id-{number}", "eventName": "INSERT", "dynamodb": {**known, **body}}

    def deliver(self, *changes: dict[str, Any]) -> str | None:
        return self.producer.produce({"Records": list(changes)}).failed

    def lines(self, below: str) -> list[dict[str, Any]]:
        found = [
            uri
            for uri in self.objects.stored.in_order()
            if uri.startswith(below) and not why_ignored(uri.removeprefix("s3://"))
        ]
        return [json.loads(line) for uri in found for line in gzip.decompress(self.objects.stored[uri][0]).splitlines()]
