"""One tick: starts one execution for each provider that is due."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

from contract.times import format_iso, parse_iso
from fanout.errors import FanoutError, InvalidRequestError, TransientError
from fanout.health import Decision, Facts, Health, evaluate, may_be_due, unlisted
from fanout.ledger import LedgerStore, ProviderState
from fanout.pending import PendingStore
from fanout.providers import Maintenance, MaintenanceStore, ProviderEntry, missing_providers, parse_entries
from fanout.recovery import LiveExecutions, Recovery
from fanout.schedule import Candidate, Slots, choose, execution_input, execution_name, is_heavy, overdue
from fanout.settings import DispatchSettings
from fanout.starts import NewExecutions, Starter, TokenBucket

SHOWN = 20
"""The most names that a report lists of each kind; its counts have no limit."""
REUSE_GLUE_SECONDS = 15.0
"""Pause between two checks for free Glue slots while providers wait for them."""
REUSE_FUNCTION_SECONDS = 0.5
"""The same for function slots: light runs take seconds."""
LAST_REUSE_GLUE_SECONDS = 30.0
"""With less time left than this, the tick ends and the waiting providers are deferred."""
TICK_AHEAD = timedelta(days=1)
"""An operator may invoke a tick in advance, but a wrong year must not make every provider due."""


def tick_time(event: Mapping[str, Any], now: datetime) -> datetime:
    """The time for which EventBridge Scheduler or an EventBridge rule scheduled the tick; else the current minute.

    It is part of the executions' names, so that a tick that is delivered twice starts each run once.

    Raises
    ------
    InvalidRequestError
        The time in the event is invalid, or more than a day ahead.
    """
    given = next((event[name] for name in ("scheduled_at", "time") if event.get(name) is not None), None)
    if given is None:
        return now.astimezone(UTC).replace(second=0, microsecond=0)
    try:
        tick = parse_iso(given).replace(microsecond=0)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequestError(
            f"scheduled_at must be an ISO 8601 time with a zone, such as 2026-11-22T07:30:00Z, not {ascii(given)[:60]}"
        ) from None
    if tick > now + TICK_AHEAD:
        raise InvalidRequestError(
            f"scheduled_at {format_iso(tick)} is more than a day ahead, which would make every provider due"
        )
    return tick


class ProviderList(Protocol):
    """Port: the list of providers, which the config API keeps."""

    def entries(self) -> Mapping[str, object]:
        """Provider -> its entry, not validated."""
        ...


class Executions(NewExecutions, LiveExecutions, Protocol):
    """Port: the executions of the state machine."""


@dataclass
class TickReport:
    """The report of a tick. Counts have no limit; lists of names do.

    Each provider in the config API's answer is counted once, by the decision about it (`fanout.health.Decision`):
    `providers` = `invalid` + `paused` + `maintenance` + `waiting` + `idle` + `running` + `backing_off` + `due`, and
    `due` = `started` + `already_started` + `deferred` + `failed_starts`.

    Attributes
    ----------
    started
        Running executions of this tick, including those that an earlier delivery of the tick started.
    already_started
        Executions of this tick that had already ended.
    deferred
        Due again at the next tick: no slot was free until the tick's time was up, or the start had no answer.
    failed_starts
        Refused, or throttled until the attempts were used up.
    idle
        The frequency has passed, but there is nothing to do: no pending objects, no backlog, no full check due.
    maintenance
        In a maintenance window, in which no run starts.
    running
        A run holds the lease.
    never_succeeded
        Of those due or backing off: providers without any success.
    oldest_overdue_minutes
        Of those due or backing off: the longest time that a provider has been due with something to do.
    oldest_pending_minutes
        Of those due or backing off: how long the oldest pending object has waited for a run.
    unlisted
        Providers with pending objects or a backlog that the config API does not list. They are not in `providers`.
    missing_providers
        How many providers the list lost, if it lost half of them or more and an operator has not accepted it.
    late_data
        Providers with objects that arrived too late for any run.
    live
        Runs that held a lease when the tick began, also of providers that are not in the list.
    released_leases, pushed_reports, reconciled
        Leases of orphaned runs that were released; reports that the config API had missed and now has; both together.
    """

    scheduled_at: str
    providers: int = 0
    due: int = 0
    started: int = 0
    already_started: int = 0
    running: int = 0
    deferred: int = 0
    backing_off: int = 0
    paused: int = 0
    maintenance: int = 0
    waiting: int = 0
    idle: int = 0
    invalid: int = 0
    failed_starts: int = 0
    reconciled: int = 0
    released_leases: int = 0
    pushed_reports: int = 0
    live: int = 0
    unlisted: int = 0
    missing_providers: int = 0
    late_data: int = 0
    never_succeeded: int = 0
    oldest_overdue_minutes: float = 0
    oldest_pending_minutes: float = 0
    started_providers: list[str] = field(default_factory=list)
    deferred_providers: list[str] = field(default_factory=list)
    invalid_providers: list[str] = field(default_factory=list)
    unlisted_providers: list[str] = field(default_factory=list)
    late_data_providers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Add a fault that did not stop the tick."""
        _note(self.faults, text)


