"""Fault cases 1 to 4, 8 and 9: a dispatcher that fails or is repeated, many due providers, the tick and its report."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contract.times import format_http_date
from fanout.dispatcher import tick_time
from fanout.errors import (
    InvalidRequestError,
    StartThrottledError,
)
from fanout.schedule import execution_name
from fanout.starts import TokenBucket
from tests.harness.dispatch import NOW, check_sums, names, started, world_of
from tests.harness.faults import Crash, Fault
from tests.harness.world import World

# ------------------------------------------------------------------------------------------------------ 1. fails midway


@pytest.mark.fault(1)
def test_a_repeated_tick_starts_only_the_providers_that_a_failed_dispatcher_left() -> None:
    world = world_of(8)
    world.faults.plan("executions.start", Fault.CRASH_AFTER)

    with pytest.raises(Crash):
        world.tick(NOW)
    before = dict(world.executions.started)
    assert len(before) >= 1
    report = world.tick(NOW)

    assert started(world) == names(range(8))
    assert len(world.executions.started) == 8, "one execution a provider"
    assert before.items() <= world.executions.started.items()
    check_sums(report)


@pytest.mark.fault(1)
@pytest.mark.parametrize("survivors", [0, 1, 3, 7])
def test_a_tick_can_be_repeated_after_any_number_of_starts(survivors: int) -> None:
    world = world_of(8)
    calls = 0
    start = world.executions.start

    def dying(name: str, execution_input: str) -> bool:
        nonlocal calls
        calls += 1
        if calls > survivors:
            raise Crash(name)
        return start(name, execution_input)

    world.executions.start = dying  # type: ignore[method-assign]
    with pytest.raises(Crash):
        world.tick(NOW)
    world.executions.start = start  # type: ignore[method-assign]
    world.run_all()
    world.tick(NOW)
    world.run_all()

    assert len(world.executions.started) == 8
    assert {p: world.ledger.items[p].bookmark.generation for p in names(range(8))} == dict.fromkeys(names(range(8)), 1)


# ---------------------------------------------------------------------------------------------------- 2. response lost


@pytest.mark.fault(2)
def test_a_start_whose_response_was_lost_makes_no_second_run() -> None:
    world = world_of(1)
    world.faults.plan("executions.start", Fault.EXECUTE_THEN_FAIL)

    report = world.tick(NOW)

    assert len(world.executions.started) == 1
    assert report.started == 1
    assert world.faults.count("executions.start") == 2


def test_a_start_whose_every_response_is_lost_keeps_its_slot_and_has_one_run() -> None:
    world = world_of(2, max_concurrent_runs=1)
    world.faults.plan("executions.start", *[Fault.EXECUTE_THEN_FAIL] * 6)

    with pytest.raises(StartThrottledError):
        world.tick(NOW)

    assert len(world.executions.started) == 1, "it may run, so its slot is taken"


# ------------------------------------------------------------------------------------- 3. twice, and overlapping ticks


@pytest.mark.fault(3)
def test_a_tick_delivered_twice_starts_each_provider_once() -> None:
    world = world_of(5)

    first, second = world.tick(NOW), world.tick(NOW)

    assert len(world.executions.started) == 5
    assert (first.started, second.started) == (5, 5)


def test_a_tick_delivered_twice_chooses_the_same_providers_before_any_claim() -> None:
    world = world_of(30, max_concurrent_runs=10)

    world.tick(NOW)
    world.tick(NOW)

    assert len(world.executions.started) == 10


@pytest.mark.fault(3)
def test_two_overlapping_ticks_give_each_provider_one_run() -> None:
    world = world_of(5)
    world.tick(NOW)
    world.clock.advance(minutes=15)
    world.tick()
    decisions = [claim.decision for claim in world.run_all()]

    assert all(state.bookmark.generation <= 2 for state in world.ledger.items.values())
    assert len(decisions) == 10
    claims = [world.claim(f"p{n:05d}", "late") for n in range(5)]
    again = [world.claim(f"p{n:05d}", "later") for n in range(5)]
    assert {claim.decision for claim in claims} == {"nothing"}
    assert {claim.decision for claim in again} == {"busy"}


def test_a_provider_with_a_live_run_is_not_started_by_the_next_tick() -> None:
    world = world_of(1)
    world.tick(NOW)
    world.claim("p00000", execution_name("p00000", NOW))
    world.clock.advance(minutes=15)

    report = world.tick()

    assert (report.running, report.started, report.live) == (1, 0, 1)
    check_sums(report)


# ----------------------------------------------------------------------------------------------- 4. a name that closed


@pytest.mark.fault(4)
def test_the_execution_name_of_an_ended_run_counts_as_already_started() -> None:
    world = world_of(2)
    world.tick(NOW)
    for name in world.executions.statuses:
        world.executions.statuses[name] = "SUCCEEDED"

    report = world.tick(NOW)

    assert (report.already_started, report.started, report.failed_starts, report.faults) == (2, 0, 0, [])
    check_sums(report)


# ------------------------------------------------------------------------------------------------- 8. ten thousand due


@pytest.mark.fault(8)
def test_with_throttling_and_10_000_due_the_most_overdue_start_and_the_rest_are_deferred() -> None:
    world = World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": 2000})
    for number in range(10_000):
        ago = timedelta(minutes=15 + number)
        world.provider(f"p{number:05d}", "15", last_success=format_http_date(NOW - ago))
    calls = 0
    start = world.executions.start

    def throttled(name: str, execution_input: str) -> bool:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise StartThrottledError(name)
        return start(name, execution_input)

    world.executions.start = throttled  # type: ignore[method-assign]
    report = world.tick(NOW)

    assert (report.due, report.started, report.deferred, report.failed_starts) == (10_000, 2000, 8000, 0)
    assert started(world) == names(range(8000, 10_000))
    assert report.oldest_overdue_minutes == 9999
    check_sums(report)


@pytest.mark.fault(8)
def test_providers_not_started_before_the_deadline_start_at_the_next_tick() -> None:
    world = world_of(1000, max_concurrent_runs=1000, bucket=lambda: TokenBucket(rate=10, burst=1))
    seconds_left = 60.0

    def sleep(seconds: float) -> None:
        nonlocal seconds_left
        seconds_left -= seconds / 40  # sleeps of parallel threads pass together

    world.dispatcher = replace(world.dispatcher, sleep=sleep)

    first = world.dispatcher.tick(NOW, lambda: seconds_left)
    assert 0 < first.started < 1000
    assert first.deferred == 1000 - first.started
    check_sums(first)
    world.run_all()
    world.clock.advance(minutes=15)
    seconds_left = 1e9
    second = world.tick()

    assert started(world) == names(range(1000))
    assert second.started >= first.deferred


def test_without_time_nothing_is_started_and_the_report_says_so() -> None:
    world = world_of(3)

    report = world.dispatcher.tick(NOW, lambda: 9.0)

    assert (report.due, report.started, report.deferred) == (3, 0, 3)
    assert not world.executions.started


# ---------------------------------------------------------------------------------------------------- 9. a long outage


@pytest.mark.fault(9)
def test_after_a_long_outage_each_provider_gets_only_one_run() -> None:
    world = world_of(4)
    world.tick()
    world.run_all()
    world.clock.advance(days=3)
    before = len(world.executions.started)

    world.tick()
    world.run_all()
    report = world.tick()

    assert len(world.executions.started) - before == 4
    assert (report.due, report.waiting) == (0, 4)


def test_a_late_tick_accepts_successes_after_its_scheduled_time() -> None:
    world = world_of(1)
    world.clock.advance(minutes=14)
    world.run("p00000", "by-hand")

    report = world.tick(NOW)

    assert (report.invalid, report.waiting) == (0, 1)


# ---------------------------------------------------------------------------------------------------------- the report


def test_the_report_counts_each_provider_once() -> None:
    world = world_of(2)
    recently = format_http_date(NOW - timedelta(minutes=5))
    world.provider("paused", paused=True)
    world.provider("waiting", last_success=recently)
    world.provider("bad", "never")
    world.provider("fails")
    world.fail(world.claim("fails", "run"))
    world.provider("runs")
    world.claim("runs", "run")

    report = world.tick(NOW)

    counts = (report.due, report.started, report.paused, report.waiting, report.invalid, report.backing_off)
    assert counts == (2, 2, 1, 1, 1, 1)
    assert (report.running, report.live, report.providers) == (1, 1, 7)
    assert set(report.started_providers) == names(range(2))
    check_sums(report)


def test_oldest_overdue_includes_backing_off_providers_and_counts_never_succeeded_separately() -> None:
    world = world_of(1)
    world.provider("late", 60, last_success=format_http_date(NOW - timedelta(minutes=100)))
    world.provider("fails", 60, last_success=format_http_date(NOW - timedelta(minutes=300)))
    world.fail(world.claim("fails", "run"))

    report = world.tick(NOW)

    assert report.oldest_overdue_minutes == 240
    assert report.never_succeeded == 1


def test_reconciled_counts_released_leases_and_pushed_reports() -> None:
    world = world_of(1)
    world.claim("p00000", "run")
    world.clock.advance(minutes=121)

    report = world.tick()

    assert report.released_leases == 1
    assert report.reconciled == report.released_leases + report.pushed_reports >= 1


# ------------------------------------------------------------------------------------------------------------ the tick


@pytest.mark.parametrize(
    "event",
    [
        {"scheduled_at": "2026-11-22T07:30:00Z"},
        {"scheduled_at": "2026-11-22T08:30:00+01:00"},
        {"scheduled_at": "2026-11-22T07:30:00.123Z"},
        {"time": "2026-11-22T07:30:00Z", "detail-type": "Scheduled Event"},
        {},
        {"scheduled_at": None},
    ],
)
def test_the_tick_is_the_scheduled_time_or_else_the_current_minute(event: dict[str, Any]) -> None:
    assert tick_time(event, NOW + timedelta(seconds=12)) == NOW


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-11-22T07:30:00", 1732260600, [], "2099-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_a_tick_with_an_invalid_or_far_future_time_is_rejected(time: object) -> None:
    with pytest.raises(InvalidRequestError):
        tick_time({"scheduled_at": time}, NOW)


@pytest.mark.parametrize(("beyond", "refused"), [(0, False), (1, True)])
def test_a_scheduled_time_may_be_a_day_ahead_and_no_second_more(beyond: int, refused: bool) -> None:
    event = {"scheduled_at": (NOW + timedelta(days=1, seconds=beyond)).isoformat()}
    with pytest.raises(InvalidRequestError, match="a day ahead") if refused else nullcontext():
        assert tick_time(event, NOW) == NOW + timedelta(days=1)
