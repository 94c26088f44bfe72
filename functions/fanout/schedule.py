"""In which order due providers start, on which slots and engine, and the names of their executions.

Pure: no clock, no I/O. A run that would need more than half of Lambda's time limit goes to Glue, so that an estimate
(`contract.rates`) may be wrong by a factor of two.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from contract.rates import pending_lambda_seconds
from contract.times import compact, format_iso
from fanout.ledger import ProviderState
from fanout.pending import Pending
from fanout.providers import ProviderEntry
from fanout.runs import RunRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LISTED_AFTER = timedelta(minutes=1)
"""By this time after its start, a running execution is in the list of running executions."""
LIGHT_LISTED_AFTER = timedelta(seconds=5)
"""The same for a light run, which may end sooner. Counting one run too few costs one throttled attempt at most."""

LAMBDA_SECONDS = 900.0
"""Time limit of a Lambda run: the function's Timeout in template.yaml, which is Lambda's highest."""
WORKER_SECONDS = 300.0
"""Seconds in Lambda that are one G.1X worker's share of a run on Glue. A worker has four times the CPU."""
UNFINISHED = frozenset({"DeadlineError", "Sandbox.Timedout", "Runtime.ExitError", "States.Timeout"})
"""Failures of a Lambda run that ran out of time or memory."""


def overdue(entry: ProviderEntry, state: ProviderState, tick: datetime, since: datetime | None = None) -> float:
    """How long the provider has waited for a run, in units of its own frequency; infinite if it never had a run.

    A run that failed counts as a turn too. Otherwise a provider that never succeeds would be first at every tick and
    could starve the others. docs/dispatch.md derives from this how long a provider can wait.

    Parameters
    ----------
    since
        Since when there is work to do for the provider, if that is known: it did not wait before.
    """
    turns = [t for t in (entry.last_success, state.last_success, state.last_claim) if t]
    if not turns:
        return float("inf")
    turn = max(turns) if since is None else max(*turns, since - entry.period)
    return (tick - turn) / entry.period


def is_heavy(state: ProviderState, job: str, lambda_max_bytes: int, pending: Pending | None = None) -> bool:
    """Whether the provider's next run is expected on Glue, and so needs one of the Glue slots.

    An estimate, from the pending objects or, if none are known, from the last run. A run that was expected in Lambda
    but is too large for it runs on Glue, and its execution retries while Glue is full.
    """
    last, known = state.last_run, pending or Pending()
    if not known.bytes and last is not None and last.engine == "glue":
        return True
    seconds = pending_lambda_seconds(job, known.objects, known.bytes)
    return choose_engine(known.bytes, seconds, lambda_max_bytes, last)[0] == "glue"


@dataclass(frozen=True)
class Candidate:
    """A due provider."""

    provider: str
    overdue: float
    heavy: bool
    """Whether its run needs a Glue slot. All others need a function slot."""
    group: str | None = None


def rank(candidate: Candidate, lot: str) -> tuple[float, bytes, str]:
    """Sort key of a candidate: the most overdue first, and equals in an order that the lot decides."""
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
    """Split the candidates into those that start now and those that wait for a slot.

    Parameters
    ----------
    candidates
        Due providers in any order.
    slots
        Free Glue slots; a light candidate takes none.
    group_slots
        The most runs that one group may have at once; 0 for no limit.
    live_in_group
        Runs in progress of each group.
    lot
        Decides the order of equally overdue candidates. A tick that is delivered twice chooses the same providers; the
        order differs from tick to tick, so that no provider is always behind its equals.
    function_slots
        Free function slots; a heavy candidate takes none.

    Returns
    -------
    (started, waiting)
        Both in order, the most overdue first.
    """
    running = Counter[str | None](live_in_group)
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
        running[candidate.group] += 1
    return chosen, waiting


@dataclass(frozen=True)
class _Occupant:
    execution: str
    since: datetime
    heavy: bool
    group: str | None

    @property
    def listed_after(self) -> timedelta:
        """By this time after its start the execution is in the list, unless it has ended."""
        return LISTED_AFTER if self.heavy else LIGHT_LISTED_AFTER


