"""With the parameter TargetArn, messages are sent to another target than the stack's queue."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS
from tests.unit.job.records import line, stream

from .conftest import ROOT, ConfigApi

pytestmark = pytest.mark.slow
TOPIC = "arn:aws:sns:us-east-1:123456789012:changes"
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/changes"


def send_three_changes(cloud: LaptopCloud) -> None:
    """Run a provider whose change log has the events e0, e1 and e2."""
    ConfigApi(cloud).call("PUT", "/acme", {"frequency": 15})
    rows = [line({**stream("INSERT"), "eventID": f"e{n}"}) for n in range(3)]
    bucket, _, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
    key = f"{prefix}/provider=acme/2026/11/22/07/part-0.json.gz"
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=gzip.compress(b"\n".join(rows)))
    cloud.tick(datetime.now(UTC))
    cloud.wait(HANG_SECONDS)


def test_with_a_topic_as_target_its_subscriber_gets_the_messages_and_the_queue_none(workdir: Path) -> None:
    with LaptopCloud(ROOT / "template.yaml", {"TargetArn": TOPIC}, workdir=workdir) as cloud:
        assert cloud.client("sns").create_topic(Name="changes")["TopicArn"] == TOPIC
        sqs = cloud.client("sqs")
        subscriber = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=subscriber, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        raw = {"RawMessageDelivery": "true"}
        cloud.client("sns").subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn, Attributes=raw)
        send_three_changes(cloud)
        received = sqs.receive_message(QueueUrl=subscriber, MaxNumberOfMessages=10).get("Messages", [])
        assert sorted(json.loads(message["Body"])["id"] for message in received) == ["e0", "e1", "e2"]
        assert "Messages" not in sqs.receive_message(QueueUrl=cloud.outputs["ChangesQueueUrl"])


def test_with_a_kinesis_stream_as_target_its_records_are_the_messages(workdir: Path) -> None:
    with LaptopCloud(ROOT / "template.yaml", {"TargetArn": STREAM}, workdir=workdir) as cloud:
        kinesis = cloud.client("kinesis")
        kinesis.create_stream(StreamName="changes", ShardCount=1)
        send_three_changes(cloud)
        (shard,) = kinesis.list_shards(StreamARN=STREAM)["Shards"]
        start = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(StreamName="changes", **start)["ShardIterator"]
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        assert sorted(json.loads(record["Data"])["id"] for record in records) == ["e0", "e1", "e2"]
