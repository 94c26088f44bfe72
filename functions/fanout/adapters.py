"""Adapters of the ports to AWS, which convert boto3's errors to ours. `config_client` is that of the config API."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from contract.manifest import StoredObject
from contract.refusals import why_refused
from contract.times import format_iso, parse_iso
from contract.uris import split_uri
from fanout.errors import (
    LedgerConflictError,
    LedgerItemError,
    LedgerUnavailableError,
    StartRefusedError,
    StartThrottledError,
    StorageUnavailableError,
    TransientError,
    UnreadableObjectError,
)
from fanout.ledger import ProviderState
from fanout.pending import MAX_KEYS, Pending
from fanout.providers import describe

ATTENTION_INDEX = "attention"


def _key(name: str) -> dict[str, Any]:
    return {"provider": {"S": name}}


_LIST = _key("#list")
"""Key of the item with the size of the list of providers. A provider's name cannot contain a #."""
SHARDS = 16
"""Number of partition keys of the index; one partition accepts 1,000 writes per second."""
_BATCH_GET_LIMIT = 100
_BATCH_GET_TRIES = 8


@contextmanager
def _unavailable(error_type: type[TransientError], what: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise error_type(f"{what}: {_code(error)}") from error


def _code(error: BaseException | None) -> str:
    """The error code of the service."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else type(error).__name__


class DynamoLedger:
    """The run ledger in a DynamoDB table with a sparse index on `attention`."""

    def __init__(self, client: Any, table: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def get(self, provider: str) -> ProviderState:
        """See `LedgerStore.get`."""
        with _unavailable(LedgerUnavailableError, f"reading the ledger item of {provider}"):
            item = self._client.get_item(TableName=self._table, Key=_key(provider), ConsistentRead=True).get("Item")
        return _state(item) if item else ProviderState(provider=provider)

    def get_many(self, providers: Iterable[str]) -> dict[str, ProviderState]:
        """See `LedgerStore.get_many`."""
        names = list(providers)
        batches = [names[i : i + _BATCH_GET_LIMIT] for i in range(0, len(names), _BATCH_GET_LIMIT)]
        if not batches:
            return {}
        with ThreadPoolExecutor(min(8, len(batches))) as pool:
            return {state.provider: state for batch in pool.map(self._get_batch, batches) for state in batch}

    def _get_batch(self, providers: list[str]) -> list[ProviderState]:
        wanted: dict[str, Any] = {self._table: {"Keys": [_key(name) for name in providers]}}
        states: list[ProviderState] = []
        for attempt in range(_BATCH_GET_TRIES):
            with _unavailable(LedgerUnavailableError, f"reading {len(providers)} ledger items"):
                answer = self._client.batch_get_item(RequestItems=wanted)
            states += _readable(answer["Responses"].get(self._table, []))
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return states
            self._sleep(0.05 * 2**attempt)  # throttled keys are returned without an error
        raise LedgerUnavailableError(f"reading {len(providers)} ledger items: throttled {_BATCH_GET_TRIES} times")

    def put(self, state: ProviderState) -> None:
        """See `LedgerStore.put`."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(provider)"}
        if state.version:
            read = {":read": {"N": str(state.version)}}
            condition = {"ConditionExpression": "version = :read", "ExpressionAttributeValues": read}
        try:
            with _unavailable(LedgerUnavailableError, f"writing the ledger item of {state.provider}"):
                self._client.put_item(TableName=self._table, Item=_item(state), **condition)
        except LedgerUnavailableError as error:
            code = _code(error.__cause__)
            if code == "ConditionalCheckFailedException":
                raise LedgerConflictError(f"{state.provider}: the ledger item changed since it was read") from error
            if code == "ValidationException":  # an item over 400 KB, for example: a retry cannot help
                raise LedgerItemError(
                    f"DynamoDB rejected the ledger item of {state.provider}, which may have up to 400 KB: "
                    f"{error.__cause__}"
                ) from error
            raise

    def attention(self) -> list[ProviderState]:
        """See `LedgerStore.attention`."""
        return _readable(_indexed(self._client, self._table, "run"))

    def list_size(self) -> int:
        """See `LedgerStore.list_size`."""
        with _unavailable(LedgerUnavailableError, "reading the size of the list of providers"):
            item = self._client.get_item(TableName=self._table, Key=_LIST, ConsistentRead=True).get("Item", {})
        return int(item["providers"]["N"]) if "providers" in item else 0

    def put_list_size(self, providers: int) -> None:
        """See `LedgerStore.put_list_size`."""
        with _unavailable(LedgerUnavailableError, "writing the size of the list of providers"):
            self._client.put_item(TableName=self._table, Item={**_LIST, "providers": {"N": str(providers)}})


