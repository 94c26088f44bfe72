"""Slots of heavy runs and the limits of groups: how a tick fills, reuses and shares them."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanout.errors import (
    StartRefusedError,
)
from tests.harness.dispatch import NOW, check_sums, claim_runs, names, refuse_starts, started, world_of
from tests.harness.faults import Crash, Fault
from tests.harness.world import World


def test_live_runs_take_slots() -> None:
    world = world_of(30, max_concurrent_runs=10)
    claim_runs(world, 7)

    report = world.tick(NOW)

    assert (report.live, report.running, report.started, report.deferred) == (7, 7, 3, 20)
    check_sums(report)


def test_more_live_runs_than_slots_start_nothing_and_break_nothing() -> None:
    world = world_of(8, max_concurrent_runs=2)
    claim_runs(world, 5)

    report = world.tick(NOW)

    assert (report.live, report.started, report.deferred) == (5, 0, 3)


def test_live_lambda_runs_take_no_slot() -> None:
    world = World(settings={"max_concurrent_runs": 1, "lambda_max_bytes": 10})
    for name in ("lambda", "huge"):
        world.provider(name)
        world.change(name, "1", "x" * (9 if name == "lambda" else 900))
    world.run("huge", "before")
    world.clock.advance(minutes=15)
    world.claim("lambda", "run")

    report = world.tick()

    assert (report.live, report.started, report.deferred) == (1, 1, 0)


def heavy_world(count: int, slots: int, **given_settings: Any) -> World:
    """Providers whose runs go to Glue; each run takes a minute of the dispatcher's waiting time."""
    world = world_of(count, max_concurrent_runs=slots, **given_settings)
    lived: Counter[str] = Counter()

    def sleep(seconds: float) -> None:
        world.clock.advance(seconds=seconds)
        for name in [name for name, status in world.executions.statuses.items() if status == "RUNNING"]:
            lived[name] += 1
            if lived[name] > 4:
                world.executions.statuses[name] = "SUCCEEDED"

    world.on_sleep = sleep
    return world


@pytest.mark.fault(31)
def test_slots_are_reused_as_runs_end_during_the_tick() -> None:
    world = heavy_world(10, slots=3, max_runs_per_group=0)
    world.seconds = 900
    most = 0
    start = world.executions.start

    def counting(name: str, execution_input: str) -> bool:
        nonlocal most
        begun = start(name, execution_input)
        most = max(most, len(world.executions.running()))
        return begun

    world.executions.start = counting  # type: ignore[method-assign]
    report = world.tick(NOW)

    assert (report.due, report.started, report.deferred) == (10, 10, 0)
    assert most == 3, "never more at once than there are slots, and all of them used"
    check_sums(report)


def test_a_provider_without_a_slot_before_the_deadline_is_deferred() -> None:
    world = heavy_world(10, slots=3)
    world.seconds = 80

    report = world.tick(NOW)

    assert (report.started, report.deferred) == (3, 7)
    assert len(report.deferred_providers) == 7
    check_sums(report)


def test_a_slot_is_not_freed_while_step_functions_is_unavailable() -> None:
    world = heavy_world(4, slots=2)
    world.seconds = 900
    world.faults.plan("executions.latest", *[Fault.FAIL_BEFORE] * 3)

    report = world.tick(NOW)

    assert (report.started, report.deferred) == (4, 0)
    assert sum("could not be listed" in fault for fault in report.faults) == 3


@pytest.mark.fault(31)
def test_a_dispatcher_that_fails_while_slots_are_reused_starts_no_provider_twice() -> None:
    world = heavy_world(6, slots=2)
    world.seconds = 900
    sleep = world.on_sleep
    naps = 0

    def dies(seconds: float) -> None:
        nonlocal naps
        naps += 1
        sleep(seconds)
        if naps == 7:
            raise Crash("the function is gone")

    world.on_sleep = dies
    with pytest.raises(Crash):
        world.tick(NOW)
    before = len(world.executions.started)
    world.on_sleep = sleep
    report = world.tick(NOW)

    assert 2 < before < 6
    assert started(world) == names(range(6))
    assert len(world.executions.started) == 6, "one execution a provider"
    check_sums(report)


