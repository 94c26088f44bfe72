"""The adapter of the maintenance windows: attributes of one item in the run ledger's table, each changed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from contract.times import format_iso, parse_iso
from fanout.errors import LedgerItemError, LedgerUnavailableError
from fanout.providers import Window

KEY: dict[str, Any] = {"provider": {"S": "#maintenance"}}
"""A provider's name cannot contain a #."""


class DynamoMaintenance:
    """The maintenance windows in the ledger's table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def windows(self) -> list[Window]:
        """See `MaintenanceStore.windows`."""
        item = self._call(self._client.get_item, ConsistentRead=True).get("Item", {})
        return [_window(name, value) for name, value in item.items() if name != "provider"]

    def open(self, window: Window) -> None:
        """Open a window; it replaces the one of the same group."""
        times = {"since": window.since, "until": window.until}
        value = {"M": {name: {"S": format_iso(time)} for name, time in times.items() if time}}
        self._write("SET #window = :window", window.group, ExpressionAttributeValues={":window": value})

    def close(self, group: str | None) -> None:
        """End the window of a group, or with None the one of all providers."""
        self._write("REMOVE #window", group)

    def _write(self, expression: str, group: str | None, **values: Any) -> None:
        names = {"#window": "all" if group is None else f"group {group}"}
        update = {"UpdateExpression": expression, "ExpressionAttributeNames": names, **values}
        self._call(self._client.update_item, **update)

    def _call(self, operation: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        try:
            return dict(operation(TableName=self._table, Key=KEY, **arguments))
        except (ClientError, BotoCoreError) as error:
            raise LedgerUnavailableError("the maintenance windows could not be read or written") from error


def _window(name: str, value: Any) -> Window:
    try:
        times = {field: parse_iso(time["S"]) for field, time in value["M"].items()}
        return Window(name.partition(" ")[2] or None, **times)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise LedgerItemError(
            "the maintenance windows are invalid; delete the item #maintenance of the run ledger's table, and open "
            "them again with `fanout maintenance on`"
        ) from None
