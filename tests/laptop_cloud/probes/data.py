"""Probes of moto's server, DynamoDB and SQS."""

from __future__ import annotations

import gc
import json
import os
from typing import Any
from unittest import mock

from tests.laptop_cloud.probes.base import REGION, client, meet


def services_are_known() -> bool:
    client("sqs").list_queues()  # the first request sets the service up
    real, listed = os.listdir, []

    def listdir(path: Any = ".") -> list[str]:
        listed.append(str(path))
        return real(path)

    with mock.patch.object(os, "listdir", listdir):
        client("sqs").list_queues()
    return not any(path.rstrip("/").endswith("moto") for path in listed)


def models_are_not_kept() -> bool:
    """An item that was overwritten is gone."""
    from moto.dynamodb.models.dynamo_type import Item

    dynamodb = _dynamodb_with_table("kept")
    for number in range(5):
        dynamodb.put_item(TableName="kept", Item={"id": {"S": "the one"}, "number": {"N": str(number)}})
    gc.collect()
    items = [found for found in gc.get_objects() if type(found) is Item and found.hash_key.value == "the one"]
    return len(items) == 1


def _dynamodb_with_table(name: str) -> Any:
    """Return a client of DynamoDB, which has a table of that name with the key `id`."""
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return dynamodb


def dynamodb_writes_are_atomic() -> bool:
    from moto.dynamodb.responses import DynamoHandler

    _dynamodb_with_table("t")
    put = [lambda: client("dynamodb").put_item(TableName="t", Item={"id": {"S": "1"}})] * 2
    return not meet(DynamoHandler, "put_item", put)


def dynamodb_items_are_answered_as_they_are() -> bool:
    """An item of 50 attributes is returned completely, without a look-up for each attribute."""
    from moto.core.serialize import JSONSerializer

    dynamodb = _dynamodb_with_table("wide")
    item = {"id": {"S": "a"}, "map": {"M": {"list": {"L": [{"N": "1"}, {"NULL": True}, {"B": b"\x00"}]}}}}
    item |= {f"field{number}": {"S": "x"} for number in range(50)}
    dynamodb.put_item(TableName="wide", Item=item)
    lookups = 0
    get_value = JSONSerializer.get_value

    def counted(*arguments: Any) -> Any:
        nonlocal lookups
        lookups += 1
        return get_value(*arguments)

    JSONSerializer.get_value = counted
    try:
        answer = dynamodb.get_item(TableName="wide", Key={"id": {"S": "a"}})["Item"]
    finally:
        JSONSerializer.get_value = get_value
    return bool(answer == item) and lookups < 100


def sqs_messages_are_received_once() -> bool:
    from moto.sqs.models import Message

    url = client("sqs").create_queue(QueueName="contended")["QueueUrl"]
    for number in range(2):
        client("sqs").send_message(QueueUrl=url, MessageBody=str(number))
    receive = [lambda: client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=1)] * 2
    return not meet(Message, "mark_received", receive)


def sqs_cost_does_not_grow() -> bool:
    """Counts how often the clock is read for one send, receive and delete in a queue of 200 messages."""
    from moto.sqs import models

    sqs = client("sqs")
    url = sqs.create_queue(QueueName="deep")["QueueUrl"]
    for batch in range(20):
        entries = [{"Id": str(n), "MessageBody": f"{batch}-{n}"} for n in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    real, reads = models.unix_time_millis, []

    def unix_time_millis(*args: Any) -> float:
        reads.append(1)
        return float(real(*args))

    with mock.patch.object(models, "unix_time_millis", unix_time_millis):
        sqs.send_message(QueueUrl=url, MessageBody="one more")
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert counted == {"ApproximateNumberOfMessages": "200"}, counted
    return len(reads) < 50


def sqs_messages_move_back() -> bool:
    sqs = client("sqs")
    dead = sqs.create_queue(QueueName="given-up")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:given-up"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    source = sqs.create_queue(QueueName="source", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="x")
    try:
        sqs.start_message_move_task(SourceArn=arn)
    except sqs.exceptions.ClientError:
        return False
    return "Messages" in sqs.receive_message(QueueUrl=source) and "Messages" not in sqs.receive_message(QueueUrl=dead)
