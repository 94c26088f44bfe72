"""Cases 18 and 19 of docs/guarantees.md: a queue that is slow, fails, throttles or is not available."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanout_job.errors import DeadlineError, SendError, SendRefusedError
from fanout_job.messages import Message
from fanout_job.sender import IN_FLIGHT, MAX_TRIES, REQUEST_TIMEOUT_SECONDS, Sender
from fanout_job.targets import QueueTarget
from tests.benchmarks.sqs_stub import RunningStub, running_stub
from tests.harness.children import Child, run
from tests.harness.waiting import HANG_SECONDS, eventually
from tests.integration.job.harness import DATA, MODULES, PROVIDER, Harness
from tests.unit.job.records import line, stream


def messages(count: int, groups: int = 0) -> list[Message]:
    """Messages with their number as the body; with groups, in order within each group."""
    made = []
    for n in range(count):
        body = json.dumps({"id": f"e-{n}"}, separators=(",", ":"))
        group = f"{n % groups:08x}" if groups else ""
        made.append(Message(f"e-{n}", body, len(body), "dynamodb.insert", group, (n,)))
    return made


def sender(endpoint: str, url: str, acknowledged: list[Message], deadline: float | None = None) -> Sender:
    credentials = boto3.Session().get_credentials()
    assert credentials is not None
    return Sender(
        QueueTarget(url, "acme"), endpoint, "us-east-1", credentials, acknowledged.extend, deadline, backoff=0.001
    )


@pytest.fixture(scope="module")
def bad_queue() -> Iterator[RunningStub]:
    """A queue that fails 10% of the entries, throttles 10% of the requests and answers 5% with 503."""
    with running_stub(latency_ms=2, fail_rate=0.1, throttle_rate=0.1, error_rate=0.05) as stub:
        yield stub


@pytest.mark.fault(18)
def test_data_18_only_failed_entries_are_sent_again_and_all_arrive_once(bad_queue: RunningStub) -> None:
    bad_queue.get("reset")
    acknowledged: list[Message] = []
    asyncio.run(sender(bad_queue.endpoint, bad_queue.queue_url, acknowledged).send(iter(messages(2_000))))
    stats = bad_queue.get("stats")
    assert (stats["failed"] > 0, stats["throttled"] > 0, stats["errors"] > 0) == (True, True, True)
    assert stats["messages"] == stats["distinct"] == len(acknowledged) == 2_000, "none lost, none sent twice"
    assert stats["most_in_flight"] <= IN_FLIGHT


def test_requests_are_kept_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue answers no request until this number of requests is in flight; with one fewer, the test would hang."""
    monkeypatch.setattr("fanout_job.sender.REQUEST_TIMEOUT_SECONDS", HANG_SECONDS)
    monkeypatch.setattr("fanout_job.sender.MAX_TRIES", 1)
    with running_stub(latency_ms=2, hold_in_flight=IN_FLIGHT) as stub:
        asyncio.run(sender(stub.endpoint, stub.queue_url, []).send(iter(messages(3_000))))
        assert stub.get("stats")["most_in_flight"] == IN_FLIGHT


@pytest.mark.parametrize("groups", [1, 3, 200])
def test_in_order_messages_of_a_group_keep_their_order_even_if_entries_fail(
    bad_queue: RunningStub, groups: int
) -> None:
    bad_queue.get("reset")
    made = messages(400, groups)
    asyncio.run(sender(bad_queue.endpoint, bad_queue.fifo_url, []).send_in_order(iter(made)))
    received = bad_queue.get("ids")
    by_group: dict[str, list[int]] = defaultdict(list)
    for id_, group in zip(received["ids"], received["groups"], strict=True):
        by_group[group].append(int(id_.removeprefix("e-")))
    assert sum(map(len, by_group.values())) == 400
    assert all(numbers == sorted(numbers) for numbers in by_group.values())