class DynamoPending:
    """The pending counts: one counter item per provider, beside its ledger item in the same table and index."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def add(self, provider: str, objects: int, size: int, now: datetime, keys: frozenset[str] = frozenset()) -> None:
        """See `PendingStore.add`. A second write without the keys if too many are stored."""
        counts = "ADD pending_count :objects, objects :objects, #bytes :bytes"
        rest = "SET #since = if_not_exists(#since, :now), attention = :shard"
        values = {
            ":objects": {"N": str(objects)},
            ":bytes": {"N": str(size)},
            ":now": {"S": format_iso(now)},
            ":shard": {"S": _shard("pending", provider)},
        }
        with _unavailable(LedgerUnavailableError, f"counting pending objects of {provider}"):
            few = "attribute_not_exists(announced) OR size(announced) < :most"
            more = {":keys": {"SS": sorted(keys)}, ":most": {"N": str(MAX_KEYS)}}
            if not keys or not self._update(provider, f"{counts}, announced :keys {rest}", {**values, **more}, few):
                self._update(provider, f"{counts} {rest}", values)

    def forget(self, provider: str, keys: frozenset[str]) -> None:
        """See `PendingStore.forget`."""
        with _unavailable(LedgerUnavailableError, f"updating the pending objects of {provider}"):
            self._update(provider, "DELETE announced :keys", {":keys": {"SS": sorted(keys)}})

    def of(self, provider: str) -> Pending:
        """See `PendingStore.of`."""
        with _unavailable(LedgerUnavailableError, f"reading the pending count of {provider}"):
            key = _key(provider + PENDING_SUFFIX)
            item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        return _pending(item)

    def clear(self, provider: str, pending_count: int, claimed_at: datetime) -> None:
        """See `PendingStore.clear`. Two conditional writes: one if no object arrived since, one if some did."""
        values = {":pending_count": {"N": str(pending_count)}, ":none": {"N": "0"}}
        with _unavailable(LedgerUnavailableError, f"clearing the pending count of {provider}"):
            if self._update(
                provider,
                "SET objects = :none, #bytes = :none REMOVE #since, attention, announced",
                values,
                condition="pending_count = :pending_count",
            ):
                return
            self._update(
                provider,
                "SET objects = :none, #bytes = :none, #since = :claimed",
                {**values, ":claimed": {"S": format_iso(claimed_at)}},
                condition="pending_count > :pending_count AND #since < :claimed",
            )

    def waiting(self) -> dict[str, Pending]:
        """See `PendingStore.waiting`."""
        found = _indexed(self._client, self._table, "pending")
        return {item["provider"]["S"].removesuffix(PENDING_SUFFIX): _pending(item) for item in found}

    def _update(self, provider: str, expression: str, values: dict[str, Any], condition: str = "") -> bool:
        """Update the item; return whether the condition held."""
        conditional = {"ConditionExpression": condition} if condition else {}
        names = {f"#{name}": name for name in ("bytes", "since") if f"#{name}" in expression + condition}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(provider + PENDING_SUFFIX),
                UpdateExpression=expression,
                ExpressionAttributeValues=values,
                **({"ExpressionAttributeNames": names} if names else {}),
                **conditional,
            )
        except ClientError as error:
            if _code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _indexed(client: Any, table: str, kind: str) -> list[dict[str, Any]]:
    """All items of one kind in the sparse index; its shards are read in parallel."""

    def read(shard: int) -> list[dict[str, Any]]:
        pages = client.get_paginator("query").paginate(
            TableName=table,
            IndexName=ATTENTION_INDEX,
            KeyConditionExpression="attention = :shard",
            ExpressionAttributeValues={":shard": {"S": f"{kind}-{shard:02}"}},
        )
        with _unavailable(LedgerUnavailableError, "reading the ledger's attention index"):
            return [item for page in pages for item in page["Items"]]

    with ThreadPoolExecutor(SHARDS) as pool:
        return [item for items in pool.map(read, range(SHARDS)) for item in items]


def _shard(kind: str, provider: str) -> str:
    return f"{kind}-{zlib.crc32(provider.encode()) % SHARDS:02}"


PENDING_SUFFIX = "#pending"
"""A provider's name cannot contain a #."""


def _pending(item: dict[str, Any]) -> Pending:
    figures = {name: int(item[name]["N"]) for name in ("pending_count", "objects", "bytes") if name in item}
    since = parse_iso(item["since"]["S"]) if "since" in item else None
    return Pending(**figures, since=since, keys=frozenset(item.get("announced", {}).get("SS", ())))


_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def _item(state: ProviderState) -> dict[str, Any]:
    """The item for DynamoDB, without nulls and floats, and with the next version."""
    document = state.model_dump_json(exclude_none=True, exclude={"version"})
    plain = json.loads(document, parse_float=Decimal)
    plain["version"] = state.version + 1
    if state.attention:
        plain["attention"] = _shard("run", state.provider)
    return dict(_serializer.serialize(plain)["M"])


