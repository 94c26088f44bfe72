"""Event source mappings of DynamoDB streams: reads the shard as Lambda does, and passes its records on in order.

A batch is retried from its first failed record until it succeeds or the mapping's retries are used up; then it is
written to the mapping's S3 destination. The poller also deletes items whose time to live has expired, which moto does
not do. Sources: Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB", "Configuring partial batch response"
and "Retaining discarded records"; DynamoDB Developer Guide, "DynamoDB Streams and Time to Live".
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.dynamodb.models.table import Table

from laptop_cloud.aws.event_sources import LOG, EventSource
from laptop_cloud.aws.repairs.data import DYNAMODB_LOCK

_POLL_SECONDS = 0.25
_RETRY_SECONDS = 1.0


class StreamPoller(EventSource):
    """Reads a table's stream for one mapping until it is stopped.

    Parameters
    ----------
    mapping, functions
        See `EventSource`.
    table
        Moto's table, whose expired items are deleted.
    client
        Service -> a client with the function's role.
    """

    def __init__(self, mapping: Any, table: Table, client: Callable[[str], Any], functions: Any) -> None:
        super().__init__(mapping, functions)
        self._table = table
        self._client = client
        self._idle = threading.Event()
        threading.Thread(target=self._run, name=f"read {mapping.event_source_arn}", daemon=True).start()

    def _is_empty_within(self, seconds: float) -> bool:
        self._idle.clear()
        return self._idle.wait(seconds)

    def _run(self) -> None:
        streams, arn = self._client("dynamodbstreams"), self._mapping.event_source_arn
        batch: list[dict[str, Any]] = []
        iterator, begun = "", 0.0
        while not self._stopped.is_set():
            if not self._mapping.enabled:
                self._stopped.wait(_POLL_SECONDS)
                continue
            try:
                if not iterator:
                    iterator = _first_iterator(streams, arn, self._mapping.starting_position)
                hurried = self._hurried.is_set()
                expire(self._table)
                room = self._mapping.batch_size - len(batch)
                answer = streams.get_records(ShardIterator=iterator, Limit=min(room, 1000))
                iterator, found = answer["NextShardIterator"], answer["Records"]
            except (ClientError, BotoCoreError) as error:
                LOG.warning("Reading %s failed: %s", arn, error)
                self._stopped.wait(_RETRY_SECONDS)
                continue
            begun = begun if batch else time.monotonic()
            batch += [as_event(record, arn) for record in found]
            window_over = time.monotonic() - begun >= int(self._mapping.max_batch_window or 0)
            if batch and (room == len(found) or window_over or (hurried and not found)):
                self._process(batch)
                batch = []
            elif not found:
                if hurried and not batch:
                    self._idle.set()
                self._stopped.wait(_POLL_SECONDS)

    def _process(self, batch: list[dict[str, Any]]) -> None:
        """Invoke the function until the batch succeeds or its retries are used up."""
        retries, tries = self._mapping.max_retry_attempts, 0
        while batch and not self._stopped.is_set():
            try:
                failed = self._invoke(batch)
            except (ClientError, BotoCoreError) as error:
                LOG.warning("Invoking %s failed: %s", self._mapping.function_arn, error)
                self._stopped.wait(_RETRY_SECONDS)
                continue
            if not failed or self._stopped.is_set():
                return
            numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
            first = min(numbers.index(number) if number in numbers else 0 for number in failed)
            tries = 1 if first else tries + 1  # a smaller batch has all its retries again
            batch = batch[first:]
            if retries is not None and 0 <= int(retries) < tries:
                self._discard(batch)
                return
            self._stopped.wait(_RETRY_SECONDS)

    def _discard(self, batch: list[dict[str, Any]]) -> None:
        """Write a batch that failed too often to the mapping's destination, if that is a bucket."""
        target = ((self._mapping.destination_config or {}).get("OnFailure") or {}).get("Destination", "")
        LOG.warning("%s: a batch of %d records is discarded", self._mapping.event_source_arn, len(batch))
        if ":s3:::" in target:
            now = datetime.now(UTC)
            key = f"aws/lambda/{self._mapping.uuid}/shard/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
            body = {
                "requestContext": {"condition": "RetryAttemptsExhausted"},
                "payload": json.dumps({"Records": batch}),
            }
            bucket = target.rpartition(":")[2]
            self._client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(body).encode())


def _first_iterator(streams: Any, arn: str, position: str) -> str:
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]  # moto's tables have one
    which = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": position}
    return str(streams.get_shard_iterator(**which)["ShardIterator"])


def as_event(record: dict[str, Any], arn: str) -> dict[str, Any]:
    """Convert a stream record from boto3's form to the form of Lambda's event."""
    event: dict[str, Any] = {**record, "eventSourceARN": arn}
    if "userIdentity" in record:
        event["userIdentity"] = {name[0].lower() + name[1:]: text for name, text in record["userIdentity"].items()}
    moment = record["dynamodb"]["ApproximateCreationDateTime"]
    plain = {**record["dynamodb"], "ApproximateCreationDateTime": int(moment.timestamp())}
    event["dynamodb"] = _without_bytes(plain)
    return event


def _without_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_bytes(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_without_bytes(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def expire(table: Table) -> None:
    """Delete a table's expired items, as DynamoDB itself does; on AWS that may take days."""
    attribute = (table.ttl or {}).get("AttributeName")
    if not attribute or (table.ttl or {}).get("TimeToLiveStatus") != "ENABLED":
        return
    with DYNAMODB_LOCK:  # otherwise, two records added at the same time could get the same sequence number
        for item in [item for item in table.all_items() if _is_past(item.attrs.get(attribute))]:
            table.delete_item(item.hash_key, item.range_key)
            if table.stream_shard:
                record = table.stream_shard.items[-1].record
                record["userIdentity"] = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}


def _is_past(value: Any) -> bool:
    return value is not None and value.type == "N" and float(value.value) <= time.time()
