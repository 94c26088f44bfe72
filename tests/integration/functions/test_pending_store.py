"""The contract of `PendingStore`, tested on the fake that other tests use and in DynamoDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fanout.adapters import DynamoPending
from fanout.errors import LedgerUnavailableError
from fanout.ledger import ProviderState
from fanout.pending import MAX_KEYS, Pending, PendingStore
from fanout.runs import Report
from tests.harness.fakes import MemoryPending
from tests.harness.faults import Clock, Faults
from tests.integration.functions.test_ledger_store import table

NOW = datetime(2026, 11, 22, 7, 30, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def store(dynamo: Any) -> PendingStore:
    if dynamo is None:
        return MemoryPending(Faults(Clock()))
    table(dynamo)
    return DynamoPending(dynamo, "ledger")


def test_a_provider_without_an_event_has_no_pending_objects(store: PendingStore) -> None:
    assert store.of("a") == Pending()
    assert store.waiting() == {}


def test_counts_are_added_up_and_the_first_sets_the_time(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW)
    store.add("a", 1, 20, LATER)

    assert store.of("a") == Pending(3, 3, 120, NOW)
    assert store.waiting() == {"a": Pending(3, 3, 120, NOW)}


def test_pending_objects_are_cleared_if_the_count_is_unchanged(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW)

    store.clear("a", 2, LATER)

    assert store.of("a") == Pending(pending_count=2)
    assert store.waiting() == {}


def test_later_pending_objects_stay_and_count_from_the_time_of_the_claim(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW)
    store.add("a", 1, 20, LATER)

    store.clear("a", 2, LATER)

    assert store.of("a") == Pending(3, 0, 0, LATER)
    assert store.waiting().keys() == {"a"}


def test_a_repeated_clear_does_not_clear_later_objects(store: PendingStore) -> None:
    store.add("a", 1, 100, NOW)
    store.clear("a", 1, NOW)
    store.add("a", 1, 20, LATER)

    store.clear("a", 1, NOW)

    assert store.of("a") == Pending(2, 1, 20, LATER)


def test_the_count_never_goes_down(store: PendingStore) -> None:
    for n in range(1, 4):
        store.add("a", 1, 1, NOW)
        store.clear("a", n, NOW)

    assert store.of("a").pending_count == 3


def test_keys_are_added_to_a_set_and_forgotten(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW, frozenset({"k1", "k2"}))
    store.add("a", 2, 20, LATER, frozenset({"k2", "k3"}))
    assert store.of("a") == Pending(4, 4, 120, NOW, frozenset({"k1", "k2", "k3"}))

    store.forget("a", frozenset({"k1", "k3", "unknown"}))
    assert store.waiting() == {"a": Pending(4, 4, 120, NOW, frozenset({"k2"}))}

    store.forget("a", frozenset({"k2"}))
    assert store.of("a") == Pending(4, 4, 120, NOW)


def test_later_keys_stay_when_earlier_objects_are_cleared(store: PendingStore) -> None:
    store.add("a", 1, 1, NOW, frozenset({"k1"}))
    store.add("a", 1, 1, LATER, frozenset({"k2"}))

    store.clear("a", 1, LATER)
    assert store.of("a").keys == {"k1", "k2"}

    store.clear("a", 2, LATER)
    assert store.of("a") == Pending(2)


def test_with_many_keys_objects_are_only_counted(store: PendingStore) -> None:
    store.add("a", MAX_KEYS, 1, NOW, frozenset(f"k{n}" for n in range(MAX_KEYS)))

    store.add("a", 1, 1, LATER, frozenset({"one more"}))

    found = store.of("a")
    assert (found.pending_count, len(found.keys)) == (MAX_KEYS + 1, MAX_KEYS)


@pytest.mark.fault(40)
@pytest.mark.parametrize("name", ["", "Tenant \u00d6lhafen", "a#pending", "\n", "x" * 900])
def test_folders_with_refused_names_are_stored_too(store: PendingStore, name: str) -> None:
    store.add(name, 1, 1, NOW, frozenset({"k"}))

    assert store.waiting().keys() == {name}
    store.clear(name, 1, NOW)
    assert store.waiting() == {}


def test_pending_providers_are_found_in_every_shard(store: PendingStore) -> None:
    for n in range(100):
        store.add(f"p{n}", 1, 1, NOW)
    store.clear("p7", 1, NOW)

    assert store.waiting().keys() == {f"p{n}" for n in range(100)} - {"p7"}


def test_pending_counts_and_ledger_items_share_a_table_without_conflict() -> None:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        ledger = table(client)
        pending = DynamoPending(client, "ledger")
        pending.add("a", 1, 1, NOW)
        ledger.put(ProviderState(provider="a", pending_report=Report(run_id="r", status="failed")))
        pending.add("a", 1, 1, NOW)

        assert ledger.get("a").version == 1, "a pending count does not change the version of the ledger item"
        assert [state.provider for state in ledger.attention()] == ["a"]
        assert pending.waiting() == {"a": Pending(2, 2, 2, NOW)}


def test_an_error_of_the_service_is_transient() -> None:
    with mock_aws():
        pending = DynamoPending(boto3.client("dynamodb", region_name="us-east-1"), "no-such-table")

        for call in (
            lambda: pending.add("a", 1, 1, NOW),
            lambda: pending.of("a"),
            lambda: pending.clear("a", 1, NOW),
            lambda: pending.forget("a", frozenset({"k"})),
            pending.waiting,
        ):
            with pytest.raises(LedgerUnavailableError):
                call()
