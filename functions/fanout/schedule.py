"""Which providers are due, in which order, and what their executions are called. Pure: no clock, no I/O."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fanout.ledger import ProviderState, is_live
from fanout.pending import Pending
from fanout.providers import ProviderEntry
from fanout.times import compact, format_iso

LISTED_AFTER = timedelta(minutes=1)
"""After this long a running execution is certainly in the list of running executions."""
LIGHT_LISTED_AFTER = timedelta(seconds=5)
"""The same for a light run, which may have ended by then. Counting one run too few costs a throttled try at most."""


_EPOCH = datetime.fromtimestamp(0, UTC)


class Verdict(StrEnum):
    """What a tick decides about one provider."""

    DUE = "due"
    PAUSED = "paused"
    WAITING = "waiting"
    ALREADY_RUNNING = "already_running"
    BACKING_OFF = "backing_off"
    IDLE = "idle"


def is_due(entry: ProviderEntry, now: datetime) -> bool:
    """Whether the entry alone says that the provider is due: never run, or its period is over."""
    return not entry.paused and (entry.last_success is None or now - entry.last_success >= entry.period)


def last_success(entry: ProviderEntry, state: ProviderState) -> datetime | None:
    """The later of what the config API and the ledger say; None if the provider never had a success.

    The ledger may know of a run whose report never reached the config API, and the config API of one that was
    done by other means.
    """
    return max((t for t in (entry.last_success, state.last_success) if t), default=None)


def sweep_time(provider: str, tick: datetime, sweep: timedelta) -> datetime:
    """The last moment, up to the tick, at which the provider was to be looked at whatever is pending.

    Such moments come every `sweep`, and the provider's name says where in it, so that sweeps are spread evenly.
    """
    digest = hashlib.blake2b(provider.encode(), digest_size=4).digest()
    phase = _EPOCH + sweep * (int.from_bytes(digest) / 2**32)
    return phase + (tick - phase) // sweep * sweep


@dataclass(frozen=True)
class ToDo:
    """Who has something to do, as far as that can be told without reading ledger items.

    Attributes
    ----------
    pending
        Provider -> its pending objects; None when only a run can tell, so that every due provider is started.
    backlogs
        Providers with objects left of which no pending objects tells.
    sweep
        How long a provider is left alone without pending objects.
    """

    pending: Mapping[str, Pending] | None
    backlogs: Container[str]
    sweep: timedelta

    def pending_of(self, provider: str) -> Pending:
        """A provider's pending objects; empty if there is none."""
        return (self.pending or {}).get(provider, Pending())

    def idle_since(self, provider: str, tick: datetime) -> datetime | None:
        """A success no older than this left nothing to do; None when there is something, or only a run can tell."""
        if self.pending is None or provider in self.pending or provider in self.backlogs:
            return None
        return sweep_time(provider, tick, self.sweep)

    def is_idle(self, provider: str, entry: ProviderEntry, tick: datetime) -> bool:
        """Whether the entry alone shows that there is nothing to do."""
        since, success = self.idle_since(provider, tick), entry.last_success
        return since is not None and success is not None and success >= since

    def since(self, provider: str, tick: datetime) -> datetime | None:
        """Since when there is something to do; None if that is not known."""
        return self.pending_of(provider).since or self.idle_since(provider, tick)


def decide(
    entry: ProviderEntry,
    state: ProviderState,
    tick: datetime,
    now: datetime | None = None,
    idle_since: datetime | None = None,
) -> Verdict:
    """Decide about one provider from its entry and its ledger item.

    Periods and backoff are counted from tick to tick, so that a tick that comes late does not shift all later
    ones. A lease was given by the clock and ends by it. The entry's `running` counts only while a lease says so.

    Parameters
    ----------
    tick
        The time the tick was scheduled for.
    now
        The clock; the tick's time if not given.
    idle_since
        The provider has nothing to do if its last success is not before this; None when it has something to do, or
        when only a run can tell.
    """
    if entry.paused:
        return Verdict.PAUSED
    if state.lease is not None and is_live(state.lease, now or tick):
        return Verdict.ALREADY_RUNNING
    success = last_success(entry, state)
    if success is not None and tick - success < entry.period:
        return Verdict.WAITING
    if idle_since is not None and success is not None and success >= idle_since:
        return Verdict.IDLE
    if state.retry_at is not None and state.retry_at > tick:
        return Verdict.BACKING_OFF
    return Verdict.DUE


def overdue(entry: ProviderEntry, state: ProviderState, tick: datetime, since: datetime | None = None) -> float:
    """How long the provider has waited for a run, in units of its own frequency; infinite if it never had one.

    A run that failed counts as a turn too. Otherwise a provider that never succeeds would stand first at
    every tick and could starve the others. docs/dispatch.md derives from this how long anyone can wait.

    Parameters
    ----------
    since
        When there was something to do for it, if that is known: before this, it did not wait.
    """
    turns = [t for t in (entry.last_success, state.last_success, state.last_claim) if t]
    if not turns:
        return float("inf")
    turn = max(turns) if since is None else max(*turns, since - entry.period)
    return (tick - turn) / entry.period


def overdue_minutes(
    entry: ProviderEntry, state: ProviderState, tick: datetime, since: datetime | None = None
) -> float | None:
    """By how many minutes the provider's next success is late, counted from when there was something to do for it.

    None if it never had a success to count from.
    """
    success = last_success(entry, state)
    if success is None:
        return None
    begin = success + entry.period if since is None else max(success + entry.period, since)
    return max(0.0, (tick - begin).total_seconds() / 60)


