"""Targets of messages: for each service, its addresses, limits, requests and responses."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import urlencode

import orjson

from fanout_job.errors import SettingsError
from fanout_job.messages import Message
from fanout_job.settings import Settings

ARN = "arn:[a-z-]+:"


class Answer(NamedTuple):
    """The result of a batch: messages that were accepted, messages to send again, and a permanent rejection."""

    accepted: list[Message]
    again: list[Message]
    refused: str | None
    """Error code of an entry that was permanently rejected, or None."""


class Target(Protocol):
    """Where messages go: knows one service's requests and answers, but no retries, signatures or connections.

    Parameters
    ----------
    address
        Matches `addresses`.
    """

    service: ClassVar[str]
    """For the signature and the endpoint."""
    addresses: ClassVar[str]
    """A pattern. If it begins with `ARN`, the rest is also part of the pattern of the parameter TargetArn."""
    iam_action: ClassVar[str]
    """The permission to send."""
    max_entries: ClassVar[int]
    """The most messages in a request."""
    limit: int
    """Maximum size of a message in bytes. Also the most bytes of messages in a request."""
    region: str | None
    """None: the region of the job."""
    orders: tuple[str, ...]
    """The values of MessageOrder that the address allows."""

    def __init__(self, address: str, provider: str) -> None: ...

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the request for a batch."""
        ...

    def read_answer(self, answer: bytes, batch: Sequence[Message]) -> Answer:
        """Parse the response to a request, which had status 200.

        Raises
        ------
        ValueError, KeyError, TypeError
            The response is invalid. The batch counts as not sent.
        """
        ...


def sorted_out(batch: Sequence[Message], accepted: Iterable[str], refused: Iterable[str]) -> Answer:
    """Split a batch by the entry ids in a response. Messages that it does not name as accepted are sent again."""
    taken = set(accepted)
    return Answer(
        [message for n, message in enumerate(batch) if str(n) in taken],
        [message for n, message in enumerate(batch) if str(n) not in taken],
        next(iter(refused), None),
    )


def by_position(entries: Sequence[dict[str, Any]], proof: str, batch: Sequence[Message]) -> Answer:
    """Sort a batch by an answer that has an entry for each message, in order. An accepted one has the field `proof`."""
    codes = [str(entry["ErrorCode"]) for entry in entries if proof not in entry]
    return sorted_out(
        batch,
        (str(n) for n, entry in enumerate(entries) if proof in entry),
        (code for code in codes if not is_passing(code)),
    )


