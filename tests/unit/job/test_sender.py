"""The sender against a queue on loopback: what is sent again, what is refused, and in which order."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.credentials import Credentials

from fanout_job import sender
from fanout_job.errors import DeadlineError, SendError, SendRefusedError
from fanout_job.messages import Message
from fanout_job.sender import IN_FLIGHT, LANE_MESSAGES, MAX_TRIES, Sender
from fanout_job.targets import QueueTarget
from tests.unit.job.test_send import message

Answer = tuple[int, bytes]
BUSY: Answer = (503, b"")
GONE: Answer = (0, b"")
"""The connection closes without an answer."""


def taken(ids: list[str]) -> Answer:
    return 200, json.dumps({"Successful": [{"Id": one} for one in ids]}).encode()


class Queue:
    """A queue that gives some answers to its first requests, and then accepts everything."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.bodies: list[list[dict[str, str]]] = []
        self.headers: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                entries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Entries"]
                outer.bodies.append(entries)
                outer.headers.append(self.headers)
                status, body = outer.answers.pop(0) if outer.answers else taken([entry["Id"] for entry in entries])
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Print nothing of a client that has gone."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def groups(self) -> list[list[str]]:
        return [[entry["MessageGroupId"] for entry in entries] for entries in self.bodies]

    @property
    def ids(self) -> list[list[str]]:
        return [[entry["MessageDeduplicationId"] for entry in entries] for entries in self.bodies]


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest pauses before the tries; they take no time."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(sender.random, "random", lambda: 1.0)
    monkeypatch.setattr(sender.asyncio, "sleep", sleep)
    return slept


def sent(
    queue: Queue, messages: Iterable[Message], in_order: bool = False, deadline: float | None = None
) -> list[list[str]]:
    """Send messages; return the ids of each acknowledgement."""
    acknowledged: list[list[str]] = []
    made = Sender(
        QueueTarget("https://sqs.eu-west-1.amazonaws.com/123456789012/q.fifo", "acme"),
        f"http://127.0.0.1:{queue.server.server_port}/",
        "eu-west-1",
        Credentials("AKIA", "secret"),
        lambda accepted: acknowledged.append([message.id for message in accepted]),
        deadline,
    )
    work: Callable[[Iterator[Message]], Any] = made.send_in_order if in_order else made.send
    asyncio.run(work(iter(messages)))
    return acknowledged


def test_all_messages_are_sent_signed_and_acknowledged(queue: Queue) -> None:
    acknowledged = sent(queue, [message(str(n)) for n in range(25)])

    assert sorted(map(len, queue.bodies)) == [5, 10, 10]
    assert sorted(acknowledged) == sorted(queue.ids)
    assert sorted(int(id_) for ids in acknowledged for id_ in ids) == list(range(25))
    assert "/eu-west-1/sqs/aws4_request" in queue.headers[0]["Authorization"]
    assert queue.headers[0]["X-Amz-Target"] == "AmazonSQS.SendMessageBatch"


def test_only_entries_that_were_not_accepted_are_sent_again(
    queue: Queue, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    queue.answers = [taken(["0", "2"])]

    with caplog.at_level("DEBUG", "fanout_job"):
        assert sent(queue, [message(name) for name in "abc"]) == [["a", "c"], ["b"]]

    assert queue.ids == [["a", "b", "c"], ["b"]]
    assert slept == [0.1]
    assert caplog.messages == ["sending 1 messages again: failed entries"]


@pytest.mark.parametrize(
    "answer",
    [
        BUSY,
        GONE,
        (500, b""),
        (408, b""),
        (429, b""),
        (400, b'{"__type":"x#RequestThrottled"}'),
        (200, b"not JSON"),
        (200, b'{"Successful":[{}]}'),
        (200, b'{"Successful":7}'),
        (200, b"{}"),
    ],
)
def test_a_batch_is_sent_again_after_a_passing_fault(answer: Answer, queue: Queue) -> None:
    queue.answers = [answer]

    assert sent(queue, [message("a")]) == [["a"]]
    assert queue.ids == [["a"], ["a"]]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((403, b'{"__type":"x#AccessDenied"}'), "sqs rejected a request: AccessDenied"),
        ((499, b""), "sqs rejected a request: HTTP 499"),
        (
            (200, b'{"Failed":[{"Id":"0","SenderFault":true,"Code":"InvalidMessageContents"}]}'),
            "sqs rejected a message permanently: InvalidMessageContents",
        ),
    ],
)
def test_a_rejection_is_an_error_at_once(answer: Answer, why: str, queue: Queue) -> None:
    queue.answers = [answer]

    with pytest.raises(SendRefusedError, match=f"^{why}$"):
        sent(queue, [message("a")])

    assert len(queue.bodies) == 1


