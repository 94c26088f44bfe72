"""Requests and answers that no test double of a service distinguishes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fanout.adapters import DynamoLedger, DynamoPending, StepFunctions, concurrent_functions
from fanout.errors import LedgerItemError, StartThrottledError
from fanout.ledger import ProviderState
from fanout.maintenance_table import DynamoMaintenance


class Dynamo:
    """DynamoDB with one answer; keeps what was asked."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer = answer or {}

    def get_item(self, **given: Any) -> dict[str, Any]:
        self.asked.append(given)
        return self.answer

    put_item = update_item = get_item


def test_a_ledger_item_a_pending_count_and_the_windows_are_read_consistently() -> None:
    dynamo = Dynamo()

    assert DynamoLedger(dynamo, "ledger").get("acme").version == 0
    assert DynamoPending(dynamo, "ledger").of("acme").pending_count == 0
    assert DynamoMaintenance(dynamo, "ledger").windows() == []
    assert DynamoLedger(dynamo, "ledger").list_size() == 0

    assert [(given["TableName"], given["ConsistentRead"]) for given in dynamo.asked] == [("ledger", True)] * 4
    assert dynamo.asked[0]["Key"] == {"provider": {"S": "acme"}}


def test_an_update_has_no_empty_expression_which_dynamodb_rejects() -> None:
    dynamo = Dynamo()
    pending = DynamoPending(dynamo, "ledger")

    pending.add("acme", 1, 1, datetime(2026, 11, 22, tzinfo=UTC))
    pending.forget("acme", frozenset({"k"}))
    pending.clear("acme", 1, datetime(2026, 11, 22, tzinfo=UTC))

    assert [
        sorted(name for name in given if name.endswith(("Names", "Condition", "ConditionExpression")))
        for given in dynamo.asked
    ] == [
        ["ExpressionAttributeNames"],
        [],
        ["ConditionExpression", "ExpressionAttributeNames"],
    ]


def test_a_ledger_item_has_no_nulls() -> None:
    dynamo = Dynamo()

    DynamoLedger(dynamo, "ledger").put(ProviderState(provider="acme"))

    assert not [name for name, value in dynamo.asked[0]["Item"].items() if "NULL" in value]


def test_a_ledger_item_of_an_unknown_type_is_an_error_that_names_it() -> None:
    dynamo = Dynamo({"Item": {"provider": {"S": "acme"}, "failures": {"X": "1"}}})

    with pytest.raises(LedgerItemError, match=r"the ledger item of acme is invalid \(TypeError\)"):
        DynamoLedger(dynamo, "ledger").get("acme")


def test_running_executions_are_listed_in_the_largest_pages_that_step_functions_allows() -> None:
    asked: list[dict[str, Any]] = []

    class States:
        def get_paginator(self, operation: str) -> States:
            return self

        def paginate(self, **given: Any) -> list[dict[str, Any]]:
            asked.append(given)
            return [{"executions": [{"name": "one"}]}, {"executions": [{"name": "two"}]}]

        def list_executions(self, **given: Any) -> dict[str, Any]:
            asked.append(given)
            return {"executions": [{"name": "three", "status": "FAILED"}], "nextToken": "more"}

    executions = StepFunctions(States(), "arn:machine")
    assert executions.running() == {"one", "two"}
    assert executions.latest() == {"three": False}
    assert asked[0]["PaginationConfig"] == {"PageSize": 1000}
    assert asked[1:] == [{"stateMachineArn": "arn:machine", "maxResults": 1000}]


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
