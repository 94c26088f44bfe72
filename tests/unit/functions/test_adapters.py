"""Reads before a conditional write of DynamoDB are consistent."""

from __future__ import annotations

from typing import Any

from fanout.adapters import DynamoLedger, DynamoPending


class Dynamo:
    """DynamoDB without items; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def get_item(self, **given: Any) -> dict[str, Any]:
        self.asked.append(given)
        return {}


def test_a_ledger_item_and_a_pending_count_are_read_consistently() -> None:
    dynamo = Dynamo()

    assert DynamoLedger(dynamo, "ledger").get("acme").version == 0
    assert DynamoPending(dynamo, "ledger").of("acme").pending_count == 0

    assert [(given["TableName"], given["ConsistentRead"]) for given in dynamo.asked] == [("ledger", True)] * 2
    assert dynamo.asked[0]["Key"] == {"provider": {"S": "acme"}}
