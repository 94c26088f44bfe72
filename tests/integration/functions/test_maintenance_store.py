"""The contract of `MaintenanceStore`, tested on the fake that other tests use and on DynamoDB (moto)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fanout.errors import LedgerItemError, LedgerUnavailableError
from fanout.maintenance_table import KEY, DynamoMaintenance
from fanout.providers import Window
from tests.harness.fakes import MemoryMaintenance
from tests.harness.faults import Clock, Faults
from tests.integration.functions.test_ledger_store import table

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryMaintenance(Faults(Clock()))
        return
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        table(client)
        yield DynamoMaintenance(client, "ledger")


def test_windows_are_opened_replaced_and_closed_one_by_one(store: Any) -> None:
    now = Clock()()
    everything, group = Window(None, now), Window("a group: ü.#x", now, now + HOUR)
    assert store.windows() == []

    store.open(everything)
    store.open(Window(group.group, now))
    store.open(group)
    assert sorted(store.windows(), key=str) == sorted([everything, group], key=str)

    store.close(None)
    store.close("unknown")
    assert store.windows() == [group]


def test_an_invalid_item_is_an_error_that_says_what_to_do() -> None:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        table(client)
        store = DynamoMaintenance(client, "ledger")
        client.put_item(TableName="ledger", Item={**KEY, "all": {"S": "soon"}})
        with pytest.raises(LedgerItemError, match="delete the item #maintenance"):
            store.windows()
        client.delete_table(TableName="ledger")
        with pytest.raises(LedgerUnavailableError):
            store.windows()
