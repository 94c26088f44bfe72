"""Compares the messages that came out with the rows that went in. Knows the contract, and none of the job's code."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

CONSUMERS = 4
"""How many receive messages at once."""


Messages = Counter[str]
"""The ids of one provider's messages."""


@dataclass(frozen=True)
class Comparison:
    """How many rows of the input and messages one provider has, and how many ids."""

    rows: int
    messages: int
    distinct: int
    """Different ids of messages."""
    missing: int
    """Ids of rows without a message."""
    unexpected: int
    """Ids of messages without a row."""
    repeated: int
    """Ids of messages that came more than once."""

    @property
    def ok(self) -> bool:
        """Whether there is exactly one message a row."""
        return self.rows == self.messages == self.distinct and not (self.missing or self.unexpected or self.repeated)

    @property
    def difference(self) -> str:
        """What is not as it should be."""
        return (
            f"{self.missing} rows without a message, {self.unexpected} messages without a row, "
            f"{self.repeated} ids more than once"
        )


def drain(sqs: Any, queue_url: str, into: dict[str, Messages]) -> list[dict[str, Any]]:
    """Receive and delete every message of a queue, and add them to those of their providers; the bodies, decoded."""
    lock = threading.Lock()
    bodies: list[dict[str, Any]] = []

    def consume(_: int) -> None:
        while True:
            found = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
            if not found:
                return
            with lock:
                for message in found:
                    body = json.loads(message["Body"])
                    bodies.append(body)
                    into.setdefault(str(body["provider"]), Counter())[str(body["id"])] += 1
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(found)]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)

    with ThreadPoolExecutor(CONSUMERS) as pool:
        list(pool.map(consume, range(CONSUMERS)))
    return bodies


def expected_ids(s3: Any, bucket: str, prefix: str) -> dict[str, list[str]]:
    """The id that each row of a change log must have, by provider.

    A stream record has its own id; any other row is known by object and line (1-based):
    the first 32 hex digits of sha256("bucket/key#etag"), a dash, the line. Objects lie below {prefix}/provider=NAME/.
    """
    found: dict[str, list[str]] = defaultdict(list)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/provider=")
    for entry in (entry for page in pages for entry in page.get("Contents", [])):
        provider = entry["Key"].removeprefix(f"{prefix}/provider=").split("/")[0]
        body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        address = f"{bucket}/{entry['Key']}#{entry['ETag'].strip(chr(34))}"
        found[provider] += row_ids(gzip.decompress(body).split(b"\n"), address)
    return dict(found)


def row_ids(lines: Iterable[bytes], address: str) -> list[str]:
    """The ids of an object's rows; lines without content are no rows."""
    fingerprint = hashlib.sha256(address.encode()).hexdigest()[:32]
    ids = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            own = json.loads(line).get("eventID")
            ids.append(str(own) if own else f"{fingerprint}-{number}")
    return ids


def compare(expected: Mapping[str, list[str]], received: Mapping[str, Messages]) -> dict[str, Comparison]:
    """Rows against messages, provider by provider."""
    result = {}
    for provider in sorted({*expected, *received}):
        ids, messages = expected.get(provider, []), received.get(provider, Counter())
        result[provider] = Comparison(
            rows=len(ids),
            messages=messages.total(),
            distinct=len(messages),
            missing=len(set(ids) - set(messages)),
            unexpected=len(set(messages) - set(ids)),
            repeated=sum(1 for count in messages.values() if count > 1),
        )
    return result
