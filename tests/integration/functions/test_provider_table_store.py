"""The table of the built-in config API in DynamoDB: exact entries, conditional writes and pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from registry.table import EntryChangedError, ProviderTable, Stored, UnknownProviderError
from tests.harness.tables import create_table

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def table(real_dynamo: Any) -> ProviderTable:
    create_table(
        real_dynamo,
        "providers",
        AttributeDefinitions=[{"AttributeName": "provider", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "provider", "KeyType": "HASH"}],
    )
    return ProviderTable(real_dynamo, "providers", page_size=2)


def test_an_entry_is_read_exactly_as_it_was_written(table: ProviderTable) -> None:
    written, new = table.put("a", {"frequency": 15, "note": 'ä "quoted"\n', "number": 0.1}, NOW)

    assert new
    assert table.get("a") == written
    assert table.get("a").entry["note"] == 'ä "quoted"\n'
    assert table.put("a", {"frequency": 30}, NOW)[1] is False
    assert table.patch("a", {"paused": True}, NOW).entry | {"frequency": 30, "paused": True} == table.get("a").entry


def test_a_write_in_between_is_seen_and_the_change_is_made_again_on_it(table: ProviderTable) -> None:
    table.put("a", {"frequency": 15}, NOW)
    seen: list[Stored | None] = []

    def interrupted(current: Stored | None) -> bool:
        seen.append(current)
        if len(seen) == 1:
            table.patch("a", {"note": "from another client"}, NOW)
        return True

    changed = table.patch("a", {"paused": True}, NOW, interrupted)

    assert len(seen) == 2
    assert (changed.entry["note"], changed.entry["paused"]) == ("from another client", True)


def test_a_conditional_deletion_keeps_an_entry_that_was_changed(table: ProviderTable) -> None:
    first, _ = table.put("a", {"frequency": 15}, NOW)
    table.patch("a", {"frequency": 30}, NOW)

    with pytest.raises(EntryChangedError):
        table.delete("a", lambda current: current == first)
    table.delete("a")
    with pytest.raises(UnknownProviderError):
        table.get("a")


def test_pages_have_each_entry_once(table: ProviderTable) -> None:
    names = {f"provider-{n}" for n in range(5)}
    for name in names:
        table.put(name, {"frequency": 15}, NOW)

    found: list[str] = []
    after: str | None = None
    for _ in range(4):
        page = table.page(after)
        found += json.loads(page.document)
        after = page.next
        if after is None:
            break

    assert after is None
    assert (len(found), set(found)) == (5, names)
