"""Targets: their addresses, requests and answers."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from fanout_job.errors import SettingsError
from fanout_job.targets import (
    EventBusTarget,
    QueueTarget,
    StreamTarget,
    Target,
    TopicTarget,
    deduplication_id,
    target_of,
)
from tests.unit.job.records import SETTINGS
from tests.unit.job.test_send import message

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:t"
BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/b"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"


@pytest.mark.parametrize(
    ("address", "kind", "order", "region", "limit"),
    [
        (QUEUE, QueueTarget, "none", "eu-west-1", 1_048_576),
        (QUEUE + ".fifo", QueueTarget, "key", "eu-west-1", 1_048_576),
        ("http://localhost:4566/000000000000/q", QueueTarget, "none", None, 1_048_576),
        (TOPIC, TopicTarget, "none", "eu-west-1", 262_144),
        (TOPIC + ".fifo", TopicTarget, "key", "eu-west-1", 262_144),
        (BUS, EventBusTarget, "none", "eu-west-1", 261_120),
        (STREAM, StreamTarget, "none", "eu-west-1", 1_048_448),
        (STREAM, StreamTarget, "key", "eu-west-1", 1_048_448),
    ],
)
def test_an_address_has_a_target_with_its_region_and_limit(
    address: str, kind: type[Target], order: Any, region: str | None, limit: int
) -> None:
    target = target_of(replace(SETTINGS, queue_url=address, message_order=order, max_message_bytes=""))

    assert (type(target), target.region, target.limit) == (kind, region, limit)


@pytest.mark.parametrize(("given", "limit"), [("1000", 1000), ("2000000", 1_048_576)])
def test_a_smaller_limit_can_be_set(given: str, limit: int) -> None:
    assert target_of(replace(SETTINGS, queue_url=QUEUE, message_order="none", max_message_bytes=given)).limit == limit


@pytest.mark.parametrize(
    ("address", "order", "message"),
    [
        (QUEUE, "key", "this target allows only none;"),
        (QUEUE + ".fifo", "none", "this target allows only key;"),
        (BUS, "key", "this target allows only none;"),
        (TOPIC + ":subscription", "none", "--queue_url must be the URL of an SQS queue"),
        ("q", "none", "--queue_url must be the URL of an SQS queue"),
    ],
)
def test_an_address_without_a_target_or_with_another_order_is_refused(address: str, order: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        target_of(replace(SETTINGS, queue_url=address, message_order=order))


BATCH = [message("id-1", 3, group="aa"), message("id 2", 4, group="bb")]
HASHED = deduplication_id("id 2")
ENTRY = "PublishBatchRequestEntries.member."


def test_a_topic_gets_every_message_and_only_a_fifo_one_gets_groups() -> None:
    plain = {
        "Action": ["PublishBatch"],
        "Version": ["2010-03-31"],
        f"{ENTRY}1.Id": ["0"],
        f"{ENTRY}1.Message": ["xxx"],
        f"{ENTRY}2.Id": ["1"],
        f"{ENTRY}2.Message": ["xxxx"],
    }
    groups = {
        f"{ENTRY}1.MessageGroupId": ["aa"],
        f"{ENTRY}1.MessageDeduplicationId": ["id-1"],
        f"{ENTRY}2.MessageGroupId": ["bb"],
        f"{ENTRY}2.MessageDeduplicationId": [HASHED],
    }

    headers, body = TopicTarget(TOPIC, "acme").request(BATCH)
    _, ordered = TopicTarget(TOPIC + ".fifo", "acme").request(BATCH)

    assert headers == {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert parse_qs(body.decode()) == {**plain, "TopicArn": [TOPIC]}
    assert parse_qs(ordered.decode()) == {**plain, **groups, "TopicArn": [TOPIC + ".fifo"]}


def test_an_event_bus_gets_events() -> None:
    headers, body = EventBusTarget(BUS, "acme").request(BATCH[:1])

    assert headers["X-Amz-Target"] == "AWSEvents.PutEvents"
    event = {"EventBusName": BUS, "Source": "glue-fanout", "DetailType": "dynamodb.insert", "Detail": "xxx"}
    assert json.loads(body) == {"Entries": [event]}


def test_a_stream_gets_records_whose_partition_is_their_group_or_their_id() -> None:
    headers, body = StreamTarget(STREAM, "acme").request([BATCH[0], message("id 2", 4, group="")])

    assert headers["X-Amz-Target"] == "Kinesis_20131202.PutRecords"
    assert json.loads(body) == {
        "StreamARN": STREAM,
        "Records": [
            {"PartitionKey": "aa", "Data": base64.b64encode(b"xxx").decode()},
            {"PartitionKey": HASHED, "Data": base64.b64encode(b"xxxx").decode()},
        ],
    }


def topic_answer(entries: str) -> bytes:
    return f"<PublishBatchResponse><PublishBatchResult>{entries}</PublishBatchResult></PublishBatchResponse>".encode()


def test_a_stream_answers_by_position() -> None:
    answer: dict[str, Any] = {"Records": [{"ErrorCode": "InternalFailure"}, {"SequenceNumber": "7"}]}

    found = StreamTarget(STREAM, "acme").read_answer(json.dumps(answer).encode(), BATCH)

    assert (found.accepted, found.again, found.refused) == (BATCH[1:], BATCH[:1], None)


@pytest.mark.parametrize(
    ("failed", "refused"),
    [
        ({"SenderFault": False, "Code": "Odd"}, None),
        ({"Code": "Odd"}, None),
        ({"SenderFault": True, "Code": "RequestThrottled"}, None),
        ({"SenderFault": True, "Code": "Odd"}, "Odd"),
        ({"SenderFault": True}, "None"),
    ],
)
def test_only_a_fault_of_the_sender_is_permanent(failed: dict[str, Any], refused: str | None) -> None:
    answer = json.dumps({"Failed": [{"Id": "1", **failed}], "Successful": [{"Id": "0"}]}).encode()

    found = QueueTarget(QUEUE, "acme").read_answer(answer, BATCH)

    assert (found.accepted, found.again, found.refused) == (BATCH[:1], BATCH[1:], refused)


@pytest.mark.parametrize(
    ("failed", "refused"),
    [
        ("<SenderFault>false</SenderFault><Code>Odd</Code>", None),
        ("<Code>Odd</Code>", None),
        ("<SenderFault>true</SenderFault><Code>Throttled</Code>", None),
        ("<SenderFault>true</SenderFault><Code>Odd</Code>", "Odd"),
        ("<SenderFault>true</SenderFault><Code/>", ""),
    ],
)
def test_the_same_holds_for_a_topic(failed: str, refused: str | None) -> None:
    accepted = "<member><MessageId>x</MessageId></member><member><Id>0</Id></member>"
    answer = topic_answer(f"<Failed><member><Id>1</Id>{failed}</member></Failed><Successful>{accepted}</Successful>")

    found = TopicTarget(TOPIC, "acme").read_answer(answer, BATCH)

    assert (found.accepted, found.again, found.refused) == (BATCH[:1], BATCH[1:], refused)


def test_an_answer_without_entries_accepts_nothing() -> None:
    assert TopicTarget(TOPIC, "acme").read_answer(topic_answer("<Failed/><Successful/>"), BATCH).again == BATCH
    assert QueueTarget(QUEUE, "acme").read_answer(b'{"Failed": null}', BATCH).again == BATCH
    with pytest.raises(ValueError, match="not XML"):
        TopicTarget(TOPIC, "acme").read_answer(b"{}", BATCH)


@pytest.mark.parametrize(("length", "hashed"), [(1, False), (128, False), (129, True)])
def test_an_id_of_up_to_128_characters_is_kept(length: int, hashed: bool) -> None:
    assert (deduplication_id("a" * length) != "a" * length) == hashed
