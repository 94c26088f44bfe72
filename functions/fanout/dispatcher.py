"""One tick: which providers are due, and one execution for each."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from fanout.errors import FanoutError, InvalidRequestError, TransientError
from fanout.ledger import LedgerStore, ProviderState
from fanout.pending import PendingStore
from fanout.providers import ProviderEntry, parse_entries
from fanout.recovery import LiveExecutions, Recovery
from fanout.runs import Lease
from fanout.schedule import (
    Candidate,
    Slots,
    ToDo,
    Verdict,
    choose,
    decide,
    execution_input,
    execution_name,
    is_due,
    is_heavy,
    overdue,
    overdue_minutes,
)
from fanout.settings import DispatchSettings
from fanout.starts import NewExecutions, Starter, TokenBucket
from fanout.times import format_iso, parse_iso

SHOWN = 20
"""How many names a report lists of each kind; the counts are always whole."""
REUSE_GLUE_SECONDS = 15.0
"""How often a tick looks for slots that were given back while providers wait for them."""
REUSE_FUNCTION_SECONDS = 0.5
"""The same while light runs wait for a function slot: they take seconds."""
LAST_REUSE_GLUE_SECONDS = 30.0
"""Nobody waits for a slot with less time left than this."""
TICK_AHEAD = timedelta(days=1)
"""A tick may be tried in advance, but a wrong year must not make every provider due."""


def tick_time(event: Mapping[str, Any], now: datetime) -> datetime:
    """The tick's scheduled time: of EventBridge Scheduler, of an EventBridge rule, or now for a call by hand.

    It names the executions, so that a tick delivered twice starts nothing twice.

    Raises
    ------
    InvalidRequestError
        The event carries a time that is not one, or lies more than a day ahead.
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
        raise InvalidRequestError(f"scheduled_at {format_iso(tick)} lies more than a day ahead; all would be due")
    return tick


class ProviderList(Protocol):
    """Port: who there is, which the config API knows."""

    def entries(self) -> Mapping[str, object]:
        """Every provider's entry, unvalidated."""
        ...


class Executions(NewExecutions, LiveExecutions, Protocol):
    """Port: executions of the one state machine."""


