"""How a provider is doing: one evaluation for the dispatcher, the command line and the console. Pure: no clock, no I/O.

The ledger (a success, a lease, a backoff) can only postpone a run. So if a provider is not due by its entry and its
pending objects, its ledger item need not be read: `decide` without a ledger item tells which items must be read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from contract.failure import Failure
from fanout.errors import UnlistedProviderError
from fanout.failures import not_claimed, orphaned
from fanout.ledger import ProviderState, is_live
from fanout.manifests import late_error
from fanout.pending import Pending
from fanout.providers import NO_MAINTENANCE, Maintenance, ProviderEntry, Window, is_name, refusal
from fanout.run_state import RunState, run_state
from fanout.runs import Lease
from fanout.schedule import sweep_time

LATE_AFTER = timedelta(minutes=30)
"""A due provider without a run for longer than this is late: two ticks are normal while slots are scarce."""

_EPOCH = datetime.fromtimestamp(0, UTC)


class Decision(StrEnum):
    """A tick's decision about a provider. Only due providers are started."""

    DUE = "due"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    WAITING = "waiting"
    IDLE = "idle"
    PAUSED = "paused"
    MAINTENANCE = "maintenance"
    INVALID = "invalid"


class Condition(StrEnum):
    """How a provider is doing, the worst first."""

    INVALID = "invalid"
    UNLISTED = "unlisted"
    STUCK = "stuck"
    FAILING = "failing"
    LATE = "late"
    LATE_DATA = "late data"
    RUNNING = "running"
    DUE = "due"
    WAITING = "waiting"
    IDLE = "idle"
    MAINTENANCE = "maintenance"
    PAUSED = "paused"


UNHEALTHY = tuple(Condition)[: tuple(Condition).index(Condition.LATE_DATA) + 1]
"""Conditions in which an operator has to act."""
ON_HOLD = (Condition.MAINTENANCE, Condition.PAUSED)
"""Conditions in which no run starts, because an operator wants it so."""


@dataclass(frozen=True)
class FailedExecution:
    """An execution that failed. One that failed before it took the lease has no record in the ledger."""

    run_id: str
    started_at: datetime
    status: str


@dataclass(frozen=True)
class Facts:
    """The facts about all providers at one time, without the ledger items that are read one by one.

    Attributes
    ----------
    tick
        The time for which the schedule is evaluated. Periods and backoff are counted from tick to tick, so that a late
        tick does not postpone all later ones.
    now
        The current time, by which leases expire.
    pending
        Provider -> its pending objects; None if only a run can find out whether there is work, so that every due
        provider is started.
    sweep
        Time between two full checks of a provider without pending objects.
    held
        Ledger items that have a lease, by provider.
    backlogs
        Providers with a backlog, which no further event announces.
    orphaned
        Provider -> the reason why the run that holds its lease cannot be alive.
    failed_executions
        Provider -> its newest execution that failed.
    maintenance
        The open maintenance windows.
    late_after
        How long a provider may be due before it counts as late.
    """

    tick: datetime
    now: datetime
    pending: Mapping[str, Pending] | None = None
    sweep: timedelta = timedelta(days=1)
    held: Mapping[str, ProviderState] = field(default_factory=dict)
    backlogs: frozenset[str] = frozenset()
    orphaned: Mapping[str, str] = field(default_factory=dict)
    failed_executions: Mapping[str, FailedExecution] = field(default_factory=dict)
    maintenance: Maintenance = NO_MAINTENANCE
    late_after: timedelta = LATE_AFTER

    def pending_of(self, provider: str) -> Pending | None:
        """A provider's pending objects; None if none are known."""
        return (self.pending or {}).get(provider)

    def checked_at(self, provider: str) -> datetime | None:
        """The time of the newest full check; None if there is work to do, or if only a run can find out.

        A provider that succeeded since then has nothing to do.
        """
        if self.pending is None or provider in self.pending or provider in self.backlogs:
            return None
        return sweep_time(provider, self.tick, self.sweep)

    def work_since(self, provider: str) -> datetime | None:
        """Since when there is work to do for a provider; None if that is unknown."""
        pending = self.pending_of(provider)
        return (pending.since if pending else None) or self.checked_at(provider)

    def first_work(self, provider: str, success: datetime) -> datetime | None:
        """Since when there is work to do after a success: pending objects, or the first full check since then.

        None if that is unknown, or if there is a backlog: it does not wait, whatever arrives later.
        """
        if provider in self.backlogs:
            return None
        if self.checked_at(provider) is None:
            return self.work_since(provider)
        return sweep_time(provider, success, self.sweep) + self.sweep


