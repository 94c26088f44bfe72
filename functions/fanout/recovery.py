"""What nobody said: runs that are dead while their lease holds, and reports that the config API has missed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fanout import ledger
from fanout.endings import Endings
from fanout.errors import FanoutError, TransientError
from fanout.ledger import LedgerStore, is_live
from fanout.runs import Lease

SETTLING = timedelta(minutes=2)
"""A lease younger than this is not held against the list of executions: both were just made."""
CHECKED_AT_ONCE = 100
"""How many executions that the list lacks are looked at one by one; DescribeExecution refills at 15 a second."""
REPEATED_AT_ONCE = 100
"""How many entries with a wrong status are put right in one tick."""
GIVE_UP_AFTER = 3
"""After so many reports that nobody took, the rest waits for the next tick."""
PARALLEL = 16
"""Reports under way at once: 5,000 of them, at 50 ms each, then take 16 seconds of a tick."""
LAST_REPORT_SECONDS = 10.0
"""Nothing is reported with less time left than this."""

Note = Callable[[str], None]
"""Receives a line for each failure that leaves work to the next tick."""


class LiveExecutions(Protocol):
    """Port: which executions are alive."""

    def running(self) -> set[str]:
        """Names of all running executions, possibly a moment old."""
        ...

    def status(self, execution_arn: str) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE; None when there is no such execution."""
        ...


def orphaned_runs(leases: Mapping[str, Lease], executions: LiveExecutions, now: datetime, note: Note) -> dict[str, str]:
    """Of the runs that hold a lease, those that cannot be alive any more.

    A run is dead when its lease has expired, or when its execution has ended without freeing it. All running
    executions are listed, 1,000 a call, and only those that the list lacks are asked for: it may lag.

    Parameters
    ----------
    leases
        Provider -> lease.
    executions
        Asked only when a lease is old enough to be held against it. When it does not answer, nobody but those with an
        expired lease is known to be dead.

    Returns
    -------
    Provider -> why its run is dead.
    """
    dead = {provider: "its lease expired" for provider, lease in leases.items() if not is_live(lease, now)}
    doubtful = {
        provider: lease
        for provider, lease in leases.items()
        if provider not in dead and lease.execution_arn and now - lease.claimed_at > SETTLING
    }
    if not doubtful:
        return dead
    try:
        running = executions.running()
        missing = [provider for provider, lease in doubtful.items() if lease.run_id not in running]
        for provider in missing[:CHECKED_AT_ONCE]:
            status = executions.status(doubtful[provider].execution_arn or "")
            if status not in ("RUNNING", "PENDING_REDRIVE"):
                dead[provider] = f"its execution is {status or 'gone'}"
    except TransientError as error:
        note(f"dead runs are looked for again at the next tick: {error}")
    return dead


@dataclass(frozen=True)
class Recovery:
    """Puts right in ledger and config API what dead runs and lost reports left behind.

    Parameters
    ----------
    store, executions
        Ports.
    endings
        Ends the dead runs, and pushes reports.
    pool
        Seam for tests.
    """

    store: LedgerStore
    executions: LiveExecutions
    endings: Endings
    pool: Callable[[int], Executor] = ThreadPoolExecutor

    def end_orphaned(self, leases: Mapping[str, Lease], now: datetime, note: Note) -> set[str]:
        """End the runs that cannot end themselves. What the config API is to know of it waits until runs are started.

        Returns
        -------
        Providers that were freed.
        """
        freed = set()
        for provider, death in orphaned_runs(leases, self.executions, now, note).items():
            error = f"the run ended without a word: {death}"
            try:
                if self.endings.end(provider, leases[provider].run_id, error, tell=False):
                    freed.add(provider)
            except FanoutError as failure:
                note(f"{provider}: {failure}")
        return freed

    def push_pending(
        self, stale: Iterable[str], tick: datetime, remaining_seconds: Callable[[], float], note: Note
    ) -> int:
        """Tell the config API what it missed. Comes last: a config API that takes no reports must not delay runs.

        Parameters
        ----------
        stale
            Providers that it calls running although no lease says so, or failed although their last run succeeded: it
            missed their end, or heard of it before it heard of the run before.
        tick
            Reports are pushed in another order at each tick, so that none is always behind the others.

        Returns
        -------
        How many reports it took.
        """
        order = random.Random(tick.isoformat())  # noqa: S311 - fairness, not a secret
        pushed = failures = 0
        wrong = sorted(stale)
        try:
            for name in order.sample(wrong, min(REPEATED_AT_ONCE, len(wrong))):
                ledger.update(self.store, name, ledger.repeat_report)
            owed = [state for state in self.store.attention() if state.pending_report is not None]
            waiting = order.sample(owed, len(owed))
            with self.pool(PARALLEL) as pool:
                while waiting and failures < GIVE_UP_AFTER and remaining_seconds() >= LAST_REPORT_SECONDS:
                    size = PARALLEL if pushed else GIVE_UP_AFTER - failures  # carefully until one was taken
                    batch, waiting = waiting[:size], waiting[size:]
                    taken = list(pool.map(self.endings.push_report, batch))
                    pushed += taken.count(True)
                    failures += taken.count(False)
        except FanoutError as error:
            note(f"reports are pushed at the next tick: {error}")
        return pushed
