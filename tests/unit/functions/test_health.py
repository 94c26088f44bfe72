"""How a provider is doing, and that the dispatcher, `fanout status` and the console agree about it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.overview import survey
from contract.failure import Failure
from contract.times import format_http_date
from fanout.failures import not_claimed, orphaned
from fanout.health import (
    Condition,
    Decision,
    Facts,
    FailedExecution,
    Health,
    decide,
    evaluate,
    evaluate_invalid,
    may_be_due,
    worst_first,
)
from fanout.ledger import ProviderState
from fanout.pending import Pending
from fanout.providers import Maintenance, ProviderEntry, Window, parse_entries
from fanout.run_state import RunState
from fanout.runs import LateData, Lease, Plan, RunRecord
from fanout.schedule import sweep_time
from tests.harness.entries import MINUTE, NOW, entry, state
from tests.harness.world import World

SWEEP = timedelta(days=1)
FACTS = Facts(tick=NOW, now=NOW, sweep=SWEEP)
EVENTS = replace(FACTS, pending={})
MAINTENANCE = replace(FACTS, maintenance=Maintenance((Window(None, NOW - MINUTE, NOW + 30 * MINUTE),)))
LATE_DATA = LateData(found_at=NOW - 5 * MINUTE, objects=1, first=("k",), oldest=NOW - SWEEP, newest=NOW - SWEEP)
CHECK = sweep_time("p", NOW, SWEEP)
"""When the last full check of provider p was due."""


def lease(expires_at: datetime, **fields: Any) -> Lease:
    return Lease(run_id="r", claimed_at=NOW - MINUTE, expires_at=expires_at, run_dir="s3://b/r/", **fields)


FAILURE = Failure(type="RecordError", message="not JSON", line=7)


def record(status: Any = "failed", run_id: str = "r") -> RunRecord:
    failure = FAILURE if status == "failed" else None
    return RunRecord(run_id=run_id, status=status, started_at=NOW, ended_at=NOW, failure=failure)


def decision(one: ProviderEntry, item: ProviderState, facts: Facts = FACTS) -> Decision:
    return decide("p", one, item, facts)


def health(one: ProviderEntry, item: ProviderState | None = None, facts: Facts = FACTS) -> Health:
    return evaluate("p", one, item, facts)


# ---------------------------------------------------------------------------------------------------------- decisions


def test_a_provider_that_never_ran_is_due() -> None:
    assert decision(entry(), state()) is Decision.DUE


def test_a_provider_is_due_exactly_when_its_period_has_passed() -> None:
    assert decision(entry(60, NOW - 60 * MINUTE), state()) is Decision.DUE
    assert decision(entry(60, NOW - 60 * MINUTE + timedelta(seconds=1)), state()) is Decision.WAITING


def test_a_last_success_slightly_in_the_future_counts_as_now() -> None:
    assert decision(entry(1, NOW + 3 * MINUTE), state()) is Decision.WAITING


def test_a_paused_provider_is_never_due() -> None:
    assert decision(entry(paused=True), state()) is Decision.PAUSED
    assert decision(entry(paused=True), state(lease=lease(NOW + MINUTE))) is Decision.RUNNING


def test_only_a_live_lease_shows_that_a_run_is_in_progress() -> None:
    assert decision(entry(status="running"), state()) is Decision.DUE
    assert decision(entry(status="running"), state(lease=lease(NOW))) is Decision.DUE
    assert decision(entry(status="succeeded"), state(lease=lease(NOW + MINUTE))) is Decision.RUNNING


def test_a_lease_expires_by_the_clock_also_if_the_tick_is_late_or_early() -> None:
    held = state(lease=lease(NOW + MINUTE))

    assert decision(entry(), held, Facts(tick=NOW, now=NOW + 2 * MINUTE)) is Decision.DUE
    assert decision(entry(), held, Facts(tick=NOW + 60 * MINUTE, now=NOW)) is Decision.RUNNING


def test_a_success_counts_whether_the_ledger_or_the_config_api_has_it() -> None:
    old, new = NOW - 120 * MINUTE, NOW - MINUTE

    assert decision(entry(60, old), state(last_success=new)) is Decision.WAITING
    assert decision(entry(60, new), state(last_success=old)) is Decision.WAITING


def test_a_failing_provider_backs_off_until_the_tick_of_its_retry() -> None:
    assert decision(entry(), state(retry_at=NOW + MINUTE)) is Decision.BACKING_OFF
    assert decision(entry(), state(retry_at=NOW)) is Decision.DUE


@given(st.text("abc-", min_size=1, max_size=8), st.integers(0, 10**6))
def test_a_full_check_is_due_once_in_each_period_at_an_offset_of_the_provider(name: str, minutes: int) -> None:
    tick = NOW + minutes * MINUTE
    moment = sweep_time(name, tick, SWEEP)

    assert tick - SWEEP < moment <= tick
    assert sweep_time(name, moment, SWEEP) == moment
    assert sweep_time(name, moment - MINUTE, SWEEP) == moment - SWEEP


def test_full_checks_are_spread_over_their_period() -> None:
    quarters = Counter(int((NOW - sweep_time(f"provider-{n}", NOW, SWEEP)) / timedelta(hours=6)) for n in range(10_000))

    assert sorted(quarters) == [0, 1, 2, 3]
    assert all(2_300 < count < 2_700 for count in quarters.values())


def test_a_provider_without_pending_objects_is_idle_until_its_full_check() -> None:
    assert decision(entry(1, CHECK), state(), EVENTS) is Decision.IDLE
    assert decision(entry(1), state(last_success=CHECK), EVENTS) is Decision.IDLE
    assert decision(entry(1, CHECK - MINUTE), state(), EVENTS) is Decision.DUE
    assert decision(entry(1), state(), EVENTS) is Decision.DUE, "it never succeeded"
    assert decision(entry(60, NOW), state(), EVENTS) is Decision.WAITING
    assert decision(entry(1, CHECK), state(), replace(EVENTS, backlogs=frozenset({"p"}))) is Decision.DUE
    assert decision(entry(1, CHECK), state(), replace(EVENTS, pending={"p": Pending(1, 1, 1, NOW)})) is Decision.DUE


# ---------------------------------------------------------------------------------------------------- the whole answer


@pytest.mark.parametrize(
    ("one", "item", "facts", "condition", "since"),
    [
        (entry(60, NOW - 30 * MINUTE), None, FACTS, Condition.WAITING, NOW - 30 * MINUTE),
        (entry(), None, FACTS, Condition.DUE, None),
        (entry(60, NOW - 75 * MINUTE), None, FACTS, Condition.DUE, NOW - 15 * MINUTE),
        (entry(60, NOW - 91 * MINUTE), None, FACTS, Condition.LATE, NOW - 31 * MINUTE),
        (entry(60, NOW - 91 * MINUTE, paused=True), None, FACTS, Condition.PAUSED, None),
        (entry(1, CHECK), None, EVENTS, Condition.IDLE, CHECK),
        (entry(60, NOW - 30 * MINUTE), state(late=LATE_DATA), FACTS, Condition.LATE_DATA, NOW - 5 * MINUTE),
        (entry(60, NOW - 75 * MINUTE), state(late=LATE_DATA), FACTS, Condition.LATE_DATA, NOW - 5 * MINUTE),
        (entry(60, NOW - 91 * MINUTE), state(late=LATE_DATA), FACTS, Condition.LATE, NOW - 31 * MINUTE),
        (entry(), state(lease=lease(NOW + MINUTE)), FACTS, Condition.RUNNING, NOW - MINUTE),
        (entry(), state(lease=lease(NOW)), FACTS, Condition.STUCK, NOW - MINUTE),
        (
            entry(),
            state(failures=2, failing_since=NOW - 90 * MINUTE, retry_at=NOW + MINUTE, last_run=record()),
            FACTS,
            Condition.FAILING,
            NOW - 90 * MINUTE,
        ),
    ],
)
def test_the_condition_of_a_provider_and_since_when(
    one: ProviderEntry, item: ProviderState | None, facts: Facts, condition: Condition, since: datetime | None
) -> None:
    found = health(one, item, facts)

    assert (found.condition, found.since) == (condition, since)


def test_a_failing_provider_has_its_run_its_error_and_its_next_attempt() -> None:
    retry_at = NOW + 20 * MINUTE
    found = health(entry(60, NOW - 90 * MINUTE), state(failures=3, retry_at=retry_at, last_run=record()))

    assert (found.decision, found.next_due, found.failures) == (Decision.BACKING_OFF, retry_at, 3)
    assert (found.run_id, found.run_state, found.failure) == ("r", RunState.FAILED, FAILURE)
    assert found.details == "RecordError: line 7: not JSON"
    assert found.late_by == 30 * MINUTE


@pytest.mark.parametrize(
    ("one", "item", "facts", "failed"),
    [
        (entry(), state(failures=1, retry_at=NOW + MINUTE), FACTS, True),
        (entry(), state(failures=1, retry_at=NOW), FACTS, True),
        (entry(paused=True), state(failures=1), FACTS, True),
        (entry(), state(failures=1), MAINTENANCE, True),
        (entry(paused=True), state(), FACTS, False),
        (entry(), state(failures=1, lease=lease(NOW + MINUTE)), FACTS, False),
        (entry(60, NOW), state(), FACTS, False),
    ],
)
def test_a_provider_on_hold_whose_last_run_failed_has_failed_and_one_that_runs_again_has_not(
    one: ProviderEntry, item: ProviderState, facts: Facts, failed: bool
) -> None:
    assert health(one, item, facts).has_failed is failed


@pytest.mark.parametrize(("failures", "run_id"), [(1, "r"), (0, None)])
def test_a_paused_provider_has_its_last_run_only_if_it_failed(failures: int, run_id: str | None) -> None:
    assert health(entry(paused=True), state(failures=failures, last_run=record())).run_id == run_id


def test_a_replay_in_progress_is_called_so() -> None:
    replay = state(lease=lease(NOW + MINUTE, replay=True))

    assert health(entry(), replay).why == "replay"
    assert health(entry(), state(lease=lease(NOW + MINUTE))).why is None


def test_a_run_whose_execution_ended_without_releasing_the_lease_has_failed_and_its_provider_is_stuck() -> None:
    held = state(lease=lease(NOW + MINUTE, plan=Plan(generation=0, engine="glue", reason="size")))
    facts = replace(FACTS, held={"p": held}, orphaned={"p": "its execution is FAILED"})

    assert (health(entry(), held).run_state, health(entry(), held).engine) == (RunState.RUNNING, "glue")
    found = health(entry(), held, facts)
    assert (found.condition, found.run_state, found.decision) == (Condition.STUCK, RunState.FAILED, Decision.RUNNING)
    assert found.failure == orphaned("its execution is FAILED")


def test_an_execution_that_failed_before_it_took_the_lease_makes_its_provider_fail() -> None:
    failed = FailedExecution("p-20261122T071500Z", NOW - 15 * MINUTE, "FAILED")
    facts = replace(FACTS, failed_executions={"p": failed})
    one = entry(60, NOW - 75 * MINUTE)

    found = health(one, None, facts)
    assert (found.condition, found.run_id, found.run_state) == (Condition.FAILING, failed.run_id, RunState.FAILED)
    assert found.decision is Decision.DUE, "the next tick starts it again"
    assert found.failure == not_claimed("p-20261122T071500Z")
    assert "fanout trace p-20261122T071500Z" in found.failure.advice
    later = state(last_claim=NOW - 10 * MINUTE)
    assert health(one, later, facts).condition is Condition.DUE, "a later run took the lease"
    same_time = state(last_claim=failed.started_at)
    assert health(one, same_time, facts).condition is Condition.DUE, "a run took the lease since then"
    earlier = state(last_run=record("succeeded", "earlier"), last_claim=NOW - 16 * MINUTE)
    assert health(one, earlier, facts).condition is Condition.FAILING
    known = state(last_run=record("succeeded", failed.run_id), last_claim=NOW - 16 * MINUTE)
    assert health(one, known, facts).condition is Condition.DUE, "the ledger knows how this run ended"


@pytest.mark.parametrize(
    ("one", "item", "facts", "next_due"),
    [
        (entry(60, NOW - 30 * MINUTE), None, FACTS, NOW + 30 * MINUTE),
        (entry(60, NOW - 90 * MINUTE), None, FACTS, NOW - 30 * MINUTE),
        (entry(1, CHECK), None, EVENTS, CHECK + SWEEP),
        (entry(60, NOW, paused=True), None, FACTS, None),
        (entry(), None, FACTS, None),
        (entry(), None, MAINTENANCE, NOW + 30 * MINUTE),
        (entry(60, NOW), None, MAINTENANCE, NOW + 60 * MINUTE),
        (entry(60, NOW - 90 * MINUTE), state(lease=lease(NOW + MINUTE)), MAINTENANCE, NOW + 30 * MINUTE),
        (entry(60, NOW - 30 * MINUTE), state(retry_at=NOW + 5 * MINUTE), FACTS, NOW + 30 * MINUTE),
        (entry(60, NOW - 30 * MINUTE), state(retry_at=NOW + 45 * MINUTE), FACTS, NOW + 45 * MINUTE),
        (entry(60, NOW - 90 * MINUTE), state(retry_at=NOW - 5 * MINUTE), FACTS, NOW - 5 * MINUTE),
    ],
)
def test_when_a_provider_is_due_next(
    one: ProviderEntry, item: ProviderState | None, facts: Facts, next_due: datetime | None
) -> None:
    assert health(one, item, facts).next_due == next_due


def test_a_provider_is_late_only_since_there_is_something_to_do() -> None:
    pending = replace(EVENTS, pending={"p": Pending(1, 1, 1, NOW - 30 * MINUTE)})

    assert health(entry(15, NOW - 600 * MINUTE), None, pending).late_by == 30 * MINUTE
    assert health(entry(60, NOW - 61 * MINUTE), None, pending).late_by == MINUTE
    assert health(entry(60, NOW - 90 * MINUTE), state(last_claim=NOW - MINUTE)).late_by == 30 * MINUTE
    assert health(entry(60, NOW)).late_by is None
    assert health(entry(), state(last_claim=NOW - MINUTE)).late_by is None


def test_a_provider_that_never_succeeded_is_due_and_late_if_its_objects_wait_too_long() -> None:
    def waiting(minutes: int) -> Facts:
        return replace(EVENTS, pending={"p": Pending(1, 1, 1, NOW - minutes * MINUTE)})

    assert (health(entry()).condition, health(entry()).why) == (Condition.DUE, "no successful run yet")
    assert health(entry(60, NOW - 60 * MINUTE)).why is None
    assert health(entry(), None, waiting(30)).condition is Condition.DUE
    late = health(entry(), None, waiting(31))
    assert (late.condition, late.since, late.why) == (
        Condition.LATE,
        NOW - 31 * MINUTE,
        "due for 31 minutes without a run",
    )


def test_the_worst_condition_is_first_and_then_the_latest_provider() -> None:
    late = health(entry(60, NOW - 200 * MINUTE))
    later = replace(health(entry(60, NOW - 300 * MINUTE)), provider="q")
    waiting, invalid = (
        health(entry(60, NOW)),
        evaluate_invalid("x", Failure(type="InvalidProviderError", message="x: frequency: must be a number")),
    )

    assert worst_first([waiting, late, later, invalid]) == [invalid, later, late, waiting]


# ---------------------------------------------------------------------------------- one evaluation for all who ask it

minutes = st.none() | st.integers(0, 3000)
entries = st.fixed_dictionaries(
    {"frequency": st.sampled_from([1, 15, 60, 240, 1440])},
    optional={
        "last_success": minutes.map(lambda m: None if m is None else format_http_date(NOW - m * MINUTE)),
        "status": st.sampled_from(["running", "succeeded", "failed"]),
        "paused": st.booleans(),
        "group": st.just("g"),
    },
) | st.just({"frequency": "often"})


@st.composite
def items(draw: st.DrawFn, name: str) -> ProviderState | None:
    """A ledger item as runs leave it behind; None if there is none."""
    if draw(st.booleans()):
        return None

    def ago(low: int = 0) -> datetime | None:
        found = draw(st.none() | st.integers(low, 3000))
        return None if found is None else NOW - found * MINUTE

    fields: dict[str, Any] = {"last_success": ago(), "last_claim": ago(), "has_backlog": draw(st.booleans())}
    if draw(st.booleans()):
        failed_at = NOW - draw(st.integers(0, 300)) * MINUTE
        fields |= {"failures": draw(st.integers(1, 5)), "retry_at": failed_at + draw(st.integers(1, 300)) * MINUTE}
        fields |= {"failing_since": failed_at, "last_run": record()}
    if draw(st.booleans()):
        age = draw(st.integers(0, 400))
        claimed_at = NOW - age * MINUTE
        fields["lease"] = Lease(
            run_id=f"{name}-run",
            claimed_at=claimed_at,
            expires_at=claimed_at + 360 * MINUTE,
            run_dir=f"s3://data/runs/provider={name}/x_{name}-run/",
            execution_arn=f"arn:{name}-run",
        )
    return ProviderState(provider=name, version=1, **fields)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(entries, min_size=1, max_size=6), st.sampled_from(["events", "poll"]))
def test_the_dispatcher_starts_exactly_the_providers_that_the_evaluation_calls_due(
    data: st.DataObject, listed: list[dict[str, object]], discovery: str
) -> None:
    world = World(settings={"discovery": discovery, "sweep_minutes": 1440, "max_concurrent_runs": 100})
    world.clock.now = NOW
    for number, one in enumerate(listed):
        name = f"p{number}"
        world.config_api.providers[name] = one
        if item := data.draw(items(name)):
            world.ledger.items[name] = item
            if item.lease:
                world.executions.statuses[item.lease.run_id] = data.draw(st.sampled_from(["RUNNING", "FAILED"]))
        if data.draw(st.booleans()):
            world.pending.items[name] = Pending(1, 1, 10, NOW - data.draw(st.integers(0, 100)) * MINUTE)
    leases = {name: item.lease for name, item in world.ledger.items.items() if item.lease}
    world.dispatcher.recovery.end_orphaned(leases, NOW, lambda text: None)
    pending = world.pending.waiting() if discovery == "events" else None
    facts = Facts(
        tick=NOW,
        now=NOW,
        pending=pending,
        sweep=SWEEP,
        held={name: item for name, item in world.ledger.items.items() if item.lease},
        backlogs=frozenset(name for name, item in world.ledger.items.items() if item.has_backlog),
    )
    valid, invalid = parse_entries(world.config_api.providers, NOW)
    found = {name: evaluate(name, one, world.ledger.items.get(name), facts) for name, one in valid.items()}
    due = {name for name, one in found.items() if one.decision is Decision.DUE}
    possible, decided = may_be_due(valid, facts)
    shown = survey(world.config_api, world.ledger, world.executions, NOW, facts.late_after, pending, SWEEP)

    report = world.tick(NOW)

    assert {json.loads(given)["provider"] for given in world.executions.started.values()} == due
    assert {name for name, one in found.items() if one.decision is Decision.RUNNING} == set(facts.held) & set(valid)
    assert set(possible) >= due, "a provider is due whose ledger item was not read"
    assert {one.provider for one in shown.health if one.decision is Decision.DUE} == due
    assert [one for one in shown.health if one.provider in due] == worst_first(found[name] for name in due)
    counts = Counter([*decided.values(), *(found[name].decision for name in possible)])
    assert (report.invalid, report.providers) == (len(invalid), len(listed))
    assert {one: getattr(report, one) for one in decided.values()} == {one: counts[one] for one in decided.values()}
    assert (report.due, report.backing_off) == (counts[Decision.DUE], counts[Decision.BACKING_OFF])
