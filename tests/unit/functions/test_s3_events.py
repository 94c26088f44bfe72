"""Messages about new objects: S3's own, and in envelopes of SNS and EventBridge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.s3_events import (
    MAX_SIZE,
    OTHER_EVENT,
    UNREADABLE_EVENT,
    UNREADABLE_MESSAGE,
    NewObject,
    new_objects,
)

RECORD = {
    "eventName": "ObjectCreated:Put",
    "s3": {"bucket": {"name": "changes"}, "object": {"key": "log/a+b%2B%C3%A4", "size": 7}},
}
BARE = {"Records": [RECORD]}
EVENT_BRIDGE = {
    "version": "0",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "detail": {"bucket": {"name": "changes"}, "object": {"key": "log/a b+ä", "size": 7, "etag": "e"}},
}
FOUND = NewObject("changes", "log/a b+ä", 7)


def in_sns(message: Any) -> dict[str, Any]:
    """The envelope of SNS, without raw message delivery."""
    return {
        "Type": "Notification",
        "MessageId": "63a3f6b6-d533-4a47-aef9-fcf5cf758c76",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:objects",
        "Subject": "Amazon S3 Notification",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-22T07:29:00.000Z",
    }


def record(**changes: Any) -> dict[str, Any]:
    return {"Records": [{**RECORD, **changes}]}


@pytest.mark.fault(48)
def test_an_envelope_of_sns_without_a_message_is_no_message_of_s3() -> None:
    empty = {name: value for name, value in in_sns(BARE).items() if name != "Message"}

    assert list(new_objects(json.dumps(empty))) == [UNREADABLE_MESSAGE]


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    "message",
    [BARE, in_sns(BARE), EVENT_BRIDGE, in_sns(EVENT_BRIDGE), in_sns(in_sns(BARE))],
    ids=["bare", "SNS", "EventBridge", "EventBridge in SNS", "SNS in SNS"],
)
def test_an_event_is_read_in_every_envelope(message: dict[str, Any]) -> None:
    assert list(new_objects(json.dumps(message))) == [FOUND]


@pytest.mark.parametrize("name", ["ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload"])
def test_every_way_to_create_an_object_counts(name: str) -> None:
    assert list(new_objects(json.dumps(record(eventName=name)))) == [FOUND]


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[]", "null", '"x"', "7", "[" * 300, "{}", '{"Records": null}', '{"Records": []}'),
        *('{"Records": 7}', '{"Records": {"s3": 1}}', '{"Records": "x"}', '{"source": "aws.ec2", "detail-type": "x"}'),
        json.dumps(in_sns("not JSON")),
        json.dumps({**in_sns(""), "Message": None}),
        json.dumps({**in_sns(""), "Message": {"Records": [RECORD]}}),
        json.dumps(in_sns({"Records": None})),
        json.dumps({"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"}),
        *(None, 7, b"{}", {"Records": [RECORD]}),
    ],
)
def test_anything_else_is_counted_as_no_message_of_s3(body: Any) -> None:
    assert list(new_objects(body)) == [UNREADABLE_MESSAGE]


@pytest.mark.parametrize("event", [{"Service": "Amazon S3", "Event": "s3:TestEvent"}])
def test_the_test_message_of_s3_announces_nothing(event: dict[str, Any]) -> None:
    assert list(new_objects(json.dumps(event))) == []
    assert list(new_objects(json.dumps(in_sns(event)))) == []


@pytest.mark.parametrize(
    "message",
    [
        record(eventName="ObjectRemoved:Delete"),
        record(eventName="ObjectRestore:Completed"),
        {**EVENT_BRIDGE, "detail-type": "Object Deleted"},
        {**EVENT_BRIDGE, "detail-type": "AWS API Call via CloudTrail"},
        {**EVENT_BRIDGE, "detail-type": None},
    ],
)
def test_an_event_that_is_not_about_a_new_object_is_counted_as_such(message: dict[str, Any]) -> None:
    assert list(new_objects(json.dumps(message))) == [OTHER_EVENT]


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    "given_",
    [
        *(None, 1, "x", [], {}, {"s3": None}, {"s3": {}}, {"s3": {"bucket": {"name": "b"}, "object": {}}}),
        {"eventName": 7, "s3": RECORD["s3"]},
        {"s3": {"bucket": {}, "object": {"key": "k"}}},
        {"s3": {"bucket": {"name": "b"}, "object": {"key": 7}}},
        {"s3": {"bucket": {"name": "b"}, "object": {"key": "%FF"}}},
        {"s3": {"bucket": {"name": "b"}, "object": {"key": "\ud800"}}},
        {"s3": {"bucket": {"name": "b"}, "object": {"key": "k", "size": None}}},
        {"s3": {"bucket": {"name": "b"}, "object": {"key": "k", "size": float("inf")}}},
    ],
)
def test_an_unreadable_event_is_counted_and_the_others_are_read(given_: Any) -> None:
    body = json.dumps({"Records": [given_, RECORD]})

    assert list(new_objects(body)) == [UNREADABLE_EVENT, FOUND]


@pytest.mark.parametrize(
    "detail", [None, {}, {"object": {"key": "k"}}, {"bucket": {"name": "b"}, "object": {"key": 1}}]
)
def test_an_unreadable_event_of_event_bridge_is_counted(detail: Any) -> None:
    assert list(new_objects(json.dumps({**EVENT_BRIDGE, "detail": detail}))) == [UNREADABLE_EVENT]


@pytest.mark.parametrize(("size", "read"), [(-1, 0), ("12", 12), (10**300, MAX_SIZE), (True, 1)])
def test_a_wrong_size_fails_no_count(size: Any, read: int) -> None:
    body = record(s3={"bucket": {"name": "b"}, "object": {"key": "k", "size": size}})

    assert list(new_objects(json.dumps(body))) == [NewObject("b", "k", read)]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "Type", "Message", "source", "detail-type", "detail", "s3", "object", "key"]),
            inner | st.sampled_from(["Notification", "aws.s3", "Object Created"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_message_is_an_error(message: Any) -> None:
    for found in new_objects(json.dumps(message)):
        assert isinstance(found, NewObject) or found in (UNREADABLE_MESSAGE, UNREADABLE_EVENT, OTHER_EVENT)


@pytest.mark.parametrize(
    "message",
    [
        {"Type": "Other", "Message": json.dumps(BARE)},
        {"source": "aws.s3"},
        {"source": "aws.ec2", "detail-type": "Object Created", "detail": EVENT_BRIDGE["detail"]},
    ],
    ids=["another type of message of SNS", "an event without a type", "an event of another service"],
)
def test_a_message_that_only_looks_like_an_envelope_is_no_message_of_s3(message: Any) -> None:
    assert list(new_objects(json.dumps(message))) == [UNREADABLE_MESSAGE]


def test_a_message_that_is_nested_too_deeply_is_no_message_of_s3() -> None:
    assert list(new_objects("[" * 200_000)) == [UNREADABLE_MESSAGE]


def test_an_object_without_a_size_counts_as_empty() -> None:
    unsized = record(s3={"bucket": {"name": "changes"}, "object": {"key": "log/a"}})

    assert list(new_objects(json.dumps(unsized))) == [NewObject("changes", "log/a", 0)]
