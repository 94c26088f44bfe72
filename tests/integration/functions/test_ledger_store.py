"""The contract of `LedgerStore`, tested on the fake that other tests use and in DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from contract.failure import Failure
from fanout import ledger
from fanout.adapters import DynamoLedger
from fanout.errors import LedgerConflictError, LedgerItemError, LedgerUnavailableError
from fanout.ledger import Backoff, Bookmark, LedgerStore, ProviderState
from fanout.runs import LateData, Lease, Plan, Report, RunRecord, RunRef
from tests.harness.fakes import MemoryLedger
from tests.harness.faults import Clock, Faults
from tests.harness.tables import create_table

NOW = datetime(2026, 11, 22, 7, 30, 0, 123456, tzinfo=UTC)
LEASE = Lease(
    run_id="r1",
    claimed_at=NOW,
    expires_at=NOW + timedelta(hours=2),
    run_dir="s3://data/runs/r1/",
    scheduled_at=NOW,
    execution_arn="arn:x",
    replay=True,
    plan=Plan(generation=6, engine="glue", reason="many bytes", workers=3, objects=9, bytes=2**40),
)
FULL = ProviderState(
    provider="full",
    lease=LEASE,
    bookmark=Bookmark(
        generation=7,
        since=NOW,
        watermark=NOW,
        recent=(RunRef(run_id="r", run_dir="s3://data/r/", newest=NOW, manifest_hash="0f"),),
    ),
    failures=3,
    last_success=NOW,
    last_claim=NOW,
    retry_at=NOW,
    last_run=RunRecord(
        run_id="r0",
        status="failed",
        started_at=NOW,
        ended_at=NOW,
        seconds=61.234567,
        dollars=1.6e-08,
        bytes=2**53 + 1,
        failure=Failure(
            type="RecordError", message='ä "quoted"\n', object="s3://b/k", line=7, unit="row", transient=True
        ),
        failure_count=31,
    ),
    pending_report=Report(run_id="r0", status="failed", error="why"),
    late=LateData(found_at=NOW, objects=2, first=("log/provider=full/1",), oldest=NOW, newest=NOW),
)


def table(client: Any) -> DynamoLedger:
    create_table(
        client,
        "ledger",
        AttributeDefinitions=[
            {"AttributeName": "provider", "AttributeType": "S"},
            {"AttributeName": "attention", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "provider", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "attention",
                "KeySchema": [{"AttributeName": "attention", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return DynamoLedger(client, "ledger")


@pytest.fixture
def store(dynamo: Any) -> LedgerStore:
    if dynamo is None:
        return MemoryLedger(Faults(Clock()))
    return table(dynamo)


def test_a_provider_without_an_item_has_the_initial_state(store: LedgerStore) -> None:
    assert store.get("a") == ProviderState(provider="a")


def test_a_state_is_read_as_it_was_written_with_the_next_version(store: LedgerStore) -> None:
    store.put(FULL)

    assert store.get("full") == FULL.model_copy(update={"version": 1})


def test_a_plan_without_a_manifest_is_read_as_it_was_written(store: LedgerStore) -> None:
    for number, objects in enumerate((None, 0, 7)):
        plan = Plan(generation=0, engine="glue", reason="Glue's own bookmark decides", objects=objects)
        state = ProviderState(provider=f"p{number}", lease=LEASE.model_copy(update={"plan": plan}))
        store.put(state)

        found = store.get(f"p{number}").lease
        assert found is not None
        assert found.plan == plan


def test_a_removed_lease_and_report_are_removed_from_the_item(store: LedgerStore) -> None:
    store.put(FULL)
    freed = FULL.model_copy(update={"version": 1, "lease": None, "pending_report": None, "late": None})

    store.put(freed)

    assert store.get("full") == freed.model_copy(update={"version": 2})
    assert store.attention() == []


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_write_with_another_version_than_the_stored_one_is_rejected(store: LedgerStore, version: int) -> None:
    store.put(FULL)
    store.put(FULL.model_copy(update={"version": 1}))

    with pytest.raises(LedgerConflictError):
        store.put(FULL.model_copy(update={"version": version, "failures": 99}))

    assert store.get("full").failures == 3


def test_an_update_of_a_missing_item_is_rejected(store: LedgerStore) -> None:
    with pytest.raises(LedgerConflictError):
        store.put(ProviderState(provider="a", version=1))


@pytest.mark.fault(14)
def test_only_one_of_two_runs_that_read_the_same_state_can_claim(store: LedgerStore) -> None:
    states = [store.get("a"), store.get("a")]
    backoff = Backoff(base=timedelta(minutes=15), cap=timedelta(hours=4))
    claims = [
        ledger.claim(state, LEASE.model_copy(update={"run_id": f"r{n}"}), NOW, backoff)
        for n, state in enumerate(states)
    ]

    store.put(claims[0])
    with pytest.raises(LedgerConflictError):
        store.put(claims[1])

    held = store.get("a").lease
    assert held is not None
    assert held.run_id == "r0"


def test_many_items_are_read_and_missing_ones_are_omitted(store: LedgerStore) -> None:
    names = [f"p{n:03}" for n in range(250)]
    for name in names[::2]:
        store.put(ProviderState(provider=name))

    assert sorted(store.get_many(names)) == names[::2]
    assert store.get_many([]) == {}


def test_the_size_of_the_list_is_stored_beside_the_items(store: LedgerStore) -> None:
    assert store.list_size() == 0

    store.put_list_size(50)
    store.put_list_size(0)
    store.put_list_size(7)

    assert store.list_size() == 7
    assert store.attention() == []


def test_only_items_that_need_attention_are_found_by_it(store: LedgerStore) -> None:
    store.put(ProviderState(provider="idle"))
    store.put(ProviderState(provider="live", lease=LEASE))
    store.put(ProviderState(provider="owing", pending_report=Report(run_id="r", status="failed")))
    store.put(FULL)

    assert sorted(state.provider for state in store.attention()) == ["full", "live", "owing"]


class TestDynamoDB:
    """Behavior that only the real adapter has."""

    @pytest.fixture
    def client(self) -> Iterator[Any]:
        with mock_aws():
            yield boto3.client("dynamodb", region_name="us-east-1")

    def test_an_error_of_the_service_is_transient_and_names_its_code(self, client: Any) -> None:
        store = DynamoLedger(client, "no-such-table")

        for call in (
            lambda: store.get("a"),
            lambda: store.get_many(["a"]),
            lambda: store.put(FULL),
            store.attention,
        ):
            with pytest.raises(LedgerUnavailableError, match="ResourceNotFoundException"):
                call()

    def test_a_write_that_botocore_retries_after_a_lost_answer_still_takes_the_lease_once(self, client: Any) -> None:
        # Given a put whose answer is lost, and which botocore sends again
        store = table(client)
        backoff = Backoff(base=timedelta(minutes=15), cap=timedelta(hours=4))
        put, lost = client.put_item, []

        def twice(**request: Any) -> Any:
            if not lost:
                lost.append(put(**request))
            return put(**request)

        client.put_item = twice

        # When a run claims
        state = ledger.update(store, "a", lambda s: ledger.claim(s, LEASE, NOW, backoff))

        # Then it has the lease, by one write
        assert state.lease == LEASE
        assert store.get("a").version == 1

    def test_an_invalid_item_stops_only_its_own_provider(self, client: Any) -> None:
        store = table(client)
        store.put(ProviderState(provider="good", lease=LEASE))
        spoiled = {"provider": {"S": "bad"}, "attention": {"S": "live"}, "failures": {"S": "many"}}
        client.put_item(TableName="ledger", Item=spoiled)
        assert list(store.get_many(["good", "bad"])) == ["good"]
        assert [state.provider for state in store.attention()] == ["good"]
        with pytest.raises(LedgerItemError, match="item of bad is invalid .failures"):
            store.get("bad")

    def test_an_item_that_is_too_large_is_an_error_that_no_retry_can_help(self, client: Any) -> None:
        store = table(client)
        large = LEASE.model_copy(update={"run_dir": "x" * 401 * 1024})

        with pytest.raises(LedgerItemError, match="ledger item of large, which may have up to 400 KB: .*Item size"):
            store.put(ProviderState(provider="large", lease=large))

        assert store.get("large") == ProviderState(provider="large")

    def test_unprocessed_keys_are_requested_again(self, client: Any) -> None:
        store = table(client)
        for n in range(6):
            store.put(ProviderState(provider=f"p{n}"))
        batch, asked = client.batch_get_item, []

        def half(RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - boto3's name
            keys = RequestItems["ledger"]["Keys"]
            asked.append(len(keys))
            answer = batch(RequestItems={"ledger": {"Keys": keys[: len(keys) // 2 + 1]}})
            rest = keys[len(keys) // 2 + 1 :]
            return {**answer, "UnprocessedKeys": {"ledger": {"Keys": rest}} if rest else {}}

        client.batch_get_item = half

        assert len(store.get_many([f"p{n}" for n in range(6)])) == 6
        assert asked == [6, 2]

    def test_keys_that_stay_unprocessed_raise_a_transient_error(self, client: Any) -> None:
        slept: list[float] = []
        store = DynamoLedger(client, "ledger", sleep=slept.append)
        client.batch_get_item = lambda RequestItems: {"Responses": {}, "UnprocessedKeys": RequestItems}  # noqa: N803

        with pytest.raises(LedgerUnavailableError, match="throttled"):
            store.get_many(["a"])

        assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
