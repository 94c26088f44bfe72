"""From a table's stream to the queue over random histories: the producer killed at any call, batches delivered up to
three times, S3 down for hours, and runs in between.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from fanout.production import KEY_TIME_FORMAT, Producer
from fanout.stream_records import ProviderAttribute
from tests.harness.faults import Fault
from tests.harness.streams import Chain, Shard, lines, record
from tests.harness.world import CHANGE_LOG

HISTORIES = int(os.environ.get("HISTORIES", "200"))
PARTS = 4
PROVIDERS = ("a", "b", "c", "d")
FAULTS = (Fault.FAIL_BEFORE, Fault.EXECUTE_THEN_FAIL, Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
NO_PROVIDER = "?"


class History:
    """One history, determined by a seed."""

    def __init__(self, seed: str) -> None:
        self.made = random.Random(seed)
        self.world = Chain(settings={"key_time_format": KEY_TIME_FORMAT})
        for provider in PROVIDERS:
            self.world.provider(provider)
        attribute = ProviderAttribute.parse("pk ^ORG#([^#]+)#")
        world = self.world
        producer = Producer(world.objects, CHANGE_LOG, "s3://data", attribute, world.clock, world.log.append)
        self.shard = Shard(self.made, producer.produce)
        self.keys: dict[str, str] = {}
        self.runs = 0

    def play(self, steps: int) -> None:
        for _ in range(steps):
            self.made.choice([self.change, self.deliver, self.refuse, self.run, self.wait])()
        while self.shard.waiting:
            self.world.faults.planned.clear()
            self.deliver(faults=0)
        for _ in PROVIDERS:
            self.run(*PROVIDERS)

    def change(self) -> None:
        for _ in range(self.made.randint(1, 15)):
            provider = self.made.choice([*PROVIDERS, NO_PROVIDER])
            key, sequence = f"ORG#{provider}#{self.made.randrange(4)}", len(self.keys) + 1
            self.keys[f"event-{sequence}"] = key
            self.shard.waiting.append(record(sequence, key, self.world.clock()))

    def deliver(self, faults: float = 0.5) -> None:
        if self.made.random() < faults:
            calls = self.made.choices([None, *FAULTS], k=4)
            self.world.faults.plan("objects.create", *calls)
        if self.shard.waiting:
            self.shard.deliver()
        self.world.faults.planned.clear()
        self.world.clock.advance(seconds=1)

    def refuse(self) -> None:
        """Have S3 reject all writes for a while, during which Lambda retries."""
        self.world.faults.down.add("objects")
        for _ in range(self.made.randint(1, 3)):
            self.deliver(faults=0)
            self.wait()
        self.world.faults.down.clear()

    def run(self, *providers: str) -> None:
        for provider in providers or [self.made.choice(PROVIDERS)]:
            self.runs += 1
            self.world.run(provider, f"run-{self.runs}")
            self.world.clock.advance(seconds=1)

    def wait(self) -> None:
        """Usually less than an hour; a batch never reaches Lambda's maximum record age."""
        oldest = [item["dynamodb"]["ApproximateCreationDateTime"] for item in self.shard.waiting]
        age = (self.world.clock().timestamp() - min(oldest)) / 3600 if oldest else 0
        self.world.clock.advance(hours=min(self.made.choice([0.1, 0.5, 3]), max(0, 18 - age)))


@pytest.mark.fault(34)
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_killed_and_retried_producer_loses_no_record_and_repeats_no_message(part: int) -> None:
    for number in range(part, HISTORIES, PARTS):
        history = History(f"producer/{number}")
        history.play(steps=30)
        stored = {uri: lines(body) for uri, (body, _) in history.world.objects.stored.items() if uri.endswith(".gz")}
        logged = Counter(row["eventID"] for uri in stored if uri.startswith(CHANGE_LOG) for row in stored[uri])
        aside = [row["record"]["eventID"] for uri in stored if "/unassigned/" in uri for row in stored[uri]]
        assigned = [event for event, key in history.keys.items() if NO_PROVIDER not in key]
        assert logged == Counter(assigned), number
        assert sorted(aside) == sorted(set(history.keys) - set(assigned)), number
        assert Counter(history.world.sent) == Counter(assigned), number
        for key in set(history.keys.values()):
            sent = [event for event in history.world.sent if history.keys[event] == key]
            assert sent == [event for event in assigned if history.keys[event] == key], (number, key)
