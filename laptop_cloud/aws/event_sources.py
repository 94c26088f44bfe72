"""Event source mappings: what they have in common, and polling an SQS queue as Lambda does.

Messages of a failed batch are left in the queue. They become visible again after the visibility timeout, as often as
the queue's redrive policy allows. Sources: Lambda Developer Guide, "Using Lambda with Amazon SQS", "Handling errors for
an SQS event source in Lambda" and "Configuring partial batch response".
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
"""Concurrent batches of one mapping. Lambda starts with five, and never has fewer than two."""

_POLL_SECONDS = 1
_MAX_MESSAGES = 10
"""Messages in one receive or delete call, SQS's limit."""


class EventSource:
    """Polls for one event source mapping until it is stopped.

    Parameters
    ----------
    mapping
        Moto's event source mapping; its settings are read again for each batch.
    functions
        Client by which the function is invoked.
    """

    def __init__(self, mapping: Any, functions: Any) -> None:
        self._mapping = mapping
        self._functions = functions
        self._stopped, self._hurried = threading.Event(), threading.Event()

    def stop(self) -> None:
        """Start no further batch."""
        self._stopped.set()

    def hurry(self, seconds: float = 120.0) -> None:
        """End batching windows early until the source is empty.

        Raises
        ------
        TimeoutError
            The source is not empty after `seconds`, for example because a batch keeps failing.
        """
        self._hurried.set()
        try:
            if self._mapping.enabled and not self._is_empty_within(seconds):
                raise TimeoutError(f"{self._mapping.event_source_arn} was not empty after {seconds:.0f} s.")
        finally:
            self._hurried.clear()

    def _is_empty_within(self, seconds: float) -> bool:
        raise NotImplementedError

    def _invoke(self, records: list[dict[str, Any]]) -> set[Any]:
        """Invoke the function with a batch, again while it is throttled.

        Returns
        -------
        Identifiers of the records that failed; {None} if the whole batch failed or the source was stopped.
        """
        event = json.dumps({"Records": records}).encode()
        while not self._stopped.is_set():
            try:
                answer = self._functions.invoke(FunctionName=self._mapping.function_arn, Payload=event)
            except self._functions.exceptions.TooManyRequestsException:
                self._stopped.wait(_POLL_SECONDS)
                continue
            result = json.loads(answer["Payload"].read())
            if "FunctionError" in answer:
                return {None}
            if "ReportBatchItemFailures" not in (self._mapping.function_response_types or []) or not result:
                return set()
            try:
                return {failure["itemIdentifier"] or None for failure in result.get("batchItemFailures") or []}
            except (AttributeError, KeyError, TypeError):
                return {None}
        return {None}


class QueuePoller(EventSource):
    """Polls an SQS queue; `sqs` is a client with the function's role, because Lambda uses that role too."""

    def __init__(self, mapping: Any, sqs: Any, functions: Any) -> None:
        super().__init__(mapping, functions)
        self._sqs = sqs
        *_, account, name = mapping.event_source_arn.split(":")
        # GetQueueUrl would need a permission that Lambda does not need.
        self._queue = f"{sqs.meta.endpoint_url}/{account}/{name}"
        for _ in range(POLLERS):
            threading.Thread(target=self._poll, name=f"poll {self._queue}", daemon=True).start()

    def _is_empty_within(self, seconds: float) -> bool:
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=counts)["Attributes"]
            if not sum(int(count) for count in found.values()):
                return True
            time.sleep(0.2)
        return False

    def _poll(self) -> None:
        while not self._stopped.is_set():
            try:
                batch = self._receive() if self._mapping.enabled else []
                if batch:
                    self._process(batch)
                elif not self._mapping.enabled:
                    self._stopped.wait(_POLL_SECONDS)
            except (ClientError, BotoCoreError) as error:
                if not self._stopped.is_set():
                    LOG.warning("Polling %s failed: %s", self._queue, error)
                    self._stopped.wait(_POLL_SECONDS)

    def _receive(self) -> list[dict[str, Any]]:
        """Receive a batch: up to BatchSize messages that arrive within the batching window."""
        found = self._receive_once(self._mapping.batch_size)
        end = time.monotonic() + int(self._mapping.max_batch_window or 0)
        while found and time.monotonic() < end and (room := self._mapping.batch_size - len(found)):
            more = self._receive_once(room)
            if not more and self._hurried.is_set():
                break
            found += more
        return found

    def _receive_once(self, room: int) -> list[dict[str, Any]]:
        received: dict[str, Any] = self._sqs.receive_message(
            QueueUrl=self._queue,
            MaxNumberOfMessages=min(_MAX_MESSAGES, room),
            WaitTimeSeconds=_POLL_SECONDS,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(received.get("Messages", []))

    def _process(self, batch: list[dict[str, Any]]) -> None:
        """Invoke the function with a batch, and delete the messages that succeeded."""
        failed = self._invoke([self._record(message) for message in batch])
        if failed - {message["MessageId"] for message in batch}:  # an unknown identifier fails the whole batch
            return
        handles = [message["ReceiptHandle"] for message in batch if message["MessageId"] not in failed]
        entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)]
        for first in range(0, len(entries), _MAX_MESSAGES):
            self._sqs.delete_message_batch(QueueUrl=self._queue, Entries=entries[first : first + _MAX_MESSAGES])

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
