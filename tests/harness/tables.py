"""Tables of DynamoDB for tests of its stores."""

from __future__ import annotations

from typing import Any

from tests.harness.waiting import eventually


def create_table(client: Any, name: str, **definition: Any) -> None:
    """Create a table and wait until it exists: DynamoDB answers before that."""
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **definition)
    eventually(lambda: client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE", f"the table {name}")