def _state(item: dict[str, Any]) -> ProviderState:
    try:
        return ProviderState.model_validate({name: _deserializer.deserialize(value) for name, value in item.items()})
    except (ValidationError, TypeError, AttributeError) as error:
        reason = describe(error) if isinstance(error, ValidationError) else type(error).__name__
        raise LedgerItemError(
            f"the ledger item of {item['provider'].get('S')} is invalid ({reason}); undo manual changes, or delete the "
            "item, after which the whole change log is processed again"
        ) from None


def _readable(items: Iterable[dict[str, Any]]) -> list[ProviderState]:
    """The states of many items. An invalid item is left out, so that it stops no other provider; the claim of its own
    provider fails with the reason.
    """
    states = []
    for item in items:
        with suppress(LedgerItemError):
            states.append(_state(item))
    return states


class S3Objects:
    """Change log, manifests, results and records on S3."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def list(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`. One request per 1,000 objects."""
        bucket, key = split_uri(prefix)
        pages = self._client.get_paginator("list_objects_v2")
        with _unavailable(StorageUnavailableError, f"listing {prefix}"):
            for page in pages.paginate(Bucket=bucket, Prefix=key, StartAfter=start_after):
                for found in page.get("Contents", ()):
                    etag = found["ETag"].strip('"')
                    yield StoredObject(found["Key"], found["Size"], etag, found["LastModified"])

    def read(self, uri: str, at_most: int | None = None) -> bytes | None:
        """See `ObjectStore.read`."""
        bucket, key = split_uri(uri)
        try:
            with _unavailable(StorageUnavailableError, f"reading {uri}"):
                body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read(at_most)
                return body
        except StorageUnavailableError as error:
            # A time-out has a `response`, too, which is None.
            code, answer = _code(error.__cause__), getattr(error.__cause__, "response", None) or {}
            if code == "NoSuchKey":
                return None
            status, text = answer.get("ResponseMetadata", {}).get("HTTPStatusCode"), answer.get("Error", {})
            if why := why_refused(code, status, str(text.get("Message", ""))):
                raise UnreadableObjectError(f"{why} ({code})", uri=uri) from error
            raise

    def create(self, uri: str, body: bytes) -> bool:
        """See `ObjectStore.create`."""
        bucket, key = split_uri(uri)
        try:
            with _unavailable(StorageUnavailableError, f"writing {uri}"):
                self._client.put_object(
                    Bucket=bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
                )
        except StorageUnavailableError as error:
            if _code(error.__cause__) == "PreconditionFailed":
                return False
            raise
        return True


def concurrent_functions(client: Any) -> int:
    """How many functions the account can run at once, without reserved concurrency.

    Source: Lambda API, "GetAccountSettings".
    """
    with _unavailable(StartThrottledError, "GetAccountSettings"):
        return int(client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"])


class StepFunctions:
    """Executions of the state machine."""

    _THROTTLED = frozenset({"ThrottlingException", "TooManyRequestsException", "ExecutionLimitExceeded"})

    def __init__(self, client: Any, state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, execution_input: str) -> bool:
        """See `NewExecutions.start`.

        Step Functions answers ExecutionAlreadyExists if an execution with this name has ended, or has another input.
        """
        try:
            self._client.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=execution_input)
        except ClientError as error:
            code = _code(error)
            if code == "ExecutionAlreadyExists":
                return False
            if code in self._THROTTLED or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise StartThrottledError(f"StartExecution of {name}: {code}") from error
            raise StartRefusedError(
                f"StartExecution of {name}: {code}; check the state machine and the dispatcher's role"
            ) from error
        except BotoCoreError as error:
            raise StartThrottledError(f"StartExecution of {name}: {_code(error)}") from error
        return True

    def running(self) -> set[str]:
        """See `LiveExecutions.running`. One request per 1,000 executions."""
        with _unavailable(StartThrottledError, "ListExecutions"):
            pages = self._client.get_paginator("list_executions").paginate(
                stateMachineArn=self._state_machine_arn, statusFilter="RUNNING", PaginationConfig={"PageSize": 1000}
            )
            return {execution["name"] for page in pages for execution in page["executions"]}

    def latest(self) -> dict[str, bool]:
        """See `LiveExecutions.latest`. One request."""
        with _unavailable(StartThrottledError, "ListExecutions"):
            found = self._client.list_executions(stateMachineArn=self._state_machine_arn, maxResults=1000)
            return {execution["name"]: execution["status"] == "RUNNING" for execution in found["executions"]}

    def status(self, execution_arn: str) -> str | None:
        """See `LiveExecutions.status`."""
        try:
            with _unavailable(StartThrottledError, "DescribeExecution"):
                return str(self._client.describe_execution(executionArn=execution_arn)["status"])
        except StartThrottledError as error:
            if _code(error.__cause__) == "ExecutionDoesNotExist":
                return None
            raise