@settings(max_examples=100)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=120), st.integers(0, 2**32))
def test_messages_of_a_key_keep_their_order_with_any_failures_and_latencies(keys: list[int], seed: int) -> None:
    """In any interleaving of answers, messages of a key are accepted in the order of their sequence numbers."""
    target, chance = QueueTarget("http://q.fifo", "acme"), random.Random(seed)
    made = [Message(str(n), "{}", 2, "t", f"{key:08x}", (n,)) for n, key in enumerate(keys)]
    taken: list[Message] = []
    lane_sender = Sender(target, "http://q/", "us-east-1", None, lambda accepted: None)  # type: ignore[arg-type]

    async def post(session: Any, batch: list[Message]) -> None:
        while batch:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            accepted = [m for m in batch if chance.random() < 0.7]
            taken.extend(accepted)
            batch = [m for m in batch if m not in accepted]

    lane_sender.post = post  # type: ignore[method-assign]
    asyncio.run(lane_sender.send_in_order(iter(made)))
    assert sorted(int(m.id) for m in taken) == list(range(len(keys)))
    for key in set(keys):
        numbers = [int(m.id) for m in taken if m.group == f"{key:08x}"]
        assert numbers == sorted(numbers)


class Answers(BaseHTTPRequestHandler):
    """Gives every request the same answer."""

    status, body = 200, b"{}"
    requests = 0
    before: Callable[[], object]

    def do_POST(self) -> None:
        type(self).requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).before()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the sender waits no longer
            self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def answering() -> Iterator[Any]:
    """Start servers that each give one fixed answer."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: bytes, before: Callable[[], object] = lambda: None) -> tuple[str, type[Answers]]:
        members = {"status": status, "body": body, "before": staticmethod(before), "requests": 0}
        handler = type("Handler", (Answers,), members)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/", handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("status", "body", "error", "tries"),
    [
        (500, b"oops", SendError, MAX_TRIES),
        (503, b"{}", SendError, MAX_TRIES),
        (429, b"{}", SendError, MAX_TRIES),
        (400, b'{"__type":"com.amazonaws.sqs#RequestThrottled"}', SendError, MAX_TRIES),
        (400, b'{"__type":"ExpiredTokenException"}', SendError, MAX_TRIES),
        (200, b"<html>proxy</html>", SendError, MAX_TRIES),
        (200, b'{"Successful":[]}', SendError, MAX_TRIES),
        (200, b'{"Failed":[{"Id":"0","SenderFault":true,"Code":"InvalidMessageContents"}]}', SendRefusedError, 1),
        (403, b'{"__type":"com.amazon.coral.service#AccessDeniedException"}', SendRefusedError, 1),
        (400, b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}', SendRefusedError, 1),
    ],
)
def test_data_18_sending_gives_up_after_bounded_attempts_with_a_typed_error(
    answering: Any, status: int, body: bytes, error: type[Exception], tries: int
) -> None:
    endpoint, handler = answering(status, body)
    with pytest.raises(error):
        asyncio.run(sender(endpoint, "http://q", []).send(iter(messages(1))))
    assert handler.requests == tries


def test_a_refused_connection_is_a_send_error() -> None:
    with pytest.raises(SendError, match="ClientConnectorError"):
        asyncio.run(sender("http://127.0.0.1:1/", "http://q", []).send(iter(messages(1))))


@dataclass
class Clock:
    """The sender's clock in these tests."""

    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("fanout_job.sender.time", made)
    return made


def test_no_request_starts_after_the_deadline(answering: Any, clock: Clock) -> None:
    endpoint, handler = answering(503, b"{}", lambda: clock.move(50))
    with pytest.raises(DeadlineError):
        asyncio.run(sender(endpoint, "http://q", [], clock.now + 120).send(iter(messages(1))))
    assert handler.requests == 3, "at 0, 50 and 100 seconds of 120"


