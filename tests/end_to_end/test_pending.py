"""S3 events are hints: a lost event delays its object until the sweep, a repeated one sends nothing twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.sample_data import Shape, Style, View, change_log
from demo.verify import Messages, compare, drain, expected_ids
from fanout.adapters import DynamoLedger, DynamoPending
from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS

from .conftest import ROOT, ConfigApi

pytestmark = pytest.mark.slow

PROVIDERS = ("acme", "bolt", "crux", "dyne")
FREQUENCY = timedelta(minutes=15)
ROUNDS, ROWS = 3, 5
STYLE = Style(Shape.STREAMS, View.NEW_IMAGE)
SMALL = {"LambdaMaxBytes": 200_000_000}
"""Large enough that every run is a Lambda run."""


class Stage:
    """A cloud with all providers registered. Its ticks are in the past, because a success in the future is rejected."""

    def __init__(self, cloud: LaptopCloud) -> None:
        self.cloud = cloud
        self.bucket, _, self._prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        self._parts = {name: change_log(name, ROUNDS * ROWS, ROUNDS, STYLE) for name in PROVIDERS}
        self._received: dict[str, Messages] = {}
        self._seen: set[str] = set()
        for name in PROVIDERS:
            ConfigApi(cloud).call("PUT", f"/{name}", {"frequency": 15})

    def silence(self) -> None:
        """Switch the bucket's notifications off, outside the stack."""
        self.cloud.client("s3").put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration={})

    def divert(self, queue_arn: str) -> None:
        """Have the bucket send its notifications to another queue than the stack's."""
        s3 = self.cloud.client("s3")
        stated = s3.get_bucket_notification_configuration(Bucket=self.bucket)["QueueConfigurations"]
        diverted: Any = {"QueueConfigurations": [{**one, "QueueArn": queue_arn} for one in stated]}
        s3.put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration=diverted)

    def put(self, number: int) -> None:
        """Write each provider's object of this round."""
        for part in (self._parts[name][number] for name in PROVIDERS):
            self.cloud.client("s3").put_object(Bucket=self.bucket, Key=f"{self._prefix}/{part.key}", Body=part.body)

    def tick(self, at: datetime, while_they_run: list[str] | None = None) -> tuple[dict[str, Any], Counter[str]]:
        """Tick and wait; return the tick's report, and provider -> number of executions that it started."""
        report = self.cloud.tick(at)
        self.notify(while_they_run or [])
        ended = [found for found in self.cloud.wait(HANG_SECONDS) if found["name"] not in self._seen]
        assert {found["status"] for found in ended} <= {"SUCCEEDED"}
        self._seen |= {found["name"] for found in ended}
        return report, Counter(json.loads(found["input"])["provider"] for found in ended)

    def notify(self, bodies: list[str]) -> None:
        """Put S3's notifications into the object events queue."""
        sqs, queue = self.cloud.client("sqs"), self.cloud.physical_id("ObjectEventsQueue")
        for body in bodies:
            sqs.send_message(QueueUrl=queue, MessageBody=body)

    def differences(self) -> Mapping[str, str]:
        """Provider -> its differences, for each provider without exactly one message per row of its objects."""
        drain(self.cloud.client("sqs"), self.cloud.outputs["ChangesQueueUrl"], self._received)
        expected = expected_ids(self.cloud.client("s3"), self.bucket, self._prefix)
        compared = compare(expected, self._received)
        assert set(compared) == set(PROVIDERS)
        return {name: found.difference for name, found in compared.items() if not found.ok}

    def decisions(self) -> Counter[str]:
        """The engines that the claims of all executions chose."""
        return Counter(json.loads(found["output"])["claim"]["decision"] for found in self.cloud.executions())

    @property
    def pending(self) -> DynamoPending:
        return DynamoPending(self.cloud.client("dynamodb"), self.cloud.outputs["RunLedgerTable"])

    @property
    def ledger(self) -> DynamoLedger:
        return DynamoLedger(self.cloud.client("dynamodb"), self.cloud.outputs["RunLedgerTable"])


@pytest.mark.fault(27)
def test_with_the_bucket_s_notifications_switched_off_every_change_arrives_within_sweep_minutes(workdir: Path) -> None:
    now, sweep = datetime.now(UTC).replace(microsecond=0), 4 * FREQUENCY
    parameters = {**SMALL, "SweepMinutes": int(sweep.total_seconds() / 60)}
    with LaptopCloud(ROOT / "template.yaml", parameters, workdir=workdir) as cloud:
        stage = Stage(cloud)
        stage.silence()
        stage.put(0)
        _, runs = stage.tick(now - sweep)
        assert runs == dict.fromkeys(PROVIDERS, 1), "a provider without a success runs without pending objects"
        assert stage.differences() == {}

        stage.put(1)
        swept: Counter[str] = Counter()
        for number in (3, 2, 1, 0):
            report, runs = stage.tick(now - number * FREQUENCY)
            assert report["idle"] == len(PROVIDERS) - len(runs)
            swept += runs

        assert stage.pending.waiting() == {}, "the bucket sent no notification"
        assert swept == dict.fromkeys(PROVIDERS, 1), "one sweep in the period, and idle at the three other ticks"
        assert stage.differences() == {}
        for state in stage.ledger.get_many(PROVIDERS).values():
            assert state.lease is None
            assert state.last_success is not None
            assert state.last_success > now - sweep


@pytest.mark.fault(27)
def test_events_delivered_three_times_in_random_order_cause_no_second_run_or_message(workdir: Path) -> None:
    now, chance = datetime.now(UTC).replace(microsecond=0), random.Random(11)
    with LaptopCloud(ROOT / "template.yaml", SMALL, workdir=workdir) as cloud:
        stage, sqs = Stage(cloud), cloud.client("sqs")
        recorder = sqs.create_queue(QueueName="recorder")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=recorder, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        stage.divert(arn)
        events: list[str] = []
        for number in range(ROUNDS + 2):
            if number < ROUNDS:
                stage.put(number)
                events += 3 * recorded(sqs, recorder)
            chance.shuffle(events)
            # Before the first of the last two ticks all remaining events are delivered, before the second none.
            early, meanwhile = (len(events) // 3, len(events) // 2) if number < ROUNDS else (len(events), len(events))
            stage.notify(events[:early])
            report, runs = stage.tick(now - (ROUNDS + 1 - number) * FREQUENCY, events[early:meanwhile])
            events = events[meanwhile:]
            assert set(runs.values()) <= {1}, "one run of a provider in a tick"
            assert sum(runs.values()) == report["started"]

        assert events == []
        assert stage.differences() == {}
        assert stage.decisions()["nothing"] > 0, "some events came after their objects were processed"
        assert stage.pending.waiting() == {}
        assert [state.lease for state in stage.ledger.get_many(PROVIDERS).values()] == [None] * len(PROVIDERS)


def recorded(sqs: Any, queue: str) -> list[str]:
    """Take all notifications out of a queue, one per object."""
    bodies: list[str] = []
    while found := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            bodies += [message["Body"]] if "Records" in json.loads(message["Body"]) else []
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert len(bodies) == len(PROVIDERS)
    return bodies
