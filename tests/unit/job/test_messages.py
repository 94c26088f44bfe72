"""A change becomes CloudEvents messages that the target accepts, with ids that never change."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job.changes import Change, Payload, parse_change
from fanout_job.errors import MessageTooLargeError, RecordError, TransformError
from fanout_job.messages import MessageMaker, Transform, sendable
from fanout_job.settings import Settings
from tests.unit.job.records import export, kinesis, line, stream

SETTINGS = Settings(
    provider="acme",
    run_id="run-1",
    manifest="s3://data/runs/manifest.json",
    run_dir="s3://data/runs/",
    queue_url="https://sqs.eu-west-1.amazonaws.com/1/q",
    env="dev",
    data_bucket="data",
)


class FakeS3:
    """Keeps the objects that are put."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803 - boto3's names
        self.objects[f"s3://{Bucket}/{Key}"] = Body


def unchanged(change: Change) -> Payload:
    return change.data


def maker(limit: int = 2**20, order: str = "none", transform: Transform = unchanged) -> MessageMaker:
    settings = Settings(**{**vars(SETTINGS), "message_order": order})
    return MessageMaker(settings, transform, limit, FakeS3())


def sent(change: Change, made_by: MessageMaker | None = None) -> list[dict[str, Any]]:
    made_by = made_by or maker()
    return [json.loads(made_by.message(draft).body) for draft in made_by.drafts(change, 0, 1)]


def test_a_message_is_a_cloud_event_with_exactly_these_attributes() -> None:
    [event] = sent(parse_change(line(stream()), "x"))
    assert event == {
        "specversion": "1.0",
        "id": "c4ca4238a0b923820dcc509a6f75849b",
        "source": "/glue-fanout/dev/change_log/acme",
        "type": "dynamodb.modify",
        "time": "2015-04-09T00:00:00Z",
        "subject": '{"pk":"a","sk":7}',
        "datacontenttype": "application/json",
        "provider": "acme",
        "sequence": "4421584500000000017450439091",
        "data": {
            "table": "orders",
            "keys": {"pk": "a", "sk": 7},
            "new": {"pk": "a", "sk": 7, "price": 1.5},
            "old": {"pk": "a", "sk": 7, "price": 1.25},
        },
    }


@pytest.mark.parametrize("record", [kinesis(), export()])
def test_without_a_sequence_number_there_is_no_sequence(record: dict[str, Any]) -> None:
    [event] = sent(parse_change(line(record), "x"))
    assert "sequence" not in event


@pytest.mark.parametrize(
    ("returned", "ids"),
    [
        (None, []),
        ([], []),
        ({"a": 1}, ["e"]),
        ([{"a": 1}], ["e"]),
        ([{"a": 1}, {"a": 2}], ["e-0", "e-1"]),
        (({"a": n} for n in range(3)), ["e-0", "e-1", "e-2"]),
    ],
)
def test_transform_may_return_none_one_or_many(returned: Any, ids: list[str]) -> None:
    change = parse_change(line({**stream(), "eventID": "e"}), "x")
    assert [event["id"] for event in sent(change, maker(transform=lambda change: returned))] == ids


class ForeignNumber:
    """A number of another library."""

    def is_finite(self) -> bool:
        return True


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        "text",
        [1],
        [{"a": {1, 2}}],
        {"a": object()},
        {"a": b"bytes"},
        {1: 2},
        [{"a": 1}, None],
        {"a": 2**70},
        {"a": Decimal("NaN")},
        {"a": Decimal("-Infinity")},
        {"a": ForeignNumber()},
    ],
)
def test_transform_may_not_return_values_without_a_json_form(wrong: Any) -> None:
    with pytest.raises(TransformError, match=r" at test_messages\.py:\d+$"):
        sent(parse_change(line(stream()), "x"), maker(transform=lambda change: wrong))


def test_an_error_of_transform_has_its_type_and_place_but_no_content() -> None:
    def broken(change: Change) -> Payload:
        raise KeyError(f"secret-canary {change.keys}")

    with pytest.raises(TransformError, match=r"KeyError at test_messages\.py:\d+") as caught:
        sent(parse_change(line(stream()), "x"), maker(transform=broken))
    assert "secret-canary" not in str(caught.value)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("error", [SystemExit(7), UnprintableError()], ids=["exit", "an error without a text"])