@dataclass(frozen=True)
class Health:
    """How one provider is doing.

    Attributes
    ----------
    since
        Since when the provider has been in this condition, if that is known.
    failure
        The error of a provider that is invalid, stuck or failing.
    why
        Another explanation of the condition.
    next_due
        The first tick that may start the provider: in the past if it is due, None if unknown.
    late_by
        How long the provider has been due while there was work to do; None if it never succeeded.
    failures
        Failed runs in a row.
    failure_count
        How many failures the last of them had; `failure` is the first.
    run_id, run_state
        The run that the condition is about: the one in progress, or the last one that failed.
    engine
        Of the run in progress, once it was planned.
    pending
        Pending objects; None when none are known.
    """

    provider: str
    condition: Condition
    decision: Decision
    since: datetime | None = None
    failure: Failure | None = None
    why: str | None = None
    next_due: datetime | None = None
    last_success: datetime | None = None
    late_by: timedelta | None = None
    failures: int = 0
    failure_count: int = 1
    run_id: str | None = None
    run_state: RunState | None = None
    engine: str | None = None
    pending: Pending | None = None
    group: str | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the last run failed, even if the provider is on hold now."""
        return self.condition is Condition.FAILING or (self.condition in ON_HOLD and self.failures > 0)

    @property
    def details(self) -> str | None:
        """The failure in one line, or another explanation of the condition."""
        return self.failure.in_one_line(self.failure_count) if self.failure else self.why


def last_success(entry: ProviderEntry, state: ProviderState | None) -> datetime | None:
    """The later of the successes in the config API and the ledger; None if the provider never succeeded.

    A report may be missing in the config API, and a run that did not use this ledger is known only to the config API.
    """
    if state is None or state.last_success is None:
        return entry.last_success
    return max(state.last_success, entry.last_success or state.last_success)


def decide(provider: str, entry: ProviderEntry, state: ProviderState | None, facts: Facts) -> Decision:
    """Decide what a tick does about a provider with a valid entry.

    The entry's `running` is not considered: only a lease shows that a run is in progress.

    Parameters
    ----------
    state
        The provider's ledger item. Without it, `DUE` only means that the item must be read.
    """
    if state is not None and state.lease is not None and is_live(state.lease, facts.now):
        return Decision.RUNNING
    if entry.paused:
        return Decision.PAUSED
    if facts.maintenance.of(entry.group):
        return Decision.MAINTENANCE
    success = last_success(entry, state)
    if success is not None and facts.tick < entry.next_turn(success):
        return Decision.WAITING
    if success is not None and (checked := facts.checked_at(provider)) is not None and success >= checked:
        return Decision.IDLE
    if success is not None and facts.tick < _next_turn(provider, entry, success, facts):
        return Decision.WAITING
    if state is not None and state.retry_at is not None and state.retry_at > facts.tick:
        return Decision.BACKING_OFF
    return Decision.DUE


def may_be_due(entries: Mapping[str, ProviderEntry], facts: Facts) -> tuple[list[str], dict[str, Decision]]:
    """Split providers into those whose ledger item has to be read, and the decisions about all others."""
    decisions = {name: decide(name, entry, facts.held.get(name), facts) for name, entry in entries.items()}
    unknown = [name for name, decision in decisions.items() if decision is Decision.DUE]
    return unknown, {name: decision for name, decision in decisions.items() if decision is not Decision.DUE}


def evaluate(provider: str, entry: ProviderEntry, state: ProviderState | None, facts: Facts) -> Health:
    """Evaluate how one provider with a valid entry is doing.

    Parameters
    ----------
    state
        The provider's ledger item; None if it has none, or if `may_be_due` says that it need not be read.
    """
    state = state or ProviderState(provider=provider)
    decision, success = decide(provider, entry, state, facts), last_success(entry, state)
    pending, late_by = facts.pending_of(provider), None
    turn = None
    if success is None:
        due_since = pending.since if pending else None
    else:
        turn = _next_turn(provider, entry, success, facts)
        due_since = max(turn, facts.work_since(provider) or success)
        late_by = facts.tick - due_since if decision in (Decision.DUE, Decision.BACKING_OFF) else None
    window = facts.maintenance.of(entry.group)
    found = _finding(provider, state, facts, decision, due_since, success, window)
    lease = state.lease
    return Health(
        provider=provider,
        condition=found.condition,
        decision=decision,
        since=found.since,
        failure=found.failure,
        why=found.why,
        next_due=_next_due(provider, state, facts, decision, turn, window),
        last_success=success,
        late_by=late_by,
        failures=state.failures,
        failure_count=found.failure_count,
        run_id=found.run_id,
        run_state=found.run_state,
        engine=lease.plan.engine if lease and lease.plan else None,
        pending=pending,
        group=entry.group,
    )


class _Finding(NamedTuple):
    """A provider's condition with its explanation."""

    condition: Condition
    since: datetime | None = None
    failure: Failure | None = None
    why: str | None = None
    run_id: str | None = None
    run_state: RunState | None = None
    failure_count: int = 1


