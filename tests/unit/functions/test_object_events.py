"""A batch of object events: what is counted, and what is stored of it at most."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from fanout.pending import MAX_KEYS, REFUSED_AT_ONCE, ObjectEvents
from tests.unit.functions.test_pending import SETTINGS, message

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def count(*keys: str) -> dict[str, tuple[int, int]]:
    """Count events in one batch; return the number of objects and of stored keys of each folder."""
    found: dict[str, tuple[int, int]] = {}

    class Store:
        def add(self, provider: str, objects: int, size: int, at: object, keys: frozenset[str]) -> None:
            found[provider] = objects, len(keys)

    store: Any = Store()
    ObjectEvents(store, SETTINGS, lambda: NOW, print).count({"m": message(*keys)})
    return found


def test_a_batch_counts_all_objects_of_a_provider_and_stores_100_keys() -> None:
    keys = [f"log/provider=a/{n}" for n in range(MAX_KEYS + 1)]

    assert count(*keys[:-2]) == {"a": (MAX_KEYS - 1, MAX_KEYS - 1)}
    assert count(*keys) == {"a": (MAX_KEYS + 1, MAX_KEYS)}


def test_a_batch_counts_all_objects_of_20_folders_with_names_that_are_not_allowed() -> None:
    names = [f"not allowed {n}" for n in range(REFUSED_AT_ONCE + 1)]
    keys = [f"log/provider={quote_plus(name)}/{n}" for n in range(2) for name in names]

    assert count(*keys, "log/provider=a/1") == {**dict.fromkeys(names[:-1], (2, 2)), "a": (1, 1)}
