"""An entry of the config API and a ledger item of one provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fanout.ledger import ProviderState
from fanout.providers import ProviderEntry

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def entry(frequency: float = 60, last_success: datetime | None = None, **fields: Any) -> ProviderEntry:
    return ProviderEntry(frequency=frequency, **fields).model_copy(update={"last_success": last_success})


def state(**fields: Any) -> ProviderState:
    return ProviderState(provider="p", **fields)