def test_whatever_transform_raises_is_an_error_of_the_row(error: BaseException) -> None:
    def broken(change: Change) -> Any:
        raise error

    with pytest.raises(TransformError, match=f"transform raised {type(error).__name__} at test_messages.py:"):
        sent(parse_change(line(stream()), "x"), maker(transform=broken))


def test_numbers_reach_the_message_with_all_their_digits() -> None:
    digits = "1234567890123456789.0123456789012345678"
    change = parse_change(line(stream(NewImage={"n": {"N": digits}, "i": {"N": "9" * 38}})), "x")
    made_by = maker()
    body = made_by.message(made_by.drafts(change, 0, 1)[0]).body
    assert f'"n":{digits}' in body
    assert f'"i":{"9" * 38}' in body


REFUSED = [chr(c) for c in range(0x20) if chr(c) not in "\t\n\r"] + ["\ufffe", "\uffff"]


def taken_by_sqs(text: str) -> bool:
    """The characters that SQS accepts: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""
    return all(
        c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or "\U00010000" <= c <= "\U0010ffff"
        for c in text
    )


@given(st.text(st.one_of(st.sampled_from(REFUSED), st.characters(exclude_categories=["Cs"]))))
def test_characters_sqs_refuses_are_escaped_and_arrive(text: str) -> None:
    change = parse_change(line(stream(Keys={"pk": {"S": text}}, NewImage={text: {"S": text}})), "x")
    made_by = maker()
    message = made_by.message(made_by.drafts(change, 0, 1)[0])
    assert taken_by_sqs(message.body)
    assert message.size == len(message.body.encode())
    event = json.loads(message.body)
    assert event["data"]["new"] == {text: text}
    assert json.loads(event["subject"]) == {"pk": text}


def test_bytes_without_refused_characters_stay_as_they_are() -> None:
    body = '{"a":"\uffef ﷐ ok"}'.encode()
    assert sendable(body) == body


def test_a_message_over_the_limit_becomes_a_claim_check_with_all_its_content() -> None:
    made_by = maker(limit=2_000)
    change = parse_change(line(stream(NewImage={"big": {"S": "x" * 3_000}})), "x")
    [event] = sent(change, made_by)
    assert "data" not in event
    assert event["dataref"].startswith("s3://data/claim-check/provider=acme/")
    stored = json.loads(made_by.s3.objects[event["dataref"]])
    assert stored["new"] == {"big": "x" * 3_000}
    assert sent(change, made_by) == [event], "a repetition names the same claim check"


def test_a_message_exactly_at_the_limit_is_sent_whole() -> None:
    change = parse_change(line(stream()), "x")
    size = maker().message(maker().drafts(change, 0, 1)[0]).size
    assert "data" in sent(change, maker(limit=size))[0]
    assert "dataref" in sent(change, maker(limit=size - 1))[0]


def test_the_message_of_a_claim_check_may_be_exactly_at_the_limit() -> None:
    change = parse_change(line(stream(NewImage={"big": {"S": "x" * 3_000}})), "x")
    size = maker(limit=2_000).message(maker().drafts(change, 0, 1)[0]).size
    assert "dataref" in sent(change, maker(limit=size))[0]
    with pytest.raises(MessageTooLargeError, match=f"too large even without its data: {size} bytes"):
        sent(change, maker(limit=size - 1))


def test_keys_alone_over_the_limit_are_a_typed_error() -> None:
    with pytest.raises(MessageTooLargeError):
        sent(parse_change(line(stream(Keys={"pk": {"S": "x" * 3_000}})), "x"), maker(limit=2_000))


def test_messages_of_one_key_share_a_group_and_are_ordered_by_sequence_number() -> None:
    made_by = maker(order="key")
    changes = [parse_change(line(stream(SequenceNumber=n)), "x") for n in ("9", "10", "100000000000000000000001")]
    messages = [made_by.message(made_by.drafts(change, 0, 1)[0]) for change in changes]
    assert len({message.group for message in messages}) == 1
    assert sorted(messages, key=lambda message: message.position) == messages
    other = parse_change(line(stream(Keys={"pk": {"S": "b"}})), "x")
    assert made_by.message(made_by.drafts(other, 0, 1)[0]).group != messages[0].group


@pytest.mark.parametrize("order", ["none", "key"])
def test_only_ordered_messages_have_a_group_and_a_position(order: str) -> None:
    made_by = maker(order=order)
    message = made_by.message(made_by.drafts(parse_change(line(stream(SequenceNumber="9")), "x"), 4, 2)[0])

    group = hashlib.sha256(b'{"pk":"a","sk":7}').hexdigest()[:32]
    assert (message.group, message.position) == (
        ("", ()) if order == "none" else (group, (9, 1_428_537_600_000_000, 4, 2))
    )


@pytest.mark.fault(55)
def test_several_messages_of_one_row_keep_the_order_in_which_transform_returns_them() -> None:
    made_by = maker(order="key", transform=lambda change: [{"n": n} for n in range(12)])
    first = parse_change(line(stream(SequenceNumber="1") | {"eventID": "first"}), "x")
    second = parse_change(line(stream(SequenceNumber="2") | {"eventID": "second"}), "x")

    drafts = [*made_by.drafts(second, 0, 1), *made_by.drafts(first, 0, 2)]
    messages = sorted((made_by.message(draft) for draft in reversed(drafts)), key=lambda message: message.position)

    events = [json.loads(message.body) for message in messages]
    assert [(event["sequence"], event["data"]["n"]) for event in events] == [(s, n) for s in "12" for n in range(12)]
    assert len({event["id"] for event in events}) == 24
    assert len({message.group for message in messages}) == 1


@pytest.mark.fault(55)
def test_without_a_sequence_number_time_decides_and_then_the_place_in_the_manifest() -> None:
    made_by = maker(order="key")

    def position(micros: int, index: int, number: int) -> Any:
        record = kinesis()
        record["dynamodb"] |= {
            "ApproximateCreationDateTime": micros,
            "ApproximateCreationDateTimePrecision": "MICROSECOND",
        }
        return made_by.drafts(parse_change(line(record), "x"), index, number)[0].position

    second = 1_700_000_000_000_000
    expected = [
        position(second, 5, 9),
        position(second + 1, 0, 1),
        position(second + 1, 0, 2),
        position(second + 1, 1, 1),
    ]
    assert sorted(expected) == expected
    assert len(set(expected)) == 4


def test_without_a_time_there_is_no_time() -> None:
    [event] = sent(parse_change(line(stream(ApproximateCreationDateTime=None)), "x"))
    assert "time" not in event


def test_keys_nested_too_deeply_for_json_are_a_bad_record() -> None:
    deep: dict[str, Any] = {"S": "x"}
    for _ in range(280):
        deep = {"M": {"a": deep}}
    with pytest.raises(RecordError, match="Keys that are nested too deeply"):
        sent(parse_change(line(stream(Keys={"a": deep})), "x"))


def test_nesting_deeper_than_any_item_is_a_typed_error() -> None:
    """From the parser or the message writer: which of them fails first depends on the Python version."""
    raw = line(stream(NewImage={"a": {"S": "deep"}})).replace(
        b'{"S": "deep"}', b'{"L":[' * 480 + b'{"S":"x"}' + b"]}" * 480
    )
    with pytest.raises(RecordError, match="deep"):
        sent(parse_change(raw, "x"))


def test_the_limit_of_a_target_is_in_bytes_and_not_in_characters() -> None:
    change = parse_change(line(stream(NewImage={"text": {"S": "\u20ac" * 400}})), "x")
    plain = maker().message(maker().drafts(change, 0, 1)[0])
    assert len(plain.body) < plain.size

    [event] = sent(change, maker(limit=plain.size - 1))

    assert "dataref" in event


@pytest.mark.parametrize("character", ["\ufffe", "\uffff"])
def test_characters_that_sqs_refuses_are_escaped(character: str) -> None:
    change = parse_change(line(stream(NewImage={"text": {"S": f"a{character}b"}})), "x")
    made_by = maker()

    [message] = [made_by.message(draft) for draft in made_by.drafts(change, 0, 1)]

    assert character not in message.body
    assert f"a{character}b" in json.dumps(json.loads(message.body), ensure_ascii=False)
