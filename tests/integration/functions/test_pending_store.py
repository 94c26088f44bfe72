"""One contract for `PendingStore`, held to by the fake that the other tests use and by DynamoDB (moto)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from fanout.adapters import DynamoPending
from fanout.errors import LedgerUnavailableError
from fanout.ledger import ProviderState
from fanout.pending import Pending, PendingStore
from fanout.runs import Report
from tests.harness.fakes import MemoryPending
from tests.harness.faults import Clock, Faults
from tests.integration.functions.test_ledger_store import table

NOW = datetime(2026, 11, 22, 7, 30, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Iterator[PendingStore]:
    if request.param == "memory":
        yield MemoryPending(Faults(Clock()))
        return
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        table(client)
        yield DynamoPending(client, "ledger")


def test_a_provider_that_nobody_told_of_has_no_pending(store: PendingStore) -> None:
    assert store.of("a") == Pending()
    assert store.waiting() == {}


def test_marks_are_added_up_and_the_first_says_since_when(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW)
    store.add("a", 1, 20, LATER)

    assert store.of("a") == Pending(3, 3, 120, NOW)
    assert store.waiting() == {"a": Pending(3, 3, 120, NOW)}


def test_pending_objects_is_cleared_when_the_count_is_still_the_one_that_was_seen(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW)

    store.clear("a", 2, LATER)

    assert store.of("a") == Pending(pending_count=2)
    assert store.waiting() == {}


def test_pending_objects_that_came_since_stays_and_is_as_old_as_the_claim(store: PendingStore) -> None:
    store.add("a", 2, 100, NOW)
    store.add("a", 1, 20, LATER)

    store.clear("a", 2, LATER)

    assert store.of("a") == Pending(3, 0, 0, LATER)
    assert store.waiting().keys() == {"a"}


def test_a_clearing_that_comes_again_late_clears_nothing_that_came_meanwhile(store: PendingStore) -> None:
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


def test_all_that_wait_are_found_whatever_their_shard(store: PendingStore) -> None:
    for n in range(100):
        store.add(f"p{n}", 1, 1, NOW)
    store.clear("p7", 1, NOW)

    assert store.waiting().keys() == {f"p{n}" for n in range(100)} - {"p7"}


def test_marks_and_ledger_items_of_one_table_do_not_meet() -> None:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        ledger = table(client)
        pending = DynamoPending(client, "ledger")
        pending.add("a", 1, 1, NOW)
        ledger.put(ProviderState(provider="a", pending_report=Report(run_id="r", status="failed")))
        pending.add("a", 1, 1, NOW)

        assert ledger.get("a").version == 1, "pending_count leave the version of the ledger item alone"
        assert [state.provider for state in ledger.attention()] == ["a"]
        assert pending.waiting() == {"a": Pending(2, 2, 2, NOW)}


def test_an_error_of_the_service_is_transient() -> None:
    with mock_aws():
        pending = DynamoPending(boto3.client("dynamodb", region_name="us-east-1"), "no-such-table")

        for call in (
            lambda: pending.add("a", 1, 1, NOW),
            lambda: pending.of("a"),
            lambda: pending.clear("a", 1, NOW),
            pending.waiting,
        ):
            with pytest.raises(LedgerUnavailableError):
                call()
