"""Records of a stream and their lines, at the borders of what is accepted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fanout.stream_records import ProviderAttribute, json_line, restored, stream_records

ATTRIBUTE = ProviderAttribute(("pk",))
CHANGE = {"eventID": "e1", "dynamodb": {"SequenceNumber": "12", "Keys": {"pk": {"S": "acme"}}}}


def in_kinesis(data: str) -> dict[str, Any]:
    return {"Records": [{"eventID": "shard:7", "kinesis": {"sequenceNumber": "7", "data": data}}]}


def provider(event: dict[str, Any]) -> str | None:
    (record,) = stream_records(event, ATTRIBUTE)
    return record.provider


def test_the_data_of_a_kinesis_record_must_be_base64_and_nothing_else() -> None:
    data = base64.b64encode(json.dumps(CHANGE).encode()).decode()

    assert provider(in_kinesis(data)) == "acme"
    assert provider(in_kinesis(f"{data[:8]}!{data[8:]}")) is None


@pytest.mark.parametrize("event_id", ["", None, 7])
def test_a_change_without_an_event_id_has_no_provider(event_id: object) -> None:
    data = base64.b64encode(json.dumps({**CHANGE, "eventID": event_id}).encode()).decode()

    assert provider(in_kinesis(data)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"eventID": ""},
        {"eventID": 7},
        {"dynamodb": {"SequenceNumber": ""}},
        {"dynamodb": {"SequenceNumber": 7}},
        {"dynamodb": {"SequenceNumber": "\u0663"}},
        {"dynamodb": {"SequenceNumber": "1e3"}},
    ],
    ids=str,
)
def test_a_line_without_a_text_as_id_and_digits_as_sequence_is_not_of_the_producer(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a line of the producer"):
        restored(json.dumps({**CHANGE, **changed}).encode())


def test_a_line_is_the_same_for_the_same_value_in_another_order() -> None:
    assert json_line({"b": 1, "a": {"d": 2, "c": 3}}) == json_line({"a": {"c": 3, "d": 2}, "b": 1})
    assert json_line({"b": 1, "a": "\udc00"}) == b'{"a":"\\udc00","b":1}'