@dataclass(frozen=True)
class Dispatcher:
    """Reads the config API and the ledger, decides about each provider, and starts executions.

    Parameters
    ----------
    provider_list, store, pending, maintenance, executions
        Ports.
    recovery
        Releases the leases of orphaned runs, and sends pending reports.
    settings
        Settings of the dispatcher.
    clock
        Returns the current time, with its zone.
    bucket
        Makes the token bucket that limits the rate of one tick's starts.
    concurrent_functions
        Returns how many functions the account runs at once; called once per tick.
    sleep, pool
        Replaced by tests.
    """

    provider_list: ProviderList
    store: LedgerStore
    pending: PendingStore
    maintenance: MaintenanceStore
    executions: Executions
    recovery: Recovery
    settings: DispatchSettings
    clock: Callable[[], datetime]
    concurrent_functions: Callable[[], float] = lambda: math.inf
    bucket: Callable[[], TokenBucket] = TokenBucket
    sleep: Callable[[float], None] = time.sleep
    pool: Callable[[int], Executor] = ThreadPoolExecutor

    def tick(self, scheduled_at: datetime, remaining_seconds: Callable[[], float]) -> TickReport:
        """Do one tick.

        Parameters
        ----------
        scheduled_at
            The time for which the tick was scheduled; all due rules use it.
        remaining_seconds
            Returns how long the function may still run. While providers wait, slots are reused as runs end, until the
            next tick is due or 30 seconds are left. No execution is started in the last 10 seconds, and starts without
            an answer 5 seconds before the end are reported as deferred: it is safe to start them again.

        Raises
        ------
        ConfigApiUnavailableError, ConfigApiAccessError, ConfigApiAnswerError
            No execution was started; the scheduler delivers the tick again.
        LedgerUnavailableError
            The same.
        StartThrottledError, StartRefusedError
            Providers were due, but not one execution could be started.
        """
        report = TickReport(scheduled_at=format_iso(scheduled_at))
        attention = self.store.attention()
        held = self._held(attention, report)
        listed = self.provider_list.entries()
        entries = self._entries(listed, scheduled_at, report)
        facts = Facts(
            tick=scheduled_at,
            now=self.clock(),
            pending=self.pending.waiting() if self.settings.discovery == "events" else None,
            sweep=self.settings.sweep,
            held=held,
            backlogs=frozenset(state.provider for state in attention if state.has_backlog),
            maintenance=self._maintenance(),
        )
        self._left_out(listed, facts, attention, report)
        waiting, stale = self._candidates(entries, facts, report)
        starting = _Starting(
            Slots(self.settings.max_concurrent_runs, self._function_slots(report)),
            Starter(
                lambda name: self.executions.start(
                    execution_name(name, scheduled_at), execution_input(name, scheduled_at)
                ),
                self.bucket(),
                remaining_seconds,
                self.sleep,
                self.pool,
            ),
        )
        for name, lease in ((name, state.lease) for name, state in held.items() if state.lease):
            heavy = lease.plan is not None and lease.plan.engine == "glue"
            group = entries[name].group if name in entries else None
            starting.slots.take(name, lease.run_id, lease.claimed_at, heavy=heavy, group=group)
        waiting = self._start(waiting, starting, scheduled_at, report)
        report.pushed_reports = self.recovery.push_pending(stale, scheduled_at, remaining_seconds, report.fault)
        report.reconciled = report.released_leases + report.pushed_reports
        next_tick = scheduled_at + timedelta(minutes=self.settings.tick_minutes)
        while waiting and not starting.starter.stopped and remaining_seconds() > LAST_REUSE_GLUE_SECONDS:
            if self.clock() >= next_tick:  # the next tick starts those that still wait
                break
            light_waits = starting.slots.free_function_slots <= 0 and not all(item.heavy for item in waiting)
            self.sleep(REUSE_FUNCTION_SECONDS if light_waits else REUSE_GLUE_SECONDS)
            try:
                starting.slots.free_ended(self.executions.latest(), cache(self.executions.running), self.clock())
                maintenance = self._maintenance()  # it may have begun or ended since the last start
            except TransientError as error:
                report.fault(f"runs or windows could not be listed, so waiting providers start later: {error}")
                continue
            kept = [candidate for candidate in waiting if maintenance.of(candidate.group)]
            free = [candidate for candidate in waiting if not maintenance.of(candidate.group)]
            waiting = kept + self._start(free, starting, scheduled_at, report)
        report.deferred += len(waiting)
        _note(report.deferred_providers, *(candidate.provider for candidate in waiting))
        report.failed_starts = len(starting.failures)
        _note(report.faults, *map(str, starting.failures.values()))
        if starting.failures and not report.started + report.already_started:
            raise next(iter(starting.failures.values()))
        return report

    def _maintenance(self) -> Maintenance:
        return Maintenance.at(self.maintenance.windows(), self.clock())

    def _function_slots(self, report: TickReport) -> float:
        """How many light runs may run at once.

        Each uses one function at a time, and the dispatcher uses one. No slot is reserved for the config API: its calls
        fit between two functions of a run, and a throttled call is repeated after a second or two.
        """
        try:
            return max(1, self.concurrent_functions() - 1)
        except TransientError as error:
            report.fault(f"light runs start without a limit, because the account's limit could not be read: {error}")
            return math.inf

    def _held(self, attention: list[ProviderState], report: TickReport) -> dict[str, ProviderState]:
        """Release the leases of orphaned runs; return the ledger items that still have a lease."""
        leases = {state.provider: state.lease for state in attention if state.lease}
        released = self.recovery.end_orphaned(leases, self.clock(), report.fault)
        report.released_leases, report.live = len(released), len(leases) - len(released)
        held = leases.keys() - released
        return {state.provider: state for state in attention if state.provider in held}

    def _entries(self, listed: Mapping[str, object], tick: datetime, report: TickReport) -> dict[str, ProviderEntry]:
        present = max(tick, self.clock())  # successes after the time of a late tick are not in the future
        valid, faults = parse_entries(listed, present)
        _note(report.invalid_providers, *map(str, faults.values()))
        report.providers, report.invalid = len(listed), len(faults)
        return valid

    def _left_out(
        self, listed: Mapping[str, object], facts: Facts, attention: list[ProviderState], report: TickReport
    ) -> None:
        """Report what no run processes: providers that are not in the list, a list that shrank, and late data."""
        left_out = unlisted(listed, facts)
        late = [state.provider for state in attention if state.late]
        report.unlisted, report.late_data = len(left_out), len(late)
        _note(report.unlisted_providers, *(health.provider for health in left_out))
        _note(report.late_data_providers, *late)
        try:
            before = self.store.list_size()
            report.missing_providers = missing_providers(before, len(listed))
            if not report.missing_providers and before != len(listed):
                self.store.put_list_size(len(listed))
        except TransientError as error:
            report.fault(f"whether the list of providers shrank is checked at the next tick: {error}")

    def _candidates(
        self, entries: Mapping[str, ProviderEntry], facts: Facts, report: TickReport
    ) -> tuple[list[Candidate], list[str]]:
        """Return the due providers, and those whose status in the config API is wrong.

        Ledger items are read only of providers that may be due, and of those that the config API shows as failed.
        """
        possible, decisions = may_be_due(entries, facts)
        reports = self.settings.report_status == "yes"
        shown = {name: entry.status for name, entry in entries.items() if name not in facts.held} if reports else {}
        failed = [name for name, status in shown.items() if status == "failed"]
        states = self.store.get_many(dict.fromkeys([*possible, *failed]))
        found = [evaluate(name, entries[name], states.get(name), facts) for name in possible]
        for decision, number in Counter([*decisions.values(), *(health.decision for health in found)]).items():
            setattr(report, decision.value, number)
        _measure_delays(report, found, facts.tick)
        candidates = []
        for health in found:
            if health.decision is Decision.DUE:
                name, entry = health.provider, entries[health.provider]
                state = states.get(name) or ProviderState(provider=name)
                heavy = is_heavy(state, self.settings.job, self.settings.lambda_max_bytes, health.pending)
                turns = overdue(entry, state, facts.tick, facts.work_since(name))
                candidates.append(Candidate(name, turns, heavy, entry.group))
        running = [name for name, status in shown.items() if status == "running"]
        return candidates, running + [name for name in failed if name in states and states[name].last_reported_success]

    def _start(
        self, waiting: list[Candidate], starting: _Starting, tick: datetime, report: TickReport
    ) -> list[Candidate]:
        """Start as many candidates as there are free function slots and Glue slots, the most overdue first.

        A slot whose provider could not be started goes to the next one.

        Returns
        -------
        The candidates that still wait for a slot.
        """
        slots, starter, group_slots = starting.slots, starting.starter, self.settings.max_runs_per_group
        while True:
            lot, function_slots = format_iso(tick), slots.free_function_slots
            chosen, waiting = choose(waiting, slots.free, group_slots, slots.in_group, lot, function_slots)
            started = starter.run(candidate.provider for candidate in chosen)
            report.started += len(started.new)
            report.already_started += len(started.before)
            starting.failures |= started.refused | started.given_up
            _note(report.started_providers, *started.new)
            if started.unanswered:
                report.fault(f"{len(started.unanswered)} starts had no answer when the tick's time was up")
            not_started = {*started.before, *started.refused}
            answered = not_started | {*started.new, *started.given_up}
            untried = [candidate.provider for candidate in chosen if candidate.provider not in answered]
            report.deferred += len(untried)
            _note(report.deferred_providers, *untried)
            for candidate in chosen:
                name = candidate.provider
                if name not in not_started:
                    execution = execution_name(name, tick)
                    slots.take(name, execution, self.clock(), heavy=candidate.heavy, group=candidate.group)
            if not not_started:
                return waiting


@dataclass
class _Starting:
    """State that all starts of one tick share."""

    slots: Slots
    starter: Starter
    failures: dict[str, FanoutError] = field(default_factory=dict)


def _note(lines: list[str], *texts: str) -> None:
    """Add to one of the report's lists, up to its limit."""
    lines += texts[: max(0, SHOWN - len(lines))]


def _measure_delays(report: TickReport, found: list[Health], tick: datetime) -> None:
    """Add to the report how late the due providers and those backing off are."""
    late = [health for health in found if health.decision in (Decision.DUE, Decision.BACKING_OFF)]
    delays = [health.late_by for health in late if health.late_by]
    waits = [tick - health.pending.since for health in late if health.pending and health.pending.since]
    report.never_succeeded = sum(health.last_success is None for health in late)
    report.oldest_overdue_minutes = round(max(delays, default=timedelta()).total_seconds() / 60, 1)
    report.oldest_pending_minutes = round(max([timedelta(), *waits]).total_seconds() / 60, 1)