def test_the_timeout_of_a_request_is_at_most_the_time_left(clock: Clock) -> None:
    allowed: list[float] = []

    class Silent:
        """A session without answers: each request lasts until its timeout."""

        def post(self, url: str, *, timeout: aiohttp.ClientTimeout, **_: Any) -> Any:
            assert timeout.total is not None
            allowed.append(timeout.total)
            clock.move(timeout.total)
            raise TimeoutError

    silent: Any = Silent()
    deadline = clock.now + 2 * REQUEST_TIMEOUT_SECONDS + 0.5
    with pytest.raises(DeadlineError):
        asyncio.run(sender("http://q/", "http://q", [], deadline).post(silent, messages(1)))
    assert allowed == [REQUEST_TIMEOUT_SECONDS, REQUEST_TIMEOUT_SECONDS, 0.5]


def test_a_target_that_takes_one_entry_per_try_gets_the_whole_batch(answering: Any) -> None:
    endpoint, handler = answering(200, b'{"Successful":[{"Id":"0"}]}')
    acknowledged: list[Message] = []

    async def send() -> None:
        async with aiohttp.ClientSession() as session:
            await sender(endpoint, "http://q", acknowledged).post(session, messages(3 * MAX_TRIES))

    asyncio.run(send())
    assert [m.id for m in acknowledged] == [f"e-{n}" for n in range(3 * MAX_TRIES)]
    assert handler.requests == 3 * MAX_TRIES


def test_a_request_that_hangs_does_not_outlast_the_deadline(answering: Any) -> None:
    """The server answers only after the end of the test."""
    over = threading.Event()
    endpoint, _ = answering(200, b"{}", lambda: over.wait(HANG_SECONDS))
    try:
        soon = time.monotonic() + 0.3  # noqa: TID251 - the sender's own clock
        with pytest.raises(DeadlineError):
            asyncio.run(sender(endpoint, "http://q", [], soon).send(iter(messages(1))))
    finally:
        over.set()


def test_requests_are_signed_by_botocore_with_the_current_credentials() -> None:
    class Refreshing:
        """Credentials that change with each request."""

        served = 0

        def get_frozen_credentials(self) -> Any:
            self.served += 1
            from botocore.credentials import ReadOnlyCredentials

            return ReadOnlyCredentials(f"AKIA{self.served}", "secret", "token")

    credentials: Any = Refreshing()
    signer = Sender(QueueTarget("http://q", "acme"), "http://q/", "eu-west-1", credentials, lambda accepted: None)
    first, second = signer.signed({}, b"{}"), signer.signed({}, b"{}")
    assert "Credential=AKIA1/" in first["Authorization"]
    assert "Credential=AKIA2/" in second["Authorization"]
    assert "/eu-west-1/sqs/aws4_request" in first["Authorization"]
    assert first["X-Amz-Security-Token"] == "token"


@pytest.mark.fault(19)
def test_data_19_after_a_kill_the_next_run_sends_the_same_ids_and_none_is_missing(aws: str, queue: str) -> None:
    """A Lambda run in a separate process is killed with SIGKILL after some messages."""
    rows = [line({**stream(), "eventID": f"e-{n}"}) for n in range(3_000)]
    job = Harness("lambda", queue)
    manifest = job.plan([job.put("a.json.gz", gzip.compress(b"\n".join(rows)))])
    code = (
        "import change_log as c, fanout_job.sender, sys, os\n"
        "class Context:\n    def get_remaining_time_in_millis(self): return 600000\n"
        "fanout_job.sender.IN_FLIGHT = 1\n"
        "run = {'provider': 'acme', 'run_id': 'run-1', 'manifest': sys.argv[1], 'run_dir': sys.argv[2]}\n"
        "c.handler(run, Context())\n"
    )
    with running_stub(hold_after=500) as stub:
        environment = {
            **os.environ,
            "PYTHONPATH": MODULES,
            "AWS_ENDPOINT_URL_SQS": stub.endpoint,
            "QUEUE_URL": stub.queue_url,
            "ENV": "test",
            "DATA_BUCKET": DATA,
        }
        run_dir = f"s3://{DATA}/runs/provider={PROVIDER}/run-1/"
        argv = [sys.executable, "-c", code, manifest, run_dir]
        with Child(argv, env=environment, stdout=subprocess.DEVNULL) as killed:
            eventually(lambda: stub.get("stats")["messages"] >= 500 or killed.poll() is not None, "500 messages")
            assert killed.poll() is None
            killed.send_signal(signal.SIGKILL)
        first = stub.get("ids")["ids"]
        assert len(first) == 500, "no request is answered after these, and the next one waits for an answer"
        assert job.result("run-1") == {}, "a killed run records nothing, so the bookmark stays"
        stub.get("reset")
        run(argv, env=environment, check=True)
        second = stub.get("ids")["ids"]
    assert sorted(second) == sorted(f"e-{n}" for n in range(3_000))
    assert set(first) < set(second)


