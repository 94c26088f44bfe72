"""The last runs of some providers, for the cells of the overview. They are read only for the rows on the screen.

The ledger has one run of each provider. The others are in the records on S3: one listing per provider, and one read for
each run, which is too much for all providers of an overview.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..commands.runs import history
from ..deployment import Deployment

SHOWN = 6
"""Runs of each provider."""


def last_runs(stack: Deployment, providers: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The last runs of each provider, the oldest first: run id, state, and start in milliseconds since 1970."""

    def of(provider: str) -> list[dict[str, Any]]:
        return [
            {"run": line.run_id, "state": line.status, "at": int(line.started_at.timestamp() * 1000)}
            for line in reversed(history(stack, provider, SHOWN).runs)
        ]

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(providers, pool.map(of, providers), strict=True))
