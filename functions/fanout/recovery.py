"""Recovers from orphaned runs, which ended but hold their lease, and from reports that the config API missed.

See docs/decisions.md, D23.
"""

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
from fanout.failures import orphaned
from fanout.ledger import LedgerStore, is_live
from fanout.runs import Lease

SETTLING = timedelta(minutes=2)
"""A lease younger than this is not compared with the list of executions, which may lag."""
CHECKED_AT_ONCE = 100
"""The most executions that are described in one tick; the quota of DescribeExecution refills at 15 per second."""
REPEATED_AT_ONCE = 100
"""The most entries with a wrong status that are corrected in one tick."""
GIVE_UP_AFTER = 3
"""After this many failed reports, the rest waits for the next tick."""
PARALLEL = 16
"""Concurrent reports: 5,000 of them, at 50 ms each, take 16 seconds of a tick."""
LAST_REPORT_SECONDS = 10.0
"""With less time left than this, no report is sent."""

Note = Callable[[str], None]
"""Receives a line for each failure that leaves work to the next tick."""


class LiveExecutions(Protocol):
    """Port: which executions are alive."""

    def running(self) -> set[str]:
        """Names of all running executions, possibly a moment old."""
        ...

    def latest(self) -> dict[str, bool]:
        """Name of each of the latest executions, 1,000 at most -> whether it is running, possibly a moment ago."""
        ...

    def status(self, execution_arn: str) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE; None if the execution does not exist."""
        ...


def orphaned_runs(leases: Mapping[str, Lease], executions: LiveExecutions, now: datetime, note: Note) -> dict[str, str]:
    """The orphaned runs: those that hold a lease and cannot be alive.

    A run is orphaned if its lease has expired, or if its execution ended without releasing the lease. All running
    executions are listed, 1,000 per call; those missing in the list, which may lag, are described one by one.

    Parameters
    ----------
    leases
        Provider -> lease.
    executions
        Called only if a lease is old enough to be compared. If Step Functions is not available, only the runs with an
        expired lease are found.

    Returns
    -------
    Provider -> the reason why its run is orphaned.
    """
    orphaned = {provider: "its lease expired" for provider, lease in leases.items() if not is_live(lease, now)}
    doubtful = {
        provider: lease
        for provider, lease in leases.items()
        if provider not in orphaned and lease.execution_arn and now - lease.claimed_at > SETTLING
    }
    if not doubtful:
        return orphaned
    try:
        running = executions.running()
        missing = [provider for provider, lease in doubtful.items() if lease.run_id not in running]
        for provider in missing[:CHECKED_AT_ONCE]:
            status = executions.status(doubtful[provider].execution_arn or "")
            if status not in ("RUNNING", "PENDING_REDRIVE"):
                orphaned[provider] = f"its execution is {status or 'missing'}"
    except TransientError as error:
        note(f"the search for orphaned runs failed; the next tick repeats it: {error}")
    return orphaned


@dataclass(frozen=True)
class Recovery:
    """Corrects the ledger and the config API after orphaned runs and lost reports.

    Parameters
    ----------
    store, executions
        Ports.
    endings
        Ends the orphaned runs, and sends reports.
    pool
        Replaced by tests.
    """

    store: LedgerStore
    executions: LiveExecutions
    endings: Endings
    pool: Callable[[int], Executor] = ThreadPoolExecutor

    def end_orphaned(self, leases: Mapping[str, Lease], now: datetime, note: Note) -> set[str]:
        """End the orphaned runs. Their reports to the config API are sent later, after runs were started.

        Returns
        -------
        Providers whose lease was released.
        """
        released = set()
        for provider, death in orphaned_runs(leases, self.executions, now, note).items():
            try:
                if self.endings.end(provider, leases[provider].run_id, orphaned(death), tell=False):
                    released.add(provider)
            except FanoutError as failure:
                note(f"{provider}: {failure}")
        return released

    def push_pending(
        self, stale: Iterable[str], tick: datetime, remaining_seconds: Callable[[], float], note: Note
    ) -> int:
        """Send the reports that the config API missed. Called last: a slow config API must not delay runs.

        Parameters
        ----------
        stale
            Providers that it shows as running although none holds a lease, or as failed although their last run
            succeeded: it missed a report, or got two in the wrong order.
        tick
            Decides the order of the reports, which differs from tick to tick, so that none is always the last.

        Returns
        -------
        Number of reports that the config API accepted.
        """
        order = random.Random(tick.isoformat())  # noqa: S311 - fairness, not a secret
        pushed = failures = 0
        wrong = sorted(stale)
        try:
            for name in order.sample(wrong, min(REPEATED_AT_ONCE, len(wrong))):
                ledger.update(self.store, name, ledger.repeat_report)
            pending = [state for state in self.store.attention() if state.pending_report is not None]
            waiting = order.sample(pending, len(pending))
            with self.pool(PARALLEL) as pool:
                while waiting and failures < GIVE_UP_AFTER and remaining_seconds() >= LAST_REPORT_SECONDS:
                    size = PARALLEL if pushed else GIVE_UP_AFTER  # few until one was accepted
                    batch, waiting = waiting[:size], waiting[size:]
                    accepted = list(pool.map(self.endings.push_report, batch))
                    pushed += accepted.count(True)
                    failures += accepted.count(False)
        except FanoutError as error:
            note(f"reports are sent at the next tick: {error}")
        return pushed
