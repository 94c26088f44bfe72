"""A bucket's events reach a queue, and the queue's messages a function, in batches that can partly fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.call_log import call_log
from tests.harness.waiting import eventually

from .conftest import FIXTURES

TEMPLATE = FIXTURES / "event_sources" / "template.yaml"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    workdir = tmp_path_factory.mktemp("sources")
    with LaptopCloud(TEMPLATE, workdir=workdir, around=call_log(workdir / "api_calls.jsonl")) as up:
        taken(up, "s3:TestEvent")  # S3's first message, when notifications are configured
        yield up


def send(cloud: LaptopCloud, *bodies: str) -> None:
    entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
    cloud.client("sqs").send_message_batch(QueueUrl=cloud.physical_id("Inbox"), Entries=entries)


def taken(cloud: LaptopCloud, last: str, queue: str = "Taken") -> list[Any]:
    """Return the messages of a queue, up to the one that contains the text `last`."""
    sqs, url, found = cloud.client("sqs"), cloud.physical_id(queue), list[Any]()

    def look() -> bool:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message["Body"])
        return any(last in body for body in found)

    eventually(look, lambda: f"{last}, found {found}")
    return found


def batches(cloud: LaptopCloud, last: str) -> list[list[tuple[str, str]]]:
    """Return the function's batches: each message's body and receive count."""
    found = [
        [(record["body"], record["attributes"]["ApproximateReceiveCount"]) for record in json.loads(batch)]
        for batch in taken(cloud, last)
    ]
    return [batch for batch in found if "s3:TestEvent" not in batch[0][0]]


def test_new_objects_with_the_prefix_reach_the_function_with_encoded_keys(cloud: LaptopCloud) -> None:
    bucket, s3 = cloud.physical_id("Bucket"), cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="out/other", Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/name=a b+ż/last", Body=b"xyz")
    (record,) = json.loads(json.loads(taken(cloud, "last")[-1])[-1]["body"])["Records"]
    assert record["eventName"] == "ObjectCreated:Put"
    assert unquote_plus(record["s3"]["object"]["key"]) == "in/name=a b+ż/last"
    assert record["s3"]["object"]["size"] == 3


def test_the_messages_of_a_successful_batch_are_deleted(cloud: LaptopCloud) -> None:
    send(cloud, "one", "two", "three")
    found = [message for batch in batches(cloud, "three") for message in batch]
    send(cloud, "after")
    assert batches(cloud, "after") == [[("after", "1")]]
    assert sorted(found) == [("one", "1"), ("three", "1"), ("two", "1")]


def test_a_record_has_the_form_of_lambda_s_event(cloud: LaptopCloud) -> None:
    attribute = {"colour": {"DataType": "String", "StringValue": "green"}}
    cloud.client("sqs").send_message(
        QueueUrl=cloud.physical_id("Inbox"), MessageBody="whole", MessageAttributes=attribute
    )
    (record,) = json.loads(taken(cloud, "whole")[-1])
    assert (record["eventSource"], record["awsRegion"]) == ("aws:sqs", "us-east-1")
    assert record["eventSourceARN"].endswith(cloud.physical_id("Inbox").rpartition("/")[2])
    assert record["messageAttributes"]["colour"]["stringValue"] == "green"
    assert {"SentTimestamp", "ApproximateReceiveCount"} <= set(record["attributes"])


def test_only_a_message_reported_as_failed_is_redelivered_and_then_moved_to_the_dlq(cloud: LaptopCloud) -> None:
    send(cloud, "good", "bad")
    assert taken(cloud, "bad", "Dead") == ["bad"]
    send(cloud, "finish")
    seen = [message for batch in batches(cloud, "finish") for message in batch]
    assert sorted(seen) == [("bad", "1"), ("bad", "2"), ("finish", "1"), ("good", "1")]


@pytest.mark.parametrize("how", ["crash", "nonsense"])
def test_a_failure_that_names_no_message_fails_the_whole_batch(cloud: LaptopCloud, how: str) -> None:
    send(cloud, how, f"with {how}")
    dead = taken(cloud, how, "Dead")
    dead += taken(cloud, "", "Dead") if len(dead) < 2 else []
    assert sorted(dead) == sorted([how, f"with {how}"])
    send(cloud, f"after {how}")
    seen = [message for batch in batches(cloud, f"after {how}") for message in batch]
    assert seen.count((how, "2")) == seen.count((f"with {how}", "2")) == 1


def test_messages_are_received_and_deleted_with_the_function_s_role(cloud: LaptopCloud) -> None:
    calls = [json.loads(line) for line in (cloud.workdir / "api_calls.jsonl").read_text().splitlines()]
    by_role = {call["action"] for call in calls if call["principal"] == "TakerRole" and call["service"] == "sqs"}
    assert {"ReceiveMessage", "DeleteMessage"} <= by_role
