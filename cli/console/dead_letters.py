"""The stack's dead-letter queues: their numbers of messages, the first messages, and the redrive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from ..deployment import Deployment
from ..errors import UsageError

SHOWN = 10


@dataclass(frozen=True)
class DeadLetters:
    """A dead-letter queue; its number of messages is approximate.

    Attributes
    ----------
    holds
        Description of the messages.
    source
        Name of the queue to which messages can be redriven; None if they did not come from a queue.
    """

    name: str
    arn: str
    holds: str
    source: str | None
    messages: int


@dataclass(frozen=True)
class Letter:
    """One message."""

    sent_at: datetime
    received: int
    body: str


def queues(stack: Deployment) -> list[DeadLetters]:
    """The stack's dead-letter queues."""
    found = []
    for source, holds in (
        (_name(stack.output("ChangesQueueUrl"), "/"), "Messages that a consumer failed to process five times."),
        (
            _name(stack.output("ObjectEventsQueueArn")),
            "Object events that were not counted. The next full check finds their objects.",
        ),
    ):
        policy = json.loads(_attributes(stack, source).get("RedrivePolicy", "{}"))
        if arn := policy.get("deadLetterTargetArn"):
            found.append(_queue(stack, arn, holds, source))
    schedule = stack.client("scheduler").get_schedule(Name=stack.output("ScheduleName"))
    if arn := schedule["Target"].get("DeadLetterConfig", {}).get("Arn"):
        found.append(
            _queue(stack, arn, "Ticks and events that could not be delivered. The next tick makes up for them.", None)
        )
    return found


def letters(stack: Deployment, queue: DeadLetters) -> list[Letter]:
    """The first messages of a queue. They stay in it, and remain visible to other consumers."""
    answer = stack.client("sqs").receive_message(
        QueueUrl=_url(stack, queue.name), MaxNumberOfMessages=SHOWN, VisibilityTimeout=0, AttributeNames=["All"]
    )
    found = [(message["Attributes"], message["Body"]) for message in answer.get("Messages", ())]
    return [
        Letter(datetime.fromtimestamp(int(a["SentTimestamp"]) / 1000, UTC), int(a["ApproximateReceiveCount"]), body)
        for a, body in found
    ]


def find(stack: Deployment, name: str) -> DeadLetters:
    """One queue whose messages can be redriven.

    Raises
    ------
    UsageError
        The stack has no such queue.
    """
    found = [queue for queue in queues(stack) if queue.name == name and queue.source]
    if not found:
        raise UsageError(f"the stack has no dead-letter queue {name!a} that can be redriven")
    return found[0]


def redrive(stack: Deployment, name: str) -> DeadLetters:
    """Start moving all messages of a dead-letter queue back to their source queue."""
    queue = find(stack, name)
    stack.client("sqs").start_message_move_task(SourceArn=queue.arn)
    return queue


def _queue(stack: Deployment, arn: str, holds: str, source: str | None) -> DeadLetters:
    count = int(_attributes(stack, _name(arn))["ApproximateNumberOfMessages"])
    return DeadLetters(_name(arn), arn, holds, source, count)


def _attributes(stack: Deployment, name: str) -> dict[str, str]:
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=_url(stack, name), AttributeNames=["All"])
    return dict(answer.get("Attributes", {}))


def _url(stack: Deployment, name: str) -> str:
    return str(stack.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])


def _name(of: str, before: str = ":") -> str:
    return of.rpartition(before)[2]
