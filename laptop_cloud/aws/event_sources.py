"""Event source mappings: polls a queue as Lambda does, and hands its messages to the function in batches.

What a batch did not settle is left alone: it comes again when its visibility timeout is over, and the queue's redrive
policy says how often. Source: Lambda Developer Guide, "Using Lambda with Amazon SQS" and "Handling errors for an SQS
event source in Lambda".
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

LOG = logging.getLogger(__name__)
POLLERS = 2
"""Batches of one mapping at once; Lambda begins with five, and never has fewer than two."""

_POLL_SECONDS = 1
_AT_ONCE = 10
"""Messages a receive or a delete; SQS takes no more."""


class QueuePoller:
    """Polls for one of moto's event source mappings, whose settings are looked up for each batch, until it is stopped.

    Lambda receives and deletes messages with the function's role, and so does the client `sqs`.
    """

    def __init__(self, mapping: Any, sqs: Any, functions: Any) -> None:
        self._mapping = mapping
        self._sqs = sqs
        self._functions = functions
        *_, account, name = mapping.event_source_arn.split(":")
        # Asking for the address would take a permission that Lambda does not need.
        self._queue = f"{sqs.meta.endpoint_url}/{account}/{name}"
        self._stopped, self._hurried = threading.Event(), threading.Event()
        for _ in range(POLLERS):
            threading.Thread(target=self._poll, name=f"poll {self._queue}", daemon=True).start()

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopped.set()

    def hurry(self, seconds: float = 60.0) -> None:
        """End batching windows at once until the queue is empty.

        Raises
        ------
        TimeoutError
            It is not after so many seconds; a batch that fails comes again only after its visibility timeout.
        """
        end = time.monotonic() + seconds
        self._hurried.set()
        try:
            while self._mapping.enabled and self._waiting():
                if time.monotonic() > end:
                    raise TimeoutError(f"{self._queue} is not empty after {seconds:.0f} s.")
                time.sleep(0.2)
        finally:
            self._hurried.clear()

    def _waiting(self) -> int:
        """How many messages the queue holds, those in a batch included."""
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=counts)["Attributes"]
        return sum(int(count) for count in found.values())

    def _poll(self) -> None:
        while not self._stopped.is_set():
            try:
                batch = self._receive() if self._mapping.enabled else []
                if batch:
                    self._delete(self._settled(batch))
                elif not self._mapping.enabled:
                    self._stopped.wait(_POLL_SECONDS)
            except (ClientError, BotoCoreError) as error:
                if not self._stopped.is_set():
                    LOG.warning("%s was not polled: %s", self._queue, error)
                    self._stopped.wait(_POLL_SECONDS)

    def _receive(self) -> list[dict[str, Any]]:
        """A batch: as many messages as BatchSize, or as come before the batching window is over."""
        found = self._received(self._mapping.batch_size)
        end = time.monotonic() + int(self._mapping.max_batch_window or 0)
        while found and time.monotonic() < end and (room := self._mapping.batch_size - len(found)):
            more = self._received(room)
            if not more and self._hurried.is_set():
                break
            found += more
        return found

    def _received(self, room: int) -> list[dict[str, Any]]:
        received: dict[str, Any] = self._sqs.receive_message(
            QueueUrl=self._queue,
            MaxNumberOfMessages=min(_AT_ONCE, room),
            WaitTimeSeconds=_POLL_SECONDS,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(received.get("Messages", []))

    def _settled(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Hand a batch to the function; the messages that it has settled."""
        event = json.dumps({"Records": [self._record(message) for message in batch]}).encode()
        while not self._stopped.is_set():
            try:
                answer = self._functions.invoke(FunctionName=self._mapping.function_arn, Payload=event)
            except self._functions.exceptions.TooManyRequestsException:  # Lambda tries again; the messages stay hidden
                self._stopped.wait(_POLL_SECONDS)
                continue
            result = json.loads(answer["Payload"].read())
            failed = {message["MessageId"] for message in batch} if "FunctionError" in answer else self._failed(result)
            everything = failed - {message["MessageId"] for message in batch}  # a name of no message fails the batch
            return [] if everything else [message for message in batch if message["MessageId"] not in failed]
        return []

    def _failed(self, result: Any) -> set[Any]:
        """The ids of messages that the function reports as failed."""
        if "ReportBatchItemFailures" not in (self._mapping.function_response_types or []):
            return set()
        if result is None or (isinstance(result, dict) and not result.get("batchItemFailures")):
            return set()
        try:
            return {failure["itemIdentifier"] or None for failure in result["batchItemFailures"]}
        except (KeyError, TypeError):
            return {None}

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
        for first in range(0, len(entries), _AT_ONCE):
            self._sqs.delete_message_batch(QueueUrl=self._queue, Entries=entries[first : first + _AT_ONCE])

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        attributes = {
            name: {key[0].lower() + key[1:]: text for key, text in value.items()}
            for name, value in message.get("MessageAttributes", {}).items()
        }
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": attributes,
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._mapping.event_source_arn,
            "awsRegion": self._mapping.region,
        }