class QueueTarget(Target):
    """An SQS queue, standard or FIFO: SendMessageBatch in the JSON protocol.

    A standard queue gets the provider as the message group, which makes it a fair queue: the backlog of one provider
    does not delay the messages of others. Source: "Amazon SQS fair queues", Amazon SQS Developer Guide.
    """

    service = "sqs"
    addresses = r"https?://.+"
    iam_action = "sqs:SendMessage"
    max_entries = 10
    limit = 2**20

    def __init__(self, address: str, provider: str) -> None:
        self._provider = provider
        host = re.match(r"https?://sqs\.([a-z0-9-]+)\.amazonaws\.", address)
        self.url, self.region = address, host[1] if host else None
        self.fifo, self.orders = fifo(address)

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the request for a batch."""
        entries: list[dict[str, str]] = [{"Id": str(n), "MessageBody": m.body} for n, m in enumerate(batch)]
        for entry, message in zip(entries, batch, strict=True):
            entry["MessageGroupId"] = message.group if self.fifo else self._provider
            if self.fifo:
                entry["MessageDeduplicationId"] = deduplication_id(message.id)
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessageBatch"}
        return headers, orjson.dumps({"QueueUrl": self.url, "Entries": entries})

    def read_answer(self, answer: bytes, batch: Sequence[Message]) -> Answer:
        """Return the result of each entry."""
        said = orjson.loads(answer)
        failed = said.get("Failed") or ()
        return sorted_out(
            batch,
            (entry["Id"] for entry in said.get("Successful") or ()),
            (
                str(entry.get("Code"))
                for entry in failed
                if entry.get("SenderFault") and not is_passing(str(entry.get("Code")))
            ),
        )


class TopicTarget(Target):
    """An SNS topic, standard or FIFO: PublishBatch in the query protocol."""

    service = "sns"
    addresses = ARN + r"sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+(\.fifo)?"
    iam_action = "sns:Publish"
    max_entries = 10
    limit = 2**18

    def __init__(self, address: str, provider: str) -> None:
        self.arn, self.region = address, address.split(":")[3]
        self.fifo, self.orders = fifo(address)

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the request for a batch."""
        form = {"Action": "PublishBatch", "Version": "2010-03-31", "TopicArn": self.arn}
        for n, message in enumerate(batch):
            entry = f"PublishBatchRequestEntries.member.{n + 1}."
            form[entry + "Id"] = str(n)
            form[entry + "Message"] = message.body
            if self.fifo:
                form[entry + "MessageGroupId"] = message.group
                form[entry + "MessageDeduplicationId"] = deduplication_id(message.id)
        return {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, urlencode(form).encode()

    def read_answer(self, answer: bytes, batch: Sequence[Message]) -> Answer:
        """Return the result of each entry."""
        try:
            said = ElementTree.fromstring(answer)  # noqa: S314 - AWS's own answer, over its own connection
        except ElementTree.ParseError:
            raise ValueError("the answer is not XML") from None
        entries = [(group.tag, {e.tag: e.text or "" for e in entry}) for group in said.iter() for entry in group]
        entries = [(tag.rpartition("}")[2], {k.rpartition("}")[2]: v for k, v in e.items()}) for tag, e in entries]
        return sorted_out(
            batch,
            (entry["Id"] for tag, entry in entries if tag == "Successful" and "Id" in entry),
            (
                entry["Code"]
                for _, entry in entries
                if entry.get("SenderFault") == "true" and not is_passing(entry.get("Code", ""))
            ),
        )


class EventBusTarget(Target):
    """An EventBridge event bus: PutEvents, with the CloudEvents envelope as the event's detail."""

    service = "events"
    addresses = ARN + r"events:[a-z0-9-]+:[0-9]{12}:event-bus/.+"
    iam_action = "events:PutEvents"
    max_entries = 10
    limit = 2**18 - 2**10
    """Source and detail type count too; both are short."""
    orders = ("none",)

    def __init__(self, address: str, provider: str) -> None:
        self.arn, self.region = address, address.split(":")[3]

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the request for a batch."""
        entries = [
            {"EventBusName": self.arn, "Source": "glue-fanout", "DetailType": m.kind, "Detail": m.body} for m in batch
        ]
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSEvents.PutEvents"}
        return headers, orjson.dumps({"Entries": entries})

    def read_answer(self, answer: bytes, batch: Sequence[Message]) -> Answer:
        """Read which entries were accepted."""
        return by_position(orjson.loads(answer)["Entries"], "EventId", batch)


class StreamTarget(Target):
    """A Kinesis data stream: PutRecords, with a CloudEvent as the data of a record.

    The order of messages with the same group holds, although PutRecords keeps no order among the records of a request:
    the sender never puts two of them into one request (`one_of_each_group`).
    """

    service = "kinesis"
    addresses = ARN + r"kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]{1,128}"
    iam_action = "kinesis:PutRecords"
    max_entries = 500
    limit = 2**20 - 128
    """A stream accepts 1 MiB per record, unless its owner raised that, including the partition key, and 10 MiB per
    request. Requests stay below because many of them are in memory at once.
    """
    orders = ("none", "key")

    def __init__(self, address: str, provider: str) -> None:
        self.arn, self.region = address, address.split(":")[3]

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of one request for the batch. Without groups, messages spread over all shards."""
        records = [
            {"PartitionKey": m.group or deduplication_id(m.id), "Data": base64.b64encode(m.body.encode()).decode()}
            for m in batch
        ]
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Kinesis_20131202.PutRecords"}
        return headers, orjson.dumps({"StreamARN": self.arn, "Records": records})

    def read_answer(self, answer: bytes, batch: Sequence[Message]) -> Answer:
        """Read which records were accepted."""
        return by_position(orjson.loads(answer)["Records"], "SequenceNumber", batch)


TARGETS: tuple[type[Target], ...] = (QueueTarget, TopicTarget, EventBusTarget, StreamTarget)


def fifo(address: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a queue or topic is FIFO, and the values of MessageOrder that it therefore allows."""
    return (True, ("key",)) if address.endswith(".fifo") else (False, ("none",))


def deduplication_id(id_: str) -> str:
    """Return the message's id, or its hash if FIFO does not allow the id (128 characters, no space, ASCII)."""
    if re.fullmatch(r"[!-~]{1,128}", id_):
        return id_
    return hashlib.sha256(id_.encode()).hexdigest()


def target_of(settings: Settings) -> Target:
    """Choose the target by the form of `queue_url`.

    Raises
    ------
    SettingsError
        No target has such an address, or the target does not allow this message order.
    """
    kind = next((kind for kind in TARGETS if re.fullmatch(kind.addresses, settings.queue_url)), None)
    if kind is None:
        raise SettingsError(
            "--queue_url must be the URL of an SQS queue, or the ARN of a target that docs/etl.md lists"
        )
    target = kind(settings.queue_url, settings.provider)
    if settings.message_order not in target.orders:
        raise SettingsError(
            f"--message_order is {settings.message_order}, but this target allows only {' or '.join(target.orders)}; "
            "order by key needs a queue or topic whose name ends in .fifo"
        )
    if settings.max_message_bytes:
        target.limit = min(target.limit, int(settings.max_message_bytes))
    return target


_passing_code = re.compile(
    "Throttl|ThroughputExceeded|TooManyRequests|SlowDown|Unavailable|InternalError|InternalFailure|InternalException|Expired|Timeout|Kms.*Throttl"
).search


def is_passing(code: str) -> bool:
    """Whether an error code means that the same request may succeed later."""
    return bool(_passing_code(code))


def error_code(status: int, answer: bytes) -> str:
    """Return the code in a service's error answer, JSON or XML."""
    found = re.search(rb'"__type"\s*:\s*"(?:[^"#]*#)?([\w.]+)"|<Code>([\w.]+)</Code>', answer)
    return (found[1] or found[2]).decode() if found else f"HTTP {status}"