def is_heavy(state: ProviderState, lambda_max_bytes: int, waiting_bytes: int = 0) -> bool:
    """Whether the provider's next run is expected on Glue, and so needs one of the slots there.

    An estimate, from the pending bytes or, if none are known, from the last run. A run that was expected in Lambda and
    turns out too large for it runs on Glue, and waits in its own execution while Glue is full.
    """
    if lambda_max_bytes == 0:
        return True
    if waiting_bytes:
        return waiting_bytes > lambda_max_bytes
    return state.last_run is not None and state.last_run.engine == "glue"


@dataclass(frozen=True)
class Candidate:
    """A due provider that is to be started."""

    provider: str
    overdue: float
    heavy: bool
    """Whether it needs a slot on Glue. All others need a function slot."""
    group: str | None = None


def rank(candidate: Candidate, lot: str) -> tuple[float, bytes, str]:
    """Sort key: who comes first."""
    drawn = hashlib.blake2b(f"{lot} {candidate.provider}".encode(), digest_size=8).digest()
    return -candidate.overdue, drawn, candidate.provider


def choose(
    candidates: Iterable[Candidate],
    slots: int,
    group_slots: int = 0,
    live_in_group: Mapping[str, int] | None = None,
    lot: str = "",
    function_slots: float = math.inf,
) -> tuple[list[Candidate], list[Candidate]]:
    """Split the candidates into those that start now and those that have to wait.

    Parameters
    ----------
    candidates
        Due providers in any order.
    slots
        Places on Glue that are free; a light candidate takes none.
    group_slots
        The most runs one group may have, 0 for no cap.
    live_in_group
        Runs that each group has already.
    lot
        Breaks ties the same way for the same lot, so that a tick delivered twice chooses the same providers; with
        another lot otherwise, so that no provider is always behind the others of its age.
    function_slots
        Light runs that may start; a heavy candidate takes none.

    Returns
    -------
    (started, waiting)
        Both with the most overdue first.
    """
    running = Counter(live_in_group or {})
    chosen: list[Candidate] = []
    waiting: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: rank(c, lot)):
        full = bool(group_slots and candidate.group and running[candidate.group] >= group_slots)
        if full or (slots if candidate.heavy else function_slots) <= 0:
            waiting.append(candidate)
            continue
        chosen.append(candidate)
        slots -= candidate.heavy
        function_slots -= not candidate.heavy
        if candidate.group:
            running[candidate.group] += 1
    return chosen, waiting


@dataclass(frozen=True)
class _Occupant:
    execution: str
    since: datetime
    heavy: bool
    group: str | None
    listed: bool = False
    """Whether the list of running executions had it already."""

    @property
    def listed_after(self) -> timedelta:
        """After this long the list has it, unless it has ended."""
        return LISTED_AFTER if self.heavy else LIGHT_LISTED_AFTER


class Slots:
    """Runs that have a slot on Glue or a function slot, and count for a group, until their execution has ended.

    Parameters
    ----------
    slots
        The most heavy runs at once.
    function_slots
        The most light runs at once.
    """

    def __init__(self, slots: int, function_slots: float = math.inf) -> None:
        self._slots = slots
        self._function_slots = function_slots
        self._occupants: dict[str, _Occupant] = {}

    @property
    def free(self) -> int:
        """Places that are free."""
        return max(0, self._slots - sum(occupant.heavy for occupant in self._occupants.values()))

    @property
    def free_function_slots(self) -> float:
        """Light runs that may start now."""
        return max(0, self._function_slots - sum(not occupant.heavy for occupant in self._occupants.values()))

    @property
    def in_group(self) -> Counter[str]:
        """Runs of each group."""
        return Counter(occupant.group for occupant in self._occupants.values() if occupant.group)

    def take(self, provider: str, execution: str, since: datetime, *, heavy: bool, group: str | None) -> None:
        """A provider's run has begun."""
        self._occupants[provider] = _Occupant(execution, since, heavy, group)

    def free_ended(self, running: Container[str], now: datetime) -> None:
        """Free what those occupied whose execution is not among the running ones any more.

        The list of them may lag, so one that was never in it keeps its place for a while.
        """
        kept = {}
        for provider, occupant in self._occupants.items():
            if occupant.execution in running:
                kept[provider] = replace(occupant, listed=True)
            elif not occupant.listed and now - occupant.since <= occupant.listed_after:
                kept[provider] = occupant
        self._occupants = kept


_PLAIN = re.compile(r"[0-9A-Za-z_-]{1,60}")
_LOOKS_HASHED = re.compile(r".*-[0-9a-f]{8}")


def execution_name(provider: str, scheduled_at: datetime) -> str:
    """Name the execution of a provider at a tick: the same for the same pair, different for any other.

    Step Functions takes 1 to 80 characters and keeps a name taken for 90 days. A provider whose name does
    not fit as it is gets a slug with a hash; one that merely looks like such a slug gets one as well, so
    that no two providers share a name.
    """
    slug = provider
    if not _PLAIN.fullmatch(provider) or _LOOKS_HASHED.fullmatch(provider):
        digest = hashlib.sha256(provider.encode()).hexdigest()[:8]
        slug = f"{re.sub(r'[^0-9A-Za-z_-]', '_', provider)[:50]}-{digest}"
    return f"{slug}-{compact(scheduled_at)}"


def execution_input(provider: str, scheduled_at: datetime) -> str:
    """Write the execution's input, byte for byte the same each time: StartExecution compares it."""
    return json.dumps({"provider": provider, "scheduled_at": format_iso(scheduled_at)}, separators=(",", ":"))
