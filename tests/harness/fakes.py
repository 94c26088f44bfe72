"""The ports in memory. `tests/integration/functions` holds them to the same contract as the real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fanout.errors import (
    ConfigApiUnavailableError,
    LedgerConflictError,
    LedgerUnavailableError,
    StartThrottledError,
    StorageUnavailableError,
)
from fanout.ledger import ProviderState, Report
from fanout.manifests import StoredObject
from fanout.times import format_http_date
from tests.harness.faults import Faults


@dataclass
class MemoryLedger:
    """`LedgerStore` in a dict."""

    faults: Faults
    items: dict[str, ProviderState] = field(default_factory=dict)

    def get(self, provider: str) -> ProviderState:
        return self.faults.call(
            "ledger.get",
            LedgerUnavailableError,
            lambda: self.items.get(provider, ProviderState(provider=provider)),
        )

    def get_many(self, providers: Iterable[str]) -> dict[str, ProviderState]:
        names = list(providers)
        if not names:
            return {}
        return self.faults.call(
            "ledger.get_many",
            LedgerUnavailableError,
            lambda: {name: self.items[name] for name in names if name in self.items},
        )

    def put(self, state: ProviderState) -> None:
        def write() -> None:
            stored = self.items.get(state.provider)
            if (stored.version if stored else 0) != state.version:
                raise LedgerConflictError(state.provider)
            self.items[state.provider] = state.model_copy(update={"version": state.version + 1})

        self.faults.call("ledger.put", LedgerUnavailableError, write)

    def attention(self) -> list[ProviderState]:
        return self.faults.call(
            "ledger.attention", LedgerUnavailableError, lambda: [s for s in self.items.values() if s.attention]
        )


@dataclass
class MemoryObjects:
    """`ObjectStore` in a dict, with the number of LIST requests that S3 would have answered."""

    faults: Faults
    stored: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    list_requests: int = 0

    def add(self, uri: str, body: bytes, last_modified: datetime) -> None:
        """Put an object as somebody else would, at a LastModified of one's choice."""
        self.stored[uri] = (body, last_modified)

    def list(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        bucket = prefix.removeprefix("s3://").partition("/")[0]

        def page() -> list[StoredObject]:
            self.list_requests += 1
            return [
                StoredObject(
                    key=key,
                    size=len(body),
                    etag=hashlib.md5(body, usedforsecurity=False).hexdigest(),
                    last_modified=time,
                )
                for uri, (body, time) in sorted(self.stored.items())
                if uri.startswith(prefix) and (key := uri.removeprefix(f"s3://{bucket}/")) > start_after
            ]

        found = self.faults.call("objects.list", StorageUnavailableError, page)
        self.list_requests += max(0, len(found) - 1) // 1000
        yield from found

    def read(self, uri: str) -> bytes | None:
        return self.faults.call(
            "objects.read", StorageUnavailableError, lambda: self.stored[uri][0] if uri in self.stored else None
        )

    def create(self, uri: str, body: bytes) -> bool:
        def write() -> bool:
            if uri in self.stored:
                return False
            self.stored[uri] = (body, self.faults.clock())
            return True

        return self.faults.call("objects.create", StorageUnavailableError, write)


@dataclass
class MemoryConfigApi:
    """`ConfigApi` that merges reports into its entries, as the built-in one does."""

    faults: Faults
    providers: dict[str, object] = field(default_factory=dict)
    reports: list[tuple[str, Report]] = field(default_factory=list)

    def entries(self) -> Mapping[str, object]:
        return self.faults.call("config_api.entries", ConfigApiUnavailableError, lambda: dict(self.providers))

    def report(self, provider: str, report: Report) -> None:
        def merge() -> None:
            self.reports.append((provider, report))
            entry = self.providers.get(provider)
            if isinstance(entry, dict):
                changes: dict[str, object] = {"status": report.status}
                if report.last_success:
                    changes["last_success"] = format_http_date(report.last_success)
                self.providers[provider] = {**entry, **changes}

        self.faults.call("config_api.report", ConfigApiUnavailableError, merge)


@dataclass
class MemoryExecutions:
    """`Executions` with Step Functions' rules on names."""

    faults: Faults
    started: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, execution_input: str) -> bool:
        def begin() -> bool:
            if name in self.started:
                return self.statuses[name] == "RUNNING" and self.started[name] == execution_input
            self.started[name] = execution_input
            self.statuses[name] = "RUNNING"
            return True

        return self.faults.call("executions.start", StartThrottledError, begin)

    def status(self, execution_arn: str) -> str | None:
        name = execution_arn.rpartition(":")[2]
        return self.faults.call("executions.status", StartThrottledError, lambda: self.statuses.get(name))