@pytest.mark.fault(31)
def test_two_overlapping_ticks_that_reuse_slots_give_each_provider_one_run() -> None:
    world = heavy_world(6, slots=2)
    for number in range(6):
        world.change(f"p{number:05d}", "1", f"row {number}")
    world.seconds = 900
    sleep, later = world.on_sleep, NOW + timedelta(minutes=15)

    def overlapped(seconds: float) -> None:
        sleep(seconds)
        world.on_sleep = sleep
        slept = world.slept
        world.tick(later)
        world.slept = slept

    world.on_sleep = overlapped
    world.tick(NOW)
    for name in world.executions.statuses:
        world.executions.statuses[name] = "RUNNING"
    world.run_all()

    assert Counter(world.sent) == {f"row {number}": 1 for number in range(6)}


def test_a_groups_limit_holds_while_slots_are_reused_in_both_lanes() -> None:
    world = World(settings={"max_concurrent_runs": 10, "max_runs_per_group": 2})
    for number in range(6):
        world.provider(f"p{number:05d}", group="red")

    report = world.tick(NOW)

    assert (report.started, report.deferred) == (2, 4)


def test_reports_are_pushed_before_the_tick_waits_for_slots() -> None:
    world = heavy_world(4, slots=1)
    world.faults.down.add("config_api")
    world.run("p00000", "run")
    world.faults.down.clear()
    world.clock.advance(minutes=15)
    before = len(world.faults.calls)
    world.tick()

    calls = world.faults.calls[before:]
    assert calls.index("config_api.report") < calls.index("executions.latest")


def test_the_slot_of_a_refused_start_goes_to_the_next_provider() -> None:
    world = world_of(3, max_concurrent_runs=1)
    world.config_api.providers["p00000"] = {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17 GMT"}
    for name in ("p00001", "p00002"):
        world.config_api.providers[name] = {"frequency": 15, "last_success": "Sun, 22 Nov 2026 07:00:00 GMT"}
    refuse_starts(world, "p00000", "not this one")
    world.seconds = 20.0  # too few to wait for slots
    report = world.tick(NOW)

    assert (report.started, report.failed_starts, report.deferred) == (1, 1, 1)
    assert report.faults == ["not this one"]
    check_sums(report)


def test_the_limits_of_slots_and_groups_hold_over_all_rounds_after_refused_starts() -> None:
    world = World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": 5, "max_runs_per_group": 2})
    for number in range(12):
        world.provider(f"p{number:05d}", group="red" if number % 2 else "blue")
    start, refused = world.executions.start, iter([True, False, True, False, True])

    def refusing(name: str, execution_input: str) -> bool:
        if next(refused, False):
            raise StartRefusedError("not this one")
        return start(name, execution_input)

    world.executions.start = refusing  # type: ignore[method-assign]
    report = world.tick(NOW)

    groups = Counter("red" if int(name[1:]) % 2 else "blue" for name in started(world))
    assert (report.started, report.failed_starts) == (4, 3)
    assert groups == {"red": 2, "blue": 2}
    check_sums(report)


def test_a_tick_that_could_start_nothing_fails_with_the_reason_of_the_service() -> None:
    world = world_of(60, max_concurrent_runs=25)
    refuse_starts(world, "p", "AccessDeniedException; check the dispatcher's role")

    with pytest.raises(StartRefusedError, match="AccessDenied"):
        world.tick(NOW)
    assert world.slept == 0, "it does not wait for slots"


def test_a_group_has_at_most_its_limit_of_runs_including_live_runs() -> None:
    world = World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": 10, "max_runs_per_group": 3})
    for number in range(20):
        world.provider(f"big-{number}", group="big")
    world.provider("lambda")
    world.claim("big-0", "run")

    report = world.tick(NOW)

    assert sum(name.startswith("big") for name in started(world)) == 2
    assert "lambda" in started(world)
    assert report.deferred == 17


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_over_any_ticks_live_runs_never_exceed_the_capacity_and_every_provider_runs(data: st.DataObject) -> None:
    capacity = data.draw(st.integers(1, 4))
    world = World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": capacity})
    count = data.draw(st.integers(1, 8))
    for number in range(count):
        world.provider(f"p{number:05d}", data.draw(st.sampled_from([1, 15, 60])))
    for _ in range(2 * math.ceil(count / capacity)):
        report = world.tick()
        check_sums(report)
        assert report.started + report.live <= capacity
        for name in [name for name, status in world.executions.statuses.items() if status == "RUNNING"]:
            given_input = json.loads(world.executions.started[name])
            claim = world.claim(given_input.pop("provider"), name, **given_input)
            if data.draw(st.booleans()):
                world.succeed(claim)
                world.executions.statuses[name] = "SUCCEEDED"
            else:
                world.fail(claim)
                world.executions.statuses[name] = "FAILED"
        world.clock.advance(minutes=15)

    assert started(world) == names(range(count)), "every provider ran, despite failures"
