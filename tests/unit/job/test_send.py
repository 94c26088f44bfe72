"""Messages are sent in batches that the service accepts, and only confirmed entries count as sent."""

from __future__ import annotations

import json
from collections import deque
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.manifest import PlannedObject
from fanout_job.lambda_run import Spool
from fanout_job.messages import Message
from fanout_job.objects import grouped
from fanout_job.sender import batches, one_of_each_group
from fanout_job.targets import EventBusTarget, QueueTarget, TopicTarget, deduplication_id, error_code, is_passing


def message(name: str = "m", size: int = 10, group: str = "g", position: tuple[int, ...] = ()) -> Message:
    return Message(name, "x" * size, size, "dynamodb.insert", group, position)


@given(st.lists(st.integers(1, 100), max_size=60))
def test_batches_have_at_most_ten_messages_within_the_limit_and_lose_none(sizes: list[int]) -> None:
    messages = [message(str(n), size) for n, size in enumerate(sizes)]
    made = list(batches(messages, 100, 10))
    assert [m for batch in made for m in batch] == messages
    assert all(1 <= len(batch) <= 10 and sum(m.size for m in batch) <= 100 for batch in made)


def test_no_batch_has_more_than_ten_however_small_they_are() -> None:
    assert [len(batch) for batch in batches([message(str(n), 1) for n in range(25)], 1_000, 10)] == [10, 10, 5]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([50, 50], [[50, 50]]),
        ([50, 51], [[50], [51]]),
        ([100, 50, 50], [[100], [50, 50]]),
        ([101, 100], [[101], [100]]),
        ([], []),
    ],
)
def test_a_batch_may_have_exactly_the_limit(sizes: list[int], expected: list[list[int]]) -> None:
    messages = [message(str(n), size, group=str(n)) for n, size in enumerate(sizes)]
    waiting, ordered = deque(messages), []
    while waiting:
        ordered.append(one_of_each_group(waiting, 100, 10))

    for made in (list(batches(messages, 100, 10)), ordered):
        assert [[one.size for one in batch] for batch in made] == expected


def test_a_message_that_a_full_batch_skipped_is_sent_before_later_ones_of_its_group() -> None:
    groups = "aabcdefghijkla"
    waiting = deque(message(f"{group}{place}", 1, group) for place, group in enumerate(groups))

    first = one_of_each_group(waiting, 1_000, 10)

    assert len(first) == 10
    assert [m.id for m in waiting if m.group == "a"] == ["a1", "a13"]


def test_of_two_messages_with_one_id_both_are_sent() -> None:
    """Two records may say that they are the same event; the queue is not told what one of them said."""
    assert [[m.id for m in batch] for batch in batches([message("a"), message("a")], 100, 10)] == [["a", "a"]]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60)), min_size=1, max_size=30))
def test_an_ordered_batch_has_only_the_first_message_of_each_group(waiting: list[tuple[str, int]]) -> None:
    messages = [message(str(n), size, group) for n, (group, size) in enumerate(waiting)]
    left, sent = deque(messages), []
    while left:
        batch = one_of_each_group(left, 100, 10)
        assert 1 <= len(batch) <= 10
        assert len({m.group for m in batch}) == len(batch)
        assert sum(m.size for m in batch) <= 100
        sent += batch
    for group in "abc":
        assert [m for m in sent if m.group == group] == [m for m in messages if m.group == group]


def test_only_entries_that_the_queue_names_as_successful_count_as_sent() -> None:
    batch = [message(str(n)) for n in range(4)]
    answer = {"Successful": [{"Id": "0"}], "Failed": [{"Id": "2", "SenderFault": False, "Code": "InternalError"}]}
    taken = QueueTarget("http://q", "acme").read_answer(json.dumps(answer).encode(), batch)
    assert [m.id for m in taken.accepted] == ["0"]
    assert [m.id for m in taken.again] == ["1", "2", "3"], "an entry that the answer does not mention is sent again"
    assert taken.refused is None


@pytest.mark.parametrize(("code", "refused"), [("InvalidMessageContents", True), ("RequestThrottled", False)])
def test_a_sender_fault_is_permanent_unless_it_is_throttling(code: str, refused: bool) -> None:
    answer = {"Failed": [{"Id": "0", "SenderFault": True, "Code": code}]}
    assert (
        bool(QueueTarget("http://q", "acme").read_answer(json.dumps(answer).encode(), [message()]).refused) == refused
    )


def test_a_fifo_queue_gets_group_and_deduplication_id() -> None:
    _, body = QueueTarget("http://q.fifo", "acme").request([message("id-1", group="abc")])
    [entry] = json.loads(body)["Entries"]
    assert (entry["MessageGroupId"], entry["MessageDeduplicationId"]) == ("abc", "id-1")


