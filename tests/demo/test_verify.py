"""The comparison of messages and rows that decides whether `make run` succeeded."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections import Counter
from typing import Any

import pytest

from demo.verify import Comparison, Messages, compare, drain, expected_ids, lines_of, row_ids


def messages(*ids: str) -> Messages:
    return Counter(ids)


class Queue:
    """SQS: at most ten messages in one answer, each until it is deleted."""

    def __init__(self, bodies: list[dict[str, str]]) -> None:
        self.left = {str(number): json.dumps(body) for number, body in enumerate(bodies)}

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int) -> dict[str, Any]:  # noqa: N803
        assert MaxNumberOfMessages <= 10
        found = list(self.left.items())[:MaxNumberOfMessages]
        return {"Messages": [{"ReceiptHandle": handle, "Body": body} for handle, body in found]} if found else {}

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> None:  # noqa: N803
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        for entry in Entries:
            del self.left[entry["ReceiptHandle"]]


class Bucket:
    """S3 with a few objects, each on a page of its own."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get_paginator(self, operation: str) -> Bucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803
        found = [{"Contents": [{"Key": key}]} for key in self.objects if key.startswith(Prefix)]
        return [*found, {}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Key])}


def test_one_message_per_row_is_ok() -> None:
    (found,) = compare({"p": ["1", "2"]}, {"p": messages("2", "1")}).values()
    assert found.ok
    assert (found.rows, found.messages, found.distinct) == (2, 2, 2)


def test_each_difference_is_counted_and_not_ok() -> None:
    assert compare({"p": ["1", "2"]}, {"p": messages("1")})["p"].missing == 1
    assert compare({"p": ["1"]}, {"p": messages("1", "1")})["p"].repeated == 1
    assert compare({"p": ["1"]}, {"p": messages("1", "2")})["p"].unexpected == 1
    assert compare({}, {"q": messages("1")})["q"].unexpected == 1
    swapped = compare({"p": ["1"], "q": ["2"]}, {"p": messages("2"), "q": messages("1")})
    assert not any(found.ok for found in swapped.values())
    for wrong in (messages("1"), messages("1", "1"), messages("1", "3"), messages()):
        assert not compare({"p": ["1", "2"]}, {"p": wrong})["p"].ok


def test_the_id_of_a_row_is_its_event_id_or_made_from_object_and_line() -> None:
    lines = [b'{"eventID": "e"}', b"", b'{"Keys": {}}', b"  "]
    made = hashlib.sha256(b'log/key\n3\n{"Keys": {}}').hexdigest()[:32]
    assert row_ids(lines, "log/key") == ["e", made]


@pytest.mark.parametrize(
    ("counts", "ok"),
    [
        ((2, 2, 2, 0, 0, 0), True),
        ((3, 2, 2, 0, 0, 0), False),
        ((2, 3, 2, 0, 0, 0), False),
        ((2, 2, 2, 1, 0, 0), False),
        ((2, 2, 2, 0, 1, 0), False),
        ((2, 2, 2, 0, 0, 1), False),
    ],
)
def test_any_count_that_differs_is_not_ok(counts: tuple[int, ...], ok: bool) -> None:
    assert Comparison(*counts).ok is ok


def test_all_messages_of_a_queue_are_counted_returned_and_deleted() -> None:
    sent = [{"provider": f"p{number % 2}", "id": str(number // 3)} for number in range(25)]
    queue, counted = Queue(sent), dict[str, Messages]()

    found = drain(queue, "url", counted, consumers=1)

    assert found == sent
    assert counted == {name: Counter(body["id"] for body in sent if body["provider"] == name) for name in ("p0", "p1")}
    assert queue.left == {}


def test_the_rows_of_damaged_and_ignored_objects_need_no_message() -> None:
    row = b'{"eventID": "e"}'
    bucket = Bucket(
        {
            "log/provider=a/1.json": b"\xef\xbb\xbf" + row,
            "log/provider=a/2.json.gz": gzip.compress(b'{"Keys": {}}\n'),
            "log/provider=a/ignored.md5": row,
            "log/provider=b/damaged.json.gz": gzip.compress(row)[:-9],
            "other/provider=c/1.json": row,
        }
    )

    assert expected_ids(bucket, "data", "log", {"provider=a/ignored.md5"}) == {"a": ["e", hashed(bucket)], "b": []}
    assert lines_of(b"a\nb") == [b"a", b"b"]


def hashed(bucket: Bucket) -> str:
    """The id of the row without an event id."""
    key = "log/provider=a/2.json.gz"
    return hashlib.sha256(b"%b\n1\n%b" % (key.encode(), gzip.decompress(bucket.objects[key]).strip())).hexdigest()[:32]
