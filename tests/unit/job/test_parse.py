"""A line becomes the change it says it is, or a typed error."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from fanout_job.changes import parse_change
from fanout_job.errors import RecordError
from tests.unit.job.records import NEW, OLD, export, kinesis, line, stream

PLAIN_KEYS = {"pk": "a", "sk": 7}
PLAIN_NEW = {**PLAIN_KEYS, "price": Decimal("1.50")}
PLAIN_OLD = {**PLAIN_KEYS, "price": Decimal("1.25")}


@pytest.mark.parametrize(("event", "operation"), [("INSERT", "insert"), ("MODIFY", "modify"), ("REMOVE", "remove")])
def test_a_stream_record_keeps_its_id_sequence_and_table(event: str, operation: str) -> None:
    change = parse_change(line(stream(event)), "fallback")
    assert change.id == "c4ca4238a0b923820dcc509a6f75849b"
    assert change.operation == operation
    assert change.sequence == "4421584500000000017450439091"
    assert change.table == "orders"
    assert change.time == "2015-04-09T00:00:00Z"
    assert (change.keys, change.new, change.old) == (PLAIN_KEYS, PLAIN_NEW, PLAIN_OLD)
    assert not change.expired


@pytest.mark.parametrize("event", ["INSERT", "MODIFY", "REMOVE"])
@pytest.mark.parametrize(
    ("new", "old"),
    [(None, None), (NEW, None), (None, OLD), (NEW, OLD)],
    ids=["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"],
)
def test_either_image_may_be_missing_for_any_event(event: str, new: Any, old: Any) -> None:
    change = parse_change(line(stream(event, NewImage=new, OldImage=old)), "fallback")
    assert change.new == (PLAIN_NEW if new else None)
    assert change.old == (PLAIN_OLD if old else None)
    assert set(change.data) == {"table", "keys"} | ({"new"} if new else set()) | ({"old"} if old else set())


def test_a_kinesis_record_has_a_table_but_no_sequence() -> None:
    change = parse_change(line(kinesis()), "fallback")
    assert (change.table, change.sequence) == ("orders", None)
    assert change.id == "0f5b8e4a-1c3d-4a6e-9a64-3f8f8f1f1f1f"


@pytest.mark.parametrize(
    ("precision", "moment", "time"),
    [
        ("MICROSECOND", 1700000000123456, "2023-11-14T22:13:20.123456Z"),
        ("MILLISECOND", 1700000000123, "2023-11-14T22:13:20.123000Z"),
        (None, 1700000000123, "2023-11-14T22:13:20.123000Z"),
    ],
)
def test_kinesis_times_are_read_in_their_precision(precision: str | None, moment: int, time: str) -> None:
    assert parse_change(line(kinesis(precision=precision, moment=moment)), "x").time == time


def test_a_stream_time_written_as_a_float_is_exact() -> None:
    raw = line(stream()).replace(b"1428537600", b"1.4285376E9")
    assert parse_change(raw, "x").time == "2015-04-09T00:00:00Z"


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("new", "old", "operation"),
    [(True, False, "upsert"), (True, True, "modify"), (False, True, "remove"), (False, False, "remove")],
)
def test_the_operation_of_an_export_record_follows_from_its_images(new: bool, old: bool, operation: str) -> None:
    change = parse_change(line(export(new, old)), "object-3")
    assert change.operation == operation
    assert change.id == "object-3"
    assert change.time == "2023-03-29T17:09:24Z"
    assert (change.table, change.sequence) == (None, None)


def test_an_export_time_may_be_a_bare_number() -> None:
    assert parse_change(line(export(written=1680109764000001)), "x").time == "2023-03-29T17:09:24.000001Z"


@pytest.mark.parametrize("names", [("type", "principalId"), ("Type", "PrincipalId")])
def test_a_deletion_by_ttl_is_recognized(names: tuple[str, str]) -> None:
    record = stream("REMOVE") | {"userIdentity": {names[0]: "Service", names[1]: "dynamodb.amazonaws.com"}}
    assert parse_change(line(record), "x").expired


@pytest.mark.parametrize(
    "identity",
    [None, {}, {"type": "Service", "principalId": "someone else"}, "principalId", 7, ["principalId"]],
    ids=str,
)
def test_a_deletion_by_another_principal_is_not_by_ttl(identity: Any) -> None:
    assert parse_change(line(stream("REMOVE") | {"userIdentity": identity}), "x").expired is False


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"[1]", "no change record"),
        (b"17", "no change record"),
        (b'{"a": 1}', "no change record"),
        (b'{"Item": {}}', "full export"),
        (line(stream("UPSERT")), "eventName"),
        (line(without(stream(), "eventName")), "eventName"),
        (line(stream(Keys=None)).replace(b'"dynamodb": {', b'"dynamodb": {"a": 1, '), "no Keys"),
        (line(stream(Keys={})), "no Keys"),
        (line(without(export(), "Keys")), "no Keys"),
        (line({**stream(), "dynamodb": []}), "dynamodb"),
        (line(stream(ApproximateCreationDateTime="soon")), "ApproximateCreationDateTime"),
        (line(stream(ApproximateCreationDateTime=True)), "ApproximateCreationDateTime"),
        (line(stream(ApproximateCreationDateTime=10**17)), "year"),
        (line(stream()).replace(b"1428537600", b"1e300"), "year"),
        (line(stream()).replace(b"1428537600", b"1e308"), "is not a time"),
        (line(kinesis(precision="FORTNIGHT")), "ApproximateCreationDateTime"),
        (line(export(written={"N": "soon"})), "WriteTimestampMicros"),
        (line(export(written=1.5)), "WriteTimestampMicros"),
        (line(stream(SequenceNumber=12345678901234567890123)), "SequenceNumber"),
        (line(stream(SequenceNumber="12a")), "SequenceNumber"),
        (line(stream(SequenceNumber="1" * 5_000)), "SequenceNumber"),
        *(
            (line(stream(NewImage={"a": {"N": number}})), says)
            for number, says in [
                ("1E+99999999999999999999", "an N that is not a number"),
                ("1" * 5_000, "an N that is not a number"),
                ("9" * 39, "outside DynamoDB's range"),
                ("0." + "1" * 39, "outside DynamoDB's range"),
                ("1E+126", "outside DynamoDB's range"),
                ("1e-131", "outside DynamoDB's range"),
            ]
        ),
        (line({**stream(), "eventID": 5}), "eventID"),
        (line(stream(NewImage=[1])), "not a JSON object"),
        (line(stream(NewImage={"a": {"S": "x", "N": "1"}})), "one DynamoDB type"),
        (line(stream(NewImage={"a": {"X": "1"}})), "unknown to DynamoDB"),
        (line(stream(NewImage={"a": {"S": 1}})), "does not fit its type"),
        (line(stream(NewImage={"a": {"NULL": False}})), "does not fit its type"),
        (line(stream(NewImage={"a": 12345678901234567890123})), "one DynamoDB type"),
        (b'{"dynamodb": "\xff"}', "not JSON"),
        (rb'{"dynamodb": "\ud800"}', "not JSON"),
        (b"\xef\xbb\xbf" + line(stream()), "not JSON"),
        (line(stream()) + line(stream()), "AppendDelimiterToRecord"),
    ],
)
def test_a_line_that_is_no_change_record_is_a_typed_error(raw: bytes, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        parse_change(raw, "x")


def test_the_last_of_duplicate_keys_counts() -> None:
    raw = line(stream()).replace(b'"eventName": "MODIFY"', b'"eventName": "INSERT", "eventName": "REMOVE"')
    assert parse_change(raw, "x").operation == "remove"


def test_errors_never_show_the_content_of_a_row() -> None:
    for mutate in (
        lambda text: text.replace('"S": "a"', '"S": ["secret-canary"]'),
        lambda text: text.replace('"S": "a"', '"secret-canary": "a"'),
        lambda text: text.replace('"1.50"', '"secret-canary"'),
        lambda text: text[:-20] + "secret-canary",
        lambda text: text.replace('"MODIFY"', '"secret-canary"'),
    ):
        with pytest.raises(RecordError) as caught:
            parse_change(mutate(json.dumps(stream())), "x")
        assert "secret-canary" not in repr(caught.value) + str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_record_without_a_time_has_no_time() -> None:
    change = parse_change(line(stream(ApproximateCreationDateTime=None)), "x")
    assert (change.time, change.micros) == (None, 0)


def test_a_stream_record_without_an_id_gets_the_fallback() -> None:
    assert parse_change(line(without(stream(), "eventID")), "fallback").id == "fallback"


@pytest.mark.parametrize(
    ("changed", "table"),
    [
        ({"tableName": "named"}, "named"),
        ({"eventSourceARN": "arn:aws:dynamodb:eu-west-1:1:table/orders"}, "orders"),
        ({"eventSourceARN": "arn:aws:dynamodb"}, None),
        ({"eventSourceARN": None}, None),
    ],
)
def test_the_table_of_a_stream_record_is_its_name_or_else_from_its_arn(changed: Any, table: str | None) -> None:
    change = parse_change(line(stream() | changed), "x")

    assert change.table == table
    assert ("table" in change.data) is (table is not None)


@pytest.mark.parametrize(("sequence", "accepted"), [("9" * 40, True), ("9" * 41, False), ("\u0663", False), (7, False)])
def test_a_sequence_number_has_at_most_40_ascii_digits(sequence: Any, accepted: bool) -> None:
    raw = line(stream(SequenceNumber=sequence))
    if accepted:
        assert parse_change(raw, "x").sequence == sequence
    else:
        with pytest.raises(RecordError, match="SequenceNumber that is not a string of at most 40 digits"):
            parse_change(raw, "x")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("\u0663", "not a number"),
        ("9" * 18, "outside the years 1 to 9999"),
        ("9" * 19, "not a number"),
        (None, "not a number"),
    ],
)
def test_the_time_of_an_export_record_is_a_number_of_microseconds(written: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        parse_change(line(export(written={"N": written})), "x")


def test_an_export_record_has_no_table_no_sequence_and_no_expiry() -> None:
    change = parse_change(line(export()), "fallback")

    assert (change.id, change.table, change.sequence, change.expired) == ("fallback", None, None, False)
    assert set(change.data) == {"keys", "new", "old"}


@pytest.mark.parametrize(
    "number",
    [
        "9" * 38,
        "-" + "9" * 38 + "E+88",
        "1E-130",
        "9.99e125",
        "0" * 100,
        "0.0",
        "1" + "0" * 125,
        "0." + "0" * 129 + "1",
    ],
)
def test_a_number_in_the_range_of_dynamodb_is_exact(number: str) -> None:
    assert parse_change(line(stream(NewImage={"a": {"N": number}})), "x").new == {"a": Decimal(number)}
