"""How every provider stands, from the config API's entries and as few ledger items as can tell.

An entry that succeeded lately says all there is to say. The ledger is read only of providers that hold a lease, that
may be due, or whose last run did not succeed, as the dispatcher does; so looking at 10,000 providers costs a listing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from fanout.dispatcher import ProviderList
from fanout.ledger import LedgerStore, ProviderState, is_live
from fanout.pending import Pending
from fanout.providers import ProviderEntry, parse_entries
from fanout.recovery import LiveExecutions, orphaned_runs
from fanout.schedule import ToDo, Verdict, decide, is_due, last_success, overdue_minutes


class Condition(StrEnum):
    """How a provider stands, the worst first."""

    INVALID = "invalid"
    STUCK = "stuck"
    FAILING = "failing"
    LATE = "late"
    RUNNING = "running"
    DUE = "due"
    WAITING = "waiting"
    IDLE = "idle"
    PAUSED = "paused"


UNHEALTHY = (Condition.INVALID, Condition.STUCK, Condition.FAILING, Condition.LATE)


@dataclass(frozen=True)
class Standing:
    """One provider.

    Attributes
    ----------
    next_due
        When a tick will start it next, if there is something to do; in the past when it is due already.
    late_by
        How long it has been due with something to do.
    engine
        Of the run in progress, once that was planned.
    pending
        What is waiting, as far as S3 told of it; None when nothing is known to wait.
    """

    provider: str
    condition: Condition
    last_success: datetime | None = None
    next_due: datetime | None = None
    late_by: timedelta | None = None
    failures: int = 0
    run_id: str | None = None
    why: str | None = None
    engine: str | None = None
    pending: Pending | None = None
    group: str | None = None


@dataclass(frozen=True)
class Overview:
    """All providers at one moment, the worst first."""

    at: datetime
    providers: int
    counts: dict[str, int]
    standings: tuple[Standing, ...] = field(repr=False)

    @property
    def healthy(self) -> bool:
        """Whether nobody has to do anything."""
        return not any(self.counts.get(condition) for condition in UNHEALTHY)


def survey(
    provider_list: ProviderList,
    ledger: LedgerStore,
    executions: LiveExecutions,
    now: datetime,
    late_after: timedelta,
    pending: Mapping[str, Pending] | None = None,
    sweep: timedelta = timedelta(0),
) -> Overview:
    """Look at every provider.

    Parameters
    ----------
    pending, sweep
        Who has pending objects, and how often anyone is looked at without; None when every due provider is started.
    late_after
        How long a provider may be due before it counts as late; two ticks are normal when places are scarce.
    """
    with ThreadPoolExecutor(2) as pool:
        attention = pool.submit(ledger.attention)
        listed = provider_list.entries()
    entries, faults = parse_entries(listed, now)
    standings = [Standing(name, Condition.INVALID, why=str(fault)) for name, fault in faults.items()]
    held = {state.provider: state for state in attention.result() if state.lease}
    backlogs = {state.provider for state in attention.result() if state.has_backlog}
    todo = ToDo(pending, backlogs, sweep)
    wanted = [name for name, entry in entries.items() if name not in held and _needs_ledger(name, entry, todo, now)]
    states = {**ledger.get_many(wanted), **held}
    leases = {name: state.lease for name, state in held.items() if state.lease}
    dead = orphaned_runs(leases, executions, now, note=lambda text: None)  # who is not known to be dead counts as alive
    for name, entry in entries.items():
        state = states.get(name) or ProviderState(provider=name)
        standings.append(stand(entry, state, todo, now, late_after, dead.get(name)))
    order = list(Condition)
    standings.sort(key=lambda s: (order.index(s.condition), -(s.late_by or timedelta()), s.provider))
    counts = Counter(s.condition.value for s in standings)
    return Overview(
        now, len(listed), {c.value: counts[c.value] for c in Condition if counts[c.value]}, tuple(standings)
    )


def _needs_ledger(provider: str, entry: ProviderEntry, todo: ToDo, now: datetime) -> bool:
    may_be_due = is_due(entry, now) and not todo.is_idle(provider, entry, now)
    return may_be_due or entry.status in ("failed", "running")


def stand(
    entry: ProviderEntry, state: ProviderState, todo: ToDo, now: datetime, late_after: timedelta, dead: str | None
) -> Standing:
    """How one provider stands."""
    success = last_success(entry, state)
    next_due = success + entry.period if success else None
    verdict = decide(entry, state, now, idle_since=todo.idle_since(state.provider, now))
    asleep = verdict in (Verdict.PAUSED, Verdict.IDLE)
    late = None if asleep else overdue_minutes(entry, state, now, todo.since(state.provider, now))
    late_by = timedelta(minutes=late) if late else None
    error = state.last_run.error if state.last_run else None
    lease = state.lease

    def standing(condition: Condition, run_id: str | None = None, why: str | None = None) -> Standing:
        engine = lease.plan.engine if lease and lease.plan and run_id == lease.run_id else None
        pending = todo.pending.get(state.provider) if todo.pending else None
        return Standing(
            provider=state.provider,
            condition=condition,
            last_success=success,
            next_due=next_due,
            late_by=late_by,
            failures=state.failures,
            run_id=run_id,
            why=why,
            engine=engine,
            pending=pending,
            group=entry.group,
        )

    if dead and lease:
        return standing(Condition.STUCK, lease.run_id, f"{dead}; the next tick frees it")
    if lease and is_live(lease, now):
        return standing(Condition.RUNNING, lease.run_id, "replay" if lease.replay else None)
    if verdict is Verdict.PAUSED:
        return standing(Condition.PAUSED)
    if state.failures:
        return standing(Condition.FAILING, state.last_run.run_id if state.last_run else None, error)
    if verdict in (Verdict.WAITING, Verdict.IDLE):
        return standing(Condition(verdict.value))
    if late_by and late_by > late_after:
        return standing(Condition.LATE, why=f"due for {int(late_by.total_seconds() // 60)} minutes; no run took it")
    return standing(Condition.DUE)
