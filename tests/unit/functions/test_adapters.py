"""Requests and answers that no test double of a service distinguishes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from fanout.adapters import DynamoLedger, DynamoPending, concurrent_functions
from fanout.errors import StartThrottledError
from fanout.maintenance_table import DynamoMaintenance


class Dynamo:
    """DynamoDB without items; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def get_item(self, **given: Any) -> dict[str, Any]:
        self.asked.append(given)
        return {}


def test_a_ledger_item_a_pending_count_and_the_windows_are_read_consistently() -> None:
    dynamo = Dynamo()

    assert DynamoLedger(dynamo, "ledger").get("acme").version == 0
    assert DynamoPending(dynamo, "ledger").of("acme").pending_count == 0
    assert DynamoMaintenance(dynamo, "ledger").windows() == []
    assert DynamoLedger(dynamo, "ledger").list_size() == 0

    assert [(given["TableName"], given["ConsistentRead"]) for given in dynamo.asked] == [("ledger", True)] * 4
    assert dynamo.asked[0]["Key"] == {"provider": {"S": "acme"}}


class Account:
    """Lambda's answer about an account."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error

    def get_account_settings(self) -> dict[str, Any]:
        if self.error:
            raise ClientError({"Error": {"Code": self.error}}, "GetAccountSettings")
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}}


def test_only_unreserved_functions_can_be_used() -> None:
    assert concurrent_functions(Account()) == 900


def test_an_account_that_cannot_be_read_is_a_passing_error() -> None:
    with pytest.raises(StartThrottledError, match="GetAccountSettings: TooManyRequestsException"):
        concurrent_functions(Account("TooManyRequestsException"))
