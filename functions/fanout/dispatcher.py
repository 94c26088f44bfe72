"""One tick: which providers are due, and one execution for each."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from fanout import ledger
from fanout.aws import Executions
from fanout.config_client import ConfigApi
from fanout.errors import (
    FanoutError,
    InvalidProviderError,
    InvalidRequestError,
    StartThrottledError,
    TransientError,
)
from fanout.ledger import Lease, LedgerStore, ProviderState, is_live
from fanout.outcomes import Outcomes
from fanout.providers import ProviderEntry, parse_entry
from fanout.schedule import (
    Candidate,
    Verdict,
    choose,
    decide,
    execution_input,
    execution_name,
    is_due,
    overdue,
)
from fanout.settings import DispatchSettings
from fanout.times import parse_iso

T = TypeVar("T")

DEADLINE_MARGIN_SECONDS = 10.0
SHOWN = 20
"""How many names a report lists of each kind; the counts are always whole."""
SETTLING = timedelta(minutes=2)
"""A lease younger than this is not checked against its execution: both were just made."""
PARALLEL = 16
CHECKED_PER_TICK = 100
"""How many leases a tick checks against their executions, in turn; DescribeExecution refills at 15 a second."""
GIVE_UP_AFTER = 3
"""After so many failures a tick leaves checking executions, or pushing reports, to the next one."""


def tick_time(event: Mapping[str, Any], now: datetime) -> datetime:
    """The tick's scheduled time: of EventBridge Scheduler, of an EventBridge rule, or now for a call by hand.

    It names the executions, so that a tick delivered twice starts nothing twice.

    Raises
    ------
    InvalidRequestError
        The event carries a time that is not one.
    """
    given = event.get("scheduled_at") or event.get("time")
    if given is None:
        return now.astimezone(UTC).replace(second=0, microsecond=0)
    try:
        return parse_iso(given).replace(microsecond=0)
    except (TypeError, ValueError):
        raise InvalidRequestError(
            f"scheduled_at must be an ISO 8601 time with a zone, such as 2026-11-22T07:30:00Z, not {ascii(given)[:60]}"
        ) from None


@dataclass
class TickReport:
    """What a tick found and did. Counts are whole; names are capped."""

    scheduled_at: str
    providers: int = 0
    due: int = 0
    started: int = 0
    already_started: int = 0
    already_running: int = 0
    deferred: int = 0
    backing_off: int = 0
    paused: int = 0
    waiting: int = 0
    rejected: int = 0
    failed_starts: int = 0
    freed_leases: int = 0
    pushed_reports: int = 0
    live: int = 0
    oldest_overdue_minutes: float = 0
    started_providers: list[str] = field(default_factory=list)
    deferred_providers: list[str] = field(default_factory=list)
    rejected_providers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note(self, kind: str, text: str) -> None:
        """Add to one of the capped lists."""
        notes: list[str] = getattr(self, kind)
        if len(notes) < SHOWN:
            notes.append(text)


class RateLimiter:
    """A token bucket shared by threads: at most `rate` a second after a first burst of as many."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock() - 1

    def reserve(self) -> float:
        """Take the next place and return how many seconds to wait for it."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now - 1) + 1 / self._rate
            return max(0.0, self._next - now)


@dataclass(frozen=True)
class Dispatcher:
    """Reads the config API and the ledger, decides, and starts executions.

    Parameters
    ----------
    config_api, store, executions
        Ports.
    outcomes
        Ends runs whose execution is gone, and pushes reports that are owed.
    settings
        Of the dispatcher.
    clock
        Gives the current time, aware.
    sleep, pool
        Seams for tests.
    """

    config_api: ConfigApi
    store: LedgerStore
    executions: Executions
    outcomes: Outcomes
    settings: DispatchSettings
    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    pool: Callable[[int], Executor] = ThreadPoolExecutor

    def tick(self, scheduled_at: datetime, remaining_seconds: Callable[[], float]) -> TickReport:
        """Do one tick.

        Parameters
        ----------
        scheduled_at
            The time the tick was scheduled for; all due rules look at it.
        remaining_seconds
            How long the function may still run; nothing is started in the last ten seconds.

        Raises
        ------
        ConfigApiUnavailableError, ConfigApiAccessError, ConfigApiAnswerError
            Nothing was started; the scheduler delivers the tick again.
        LedgerUnavailableError
            Likewise.
        FanoutError
            Not a single execution could be started although some were due.
        """
        report = TickReport(scheduled_at=scheduled_at.isoformat())
        live = self._free_dead_leases(scheduled_at, report)
        entries = self._entries(scheduled_at, report)
        candidates = self._candidates(entries, scheduled_at, live, report)
        in_group = Counter(entries[p].group or "" for p in live if p in entries)
        report.live = len(live)
        chosen, deferred = choose(
            candidates,
            max(0, self.settings.max_concurrent_runs - len(live)),
            self.settings.max_runs_per_group,
            in_group,
        )
        started, left = self._start(chosen, scheduled_at, remaining_seconds, report)
        for candidate in [*left, *deferred]:
            report.deferred += 1
            report.note("deferred_providers", candidate.provider)
        self._push_reports(scheduled_at, self._stale(entries, live), remaining_seconds, report)
        if report.failed_starts and not started:
            raise StartThrottledError(f"none of {len(chosen)} executions could be started: {report.faults[-1]}")
        return report

    def _entries(self, now: datetime, report: TickReport) -> dict[str, ProviderEntry]:
        valid: dict[str, ProviderEntry] = {}
        for name, raw in self.config_api.entries().items():
            report.providers += 1
            try:
                valid[name] = parse_entry(name, raw, now)
            except InvalidProviderError as error:
                report.rejected += 1
                report.note("rejected_providers", str(error))
        return valid

    def _candidates(
        self, entries: Mapping[str, ProviderEntry], now: datetime, live: Iterable[str], report: TickReport
    ) -> list[Candidate]:
        """Due providers. Ledger items are read only of those that their entry says may be due."""
        running = set(live)
        possible = []
        for name, entry in entries.items():
            if entry.paused:
                report.paused += 1
            elif not is_due(entry, now):
                report.waiting += 1
            elif name in running:
                report.already_running += 1
            else:
                possible.append(name)
        states = self.store.get_many(possible)
        candidates = []
        for name in possible:
            entry, state = entries[name], states.get(name) or ProviderState(provider=name)
            verdict = decide(entry, state, now)
            setattr(report, verdict.value, getattr(report, verdict.value) + 1)
            if verdict is Verdict.DUE:
                candidates.append(Candidate(name, overdue(entry, state, now), entry.group))
                report.oldest_overdue_minutes = max(report.oldest_overdue_minutes, _overdue_minutes(entry, state, now))
        return candidates

    def _start(
        self,
        chosen: list[Candidate],
        scheduled_at: datetime,
        remaining_seconds: Callable[[], float],
        report: TickReport,
    ) -> tuple[int, list[Candidate]]:
        """Start executions in parallel, most overdue first, within rate and deadline; return how many, and the rest."""
        limiter = RateLimiter(self.settings.max_starts_per_second)
        out_of_time = threading.Event()

        def start(candidate: Candidate) -> bool | FanoutError | None:
            wait = limiter.reserve() if not out_of_time.is_set() else 0.0
            if out_of_time.is_set() or remaining_seconds() - wait < DEADLINE_MARGIN_SECONDS:
                out_of_time.set()
                return None
            self.sleep(wait)
            try:
                return self.executions.start(
                    execution_name(candidate.provider, scheduled_at),
                    execution_input(candidate.provider, scheduled_at),
                )
            except FanoutError as error:
                return error

        left = []
        with self.pool(PARALLEL) as pool:
            for candidate, outcome in zip(chosen, pool.map(start, chosen), strict=True):
                if isinstance(outcome, FanoutError):
                    report.failed_starts += 1
                    report.note("faults", str(outcome))
                if outcome is None or isinstance(outcome, TransientError):
                    left.append(candidate)
                elif outcome is True:
                    report.started += 1
                    report.note("started_providers", candidate.provider)
                elif outcome is False:
                    report.already_started += 1
        return report.started + report.already_started, left

    def _free_dead_leases(self, scheduled_at: datetime, report: TickReport) -> list[str]:
        """End the runs that cannot end themselves: expired leases, executions that are gone. Return the live ones."""
        now = self.clock()
        leases = [(state.provider, state.lease) for state in self.store.attention() if state.lease]
        live, failures = [], 0
        for place, (provider, lease) in enumerate(_in_turn(leases, scheduled_at)):
            try:
                check = place < CHECKED_PER_TICK and failures < GIVE_UP_AFTER
                death = self._death(lease, now, check)
                if death is None:
                    live.append(provider)
                elif self.outcomes.end(provider, lease.run_id, f"the run ended without a word: {death}", tell=False):
                    report.freed_leases += 1
            except FanoutError as error:
                failures += 1
                live.append(provider)
                report.note("faults", f"{provider}: {error}")
        return live

    def _death(self, lease: Lease, now: datetime, check_execution: bool) -> str | None:
        """Why a run cannot be alive any more, or None."""
        if not is_live(lease, now):
            return "its lease expired"
        if not check_execution or lease.execution_arn is None or now - lease.claimed_at <= SETTLING:
            return None
        status = self.executions.status(lease.execution_arn)
        return None if status in ("RUNNING", "PENDING_REDRIVE") else f"its execution is {status or 'gone'}"

    def _stale(self, entries: Mapping[str, ProviderEntry], live: Iterable[str]) -> list[str]:
        """Providers that the config API calls running although no lease says so: it missed, or forgot, their end."""
        running = set(live)
        return [name for name, entry in entries.items() if entry.status == "running" and name not in running]

    def _push_reports(
        self,
        scheduled_at: datetime,
        stale: list[str],
        remaining_seconds: Callable[[], float],
        report: TickReport,
    ) -> None:
        """Tell the config API what it missed. Comes last: a config API that takes no reports must not delay runs."""
        failures = 0
        try:
            for name in _in_turn(stale, scheduled_at)[:CHECKED_PER_TICK]:
                ledger.update(self.store, name, ledger.owe_report)
            owed = [state for state in self.store.attention() if state.report is not None and state.lease is None]
            for state in _in_turn(owed, scheduled_at):
                if failures == GIVE_UP_AFTER or remaining_seconds() < DEADLINE_MARGIN_SECONDS:
                    break
                if self.outcomes.push_report(state):
                    report.pushed_reports += 1
                else:
                    failures += 1
        except FanoutError as error:
            report.note("faults", f"reports are pushed at the next tick: {error}")


def _in_turn(things: Sequence[T], tick: datetime) -> list[T]:
    """The same things in another order at each tick, so that none is always behind the others."""
    return random.Random(tick.isoformat()).sample(things, len(things))  # noqa: S311 - fairness, not a secret


def _overdue_minutes(entry: ProviderEntry, state: ProviderState, now: datetime) -> float:
    """By how much the provider is late; 0 for one that never ran, which has no moment to be late from."""
    turns = [t for t in (entry.last_success, state.last_success) if t]
    return round(max(0.0, (now - max(turns) - entry.period).total_seconds() / 60), 1) if turns else 0.0
