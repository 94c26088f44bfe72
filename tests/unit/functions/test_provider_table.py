"""The table of providers under concurrent writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from registry.document import NEVER_RAN
from registry.table import PAGE_BYTES, EntryChangedError, ProviderTable, Stored, UnknownProviderError

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass
class MemoryDynamo:
    """The four calls of DynamoDB that the table makes, with writes of another client in between.

    A read that is not consistent may miss the newest write of any item: this one misses all.
    """

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    scan_bytes: int = 1_000_000

    def get_item(self, TableName: str, Key: Any, ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803 - boto3's names
        found = self.items.get(Key["provider"]["S"]) if ConsistentRead else None
        answer = {"Item": dict(found)} if found else {}
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return answer

    def put_item(self, TableName: str, Item: Any, **condition: Any) -> None:  # noqa: N803
        self._check(Item["provider"]["S"], condition)
        self.items[Item["provider"]["S"]] = Item

    def delete_item(self, TableName: str, Key: Any, **condition: Any) -> None:  # noqa: N803
        self._check(Key["provider"]["S"], condition)
        del self.items[Key["provider"]["S"]]

    def scan(self, TableName: str, Limit: int, ExclusiveStartKey: Any = None) -> dict[str, Any]:  # noqa: N803
        names = sorted(self.items)
        after = ExclusiveStartKey["provider"]["S"] if ExclusiveStartKey else ""
        found, size = [], 0
        for name in [name for name in names if name > after]:
            if len(found) == Limit or size > self.scan_bytes:
                break
            found.append(self.items[name])
            size += len(self.items[name]["entry"]["S"])
        more = found and found[-1]["provider"]["S"] != names[-1]
        return {"Items": found, **({"LastEvaluatedKey": {"provider": found[-1]["provider"]}} if more else {})}

    def _check(self, name: str, condition: dict[str, Any]) -> None:
        stored = self.items.get(name)
        if condition["ConditionExpression"] == "attribute_not_exists(provider)":
            holds = stored is None
        else:
            assert condition["ConditionExpression"] == "etag = :seen"
            holds = stored is not None and stored["etag"] == condition["ExpressionAttributeValues"][":seen"]
        if not holds:
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")


@pytest.fixture
def dynamo() -> MemoryDynamo:
    return MemoryDynamo()


@pytest.fixture
def table(dynamo: MemoryDynamo) -> ProviderTable:
    return ProviderTable(dynamo, "providers", page_size=100)


def test_two_concurrent_patches_are_both_kept(table: ProviderTable, dynamo: MemoryDynamo) -> None:
    table.put("a", {"frequency": 5}, NOW)
    dynamo.meanwhile.append(lambda: table.patch("a", {"theirs": 1}, NOW) and None)

    changed = table.patch("a", {"ours": 2}, NOW)

    assert changed == table.get("a")
    assert changed.entry == {"frequency": 5, "theirs": 1, "ours": 2, **NEVER_RAN}


def test_a_conditional_change_after_a_concurrent_one_is_rejected(table: ProviderTable, dynamo: MemoryDynamo) -> None:
    seen = table.put("a", {"frequency": 5}, NOW)[0]
    dynamo.meanwhile.append(lambda: table.patch("a", {"theirs": 1}, NOW) and None)

    with pytest.raises(EntryChangedError, match="read it again"):
        table.patch("a", {"ours": 2}, NOW, lambda stored: stored == seen)

    assert table.get("a").entry == {"frequency": 5, "theirs": 1, **NEVER_RAN}


def test_a_conditional_deletion_keeps_an_entry_that_was_changed_meanwhile(
    table: ProviderTable, dynamo: MemoryDynamo
) -> None:
    seen = table.put("a", {"frequency": 5}, NOW)[0]
    dynamo.meanwhile.append(lambda: table.patch("a", {"theirs": 1}, NOW) and None)

    with pytest.raises(EntryChangedError):
        table.delete("a", lambda stored: stored == seen)

    assert table.get("a").entry == {"frequency": 5, "theirs": 1, **NEVER_RAN}


def test_a_deletion_is_repeated_after_a_concurrent_change(table: ProviderTable, dynamo: MemoryDynamo) -> None:
    table.put("a", {"frequency": 5}, NOW)
    dynamo.meanwhile.append(lambda: table.patch("a", {"theirs": 1}, NOW) and None)

    table.delete("a")

    assert dynamo.items == {}


def test_two_concurrent_creations_make_one_entry(table: ProviderTable, dynamo: MemoryDynamo) -> None:
    dynamo.meanwhile.append(lambda: table.put("a", {"frequency": 1}, NOW) and None)

    with pytest.raises(EntryChangedError):
        table.put("a", {"frequency": 2}, NOW, lambda stored: stored is None)

    assert table.get("a").entry == {"frequency": 1, **NEVER_RAN}


def test_a_write_that_always_conflicts_is_given_up(table: ProviderTable, dynamo: MemoryDynamo) -> None:
    table.put("a", {"frequency": 5}, NOW)

    def write() -> None:
        count = len(dynamo.items["a"]["entry"]["S"])
        text = json.dumps({"frequency": 5, "n": "x" * count})
        dynamo.items["a"] = {"provider": {"S": "a"}, "entry": {"S": text}, "etag": {"S": Stored(text).etag}}

    dynamo.meanwhile += [write] * 20

    with pytest.raises(EntryChangedError):
        table.patch("a", {"ours": 2}, NOW)


def test_every_number_and_text_is_read_back_exactly(table: ProviderTable) -> None:
    entry = {"frequency": 5, "big": 10**60, "lambda": 5e-324, "text": "\ud800 \u0000 é", "deep": {"": [1.0, [], {}]}}

    table.put("a", entry, NOW)

    assert table.get("a").entry == {**entry, **NEVER_RAN}


def test_an_absent_entry_cannot_be_read_or_changed(table: ProviderTable) -> None:
    for call in (lambda: table.get("a"), lambda: table.patch("a", {}, NOW), lambda: table.delete("a")):
        with pytest.raises(UnknownProviderError, match="create it with PUT"):
            call()


def test_pages_have_each_entry_once_and_stay_small(table: ProviderTable, dynamo: MemoryDynamo) -> None:
    names = [f"p{number:03d}" for number in range(250)]
    for name in names:
        table.put(name, {"frequency": 5, "notes": "x" * 30_000}, NOW)

    pages, after = [], None
    while True:
        page = table.page(after)
        pages.append(page)
        if page.next is None:
            break
        after = page.next

    assert [name for page in pages for name in json.loads(page.document)] == names
    assert max(len(page.document) for page in pages) < PAGE_BYTES + dynamo.scan_bytes + 100_000
    assert len({page.etag for page in pages}) == len(pages) > 3


def test_a_page_ends_at_its_number_of_entries_also_after_several_scans(dynamo: MemoryDynamo) -> None:
    table = ProviderTable(dynamo, "providers", page_size=3)
    for name in "abcd":
        table.put(name, {"frequency": 5}, NOW)
    dynamo.scan_bytes = len(table.get("a").document)

    assert (list(json.loads(table.page().document)), table.page().next) == (["a", "b", "c"], "c")


@pytest.mark.parametrize(("more", "names"), [(0, ["a"]), (1, ["a", "b"])])
def test_a_page_ends_when_it_has_its_number_of_bytes(
    table: ProviderTable, dynamo: MemoryDynamo, monkeypatch: pytest.MonkeyPatch, more: int, names: list[str]
) -> None:
    for name in "abc":
        table.put(name, {"frequency": 5}, NOW)
    dynamo.scan_bytes = 0
    member = f'"a":{table.get("a").document}'
    monkeypatch.setattr("registry.table.PAGE_BYTES", len(member) + more)

    assert list(json.loads(table.page().document)) == names


def test_an_empty_table_is_one_empty_page(table: ProviderTable) -> None:
    assert (table.page().document, table.page().next) == ("{}", None)


def test_the_etag_of_a_page_changes_when_a_page_follows_it(dynamo: MemoryDynamo) -> None:
    table = ProviderTable(dynamo, "providers", page_size=1)
    table.put("a", {"frequency": 5}, NOW)
    last = table.page()
    table.put("b", {"frequency": 5}, NOW)

    followed = table.page()

    assert (followed.document, last.next, followed.next) == (last.document, None, "a")
    assert followed.etag != last.etag