@dataclass
class TickReport:
    """What a tick found and did. Counts are whole; names are capped.

    Each provider in the config API's answer is counted once: `providers` = `rejected` + `paused` + `waiting` +
    `idle` + `already_running` + `backing_off` + `due`, and `due` = `started` + `already_started` + `deferred` +
    `failed_starts`.

    Attributes
    ----------
    due
        Those that should have a run now.
    started
        Executions that run because of this tick, also when an earlier delivery of it had started them.
    already_started
        An execution of this tick's name had ended before.
    deferred
        Due again on the next tick: no slot until the tick's time was up, or no answer.
    failed_starts
        Refused, or throttled until the tries were used up.
    idle
        Their frequency has passed, and they have no pending objects, no backlog and no sweep: there is nothing to do.
    already_running
        Due by their entry, and a run holds the lease.
    never_succeeded
        Of those due or backing off: without a success so far, hence without a moment to be overdue from.
    oldest_overdue_minutes
        Of those due or backing off: for how long the latest of them has been late, counted from when its frequency had
        passed and there was something to do.
    oldest_pending_minutes
        Of those due or backing off: for how long the oldest pending object has waited for a run.
    live
        Runs that held a lease when the tick began.
    reconciled
        Leases that were freed because their run was dead (`released_leases`), and reports that the config API had
        missed and now has (`pushed_reports`).
    """

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
    idle: int = 0
    rejected: int = 0
    failed_starts: int = 0
    reconciled: int = 0
    released_leases: int = 0
    pushed_reports: int = 0
    live: int = 0
    never_succeeded: int = 0
    oldest_overdue_minutes: float = 0
    oldest_pending_minutes: float = 0
    started_providers: list[str] = field(default_factory=list)
    deferred_providers: list[str] = field(default_factory=list)
    rejected_providers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note a fault that did not stop the tick."""
        _note(self.faults, text)


@dataclass(frozen=True)
class Dispatcher:
    """Reads the config API and the ledger, decides, and starts executions.

    Parameters
    ----------
    provider_list, store, pending, executions
        Ports.
    recovery
        Frees the leases of dead runs, and pushes reports that are owed.
    settings
        Of the dispatcher.
    clock
        Gives the current time, aware.
    bucket
        Makes the token bucket that bounds the rate of one tick's starts.
    concurrent_functions
        Gives how many functions the account runs at once; asked once per tick.
    sleep, pool
        Seams for tests.
    """

    provider_list: ProviderList
    store: LedgerStore
    pending: PendingStore
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
            The time the tick was scheduled for; all due rules look at it.
        remaining_seconds
            How long the function may still run. While providers wait, slots are reused as runs end, until
            the next tick is due or thirty seconds before the end; nothing is started in the last ten, and what is not
            answered five seconds before the end is reported as deferred. Starting it again is harmless.

        Raises
        ------
        ConfigApiUnavailableError, ConfigApiAccessError, ConfigApiAnswerError
            Nothing was started; the scheduler delivers the tick again.
        LedgerUnavailableError
            Likewise.
        StartThrottledError, StartRefusedError
            Not a single execution could be started although some were due.
        """
        report = TickReport(scheduled_at=format_iso(scheduled_at))
        attention = self.store.attention()
        leases = self._live(attention, report)
        entries = self._entries(scheduled_at, report)
        backlogs = {state.provider for state in attention if state.has_backlog}
        waiting, stale = self._candidates(entries, scheduled_at, leases, backlogs, report)
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
        for name, lease in leases.items():
            heavy = lease.plan is not None and lease.plan.engine == "glue"
            group = entries[name].group if name in entries else None
            starting.slots.take(name, lease.run_id, lease.claimed_at, heavy=heavy, group=group)
        waiting = self._start(waiting, starting, scheduled_at, report)
        report.pushed_reports = self.recovery.push_pending(stale, scheduled_at, remaining_seconds, report.fault)
        report.reconciled = report.released_leases + report.pushed_reports
        next_tick = scheduled_at + timedelta(minutes=self.settings.tick_minutes)
        while waiting and not starting.starter.stopped and remaining_seconds() > LAST_REUSE_GLUE_SECONDS:
            if self.clock() >= next_tick:  # which starts those that still wait
                break
            light_waits = starting.slots.free_function_slots <= 0 and not all(item.heavy for item in waiting)
            self.sleep(REUSE_FUNCTION_SECONDS if light_waits else REUSE_GLUE_SECONDS)
            try:
                starting.slots.free_ended(self.executions.running(), self.clock())
            except TransientError as error:
                report.fault(f"slots are not reused for a while: {error}")
                continue
            waiting = self._start(waiting, starting, scheduled_at, report)
        report.deferred += len(waiting)
        _note(report.deferred_providers, *(candidate.provider for candidate in waiting))
        report.failed_starts = len(starting.failures)
        _note(report.faults, *map(str, starting.failures.values()))
        if starting.failures and not report.started + report.already_started:
            raise next(iter(starting.failures.values()))
        return report

    def _function_slots(self, report: TickReport) -> float:
        """Light runs that may run at once.

        Each occupies one function at a time, and the dispatcher occupies one. There is no allowance for the config
        API: its calls take the time that runs spend between two functions, and the few tries that are throttled all the
        same are repeated after a second or two.
        """
        try:
            return max(1, self.concurrent_functions() - 1)
        except TransientError as error:
            report.fault(f"light runs start without a limit, because the account's is not known: {error}")
            return math.inf

    def _live(self, attention: list[ProviderState], report: TickReport) -> dict[str, Lease]:
        """Leases of the runs that are alive, once those of dead runs were freed."""
        leases = {state.provider: state.lease for state in attention if state.lease}
        freed = self.recovery.end_orphaned(leases, self.clock(), report.fault) if leases else set()
        report.released_leases, report.live = len(freed), len(leases) - len(freed)
        return {name: lease for name, lease in leases.items() if name not in freed}

    def _entries(self, tick: datetime, report: TickReport) -> dict[str, ProviderEntry]:
        present = max(tick, self.clock())  # a tick that comes late must not find successes since then in its future
        listed = self.provider_list.entries()
        valid, faults = parse_entries(listed, present)
        _note(report.rejected_providers, *map(str, faults.values()))
        report.providers, report.rejected = len(listed), len(faults)
        return valid

    def _candidates(
        self,
        entries: Mapping[str, ProviderEntry],
        tick: datetime,
        live: Container[str],
        backlogs: Container[str],
        report: TickReport,
    ) -> tuple[list[Candidate], list[str]]:
        """Due providers, and those of which the config API tells what is not so.

        Ledger items are read only of those that may be due and have something to do, or that are said to have failed.
        """
        pending = self.pending.waiting() if self.settings.discovery == "events" else None
        todo = ToDo(pending, backlogs, self.settings.sweep)
        verdicts: dict[str, Verdict] = {}
        for name, entry in entries.items():
            if entry.paused:
                verdicts[name] = Verdict.PAUSED
            elif not is_due(entry, tick):
                verdicts[name] = Verdict.WAITING
            elif name in live:
                verdicts[name] = Verdict.ALREADY_RUNNING
            elif todo.is_idle(name, entry, tick):
                verdicts[name] = Verdict.IDLE
        possible = [name for name in entries if name not in verdicts]
        ours = self.settings.report_status == "yes"
        shown = {name: entry.status for name, entry in entries.items()} if ours else {}
        failed = [name for name, status in shown.items() if status == "failed" and name not in live]
        states, now = self.store.get_many(dict.fromkeys([*possible, *failed])), self.clock()
        candidates, late, ages = [], [], [0.0]
        for name in possible:
            entry, state = entries[name], states.get(name) or ProviderState(provider=name)
            told, since = todo.pending_of(name), todo.since(name, tick)
            verdict = verdicts[name] = decide(entry, state, tick, now, todo.idle_since(name, tick))
            if verdict is Verdict.DUE:
                heavy = is_heavy(state, self.settings.lambda_max_bytes, told.bytes)
                candidates.append(Candidate(name, overdue(entry, state, tick, since), heavy, entry.group))
            if verdict in (Verdict.DUE, Verdict.BACKING_OFF):
                late.append(overdue_minutes(entry, state, tick, since))
                ages += [(tick - told.since).total_seconds() / 60] if told.since else []
        count = Counter(verdicts.values())
        report.due, report.backing_off = count[Verdict.DUE], count[Verdict.BACKING_OFF]
        report.paused, report.waiting = count[Verdict.PAUSED], count[Verdict.WAITING]
        report.already_running, report.idle = count[Verdict.ALREADY_RUNNING], count[Verdict.IDLE]
        report.never_succeeded = late.count(None)
        report.oldest_overdue_minutes = round(max((minutes for minutes in late if minutes is not None), default=0), 1)
        report.oldest_pending_minutes = round(max(ages), 1)
        running = [name for name, status in shown.items() if status == "running" and name not in live]
        return candidates, running + [name for name in failed if name in states and states[name].last_reported_success]

    def _start(
        self, waiting: list[Candidate], starting: _Starting, tick: datetime, report: TickReport
    ) -> list[Candidate]:
        """Start as many candidates as there are function slots and slots on Glue, most overdue first.

        A slot that its provider cannot take goes to the next one.

        Returns
        -------
        Who still waits.
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
                report.fault(f"{len(started.unanswered)} starts had no answer when the time was up")
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
            if not not_started or starter.stopped:
                return waiting


@dataclass
class _Starting:
    """What the starts of one tick share."""

    slots: Slots
    starter: Starter
    failures: dict[str, FanoutError] = field(default_factory=dict)


def _note(lines: list[str], *texts: str) -> None:
    """Add to one of the report's capped lists."""
    lines += texts[: max(0, SHOWN - len(lines))]
