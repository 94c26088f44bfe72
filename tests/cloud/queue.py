"""The stack's queue: whether the smoke test may read it, and reading it without taking messages from others."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

from cli.command import utc_now
from cli.deployment import Deployment
from cli.output import counted
from tests.harness.waiting import eventually

VISIBILITY_SECONDS = 60
"""How long a message of another provider stays hidden if the smoke test is killed; otherwise it is given back."""
WAIT_SECONDS = 5
"""How long a receive waits for messages, so that a quiet queue answers few empty receives."""
POLLED = timedelta(minutes=30)
"""How far back to look for a consumer that polls. SQS metrics can be 15 minutes late."""
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


def in_use(stack: Deployment) -> str | None:
    """Why the smoke test must not send to the queue: it has messages or a consumer. None if it has neither.

    Consumers compete for messages: one that runs would receive those of the smoke test, and the smoke test some of its.
    A consumer that polls an empty queue shows in the metric NumberOfEmptyReceives.
    Source: "Available CloudWatch metrics for Amazon SQS", Amazon SQS Developer Guide.
    """
    sqs, url = stack.client("sqs"), stack.output("ChangesQueueUrl")
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", *COUNTS])["Attributes"]
    if messages := sum(int(found.get(name, 0)) for name in COUNTS):
        return f"the queue holds about {counted(messages, 'message')}"
    mappings = stack.client("lambda").list_event_source_mappings(EventSourceArn=found["QueueArn"])
    for mapping in mappings["EventSourceMappings"]:
        return f"{mapping['FunctionArn'].rpartition(':')[2]} consumes the queue"
    now = utc_now()
    polls = stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="NumberOfEmptyReceives",
        Dimensions=[{"Name": "QueueName", "Value": found["QueueArn"].rpartition(":")[2]}],
        StartTime=now - POLLED,
        EndTime=now,
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    if any(point["Sum"] > 0 for point in polls):
        return f"a consumer has polled the queue within {POLLED.seconds // 60} minutes"
    return None


class Inbox:
    """Receives messages of the smoke test and deletes them; gives all other messages back at once.

    Parameters
    ----------
    sqs
        boto3 client.
    url
        The queue.
    """

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url

    def receive(self, ids: Collection[str], seconds: float) -> Counter[str]:
        """Receive until each of the ids has come, or the time is up.

        Returns
        -------
        Id -> number of messages with it.
        """
        found: Counter[str] = Counter()
        with self._giving_back() as others, contextlib.suppress(TimeoutError):
            eventually(lambda: self._take(ids, found, others) and found.keys() >= set(ids), seconds=seconds)
        return found

    def empty(self, ids: Collection[str]) -> None:
        """Delete what is left of the messages with these ids."""
        found: Counter[str] = Counter()
        with self._giving_back() as others:
            while self._take(ids, found, others):
                pass

    def _take(self, ids: Collection[str], found: Counter[str], others: list[str]) -> int:
        """Receive once: delete and count messages with the ids, and collect the handles of others.

        Returns
        -------
        The number of messages received.
        """
        received = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=VISIBILITY_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
        ).get("Messages", ())
        for message in received:
            id_, handle = id_of(message["Body"]), message["ReceiptHandle"]
            if id_ in ids:
                found[id_] += 1
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=handle)
            else:
                others.append(handle)
        return len(received)

    @contextlib.contextmanager
    def _giving_back(self) -> Iterator[list[str]]:
        """Collects the handles of messages of others, and makes these visible again at the end."""
        handles: list[str] = []
        try:
            yield handles
        finally:
            for handle in handles:
                self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0)


def id_of(body: str) -> str | None:
    """The id of a message; None if it is not an object with an id."""
    try:
        return str(json.loads(body)["id"])
    except (ValueError, TypeError, KeyError):
        return None
