"""How all providers are doing, from the config API's entries and as few ledger items as possible.

`fanout.health` evaluates each provider. A ledger item is read only if the provider holds a lease, may be due, or is not
shown as succeeded by the config API; so an overview of 10,000 providers costs little more than one listing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from fanout.dispatcher import ProviderList
from fanout.errors import InvalidProviderError
from fanout.health import (
    LATE_AFTER,
    UNHEALTHY,
    Condition,
    Decision,
    Facts,
    FailedExecution,
    Health,
    evaluate,
    evaluate_invalid,
    may_be_due,
    unlisted,
    worst_first,
)
from fanout.ledger import LedgerStore, ProviderState
from fanout.pending import Pending
from fanout.providers import Maintenance, Window, missing_providers, parse_entries, parse_entry
from fanout.recovery import LiveExecutions, orphaned_runs
from fanout.schedule import slug

from .command import utc_now
from .deployment import Deployment

_RUN_ID = re.compile(r"(.+)-\d{8}T\d{6}Z(?:-[a-z])?")
"""Name of an execution: the provider's slug, the tick, and a letter if an operator started it."""


@dataclass(frozen=True)
class Overview:
    """All providers at one time, the worst first."""

    at: datetime
    providers: int
    counts: dict[str, int]
    missing_providers: int
    """How many providers the config API's list lost; see `fanout.health.missing_providers`."""
    health: tuple[Health, ...] = field(repr=False)
    maintenance: tuple[Window, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing needs an operator."""
        return not self.missing_providers and not any(self.counts.get(condition) for condition in UNHEALTHY)


def look(stack: Deployment, late_after: timedelta = LATE_AFTER) -> Overview:
    """Evaluate every provider of a stack."""
    settings = stack.dispatching
    pending = stack.pending.waiting() if settings.discovery == "events" else None
    return survey(
        stack.config_api,
        stack.ledger,
        stack.executions,
        utc_now(),
        late_after,
        pending,
        settings.sweep,
        stack.failed_executions,
        stack.maintenance.windows(),
    )


def survey(
    provider_list: ProviderList,
    ledger: LedgerStore,
    executions: LiveExecutions,
    now: datetime,
    late_after: timedelta,
    pending: Mapping[str, Pending] | None = None,
    sweep: timedelta = timedelta(0),
    failed_executions: Callable[[], Iterable[FailedExecution]] = tuple,
    windows: Iterable[Window] = (),
) -> Overview:
    """Evaluate every provider.

    Parameters
    ----------
    pending, sweep
        Pending objects by provider, and the time between two full checks of a provider without any; None when every
        due provider is started.
    late_after
        How long a provider may be due before it counts as late.
    failed_executions
        Returns the newest executions that failed; called only if a provider is due.
    windows
        The maintenance windows.
    """
    with ThreadPoolExecutor(2) as pool:
        attention = pool.submit(ledger.attention)
        listed = provider_list.entries()
    entries, faults = parse_entries(listed, now)
    noted = {state.provider: state for state in attention.result()}
    held = {name: state for name, state in noted.items() if state.lease}
    leases = {name: state.lease for name, state in held.items() if state.lease}
    facts = Facts(
        tick=now,
        now=now,
        pending=pending,
        sweep=sweep,
        held=held,
        backlogs=frozenset(name for name, state in noted.items() if state.has_backlog),
        # A run that is not known to be orphaned is alive.
        orphaned=orphaned_runs(leases, executions, now, note=lambda text: None),
        late_after=late_after,
        maintenance=Maintenance.at(windows, now),
    )
    possible, _ = may_be_due(entries, facts)
    ended = [name for name, entry in entries.items() if entry.status in ("failed", "running") and name not in held]
    states = {**ledger.get_many(dict.fromkeys([*possible, *ended])), **noted}
    found = {name: evaluate(name, entry, states.get(name), facts) for name, entry in entries.items()}
    due = [name for name, health in found.items() if health.decision is Decision.DUE]
    if failed := _newest_failed(due, failed_executions()) if due else {}:
        facts = replace(facts, failed_executions=failed)
        found |= {name: evaluate(name, entries[name], states.get(name), facts) for name in failed}
    others = [evaluate_invalid(name, fault.as_failure()) for name, fault in faults.items()] + unlisted(listed, facts)
    counts = Counter(health.condition for health in (*others, *found.values()))
    return Overview(
        now,
        len(listed),
        {condition.value: counts[condition] for condition in Condition if counts[condition]},
        missing_providers(ledger.list_size(), len(listed)),
        tuple(worst_first([*others, *found.values()])),
        facts.maintenance.windows,
    )


def look_at(stack: Deployment, provider: str, raw: object, state: ProviderState, now: datetime) -> Health:
    """Evaluate one provider from its entry in the config API and its ledger item."""
    try:
        entry = parse_entry(provider, raw, now)
    except InvalidProviderError as error:
        return evaluate_invalid(provider, error.as_failure())
    settings, leases = stack.dispatching, {provider: state.lease} if state.lease else {}
    pending = stack.pending.of(provider)
    facts = Facts(
        tick=now,
        now=now,
        pending=({provider: pending} if pending.since else {}) if settings.discovery == "events" else None,
        sweep=settings.sweep,
        backlogs=frozenset({provider} if state.has_backlog else ()),
        orphaned=orphaned_runs(leases, stack.executions, now, note=lambda text: None),
        failed_executions=_newest_failed([provider], stack.failed_executions()),
        maintenance=Maintenance.at(stack.maintenance.windows(), now),
    )
    return evaluate(provider, entry, state, facts)


def is_run_of(run_id: str, provider: str) -> bool:
    """Whether an execution's name is one of this provider's."""
    match = _RUN_ID.fullmatch(run_id)
    return match is not None and match[1] == slug(provider)


def _newest_failed(due: list[str], executions: Iterable[FailedExecution]) -> dict[str, FailedExecution]:
    """The newest failed execution of each due provider."""
    providers = {slug(name): name for name in due}
    newest: dict[str, FailedExecution] = {}
    for failed in sorted(executions, key=lambda one: one.started_at):
        if (match := _RUN_ID.fullmatch(failed.run_id)) and match[1] in providers:
            newest[providers[match[1]]] = failed
    return newest
