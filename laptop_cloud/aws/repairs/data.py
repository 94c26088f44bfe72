"""Repairs of moto's server, DynamoDB and SQS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from moto import backends
from moto.core.common_models import BaseModel
from moto.core.responses import ActionResult
from moto.core.serialize import JSONSerializer
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler
from moto.sqs.models import Message, Queue, SQSBackend
from moto.sqs.responses import SQSResponse

DYNAMODB_LOCK = threading.RLock()
"""Held during each DynamoDB call."""


def services_are_known() -> None:
    """moto: each request lists moto's installation folder to find its services, under a global lock.

    That is half of the cost of a small request, and the list does not change.
    """
    modules = list(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules


def models_are_not_kept() -> None:
    """moto: each object of its models is kept for its dashboard, so that memory grows with each write.

    The laptop cloud does not show the dashboard.
    """
    BaseModel.__new__ = lambda cls, *arguments, **options: super(BaseModel, cls).__new__(cls)


def dynamodb_writes_are_atomic() -> None:
    """moto: without a lock, concurrent ADDs and conditional writes can be lost. AWS: each write is atomic."""
    real_call = DynamoHandler.call_action

    def call_action(self: DynamoHandler) -> Any:
        with DYNAMODB_LOCK:
            return real_call(self)

    DynamoHandler.call_action = call_action


def dynamodb_items_are_answered_as_they_are() -> None:
    """moto: an item's values are serialized member by member, with a lookup of 30 attributes in each: 10,000 items 8 s.

    The values are DynamoDB JSON already, so they can be returned as they are.
    """
    original = JSONSerializer._serialize_type_structure

    def structure(self: JSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and key and _is_dynamodb_json(value):
            self._default_serialize(serialized, value, shape, key)
        else:
            original(self, serialized, value, shape, key)

    JSONSerializer._serialize_type_structure = structure


def _is_dynamodb_json(value: Any) -> bool:
    """Return whether an attribute value can be returned as it is; binary values must be encoded."""
    if not isinstance(value, dict):
        return False
    kind: str = next(iter(value)) if len(value) == 1 else ""
    content: Any = value.get(kind)
    if kind == "M":
        return all(_is_dynamodb_json(part) for part in content.values())
    if kind == "L":
        return all(_is_dynamodb_json(part) for part in content)
    return kind in ("S", "N", "BOOL", "NULL", "SS", "NS")


def sqs_messages_are_received_once() -> None:
    """moto: without a lock, concurrent consumers can get the same message. AWS: it is invisible to the second.

    The lock is not held while waiting for messages, so that a long poll does not block other consumers.
    """
    real_receive = SQSBackend.receive_message
    lock = threading.Lock()

    def receive_message(
        self: SQSBackend, queue_name: str, count: int, wait_seconds_timeout: int, *how: Any, **named: Any
    ) -> list[Message]:
        deadline = time.monotonic() + (wait_seconds_timeout or 0)
        while True:
            with lock:
                messages: list[Message] = real_receive(self, queue_name, count, 0, *how, **named)
            if messages or time.monotonic() >= deadline:
                return messages
            time.sleep(0.05)

    SQSBackend.receive_message = receive_message


def sqs_cost_does_not_grow() -> None:
    """moto: each send, receive and delete scans the whole queue several times: 28 messages/s with 1,700 in the queue.

    AWS: the time does not depend on the number of messages. Here, messages are counted only for GetQueueAttributes, a
    receive stops at the first visible messages, and a delete searches only the messages in flight.
    """
    counters, Queue.BASE_ATTRIBUTES = Queue.BASE_ATTRIBUTES[:3], Queue.BASE_ATTRIBUTES[3:]
    real_attributes, real_delete = SQSBackend.get_queue_attributes, Queue.delete_message

    def visible(self: Queue) -> Iterator[Message]:
        # A copy, because other threads add and remove messages.
        return (message for message in list(self._messages) if message.visible and not message.delayed)

    def get_queue_attributes(self: SQSBackend, queue_name: str, attribute_names: list[str]) -> dict[str, Any]:
        queue, wanted = self.get_queue(queue_name), counters if "All" in attribute_names else attribute_names
        others = [name for name in attribute_names if name not in counters]
        counted = {name: getattr(queue, camelcase_to_underscores(name)) for name in wanted if name in counters}
        return {**real_attributes(self, queue_name, others), **counted}

    def delete_message(self: Queue, receipt_handle: str) -> None:
        for message in list(self.pending_messages):
            if message.had_receipt_handle(receipt_handle):
                self.pending_messages.discard(message)
                self.deleted_messages.update(handle for handle in message.all_receipt_handles if handle)
                self._messages.remove(message)
                return
        real_delete(self, receipt_handle)

    Queue.messages = property(visible)
    Queue.approximate_number_of_messages = property(lambda self: sum(1 for _ in self.messages))
    Queue.delete_message = delete_message
    SQSBackend.get_queue_attributes = get_queue_attributes


def sqs_messages_move_back() -> None:
    """moto: StartMessageMoveTask is not implemented. AWS: it moves messages from a DLQ back to its source."""

    def start_message_move_task(self: SQSResponse) -> ActionResult:
        arn, queues = self._get_param("SourceArn"), self.sqs_backend.queues.values()
        dead = next(queue for queue in queues if queue.queue_arn == arn)
        source = next(queue for queue in queues if queue.dead_letter_queue is dead)
        for message in self.sqs_backend.receive_message(dead.name, len(dead._messages), 0, 30):
            self.sqs_backend.send_message(source.name, message.body, message.message_attributes)
            self.sqs_backend.delete_message(dead.name, message.receipt_handle or "")
        return ActionResult({"TaskHandle": arn})

    SQSResponse.start_message_move_task = start_message_move_task
