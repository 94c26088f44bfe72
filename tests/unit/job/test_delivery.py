"""A task of the change-log job: drafts, records that Glue has read, and hints at other formats."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fanout_job.changes import parse_change
from fanout_job.delivery import Delivery
from tests.unit.job import test_unreadable_objects
from tests.unit.job.records import SETTINGS, export, line, stream
from tests.unit.job.test_send import message
from tests.unit.job.test_sender import Queue, queue
from tests.unit.job.test_unreadable_objects import Store, delivered, planned

__all__ = ["queue"]


@pytest.fixture
def task() -> Callable[[str], Any]:
    """Make a task with an S3 in memory."""

    def made(on_bad_record: str = "fail") -> Delivery:
        made = Delivery(replace(SETTINGS, on_bad_record=on_bad_record), lambda change: change.data)
        made.s3 = made.maker.s3 = Store({})
        return made

    return made


def test_the_drafts_of_objects_have_the_ids_and_payloads_of_their_messages(task: Any) -> None:
    drafts, messages = list(task().drafts(planned("a", "b"))), list(task().messages(planned("a", "b")))

    assert len(drafts) == 80
    assert [draft.id for draft in drafts] == [message.id for message in messages]
    assert drafts[0].payload == json.loads(messages[0].body)["data"]


def test_only_the_first_line_of_an_object_hints_at_another_format(monkeypatch: pytest.MonkeyPatch) -> None:
    array = b"[" + line(stream()) + b"]"
    types = []
    for body in (array, line(stream()) + b"\n" + array):
        monkeypatch.setattr(test_unreadable_objects, "BODY", body)
        task, _ = delivered(Store({}), "a")
        types += [(failure.type, failure.line) for failure in task.tally.failures]

    assert types == [("CorruptObjectError", 1), ("RecordError", 2)]


RECORD = export(old=False)
TURNED = dict(reversed(RECORD.items()))


def test_a_record_that_glue_has_read_has_an_id_of_its_content(task: Any) -> None:
    delivery = task()
    lines = [json.dumps(RECORD), json.dumps(TURNED, indent=1), json.dumps(stream())]

    first, second, third = (message.id for message in delivery.frame_messages(lines))

    assert first == second
    assert re.fullmatch(r"[0-9a-f]{32}-0", first)
    assert third == parse_change(line(stream()), "").id
    assert (delivery.tally.rows, delivery.tally.failures) == (3, [])


def test_a_bad_record_that_glue_has_read_fails_the_run_and_the_others_are_sent(task: Any) -> None:
    delivery = task()

    sent = list(delivery.frame_messages(['{"order": 7}', json.dumps(RECORD)]))

    assert (len(sent), delivery.tally.rows, delivery.tally.quarantined) == (1, 1, 0)
    assert [failure.type for failure in delivery.tally.failures] == ["RecordError"]
    assert delivery.s3.put == {}


def test_a_bad_record_that_glue_has_read_is_copied_to_the_quarantine(task: Any) -> None:
    delivery = task("quarantine")

    sent = list(delivery.frame_messages(['{"order": 7}', json.dumps(RECORD)]))

    assert (len(sent), delivery.tally.rows, delivery.tally.quarantined) == (1, 1, 1)
    assert delivery.tally.failures == []
    record, note = delivery.s3.put
    assert note == f"{record}.note.json"
    assert record.startswith("quarantine/provider=acme/run-1/records/")
    assert delivery.s3.put[record] == b'{"order": 7}'


def test_messages_that_are_acknowledged_show_progress(
    task: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("fanout_job.task.time", SimpleNamespace(monotonic=lambda: clock.now))
    delivery = task()

    with caplog.at_level("INFO", "fanout_job"):
        clock.now += 5
        delivery.acknowledged([message("a"), message("b")])

    assert caplog.messages == ["progress: 0 rows, 2 messages, 0.0 MB read, 0 rows/s"]


@pytest.mark.parametrize(("order", "name", "requests"), [("none", "q", [3]), ("key", "q.fifo", [1, 1, 1])])
def test_only_in_order_each_message_of_a_key_has_its_own_request(
    order: str, name: str, requests: list[int], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{queue.server.server_port}")
    url = f"https://sqs.eu-west-1.amazonaws.com/123456789012/{name}"
    delivery = Delivery(replace(SETTINGS, message_order=order, queue_url=url), lambda change: change.data)

    delivery.send(message(id_, group="00000000") for id_ in "abc")

    assert [len(entries) for entries in queue.bodies] == requests
    assert delivery.tally.messages == 3
