"""The ports in memory. `tests/integration/functions` tests them against the same contract as the real ones."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial

from contract.manifest import StoredObject
from contract.times import format_http_date
from fanout.errors import (
    ConfigApiAnswerError,
    ConfigApiUnavailableError,
    LedgerConflictError,
    LedgerUnavailableError,
    StartThrottledError,
    StorageUnavailableError,
    UnreadableObjectError,
)
from fanout.ledger import ProviderState
from fanout.pending import MAX_KEYS, Pending
from fanout.providers import Window
from fanout.runs import Report
from tests.harness.faults import Faults

PAGE = 1000
"""Objects in one answer of ListObjectsV2."""


@dataclass
class MemoryLedger:
    """`LedgerStore` in a dict."""

    faults: Faults
    items: dict[str, ProviderState] = field(default_factory=dict)
    on_put: Callable[[ProviderState, ProviderState], None] = lambda before, after: None
    listed: int = 0

    def get(self, provider: str) -> ProviderState:
        return self.faults.call("ledger.get", LedgerUnavailableError, lambda: self._stored(provider))

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
            before = self._stored(state.provider)
            self.check(before, state)
            after = state.model_copy(update={"version": state.version + 1})
            self.on_put(before, after)
            self.items[state.provider] = after

        self.faults.call("ledger.put", LedgerUnavailableError, write)

    def check(self, stored: ProviderState, state: ProviderState) -> None:
        """The condition of the write."""
        if stored.version != state.version:
            raise LedgerConflictError(state.provider)

    def attention(self) -> list[ProviderState]:
        return self.faults.call(
            "ledger.attention", LedgerUnavailableError, lambda: [s for s in self.items.values() if s.attention]
        )

    def list_size(self) -> int:
        return self.faults.call("ledger.list_size", LedgerUnavailableError, lambda: self.listed)

    def put_list_size(self, providers: int) -> None:
        self.faults.call("ledger.put_list_size", LedgerUnavailableError, lambda: setattr(self, "listed", providers))

    def _stored(self, provider: str) -> ProviderState:
        return self.items.get(provider) or ProviderState(provider=provider)


@dataclass
class MemoryMaintenance:
    """`MaintenanceStore` in a dict."""

    faults: Faults
    opened: dict[str | None, Window] = field(default_factory=dict)

    def windows(self) -> list[Window]:
        return self.faults.call("maintenance.windows", LedgerUnavailableError, lambda: list(self.opened.values()))

    def open(self, window: Window) -> None:
        self.opened[window.group] = window

    def close(self, group: str | None) -> None:
        self.opened.pop(group, None)


@dataclass
class MemoryPending:
    """`PendingStore` in a dict."""

    faults: Faults
    items: dict[str, Pending] = field(default_factory=dict)
    on_clear: Callable[[str], None] = lambda provider: None

    def add(self, provider: str, objects: int, size: int, now: datetime, keys: frozenset[str] = frozenset()) -> None:
        def write() -> None:
            before = self.items.get(provider, Pending())
            self.items[provider] = Pending(
                before.pending_count + objects,
                before.objects + objects,
                before.bytes + size,
                before.since or now,
                before.keys | keys if len(before.keys) < MAX_KEYS else before.keys,
            )

        self.faults.call("pending.add", LedgerUnavailableError, write)

    def forget(self, provider: str, keys: frozenset[str]) -> None:
        def write() -> None:
            before = self.items.get(provider, Pending())
            self.items[provider] = replace(before, keys=before.keys - keys)

        self.faults.call("pending.forget", LedgerUnavailableError, write)

    def of(self, provider: str) -> Pending:
        return self.faults.call("pending.of", LedgerUnavailableError, lambda: self.items.get(provider, Pending()))

    def clear(self, provider: str, pending_count: int, claimed_at: datetime) -> None:
        def write() -> None:
            before = self.items.get(provider, Pending())
            if self.same(before, pending_count):
                self.items[provider] = Pending(before.pending_count)
                self.on_clear(provider)
            elif before.pending_count > pending_count and before.since is not None and before.since < claimed_at:
                self.items[provider] = Pending(before.pending_count, since=claimed_at, keys=before.keys)

        self.faults.call("pending.clear", LedgerUnavailableError, write)

    def same(self, stored: Pending, pending_count: int) -> bool:
        """The condition of clearing."""
        return stored.pending_count == pending_count

    def waiting(self) -> dict[str, Pending]:
        return self.faults.call(
            "pending.waiting", LedgerUnavailableError, lambda: {p: n for p, n in self.items.items() if n.since}
        )


@lru_cache(maxsize=4096)
def etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


class Stored(dict[str, tuple[bytes, datetime]]):
    """Objects by URI. Keeps their order, so that listing a long history does not sort them for every page."""

    _order: list[str] | None = None

    def __setitem__(self, uri: str, value: tuple[bytes, datetime]) -> None:
        if uri not in self:
            self._order = None
        super().__setitem__(uri, value)

    def __delitem__(self, uri: str) -> None:
        self._order = None
        super().__delitem__(uri)

    def in_order(self) -> list[str]:
        if self._order is None:
            self._order = sorted(self)
        return self._order


@dataclass
class MemoryObjects:
    """`ObjectStore` in a dict; every page of a listing is a separate call, as on S3."""

    faults: Faults
    stored: Stored = field(default_factory=Stored)
    sizes: dict[str, int] = field(default_factory=dict)
    """URI -> size that a listing shows instead of the real one."""
    unreadable: set[str] = field(default_factory=set)
    """URIs of objects that S3 does not return."""

    def add(self, uri: str, body: bytes, last_modified: datetime) -> None:
        """Put an object as another writer would, with a given LastModified."""
        self.stored[uri] = (body, last_modified)

    def list(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        root = "/".join(prefix.split("/")[:3]) + "/"

        def page(after: str) -> list[str]:
            uris = self.stored.in_order()
            begin = max(bisect.bisect_right(uris, after), bisect.bisect_left(uris, prefix))
            return [uri for uri in uris[begin : begin + PAGE + 1] if uri.startswith(prefix)]

        after = root + start_after
        while True:
            uris = self.faults.call("objects.list", StorageUnavailableError, partial(page, after))
            yield from (self.seen(uri) for uri in uris[:PAGE] if uri in self.stored)
            if len(uris) <= PAGE:
                return
            after = uris[PAGE - 1]

    def seen(self, uri: str) -> StoredObject:
        """An object as a listing shows it."""
        body, time = self.stored[uri]
        key = uri.split("/", 3)[3]
        return StoredObject(key, self.sizes.get(uri, len(body)), etag(body), time)

    def read(self, uri: str, at_most: int | None = None) -> bytes | None:
        def get() -> bytes | None:
            if uri in self.unreadable:
                raise UnreadableObjectError("cannot be read (InvalidObjectState)", uri=uri)
            return self.stored[uri][0][:at_most] if uri in self.stored else None

        return self.faults.call("objects.read", StorageUnavailableError, get)

    def create(self, uri: str, body: bytes) -> bool:
        def write() -> bool:
            if uri in self.stored:
                return False
            self.stored[uri] = (body, self.faults.clock())
            return True

        return self.faults.call("objects.create", StorageUnavailableError, write)


@dataclass
class MemoryConfigApi:
    """`ProviderList` and `Reporter` that merges reports into its entries, as the built-in config API does."""

    faults: Faults
    providers: dict[str, object] = field(default_factory=dict)
    reports: list[tuple[str, Report]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    on_report: Callable[[str, Report], None] = lambda provider, report: None

    def entries(self) -> Mapping[str, object]:
        return self.faults.call("config_api.entries", ConfigApiUnavailableError, lambda: dict(self.providers))

    def report(self, provider: str, report: Report) -> None:
        def merge() -> None:
            if provider in self.refuses:
                raise ConfigApiAnswerError(f"{provider}: HTTP 400")
            self.on_report(provider, report)
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
    """`Executions` with Step Functions' rules for names."""

    faults: Faults
    started: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    on_start: Callable[[str, str], None] = lambda name, execution_input: None

    def start(self, name: str, execution_input: str) -> bool:
        def begin() -> bool:
            if name in self.started:
                return self.statuses[name] == "RUNNING" and self.started[name] == execution_input
            self.started[name] = execution_input
            self.statuses[name] = "RUNNING"
            self.on_start(name, execution_input)
            return True

        return self.faults.call("executions.start", StartThrottledError, begin)

    def running(self) -> set[str]:
        return self.faults.call(
            "executions.running",
            StartThrottledError,
            lambda: {name for name, status in self.statuses.items() if status == "RUNNING"},
        )

    def latest(self) -> dict[str, bool]:
        return self.faults.call(
            "executions.latest",
            StartThrottledError,
            lambda: {name: status == "RUNNING" for name, status in [*self.statuses.items()][-1000:]},
        )

    def status(self, execution_arn: str) -> str | None:
        name = execution_arn.rpartition(":")[2]
        return self.faults.call("executions.status", StartThrottledError, lambda: self.statuses.get(name))
