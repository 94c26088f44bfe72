"""One tick: which providers are due, and one execution for each."""

from __future__ import annotations

import random
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
    overdue_minutes,
)
from fanout.settings import DispatchSettings
from fanout.starts import Starter, TokenBucket
from fanout.times import format_iso, parse_iso

T = TypeVar("T")

DEADLINE_MARGIN_SECONDS = 10.0
SHOWN = 20
"""How many names a report lists of each kind; the counts are always whole."""
SETTLING = timedelta(minutes=2)
"""A lease younger than this is not checked against its execution: both were just made."""
CHECKED_PER_TICK = 100
"""How many leases a tick checks against their executions, in turn; DescribeExecution refills at 15 a second."""
GIVE_UP_AFTER = 3
"""After so many failures a tick leaves checking executions, or pushing reports, to the next one."""


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


@dataclass
class TickReport:
    """What a tick found and did. Counts are whole; names are capped.

    Each provider in the config API's answer is counted once: `providers` = `rejected` + `paused` + `waiting` +
    `already_running` + `backing_off` + `due`, and `due` = `started` + `already_started` + `deferred` +
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
        Due again on the next tick: no place, no time, or no answer before the time was up.
    failed_starts
        Refused, or throttled until the tries were used up.
    already_running
        Due by their entry, and a run holds the lease.
    never_succeeded
        Of those due or backing off: without a success so far, hence without a moment to be overdue from.
    oldest_overdue_minutes
        Of those due or backing off: by how much the latest of them has missed its next success.
    live
        Runs that held a lease when the tick began.
    reconciled
        Leases that were freed because their run was dead (`freed_leases`), and reports that the config API had
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
    rejected: int = 0
    failed_starts: int = 0
    reconciled: int = 0
    freed_leases: int = 0
    pushed_reports: int = 0
    live: int = 0
    never_succeeded: int = 0
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
    bucket
        Makes the token bucket that bounds the rate of one tick's starts.
    sleep, pool
        Seams for tests.
    """

    config_api: ConfigApi
    store: LedgerStore
    executions: Executions
    outcomes: Outcomes
    settings: DispatchSettings
    clock: Callable[[], datetime]
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
            How long the function may still run; nothing is started in the last ten seconds, and what is not
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
        live = self._free_dead_leases(scheduled_at, report)
        report.live = len(live)
        entries = self._entries(scheduled_at, report)
        candidates = self._candidates(entries, scheduled_at, live, report)
        in_group = Counter(entries[p].group or "" for p in live if p in entries)
        failure = self._start(candidates, scheduled_at, in_group, remaining_seconds, report)
        self._push_reports(scheduled_at, self._stale(entries, live), remaining_seconds, report)
        report.reconciled = report.freed_leases + report.pushed_reports
        if failure is not None and not report.started + report.already_started:
            raise failure
        return report

    def _entries(self, tick: datetime, report: TickReport) -> dict[str, ProviderEntry]:
        valid: dict[str, ProviderEntry] = {}
        present = max(tick, self.clock())  # a tick that comes late must not find successes since then in its future
        for name, raw in self.config_api.entries().items():
            report.providers += 1
            try:
                valid[name] = parse_entry(name, raw, present)
            except InvalidProviderError as error:
                report.rejected += 1
                report.note("rejected_providers", str(error))
        return valid

    def _candidates(
        self, entries: Mapping[str, ProviderEntry], tick: datetime, live: Iterable[str], report: TickReport
    ) -> list[Candidate]:
        """Due providers. Ledger items are read only of those that their entry says may be due."""
        running = set(live)
        possible = []
        for name, entry in entries.items():
            if entry.paused:
                report.paused += 1
            elif not is_due(entry, tick):
                report.waiting += 1
            elif name in running:
                report.already_running += 1
            else:
                possible.append(name)
        states, now = self.store.get_many(possible), self.clock()
        candidates = []
        for name in possible:
            entry, state = entries[name], states.get(name) or ProviderState(provider=name)
            verdict = decide(entry, state, tick, now)
            setattr(report, verdict.value, getattr(report, verdict.value) + 1)
            if verdict is Verdict.DUE:
                candidates.append(Candidate(name, overdue(entry, state, tick), entry.group))
            if verdict in (Verdict.DUE, Verdict.BACKING_OFF):
                late = overdue_minutes(entry, state, tick)
                report.never_succeeded += late is None
                report.oldest_overdue_minutes = max(report.oldest_overdue_minutes, round(late or 0.0, 1))
        return candidates

    def _start(
        self,
        candidates: list[Candidate],
        tick: datetime,
        in_group: Counter[str],
        remaining_seconds: Callable[[], float],
        report: TickReport,
    ) -> FanoutError | None:
        """Start executions, most overdue first. A place that its provider cannot take goes to the next one.

        Returns
        -------
        A reason why starts failed, if any did.
        """
        places = max(0, self.settings.max_concurrent_runs - report.live)
        starter = Starter(
            lambda name: self.executions.start(execution_name(name, tick), execution_input(name, tick)),
            self.bucket(),
            remaining_seconds,
            self.sleep,
            self.pool,
        )
        waiting, failures = candidates, dict[str, FanoutError]()
        while True:
            chosen, waiting = choose(waiting, places, self.settings.max_runs_per_group, in_group, format_iso(tick))
            started = starter.run(candidate.provider for candidate in chosen)
            report.started += len(started.new)
            report.already_started += len(started.before)
            failures |= started.refused | started.given_up
            for name in started.new:
                report.note("started_providers", name)
            if started.unanswered:
                report.note("faults", f"{len(started.unanswered)} starts had no answer when the time was up")
            placeless = {*started.before, *started.refused}
            answered = placeless | {*started.new, *started.given_up}
            for candidate in chosen:
                if candidate.provider not in answered:
                    report.deferred += 1
                    report.note("deferred_providers", candidate.provider)
                if candidate.provider not in placeless:
                    places -= 1
                    in_group[candidate.group or ""] += 1
            if not placeless or starter.stopped:
                break
        report.failed_starts = len(failures)
        for failure in failures.values():
            report.note("faults", str(failure))
        report.deferred += len(waiting)
        for candidate in waiting:
            report.note("deferred_providers", candidate.provider)
        return next(iter(failures.values()), None)

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
