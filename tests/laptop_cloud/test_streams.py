"""A table's changes reach a function in order, in batches and with their exact values, even under load."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from laptop_cloud.cloud import LaptopCloud

from .conftest import FIXTURES

Item = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    template = FIXTURES / "streams" / "template.yaml"
    with LaptopCloud(template, workdir=tmp_path_factory.mktemp("streams")) as up:
        yield up


def put(cloud: LaptopCloud, *items: str | Item) -> None:
    for item in items:
        plain = {"pk": {"S": item}} if isinstance(item, str) else item
        cloud.client("dynamodb").put_item(TableName=cloud.physical_id("Things"), Item=plain)


def batches(cloud: LaptopCloud) -> list[list[dict[str, Any]]]:
    """Return the function's batches since the last call."""
    cloud.deliver_events()
    sqs, url, found = cloud.client("sqs"), cloud.physical_id("Taken"), []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
    return found


def keys(batch: list[dict[str, Any]]) -> list[str]:
    return [record["dynamodb"]["Keys"]["pk"]["S"] for record in batch]


def test_changes_arrive_in_order_in_batches_of_the_batch_size(cloud: LaptopCloud) -> None:
    put(cloud, *"abcdefghi")

    found = batches(cloud)

    assert [key for batch in found for key in keys(batch)] == list("abcdefghi")
    assert max(len(batch) for batch in found) <= 4


def test_a_record_has_the_form_of_lambda_s_event_and_exact_values(cloud: LaptopCloud) -> None:
    item: Item = {"pk": {"S": "exact ż"}, "n": {"N": "12345678901234567890123456789012345678"}, "b": {"B": b"\x00\xff"}}
    put(cloud, item)

    ((record,),) = batches(cloud)

    assert record["eventName"] == "INSERT"
    assert record["eventSourceARN"].startswith("arn:aws:dynamodb:us-east-1:123456789012:table/")
    assert record["dynamodb"]["NewImage"] == {**item, "b": {"B": "AP8="}}
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], int)


def test_items_that_expire_during_writes_cause_one_record_each(cloud: LaptopCloud) -> None:
    def write(writer: int) -> None:
        for number in range(100):
            expires = "1700000000" if number % 2 else "9e9"
            put(cloud, {"pk": {"S": f"busy-{writer}-{number}"}, "expires": {"N": expires}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    records = [record for batch in batches(cloud) for record in batch]
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert numbers == sorted(set(numbers))
    assert Counter(record["eventName"] for record in records) == {"INSERT": 400, "REMOVE": 200}
    assert all("userIdentity" in record for record in records if record["eventName"] == "REMOVE")
