"""Ticks with light runs: all that are due start, as concurrent functions become free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import pytest

from contract.times import format_http_date
from fanout.errors import (
    StartThrottledError,
)
from tests.harness.dispatch import NOW, check_sums
from tests.harness.world import World


@pytest.mark.fault(30)
def test_all_of_10_000_light_providers_due_at_once_are_started() -> None:
    world = World(settings={"max_concurrent_runs": 50})
    for number in range(10_000):
        world.provider(f"p{number:05d}", last_success=format_http_date(NOW - timedelta(minutes=15)))

    report = world.tick(NOW)

    assert (report.due, report.started, report.deferred) == (10_000, 10_000, 0)
    check_sums(report)


def light_world(count: int, functions: Callable[[], float], seconds_a_run: float = 4) -> World:
    """Providers with Lambda runs of this many seconds, in an account with this many concurrent functions."""
    world = World(settings={"max_concurrent_runs": 50, "concurrent_functions": functions})
    for number in range(count):
        world.provider(f"p{number:05d}", last_success=format_http_date(NOW - timedelta(minutes=15 + number)))
    lived: defaultdict[str, float] = defaultdict(float)

    def sleep(seconds: float) -> None:
        world.clock.advance(seconds=seconds)
        for name in [name for name, status in world.executions.statuses.items() if status == "RUNNING"]:
            lived[name] += seconds
            if lived[name] == seconds_a_run:
                world.executions.statuses[name] = "SUCCEEDED"

    world.on_sleep = sleep
    world.seconds = 900
    return world


@pytest.mark.fault(30)
def test_light_runs_start_as_concurrent_functions_become_free() -> None:
    world = light_world(100, lambda: 10)
    at_once: list[int] = []
    start = world.executions.start

    def counting(name: str, execution_input: str) -> bool:
        begun = start(name, execution_input)
        at_once.append(len(world.executions.running()))
        return begun

    world.executions.start = counting  # type: ignore[method-assign]
    report = world.tick(NOW)

    assert (report.due, report.started, report.deferred) == (100, 100, 0)
    assert max(at_once) == 9, "all functions but the dispatcher's, and never one more"
    assert [name[:6] for name in world.executions.started] == [f"p{number:05d}" for number in range(99, -1, -1)]
    assert world.slept == 11 * 4, "twelve rounds of four seconds, and nothing to wait for after the last start"
    check_sums(report)


def test_a_light_run_that_ends_between_two_looks_frees_its_slot_at_the_next_look() -> None:
    world = light_world(100, lambda: 10, seconds_a_run=0.5)

    report = world.tick(NOW)

    assert (report.started, report.deferred, world.slept) == (100, 0, 11 * 0.5)
    assert world.faults.count("executions.running") == 0, "the list of the latest executions says enough"


def test_the_limit_of_concurrent_functions_is_read_once_per_tick() -> None:
    asked: list[int] = []
    world = light_world(40, lambda: asked.append(1) or 10)  # type: ignore[func-returns-value]

    world.tick(NOW)

    assert asked == [1]


def test_live_light_runs_count_against_the_limit_of_concurrent_functions() -> None:
    world = light_world(20, lambda: 10)
    for number in range(8):
        world.change(f"p{number:05d}", "1", "row")
        world.claim(f"p{number:05d}", f"run-{number}")
        world.executions.statuses[f"run-{number}"] = "RUNNING"
    world.seconds = 30

    report = world.tick(NOW)

    assert (report.running, report.started, report.deferred) == (8, 1, 11)


@pytest.mark.fault(30)
def test_light_runs_without_a_free_function_before_the_deadline_are_deferred() -> None:
    world = light_world(100, lambda: 10)
    world.seconds = 38

    report = world.tick(NOW)

    assert (report.started, report.deferred) == (27, 73)
    check_sums(report)


def test_a_tick_stops_waiting_when_the_next_one_is_due() -> None:
    world = light_world(100, lambda: 10)
    world.configure(tick_minutes=1)

    report = world.tick(NOW - timedelta(seconds=50))

    assert (report.started, report.deferred) == (27, 72), "two rounds of four seconds after the first"
    check_sums(report)


def test_all_light_runs_start_when_the_accounts_limit_cannot_be_read_and_this_is_logged() -> None:
    def unknown() -> float:
        raise StartThrottledError("GetAccountSettings: AccessDenied")

    world = light_world(30, unknown)
    report = world.tick(NOW)

    assert (report.started, report.deferred, world.slept) == (30, 0, 0)
    assert report.faults == [
        (
            "light runs start without a limit, because the account's limit could not be read: "
            "GetAccountSettings: AccessDenied"
        )
    ]


def test_with_a_limit_of_a_single_function_one_run_starts_at_a_time() -> None:
    world = light_world(3, lambda: 1)

    report = world.tick(NOW)

    assert (report.started, report.deferred, world.slept) == (3, 0, 8)
