"""Compares the messages in the queue with the rows of the input, without using the job's code."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

CONSUMERS = 4
"""Number of concurrent consumers."""

Messages = Counter[str]
"""The ids of one provider's messages, with the number of messages for each."""


@dataclass(frozen=True)
class Comparison:
    """One provider's counts of rows, messages and ids."""

    rows: int
    messages: int
    distinct: int
    """Distinct ids of messages."""
    missing: int
    """Ids of rows without a message."""
    unexpected: int
    """Ids of messages without a row."""
    repeated: int
    """Ids with more than one message."""

    @property
    def ok(self) -> bool:
        """Whether there is exactly one message per row."""
        return self.rows == self.messages == self.distinct and not (self.missing or self.unexpected or self.repeated)

    @property
    def difference(self) -> str:
        """The differences as text."""
        return (
            f"{self.missing} rows without a message, {self.unexpected} messages without a row, "
            f"{self.repeated} ids with more than one message"
        )


def drain(
    sqs: Any,
    queue_url: str,
    into: dict[str, Messages],
    consumers: int = CONSUMERS,
    decode: Callable[[str], Any] = json.loads,
) -> list[dict[str, Any]]:
    """Receive and delete every message of a queue.

    Parameters
    ----------
    into
        Provider -> its messages, to which the received ones are added.
    consumers
        Number of concurrent consumers; 1 keeps the order of a FIFO queue.
    decode
        Parses a body.

    Returns
    -------
    The parsed bodies.
    """
    lock = threading.Lock()
    bodies: list[dict[str, Any]] = []

    def consume(_: int) -> None:
        while True:
            found = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
            if not found:
                return
            with lock:
                for message in found:
                    body = decode(message["Body"])
                    bodies.append(body)
                    into.setdefault(str(body["provider"]), Counter())[str(body["id"])] += 1
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(found)]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)

    with ThreadPoolExecutor(consumers) as pool:
        list(pool.map(consume, range(consumers)))
    return bodies


def lines_of(body: bytes) -> list[bytes]:
    """Return the lines of an object, gzip or not. A damaged one has none: its run fails, and names it."""
    try:
        plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        return plain.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except (OSError, EOFError, zlib.error):
        return []


def expected_ids(s3: Any, bucket: str, prefix: str, ignored: Container[str] = ()) -> dict[str, list[str]]:
    """Return the ids that the rows of a change log must have, by provider.

    The id of a stream record is its event id. The id of any other row is the first 32 hex digits of a SHA-256 hash of
    the object's key, the line number, from 1, and the line, with line feeds between them. Keys start with
    {prefix}/provider=NAME/.

    Parameters
    ----------
    ignored
        Keys, after the prefix, of objects that are not data.
    """
    found: dict[str, list[str]] = defaultdict(list)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/provider=")
    for entry in (entry for page in pages for entry in page.get("Contents", [])):
        if entry["Key"].removeprefix(f"{prefix}/") in ignored:
            continue
        provider = entry["Key"].removeprefix(f"{prefix}/provider=").split("/")[0]
        body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        found[provider] += row_ids(lines_of(body), entry["Key"])
    return dict(found)


def row_ids(lines: Iterable[bytes], key: str) -> list[str]:
    """Return the ids of an object's rows; empty lines are ignored."""
    ids = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                own = json.loads(line).get("eventID")
            except (ValueError, AttributeError):  # no change record: the run fails, and names the line
                own = None
            hashed = hashlib.sha256(b"%b\n%d\n%b" % (key.encode(), number, line)).hexdigest()[:32]
            ids.append(str(own) if own else hashed)
    return ids


def compare(expected: Mapping[str, list[str]], received: Mapping[str, Messages]) -> dict[str, Comparison]:
    """Compare rows with messages for each provider."""
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