def test_messages_of_a_key_arrive_in_sequence_order_through_a_fifo_queue(job_in_order: Harness) -> None:
    chance = random.Random(5)
    numbers = list(range(1_000, 1_120))
    chance.shuffle(numbers)
    rows = [{**stream(Keys={"pk": {"S": f"k{n % 7}"}}, SequenceNumber=str(n)), "eventID": f"e-{n}"} for n in numbers]
    files = {f"{part}.json": b"\n".join(map(line, rows[part::4])) for part in range(4)}
    outcome = job_in_order.run(files, message_order="key")
    assert outcome.error is None
    assert outcome.result["messages"] == 120
    by_key: dict[str, list[int]] = defaultdict(list)
    for message in outcome.messages:
        event = json.loads(message["Body"])
        by_key[event["subject"]].append(int(event["sequence"]))
        assert message["Attributes"]["MessageDeduplicationId"] == event["id"]
    assert len(by_key) == 7
    assert all(found == sorted(found) for found in by_key.values())
    groups = {json.loads(m["Body"])["subject"]: m["Attributes"]["MessageGroupId"] for m in outcome.messages}
    assert len(set(groups.values())) == 7


def test_in_order_a_run_with_a_bad_line_sends_nothing(job_in_order: Harness) -> None:
    outcome = job_in_order.run({"a.json": line(stream()), "b.json": b"bad"}, message_order="key")
    assert outcome.result["failure"]["type"] == "RecordError"
    assert outcome.messages == []


@pytest.mark.parametrize("service", ["sns", "events"])
def test_a_topic_and_an_event_bus_deliver_the_same_messages_as_a_queue(job: Harness, service: str) -> None:
    """Both deliver to the job's queue, whose messages then contain the CloudEvents."""
    arn = job.sqs.get_queue_attributes(QueueUrl=job.queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    files = {"a.json": b"\n".join(line({**stream(), "eventID": f"e-{n}"}) for n in range(25))}
    if service == "sns":
        sns = boto3.client("sns")
        target = sns.create_topic(Name="changes")["TopicArn"]
        sns.subscribe(TopicArn=target, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    else:
        events = boto3.client("events")
        target = events.create_event_bus(Name="changes")["EventBusArn"]
        pattern = json.dumps({"source": ["glue-fanout"], "detail-type": ["dynamodb.modify"]})
        events.put_rule(Name="all", EventBusName="changes", EventPattern=pattern)
        events.put_targets(Rule="all", EventBusName="changes", Targets=[{"Id": "q", "Arn": arn}])
    expected = job.run(files)
    outcome = job.run(files, queue_url=target)
    assert outcome.error is None
    assert outcome.result["messages"] == 25
    events_received = [json.loads(m["Body"]) for m in outcome.messages]
    found = [event["detail"] if service == "events" else event for event in events_received]
    assert sorted(found, key=lambda e: e["id"]) == sorted(expected.events, key=lambda e: e["id"])
