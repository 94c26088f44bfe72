"""The table of the built-in config API: one item per provider, with optimistic concurrency.

An entry is stored as the JSON text of its answer, so that unknown fields are returned exactly. Its ETag is a digest of
that text, and every write is conditional on the ETag that it replaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from fanout.errors import TerminalError
from registry.document import Entry, checked, merged

PAGE_ENTRIES = 10_000
PAGE_BYTES = 1_500_000
"""A page ends after this much JSON. A scan adds at most 1 MB, and Lambda's limit of 6 MB counts the escaped text."""

_TRIES = 5


class UnknownProviderError(TerminalError):
    """The provider does not exist."""


class EntryChangedError(TerminalError):
    """The entry has changed since the client read it."""


@dataclass(frozen=True)
class Stored:
    """A stored entry: its JSON text, whose digest is the ETag."""

    document: str

    @property
    def etag(self) -> str:
        """16 hexadecimal digits, the same for the same text."""
        return digest(self.document)

    @property
    def entry(self) -> Entry:
        """The entry as an object."""
        entry: Entry = json.loads(self.document)
        return entry


@dataclass(frozen=True)
class Page:
    """Some entries as one JSON object, and the name after which the next page starts."""

    document: str
    next: str | None

    @property
    def etag(self) -> str:
        """Changes with the entries and with the end of the page."""
        return digest(f"{self.document}{self.next}")


Expected = Callable[[Stored | None], bool]
"""Whether the stored entry (None if there is none) is the one that the client wants to change."""


def anything(stored: Stored | None) -> bool:
    """Change any entry."""
    return True


def digest(text: str) -> str:
    """Short digest of a text, for ETags."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ProviderTable:
    """Providers and their entries in DynamoDB.

    Parameters
    ----------
    client
        boto3 DynamoDB client.
    table
        Name of the table; its key is `provider`.
    page_size
        The most entries of one page.
    """

    def __init__(self, client: Any, table: str, page_size: int = PAGE_ENTRIES) -> None:
        self._client = client
        self._table = table
        self._page_size = page_size

    def page(self, after: str | None = None) -> Page:
        """Read entries in the order of the table, starting after the name in `next` of the page before."""
        members: list[str] = []
        size = 0
        start: dict[str, Any] = {"ExclusiveStartKey": _key(after)} if after else {}
        while len(members) < self._page_size and size < PAGE_BYTES:
            answer = self._client.scan(TableName=self._table, Limit=self._page_size - len(members), **start)
            for item in answer["Items"]:
                members.append(f"{json.dumps(item['provider']['S'])}:{item['entry']['S']}")
                size += len(members[-1])
            if "LastEvaluatedKey" not in answer:
                return Page(f"{{{','.join(members)}}}", None)
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return Page(f"{{{','.join(members)}}}", start["ExclusiveStartKey"]["provider"]["S"])

    def get(self, provider: str) -> Stored:
        """Read one entry.

        Raises
        ------
        UnknownProviderError
        """
        stored = self._read(provider)
        if stored is None:
            raise UnknownProviderError(f"provider {provider!a} not found; create it with PUT")
        return stored

    def put(self, provider: str, entry: Entry, now: datetime, expected: Expected = anything) -> tuple[Stored, bool]:
        """Create or replace an entry.

        Returns
        -------
        The stored entry, and whether it is new.

        Raises
        ------
        InvalidProviderError, EntryTooLargeError
            The name or the entry is invalid.
        EntryChangedError
            The stored entry is not the expected one.
        """
        new = _stored(checked(provider, entry, now))
        for _ in range(_TRIES):
            current = self._read(provider)
            if not expected(current):
                break
            if self._write(provider, new, current):
                return new, current is None
        raise _changed(provider)

    def patch(self, provider: str, changes: Entry, now: datetime, expected: Expected = anything) -> Stored:
        """Change some fields of an entry; null removes one. A new status without an error clears the last error.

        Raises
        ------
        UnknownProviderError, InvalidProviderError, EntryTooLargeError, EntryChangedError
        """
        for _ in range(_TRIES):
            current = self.get(provider)
            # Before the precondition: an invalid change is answered as such (RFC 9110, 13.2.1).
            new = _stored(checked(provider, merged(current.entry, changes), now))
            if not expected(current):
                break
            if self._write(provider, new, current):
                return new
        raise _changed(provider)

    def delete(self, provider: str, expected: Expected = anything) -> None:
        """Remove an entry.

        Raises
        ------
        UnknownProviderError, EntryChangedError
        """
        for _ in range(_TRIES):
            current = self.get(provider)
            if not expected(current):
                break
            if self._conditional(self._client.delete_item, {"Key": _key(provider), **_still(current)}):
                return
        raise _changed(provider)

    def _read(self, provider: str) -> Stored | None:
        item = self._client.get_item(TableName=self._table, Key=_key(provider), ConsistentRead=True).get("Item")
        return None if item is None else Stored(item["entry"]["S"])

    def _write(self, provider: str, new: Stored, current: Stored | None) -> bool:
        """Write the entry if the stored one is still `current`."""
        item = {**_key(provider), "entry": {"S": new.document}, "etag": {"S": new.etag}}
        return self._conditional(self._client.put_item, {"Item": item, **_still(current)})

    def _conditional(self, operation: Callable[..., Any], arguments: dict[str, Any]) -> bool:
        try:
            operation(TableName=self._table, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _key(provider: str) -> dict[str, Any]:
    return {"provider": {"S": provider}}


def _stored(entry: Entry) -> Stored:
    return Stored(json.dumps(entry, separators=(",", ":")))


def _still(current: Stored | None) -> dict[str, Any]:
    """The condition that the entry was not written in the meantime."""
    if current is None:
        return {"ConditionExpression": "attribute_not_exists(provider)"}
    return {"ConditionExpression": "etag = :seen", "ExpressionAttributeValues": {":seen": {"S": current.etag}}}


def _changed(provider: str) -> EntryChangedError:
    return EntryChangedError(f"{provider} has changed since it was read; read it again and repeat the change")
