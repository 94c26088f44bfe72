"""Event source mappings of a table's stream: reads the shard as Lambda does, and hands its records over in order.

A batch that fails, or fails from some record on, comes again from there until it succeeds or is tried too often; then
it goes to the mapping's S3 destination with its records. Items whose time to live is over are deleted on the way, which
moto does not do. Sources: Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB", "Configuring partial batch
response" and "Retaining discarded records"; DynamoDB Developer Guide, "DynamoDB Streams and Time to Live".
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.dynamodb.models.table import Table

from laptop_cloud.aws.repairs.data import DYNAMODB_LOCK

LOG = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_RETRY_SECONDS = 1.0


class StreamPoller:
    """Reads a table's stream for one mapping until it is stopped.

    Parameters
    ----------
    mapping
        Moto's event source mapping; its settings are looked up for each batch.
    table
        Moto's table, whose expired items are deleted.
    client
        Service -> a client that calls as Lambda does for this mapping: with the function's role.
    functions
        Client by which the function is invoked.
    """

    def __init__(self, mapping: Any, table: Table, client: Callable[[str], Any], functions: Any) -> None:
        self._mapping = mapping
        self._table = table
        self._client = client
        self._functions = functions
        self._stopped, self._hurried, self._idle = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._run, name=f"read {mapping.event_source_arn}", daemon=True).start()

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopped.set()

    def hurry(self, seconds: float = 120.0) -> None:
        """End batching windows at once until every record that is in the stream now was handed over.

        Raises
        ------
        TimeoutError
            One was not after so many seconds; a batch that fails is tried again and again.
        """
        self._idle.clear()
        self._hurried.set()
        try:
            if self._mapping.enabled and not self._idle.wait(seconds):
                raise TimeoutError(f"{self._mapping.event_source_arn} was not read to its end in {seconds:.0f} s.")
        finally:
            self._hurried.clear()

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
                LOG.warning("%s was not read: %s", arn, error)
                self._stopped.wait(_RETRY_SECONDS)
                continue
            begun = begun if batch else time.monotonic()
            batch += [as_event(record, arn) for record in found]
            over = time.monotonic() - begun >= int(self._mapping.max_batch_window or 0)
            if batch and (room == len(found) or over or (hurried and not found)):
                self._hand_over(batch)
                batch = []
            elif not found:
                if hurried and not batch:
                    self._idle.set()
                self._stopped.wait(_POLL_SECONDS)

    def _hand_over(self, batch: list[dict[str, Any]]) -> None:
        """Invoke the function until it has settled the batch, or was invoked too often."""
        most = self._mapping.max_retry_attempts
        tries, most = 0, -1 if most is None else int(most)
        while batch and not self._stopped.is_set():
            event = {"Records": batch}
            try:
                answer = self._functions.invoke(
                    FunctionName=self._mapping.function_arn, Payload=json.dumps(event).encode()
                )
            except self._functions.exceptions.TooManyRequestsException:
                self._stopped.wait(_RETRY_SECONDS)
                continue
            except (ClientError, BotoCoreError) as error:
                LOG.warning("%s was not invoked: %s", self._mapping.function_arn, error)
                self._stopped.wait(_RETRY_SECONDS)
                continue
            failed = self._failed_from(batch, answer)
            if failed is None:
                return
            tries = 1 if failed else tries + 1  # a smaller batch is tried anew
            batch = batch[failed:]
            if 0 <= most < tries:
                self._give_up(batch)
                return
            self._stopped.wait(_RETRY_SECONDS)

    def _failed_from(self, batch: list[dict[str, Any]], answer: dict[str, Any]) -> int | None:
        """From which record on the batch failed; None when it did not."""
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            return 0
        if "ReportBatchItemFailures" not in (self._mapping.function_response_types or []) or not result:
            return None
        names = {failure["itemIdentifier"] for failure in result.get("batchItemFailures", [])}
        if not names:
            return None
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        return min((numbers.index(name) if name in numbers else 0) for name in names)

    def _give_up(self, batch: list[dict[str, Any]]) -> None:
        target = ((self._mapping.destination_config or {}).get("OnFailure") or {}).get("Destination", "")
        LOG.warning("%s: a batch of %d records is given up", self._mapping.event_source_arn, len(batch))
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
    given = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": position}
    return str(streams.get_shard_iterator(**given)["ShardIterator"])


def as_event(record: dict[str, Any], arn: str) -> dict[str, Any]:
    """A stream record as Lambda hands it over, of one as boto3 gives it."""
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
    """Delete a table's items whose time to live is over, as DynamoDB itself does it; there it may take days."""
    attribute = (table.ttl or {}).get("AttributeName")
    if not attribute or (table.ttl or {}).get("TimeToLiveStatus") != "ENABLED":
        return
    with DYNAMODB_LOCK:  # a record that is added meanwhile would get the number of another one
        for item in [item for item in table.all_items() if _is_over(item.attrs.get(attribute))]:
            table.delete_item(item.hash_key, item.range_key)
            if table.stream_shard:
                told = table.stream_shard.items[-1].record
                told["userIdentity"] = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}


def _is_over(value: Any) -> bool:
    return value is not None and value.type == "N" and float(value.value) <= time.time()