class Slots:
    """Runs that occupy a Glue slot or a function slot, and count for their group, until their execution ends.

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
        """Free Glue slots."""
        return max(0, self._slots - sum(occupant.heavy for occupant in self._occupants.values()))

    @property
    def free_function_slots(self) -> float:
        """Free function slots."""
        return max(0, self._function_slots - sum(not occupant.heavy for occupant in self._occupants.values()))

    @property
    def in_group(self) -> Counter[str]:
        """Runs in progress of each group."""
        return Counter(occupant.group for occupant in self._occupants.values() if occupant.group)

    def take(self, provider: str, execution: str, since: datetime, *, heavy: bool, group: str | None) -> None:
        """Record that a provider's run has started."""
        self._occupants[provider] = _Occupant(execution, since, heavy, group)

    def free_ended(self, latest: Mapping[str, bool], running: Callable[[], Container[str]], now: datetime) -> None:
        """Free the slots of runs whose execution has ended.

        Parameters
        ----------
        latest
            Name of each of the latest executions -> whether it is running.
        running
            Returns the names of all running executions. Called only if a run is not in `latest`, and is old enough to
            be in a list that may lag.
        now
        """

        def has_ended(occupant: _Occupant) -> bool:
            if occupant.execution in latest:
                return not latest[occupant.execution]
            return now - occupant.since > occupant.listed_after and occupant.execution not in running()

        self._occupants = {name: occupant for name, occupant in self._occupants.items() if not has_ended(occupant)}


_PLAIN = re.compile(r"[0-9A-Za-z_-]{1,60}")
_LOOKS_HASHED = re.compile(r".*-[0-9a-f]{8}")


def execution_name(provider: str, scheduled_at: datetime) -> str:
    """Name the execution of a provider at a tick: the same for the same pair, different for any other.

    Step Functions accepts 1 to 80 characters and reserves a name for 90 days.
    """
    return f"{slug(provider)}-{compact(scheduled_at)}"


def slug(provider: str) -> str:
    """The part of an execution's name that identifies the provider.

    A name that does not fit becomes a slug with a hash. A name that looks like such a slug gets a hash as well, so that
    no two providers share a slug.
    """
    if _PLAIN.fullmatch(provider) and not _LOOKS_HASHED.fullmatch(provider):
        return provider
    digest = hashlib.sha256(provider.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^0-9A-Za-z_-]', '_', provider)[:50]}-{digest}"


def execution_input(provider: str, scheduled_at: datetime) -> str:
    """The input of the execution, always the same bytes: StartExecution compares them."""
    return json.dumps({"provider": provider, "scheduled_at": format_iso(scheduled_at)}, separators=(",", ":"))


def choose_engine(
    size: int, seconds: float, lambda_max_bytes: int, last_run: RunRecord | None
) -> tuple[Literal["lambda", "glue"], str]:
    """Choose the engine of a run that has objects; return it with the reason.

    Parameters
    ----------
    size, seconds
        Stored bytes of its objects, and the estimate for Lambda.
    lambda_max_bytes
        The parameter LambdaMaxBytes.
    last_run
        The provider's last run. If Lambda did not finish it, the estimate is too low for this provider.
    """
    if lambda_max_bytes == 0:
        return "glue", "LambdaMaxBytes = 0 sends all runs to Glue"
    if size > lambda_max_bytes:
        return "glue", f"{size} bytes are more than LambdaMaxBytes = {lambda_max_bytes}"
    if seconds > LAMBDA_SECONDS / 2:
        return "glue", f"an estimated {seconds:.0f} s in Lambda are more than half of its {LAMBDA_SECONDS:.0f} s"
    failure = last_run.failure if last_run is not None and last_run.engine == "lambda" else None
    if failure is not None and failure.type in UNFINISHED:
        return "glue", f"the last run did not finish in Lambda: {failure.type}"
    return "lambda", f"{size} bytes are at most LambdaMaxBytes = {lambda_max_bytes}"


def sweep_time(provider: str, tick: datetime, sweep: timedelta) -> datetime:
    """The time of a provider's newest full check at or before a tick.

    A full check is due once in each `sweep`. Its offset is derived from the provider's name, which spreads the checks
    of all providers evenly.
    """
    share = int.from_bytes(hashlib.blake2b(provider.encode(), digest_size=4).digest()) / 2**32
    return tick - (tick - _EPOCH - sweep * share) % sweep