def test_a_standard_queue_gets_the_provider_as_the_group_so_that_it_is_fair() -> None:
    _, body = QueueTarget("http://q", "acme").request([message("id-1"), message("id-2")])
    entries = json.loads(body)["Entries"]
    assert [entry["MessageGroupId"] for entry in entries] == ["acme", "acme"]
    assert not [entry for entry in entries if "MessageDeduplicationId" in entry]


@pytest.mark.parametrize("id_", ["a" * 129, "with space", "ü", ""])
def test_ids_that_fifo_queues_do_not_allow_are_hashed(id_: str) -> None:
    assert len(deduplication_id(id_)) == 64


def test_a_topic_gets_form_data_and_answers_in_xml() -> None:
    target = TopicTarget("arn:aws:sns:eu-west-1:123456789012:t.fifo", "acme")
    _, body = target.request([message("a"), message("b")])
    form = parse_qs(body.decode())
    assert form["PublishBatchRequestEntries.member.2.MessageDeduplicationId"] == ["b"]
    answer = b"""<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>
      <Failed><member><Id>1</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member></Failed>
      <Successful><member><Id>0</Id><MessageId>x</MessageId></member></Successful>
      </PublishBatchResult></PublishBatchResponse>"""
    taken = target.read_answer(answer, [message("a"), message("b")])
    assert ([m.id for m in taken.accepted], [m.id for m in taken.again]) == (["a"], ["b"])
    refused = answer.replace(b"false", b"true").replace(b"InternalError", b"InvalidParameter")
    assert target.read_answer(refused, [message("a"), message("b")]).refused == "InvalidParameter"


def test_an_event_bus_answers_by_position() -> None:
    target = EventBusTarget("arn:aws:events:eu-west-1:123456789012:event-bus/b", "acme")
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}, {"EventId": "x"}]}
    taken = target.read_answer(json.dumps(answer).encode(), [message("a"), message("b")])
    assert ([m.id for m in taken.accepted], [m.id for m in taken.again]) == (["b"], ["a"])
    assert taken.refused is None
    answer["Entries"][0] = {"ErrorCode": "MalformedDetail"}
    assert target.read_answer(json.dumps(answer).encode(), [message("a"), message("b")]).refused == "MalformedDetail"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"x"}', "RequestThrottled"),
        (b'{"__type":"ThrottlingException"}', "ThrottlingException"),
        (b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", "Throttling"),
        (b"<html>", "HTTP 400"),
    ],
)
def test_error_codes_are_found_in_json_and_xml(answer: bytes, code: str) -> None:
    assert error_code(400, answer) == code


def test_transient_and_permanent_errors_are_distinguished() -> None:
    assert all(
        map(
            is_passing,
            ["RequestThrottled", "ThrottlingException", "ExpiredToken", "ServiceUnavailable", "InternalError"],
        )
    )
    assert not any(
        map(is_passing, ["AccessDenied", "AWS.SimpleQueueService.NonExistentQueue", "InvalidMessageContents"])
    )


@given(st.lists(st.integers(0, 10**9), max_size=60), st.integers(1, 8))
def test_groups_have_every_object_once_and_are_balanced(sizes: list[int], groups: int) -> None:
    objects = [PlannedObject("b", str(n), size, "e", n) for n, size in enumerate(sizes)]
    made = grouped(objects, groups)
    assert sorted((o for group in made for o in group), key=lambda o: o.index) == objects
    assert all(group and group == sorted(group, key=lambda o: o.index) for group in made)
    if made:
        weights = [sum(o.size + 2**16 for o in group) for group in made]
        assert max(weights) - min(weights) <= max(sizes) + 2**16


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 40)), max_size=80))
def test_a_spool_sorts_more_than_it_holds(rows: list[tuple[int, int]]) -> None:
    spool = Spool(limit=100)
    for n, (position, size) in enumerate(rows):
        spool.add(message(str(n), size, position=(position, n)))
    found = list(spool)
    assert sorted(m.id for m in found) == sorted(str(n) for n in range(len(rows)))
    assert found == sorted(found, key=lambda m: m.position)


def test_a_spool_writes_a_file_when_it_holds_more_than_its_limit() -> None:
    spool, files = Spool(limit=100), []
    for n in range(6):
        spool.add(message(str(n), 50, position=(n,)))
        files.append(len(spool.files))

    assert files == [0, 0, 1, 1, 1, 2]


def test_a_spool_holds_many_messages_in_memory_by_default() -> None:
    spool = Spool()
    for n in range(20):
        spool.add(message(str(n), 1_000_000, position=(n,)))

    assert spool.files == []
