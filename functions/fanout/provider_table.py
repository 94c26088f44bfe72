"""The built-in config API's data: one item a provider, changed under optimistic concurrency."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from fanout.errors import TerminalError
from fanout.providers import check_name, parse_entry

Entry = dict[str, Any]


class UnknownProviderError(TerminalError):
    """There is no provider of that name."""


class EntryChangedError(TerminalError):
    """The entry is not the one the caller saw."""


@dataclass(frozen=True)
class Versioned:
    """An entry and its version, which counts its changes from 1."""

    entry: Entry
    version: int


@dataclass(frozen=True)
class Page:
    """Some entries, and the name behind which the next page begins."""

    entries: dict[str, Entry]
    next: str | None


class ProviderTable:
    """Providers and their entries in DynamoDB.

    Parameters
    ----------
    client
        boto3 DynamoDB client.
    table
        Its name; the key is `provider`.
    page_size
        The most entries of one page.
    """

    def __init__(self, client: Any, table: str, page_size: int) -> None:
        self._client = client
        self._table = table
        self._page_size = page_size

    def page(self, after: str | None = None) -> Page:
        """Read entries in the table's own order, beginning behind a name that a page gave as `next`."""
        entries: dict[str, Entry] = {}
        start: dict[str, Any] = {"ExclusiveStartKey": _key(after)} if after else {}
        while len(entries) < self._page_size:
            answer = self._client.scan(TableName=self._table, Limit=self._page_size - len(entries), **start)
            for item in answer["Items"]:
                entries[item["provider"]["S"]] = _versioned(item).entry
            if "LastEvaluatedKey" not in answer:
                return Page(entries, None)
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return Page(entries, start["ExclusiveStartKey"]["provider"]["S"])

    def get(self, provider: str) -> Versioned:
        """Read one entry.

        Raises
        ------
        UnknownProviderError
        """
        item = self._client.get_item(TableName=self._table, Key=_key(provider), ConsistentRead=True).get("Item")
        if item is None:
            raise UnknownProviderError(f"there is no provider {provider!a}; create it with PUT")
        return _versioned(item)

    def put(self, provider: str, entry: Entry, now: datetime, expected: int | None = None) -> Versioned:
        """Create or replace an entry.

        Parameters
        ----------
        expected
            The version the caller saw; 0 for none; None to write over whatever is there.

        Raises
        ------
        InvalidProviderError
            The name or the entry is not of the contract's form.
        EntryChangedError
            The stored version is another one than expected.
        """
        parse_entry(check_name(provider), entry, now)
        for _ in range(5):
            try:
                stored = self.get(provider).version
            except UnknownProviderError:
                stored = 0
            if expected is not None and stored != expected:
                break
            if self._write(provider, entry, stored):
                return Versioned(entry, stored + 1)
        raise EntryChangedError(f"{provider} was changed by somebody else; read it again and repeat the change")

    def patch(self, provider: str, changes: Entry, now: datetime, expected: int | None = None) -> Versioned:
        """Change some fields of an entry; null removes one. A new status without an error clears the last error.

        Raises
        ------
        UnknownProviderError, InvalidProviderError, EntryChangedError
        """
        for _ in range(5):
            current = self.get(provider)
            if expected is not None and current.version != expected:
                break
            merged = {**current.entry, **({"error": None} if "status" in changes else {}), **changes}
            entry = {name: value for name, value in merged.items() if value is not None}
            parse_entry(provider, entry, now)
            if self._write(provider, entry, current.version):
                return Versioned(entry, current.version + 1)
        raise EntryChangedError(f"{provider} was changed by somebody else; read it again and repeat the change")

    def delete(self, provider: str, expected: int | None = None) -> None:
        """Remove an entry.

        Raises
        ------
        UnknownProviderError, EntryChangedError
        """
        current = self.get(provider)
        if expected is not None and current.version != expected:
            raise EntryChangedError(f"{provider} was changed by somebody else; read it again and repeat the change")
        self._client.delete_item(TableName=self._table, Key=_key(provider))

    def _write(self, provider: str, entry: Entry, stored: int) -> bool:
        """Write version `stored` + 1 if the stored version is still that one."""
        condition = (
            {"ConditionExpression": "attribute_not_exists(provider)"}
            if not stored
            else {
                "ConditionExpression": "version = :stored",
                "ExpressionAttributeValues": {":stored": {"N": str(stored)}},
            }
        )
        item = {
            "provider": provider,
            "version": stored + 1,
            "entry": json.loads(json.dumps(entry), parse_float=Decimal),
        }
        try:
            self._client.put_item(TableName=self._table, Item=TypeSerializer().serialize(item)["M"], **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _key(provider: str) -> dict[str, Any]:
    return {"provider": {"S": provider}}


def _versioned(item: dict[str, Any]) -> Versioned:
    plain = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
    return Versioned(_numbers(plain["entry"]), int(plain["version"]))


def _numbers(value: Any) -> Any:
    """Decimals as the JSON numbers they were."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return value
