"""A table's stream reaches a function in order, in batches that can partly fail; expired items are deleted."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends

from laptop_cloud.aws.stream_sources import StreamPoller
from tests.harness.waiting import HANG_SECONDS

ACCOUNT = "123456789012"


class TooManyRequestsError(Exception):
    """Lambda throttles."""


@dataclass
class Functions:
    """Lambda's Invoke, which returns `answers` in turn, then success. A string is an error of the function."""

    answers: list[Any] = field(default_factory=list)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    exceptions: Any = field(default=None)

    def __post_init__(self) -> None:
        self.exceptions = SimpleNamespace(TooManyRequestsException=TooManyRequestsError)

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's names
        answer = self.answers.pop(0) if self.answers else {}
        if answer == "throttled":
            raise TooManyRequestsError
        self.batches.append(json.loads(Payload)["Records"])
        failed = {"FunctionError": "Unhandled"} if isinstance(answer, str) else {}
        return {"Payload": BytesIO(json.dumps(answer).encode()), **failed}

    @property
    def sequences(self) -> list[list[int]]:
        """The numbers of the items of each batch."""
        return [[int(record["dynamodb"]["Keys"]["id"]["S"]) for record in batch] for batch in self.batches]


@dataclass
class World:
    """A table with a stream, and the function that gets its records."""

    functions: Functions
    pollers: list[StreamPoller] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dynamodb, self.s3 = self.client("dynamodb"), self.client("s3")
        self.s3.create_bucket(Bucket="data")
        made = self.dynamodb.create_table(
            TableName="things",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.arn = made["TableDescription"]["LatestStreamArn"]

    @staticmethod
    def client(service: str) -> Any:
        return boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]

    def put(self, *numbers: int, **more: Any) -> None:
        for number in numbers:
            self.dynamodb.put_item(TableName="things", Item={"id": {"S": str(number)}, **more})

    def poll(self, **settings: Any) -> StreamPoller:
        mapping = SimpleNamespace(
            uuid="mapping", event_source_arn=self.arn, function_arn="f", enabled=True, starting_position="TRIM_HORIZON",
            **{"batch_size": 100, "max_batch_window": 30, "max_retry_attempts": -1, "destination_config": None,
               "function_response_types": ["ReportBatchItemFailures"], **settings},
        )  # fmt: skip
        table = dynamodb_backends[ACCOUNT]["us-east-1"].get_table("things")
        self.pollers.append(StreamPoller(mapping, table, self.client, self.functions))
        return self.pollers[-1]


@pytest.fixture
def world() -> Any:
    with mock_aws():
        world = World(Functions())
        yield world
        for poller in world.pollers:
            poller.stop()
        for thread in threading.enumerate():
            if thread.name.startswith("read arn"):
                thread.join(HANG_SECONDS)


def test_records_arrive_in_the_form_of_lambda_s_event_in_batches_of_the_batch_size(world: World) -> None:
    world.put(1, 2, 3, blob={"B": b"\x00\xff"}, digits={"N": "1234567890123456789012345678901234567.8"})

    world.poll(batch_size=2).hurry()

    assert world.functions.sequences == [[1, 2], [3]]
    record = world.functions.batches[0][0]
    assert (record["eventName"], record["eventSourceARN"]) == ("INSERT", world.arn)
    image = record["dynamodb"]["NewImage"]
    assert (image["blob"], image["digits"]) == ({"B": "AP8="}, {"N": "1234567890123456789012345678901234567.8"})
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], int)


@pytest.mark.fault(35)
def test_a_failed_batch_is_retried_from_its_first_failure_before_later_batches(world: World) -> None:
    world.put(1, 2, 3)
    poller = world.poll()
    poller.hurry()
    (batch,) = world.functions.batches
    third = batch[2]["dynamodb"]["SequenceNumber"]
    world.functions.answers = [
        "an error",
        "throttled",
        {"batchItemFailures": [{"itemIdentifier": str(int(third) + 2)}]},
    ]
    world.put(4, 5, 6)

    poller.hurry()
    world.put(7)
    poller.hurry()

    assert world.functions.sequences == [[1, 2, 3], [4, 5, 6], [4, 5, 6], [5, 6], [7]]


def test_a_batch_that_failed_too_often_is_written_to_the_destination(world: World) -> None:
    world.put(1)
    world.functions.answers = ["an error", "another"]

    destination = {"OnFailure": {"Destination": "arn:aws:s3:::data"}}
    world.poll(max_retry_attempts=1, destination_config=destination).hurry()

    (found,) = world.s3.list_objects_v2(Bucket="data", Prefix="aws/lambda/mapping/")["Contents"]
    body = json.loads(world.s3.get_object(Bucket="data", Key=found["Key"])["Body"].read())
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in json.loads(body["payload"])["Records"]] == ["1"]


def test_an_expired_item_is_deleted_by_dynamodb(world: World) -> None:
    ttl = {"Enabled": True, "AttributeName": "expires"}
    world.dynamodb.update_time_to_live(TableName="things", TimeToLiveSpecification=ttl)
    world.put(1, expires={"N": str(int(time.time()) - 5)})
    world.put(2, expires={"N": str(int(time.time()) + 5000)})
    world.dynamodb.delete_item(TableName="things", Key={"id": {"S": "2"}})

    world.poll().hurry()

    removed = {
        record["dynamodb"]["Keys"]["id"]["S"]: record.get("userIdentity")
        for batch in world.functions.batches
        for record in batch
        if record["eventName"] == "REMOVE"
    }
    assert removed == {"1": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}, "2": None}
