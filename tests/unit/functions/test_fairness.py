"""No provider waits longer than docs/dispatch.md says."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fanout.health import Decision, Facts, decide
from fanout.ledger import ProviderState
from fanout.providers import ProviderEntry
from fanout.schedule import (
    Candidate,
    choose,
    overdue,
    rank,
)
from tests.harness.entries import MINUTE, NOW, entry, state

# ----------------------------------------------------------------------------------------------------------- fairness


def starts_ahead_bound(waiting: float, others: list[float], first: float, waited: float) -> float:
    """docs/dispatch.md: how many starts others can get ahead of a due provider.

    Parameters
    ----------
    waiting
        Period of the provider that waits, in minutes.
    others
        Periods of all others.
    first, waited
        Minutes since its last turn when it was first deferred, and now; infinite if it never had one.
    """
    bound = 0.0
    for period in others:
        bound += 1
        if period < waiting and waited < math.inf:
            bound += math.log(waited / first) / -math.log(1 - period / waiting)
    return bound


@dataclass
class Simulated:
    """A provider in the simulation: what the config API and the ledger would say of it."""

    entry: ProviderEntry
    state: ProviderState
    busy_until: datetime
    fails: bool = False
    passed: int = 0
    """Starts that others got ahead of it since its last turn, while it was due."""
    waited_first: float | None = None
    """Minutes since its last turn when it was first deferred."""


@dataclass
class Simulation:
    """Ticks over a set of providers, with the rules of the dispatcher and runs of any length."""

    providers: dict[str, Simulated]
    now: datetime = NOW

    @property
    def lot(self) -> str:
        return self.now.isoformat()

    def tick(self, slots: int, group_slots: int, run_minutes: int) -> int:
        due, facts = {}, Facts(tick=self.now, now=self.now)
        for name, p in self.providers.items():
            if p.busy_until <= self.now and decide(name, p.entry, p.state, facts) is Decision.DUE:
                due[name] = Candidate(name, overdue(p.entry, p.state, self.now), True, p.entry.group)
        live = Counter(p.entry.group or "" for p in self.providers.values() if p.busy_until > self.now)
        chosen, deferred = choose(due.values(), slots, group_slots, live, self.lot)
        for candidate in deferred:
            self.check(candidate, chosen, due, slots, group_slots, live)
        for candidate in chosen:
            self.start(self.providers[candidate.provider], run_minutes)
        return len(chosen)

    def check(
        self,
        waits: Candidate,
        chosen: list[Candidate],
        due: dict[str, Candidate],
        slots: int,
        group_slots: int,
        live: Counter[str],
    ) -> None:
        p = self.providers[waits.provider]
        ahead = [c for c in chosen if rank(c, self.lot) < rank(waits, self.lot)]
        open_to_it = slots
        if group_slots and waits.group:
            open_to_it = min(slots, max(0, group_slots - live[waits.group]))
        assert len(ahead) >= open_to_it, "a free slot was not used although this provider waited for it"
        p.passed += len(ahead)
        others = [o.entry.frequency for name, o in self.providers.items() if name != waits.provider]
        waited = waits.overdue * p.entry.frequency
        if p.waited_first is None:
            p.waited_first = waited
        assert p.passed <= starts_ahead_bound(p.entry.frequency, others, p.waited_first, waited) + 1e-6

    def start(self, p: Simulated, run_minutes: int) -> None:
        p.passed, p.waited_first = 0, None
        p.busy_until = self.now + timedelta(minutes=run_minutes)
        change: dict[str, Any] = {"last_claim": self.now}
        change |= {"retry_at": self.now + 15 * MINUTE} if p.fails else {"last_success": self.now}
        p.state = p.state.model_copy(update=change)


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    providers = {}
    for number in range(draw(st.integers(1, 12))):
        ago = draw(st.none() | st.integers(0, 3000))
        providers[f"p{number}"] = Simulated(
            entry(
                draw(st.sampled_from([1, 15, 16, 30, 60, 240, 1440])),
                group=draw(st.sampled_from([None, "red", "blue"])),
            ),
            state(last_success=None if ago is None else NOW - timedelta(minutes=ago)),
            busy_until=NOW,
            fails=draw(st.booleans()),
        )
    return Simulation(providers)


@settings(max_examples=150)
@given(simulations(), st.data())
def test_no_provider_waits_longer_than_the_documented_bound_and_no_tick_starts_more_than_its_slots(
    simulation: Simulation, data: st.DataObject
) -> None:
    group_slots = data.draw(st.sampled_from([0, 0, 1, 2]))
    for _ in range(data.draw(st.integers(1, 40))):
        slots = data.draw(st.integers(0, 4))
        assert simulation.tick(slots, group_slots, run_minutes=data.draw(st.sampled_from([0, 5, 20, 100]))) <= slots
        simulation.now += data.draw(st.sampled_from([1, 15, 15, 15, 60])) * MINUTE


@given(st.integers(2, 20), st.integers(1, 5), st.booleans())
def test_providers_of_one_period_take_turns(count: int, slots: int, failing: bool) -> None:
    simulation = Simulation(
        {f"p{n}": Simulated(entry(1), state(), NOW, fails=failing and n % 2 == 0) for n in range(count)}
    )
    rounds = math.ceil(count / slots)
    last = dict.fromkeys(simulation.providers, 0)
    for number in range(1, 3 * rounds + 1):
        simulation.tick(slots, 0, run_minutes=0)
        for name, p in simulation.providers.items():
            if p.state.last_claim == simulation.now:
                last[name] = number
            assert number - last[name] < rounds, f"{name} waited {rounds} ticks for its turn"
        simulation.now += 15 * MINUTE


def test_equally_overdue_providers_take_turns_to_wait() -> None:
    equals = [Candidate(f"p{n}", 2.0, True) for n in range(10)]

    first = {choose(equals, 1, lot=str(n))[0][0].provider for n in range(200)}

    assert len(first) == 10
    assert choose(equals, 5, lot="a") == choose(equals, 5, lot="a")


def test_a_thousand_feeds_of_one_group_leave_slots_for_other_providers() -> None:
    feeds = [Candidate(f"feed-{n}", 100, True, "big") for n in range(1000)]
    small = [Candidate(f"small-{n}", 1.0, True) for n in range(5)]

    chosen, deferred = choose([*feeds, *small], slots=10, group_slots=5)

    assert {c.provider for c in small} <= {c.provider for c in chosen}
    assert len(chosen) == 10
    assert len(deferred) == 995