def _finding(
    provider: str,
    state: ProviderState,
    facts: Facts,
    decision: Decision,
    due_since: datetime | None,
    success: datetime | None,
    window: Window | None,
) -> _Finding:
    """The condition of a provider: the first of these that applies."""
    lease, last, failed = state.lease, state.last_run, facts.failed_executions.get(provider)
    if lease is not None and (death := _why_orphaned(lease, provider, facts)):
        failed_run = run_state(None, lease, "FAILED", facts.now)
        return _Finding(Condition.STUCK, lease.claimed_at, orphaned(death), None, lease.run_id, failed_run)
    if lease is not None:
        kind, running = "replay" if lease.replay else None, run_state(None, lease, None, facts.now)
        return _Finding(Condition.RUNNING, lease.claimed_at, None, kind, lease.run_id, running)
    has_failed = state.failures > 0
    run = (last.failure, None, last.run_id, RunState(last.status), last.failure_count) if last and has_failed else ()
    found = _Finding(Condition.FAILING, state.failing_since, *run)
    if decision is Decision.PAUSED:
        return found._replace(condition=Condition.PAUSED, since=None)
    if window is not None:
        return found._replace(condition=Condition.MAINTENANCE, since=window.since, why=window.text)
    if has_failed:
        return found
    late_data = (
        _Finding(Condition.LATE_DATA, state.late.found_at, late_error(provider, state.late).as_failure())
        if state.late
        else None
    )
    if decision is not Decision.DUE:
        return late_data or _Finding(Condition(decision.value), success)
    if failed and _is_newest(failed, state):
        failure, failed_run = not_claimed(failed.run_id), run_state(None, None, failed.status, facts.now)
        return _Finding(Condition.FAILING, failed.started_at, failure, None, failed.run_id, failed_run)
    if due_since is not None and facts.tick - due_since > facts.late_after:
        minutes = int((facts.tick - due_since).total_seconds() // 60)
        return _Finding(Condition.LATE, due_since, why=f"due for {minutes} minutes without a run")
    return late_data or _Finding(Condition.DUE, due_since, why="no successful run yet" if success is None else None)


def evaluate_invalid(provider: str, failure: Failure) -> Health:
    """The health of a provider whose entry in the config API is invalid."""
    return Health(provider, Condition.INVALID, Decision.INVALID, failure=failure)


def unlisted(listed: Container[str], facts: Facts) -> list[Health]:
    """The providers with pending objects or a backlog that the config API does not list, and refused folders."""
    waiting = {**dict.fromkeys(facts.backlogs), **(facts.pending or {})}
    return [_unlisted(name, pending) for name, pending in sorted(waiting.items()) if name not in listed]


def _unlisted(name: str, pending: Pending | None) -> Health:
    if is_name(name):
        shown, cause, why = name, "not in the config API's list", f"{name} is not in the config API's list"
    else:
        shown, cause = f"provider={name}", "no run can process a folder of this name"
        why = f"no run can process this folder: {refusal(name)}"
    failure, since = UnlistedProviderError(why, cause=cause).as_failure(), pending.since if pending else None
    return Health(shown, Condition.UNLISTED, Decision.INVALID, since=since, failure=failure, pending=pending)


def worst_first(found: Iterable[Health]) -> list[Health]:
    """Sort providers as they are shown: by condition, then the latest first."""
    order = {condition: number for number, condition in enumerate(Condition)}
    return sorted(found, key=lambda h: (order[h.condition], -(h.late_by or timedelta()), h.provider))


def _why_orphaned(lease: Lease, provider: str, facts: Facts) -> str | None:
    """The reason why the run that holds the lease cannot be alive; None if it may be."""
    return facts.orphaned.get(provider, None if is_live(lease, facts.now) else "its lease expired")


def _is_newest(failed: FailedExecution, state: ProviderState) -> bool:
    """Whether the ledger knows neither of this execution nor of a later run."""
    known = state.last_run is not None and state.last_run.run_id == failed.run_id
    return not known and failed.started_at > (state.last_claim or _EPOCH)


def _next_turn(provider: str, entry: ProviderEntry, success: datetime, facts: Facts) -> datetime:
    """The time from which the provider may run again after a success."""
    return entry.next_turn(success, facts.first_work(provider, success) if entry.at else None)


def _next_due(
    provider: str, state: ProviderState, facts: Facts, decision: Decision, turn: datetime | None, window: Window | None
) -> datetime | None:
    """The tick from which the provider may be started; `turn` is its next turn after its last success."""
    if decision is Decision.PAUSED:
        return None
    if window is not None:
        return max(window.until, turn or window.until) if window.until else None
    if decision is Decision.IDLE and (checked := facts.checked_at(provider)) is not None:
        return max(checked + facts.sweep, turn or checked)
    if state.retry_at is not None:
        return max(state.retry_at, turn or state.retry_at)
    return turn