def test_a_batch_is_given_up_after_ten_attempts(queue: Queue, slept: list[float]) -> None:
    queue.answers = [BUSY] * MAX_TRIES

    with pytest.raises(SendError) as raised:
        sent(queue, [message("a"), message("b")])

    assert str(raised.value) == "sqs did not accept 2 messages in 10 attempts: HTTP 503"
    assert raised.value.as_failure().cause == "sqs did not accept messages in 10 attempts: HTTP 503"
    assert len(queue.bodies) == 10
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]


def test_half_of_the_attempts_no_longer_count_after_a_part_was_accepted(queue: Queue) -> None:
    queue.answers = [*[BUSY] * 5, taken(["0"]), *[(200, b"{}")] * 7]

    with pytest.raises(SendError, match="did not accept 1 messages in 10 attempts: failed entries"):
        sent(queue, [message("a"), message("b")])

    assert queue.answers == []


def test_nothing_is_sent_after_the_deadline(queue: Queue) -> None:
    with pytest.raises(DeadlineError):
        sent(queue, [message("a")], deadline=time.monotonic())  # noqa: TID251 - the sender's clock

    assert queue.bodies == []


def test_no_pause_is_longer_than_the_time_that_is_left(queue: Queue, slept: list[float]) -> None:
    queue.answers = [BUSY] * MAX_TRIES

    with pytest.raises(SendError):
        sent(queue, [message("a")], deadline=time.monotonic() + 15)  # noqa: TID251 - the sender's clock

    assert slept[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
    assert max(slept) <= 15


def test_messages_of_a_group_are_sent_in_order_and_one_at_a_time(queue: Queue) -> None:
    groups = [f"{lane:08x}" for lane in (0, 1, IN_FLIGHT)]  # the first and the last have one lane
    messages = [message(f"{group}-{n:03}", group=group) for n in range(20) for group in groups]
    queue.answers = [BUSY]

    acknowledged = [id_ for ids in sent(queue, messages, in_order=True) for id_ in ids]

    for group in groups:
        ids = [id_ for id_ in acknowledged if id_.startswith(group)]
        assert ids == [message.id for message in messages if message.group == group]
    assert all(len(set(ids)) == len(ids) for ids in queue.groups)
    assert [groups[0], groups[2]] in queue.groups, "two groups of a lane share a request"
    assert [] not in queue.groups


def test_a_lane_that_waits_for_one_group_holds_few_messages(queue: Queue) -> None:
    ahead: list[int] = []

    def read() -> Iterator[Message]:
        for number in range(4 * LANE_MESSAGES):
            ahead.append(number - len(queue.bodies))
            yield message(f"{number:04}", group="00000000")

    acknowledged = sent(queue, read(), in_order=True)

    assert acknowledged == [[f"{number:04}"] for number in range(4 * LANE_MESSAGES)]
    assert max(ahead) <= 2 * LANE_MESSAGES + 2, "those in the queue, those that wait, and one on each side"


def test_of_two_errors_that_of_the_job_is_raised(queue: Queue) -> None:
    def broken() -> Iterator[Message]:
        yield message("a", group="00000000")
        raise ValueError

    with pytest.raises(DeadlineError):
        sent(queue, broken(), in_order=True, deadline=time.monotonic())  # noqa: TID251 - the sender's clock


@pytest.mark.parametrize("in_order", [False, True])
def test_an_error_of_one_of_many_requests_is_that_of_all(in_order: bool, queue: Queue) -> None:
    queue.answers = [(403, b'{"__type":"AccessDenied"}')] * 4

    with pytest.raises(SendRefusedError, match="AccessDenied"):
        sent(queue, [message(str(n), group=f"{n:08x}") for n in range(60)], in_order)
