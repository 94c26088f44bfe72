"""FAULTS 1 to 9, the report, capacity, and a fuzz test of the config API's answer."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.times import format_http_date
from fanout.config_client import HttpConfigApi
from fanout.dispatcher import SHOWN, TickReport, tick_time
from fanout.errors import (
    ConfigApiAccessError,
    ConfigApiAnswerError,
    ConfigApiUnavailableError,
    InvalidRequestError,
    LedgerUnavailableError,
    StartRefusedError,
    StartThrottledError,
)
from fanout.schedule import execution_name
from fanout.starts import TokenBucket
from tests.harness.faults import Crash, Fault
from tests.harness.transport import Reply, session
from tests.harness.world import World

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def world_of(count: int, **given_settings: Any) -> World:
    world = World(settings={"max_concurrent_runs": 10, "lambda_max_bytes": 0, **given_settings})
    for number in range(count):
        world.provider(f"p{number:05d}")
    return world


def started(world: World) -> set[str]:
    return {json.loads(given_input)["provider"] for given_input in world.executions.started.values()}


def names(numbers: Iterable[int]) -> set[str]:
    return {f"p{number:05d}" for number in numbers}


def with_api(world: World, reply: Reply | None = None, error: Exception | None = None) -> World:
    """The world with a config API that answers these bytes to the real client."""

    def answer(request: object) -> Reply:
        if error is not None:
            raise error
        return reply or Reply()

    api = HttpConfigApi(
        "https://config.example/providers", lambda refused: "key", session(answer), sleep=lambda seconds: None
    )
    world.dispatcher = replace(world.dispatcher, provider_list=api)
    return world


def check_sums(report: TickReport) -> None:
    assert report.providers == (
        report.invalid
        + report.paused
        + report.maintenance
        + report.waiting
        + report.running
        + report.backing_off
        + report.due
    )
    assert report.due == report.started + report.already_started + report.deferred + report.failed_starts


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


# ----------------------------------------------------------------------------------------------- 5. config API failing

INVALID_ANSWERS = {
    "HTML": Reply(body=b"<html>sign in</html>", headers={"Content-Type": "text/html"}),
    "truncated JSON": Reply(body=b'{"p": {"frequency": "1'),
    "an empty body": Reply(body=b""),
    "no content": Reply(status=204, body=b""),
    "a list": Reply(body=b"[]"),
    "null": Reply(body=b"null"),
    "not UTF-8": Reply(body=b'{"p\xff": {"frequency": 1}}'),
    "nested too deep": Reply(body=b'{"p": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a redirect to another host": Reply(status=302, headers={"Location": "https://elsewhere.example/"}),
    "not found": Reply(status=404, body=b'{"message": "no such thing"}'),
    "a body over the cap": Reply(body=b" " * (33 * 2**20) + b"{}"),
}


@pytest.mark.fault(5)
@pytest.mark.parametrize("reply", INVALID_ANSWERS.values(), ids=INVALID_ANSWERS.keys())
def test_an_invalid_answer_is_an_error_and_never_an_empty_list(reply: Reply) -> None:
    world = with_api(world_of(0), reply)

    with pytest.raises(ConfigApiAnswerError) as error:
        world.tick(NOW)
    assert not world.executions.started
    assert "config API" in str(error.value)


@pytest.mark.fault(5)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_config_api_that_is_down_is_an_error_after_bounded_retries(status: int) -> None:
    with pytest.raises(ConfigApiUnavailableError, match=f"HTTP {status}; attempts: 3"):
        with_api(world_of(0), Reply(status=status)).tick(NOW)


def test_a_refused_key_is_an_error() -> None:
    with pytest.raises(ConfigApiAccessError):
        with_api(world_of(0), Reply(status=403)).tick(NOW)


def test_leases_of_orphaned_runs_are_released_even_while_the_config_api_is_down() -> None:
    world = world_of(1)
    world.claim("p00000", "run")
    world.clock.advance(minutes=121)
    world.faults.plan("config_api.entries", Fault.FAIL_BEFORE)

    with pytest.raises(ConfigApiUnavailableError):
        world.tick()

    assert world.ledger.items["p00000"].lease is None


@pytest.mark.parametrize("where", ["ledger.attention", "ledger.get_many"])
def test_nothing_is_started_without_the_ledger(where: str) -> None:
    world = world_of(3)
    world.faults.plan(where, Fault.FAIL_BEFORE)

    with pytest.raises(LedgerUnavailableError):
        world.tick(NOW)
    assert not world.executions.started


# ----------------------------------------------------------------------------------------------- 6. and 7. bad entries

BAD_ENTRIES: dict[str, object] = {
    "frequency is no number": {"frequency": "abc"},
    "frequency is negative": {"frequency": -1},
    "frequency is zero": {"frequency": 0},
    "frequency is huge": {"frequency": 10**30},
    "frequency is null": {"frequency": None},
    "date in another format": {"frequency": 1, "last_success": "2022-11-08T15:47:17Z"},
    "date is naive": {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17"},
    "date with -0000": {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17 -0000"},
    "date in the future": {"frequency": 1, "last_success": "Mon, 01 Jan 2035 00:00:00 GMT"},
    "status is unknown": {"frequency": 1, "status": "resting"},
    "no object": "every day",
}


@pytest.mark.guarantee("G5")
@pytest.mark.fault(6)
@pytest.mark.parametrize("bad", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_a_bad_entry_is_reported_and_the_other_providers_start(bad: object) -> None:
    world = world_of(2)
    world.config_api.providers = {"p00000": {"frequency": "15"}, "bad": bad, "p00001": {"frequency": 15}}

    report = world.tick(NOW)

    assert started(world) == names(range(2))
    assert report.invalid == 1
    assert report.invalid_providers[0].startswith("bad: ")
    check_sums(report)


@pytest.mark.fault(7)
@pytest.mark.parametrize("name", ["../other", "a/b", "a\x00", "line\nbreak", "x" * 200, "prоvider", ""])
def test_a_bad_name_is_reported_and_never_used_in_an_execution(name: str) -> None:
    world = world_of(1)
    world.provider(name)

    report = world.tick(NOW)

    assert started(world) == names([0])
    assert report.invalid == 1
    assert all(line.isascii() and line.isprintable() for line in report.invalid_providers)


def test_a_thousand_bad_entries_make_a_short_report() -> None:
    world = world_of(0)
    world.config_api.providers = {f"bad name {n} {'x' * 500}": n for n in range(1000)}

    report = world.tick(NOW)

    assert report.invalid == 1000
    assert len(report.invalid_providers) == SHOWN == 20
    assert len(json.dumps(report.__dict__)) < 10_000, "the names alone have half a million characters"


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


# ----------------------------------------------------------------------------------------------- capacity and fairness


def test_live_runs_take_slots() -> None:
    world = world_of(30, max_concurrent_runs=10)
    for number in range(7):
        world.change(f"p{number:05d}", "1", "row")
        world.claim(f"p{number:05d}", f"run-{number}")

    report = world.tick(NOW)

    assert (report.live, report.running, report.started, report.deferred) == (7, 7, 3, 20)
    check_sums(report)


def test_more_live_runs_than_slots_start_nothing_and_break_nothing() -> None:
    world = world_of(8, max_concurrent_runs=2)
    for number in range(5):
        world.change(f"p{number:05d}", "1", "row")
        world.claim(f"p{number:05d}", f"run-{number}")

    report = world.tick(NOW)

    assert (report.live, report.started, report.deferred) == (5, 0, 3)


@pytest.mark.fault(30)
def test_all_of_10_000_light_providers_due_at_once_are_started() -> None:
    world = World(settings={"max_concurrent_runs": 50})
    for number in range(10_000):
        world.provider(f"p{number:05d}", last_success=format_http_date(NOW - timedelta(minutes=15)))

    report = world.tick(NOW)

    assert (report.due, report.started, report.deferred) == (10_000, 10_000, 0)
    check_sums(report)


def light_world(count: int, functions: Callable[[], float], seconds_a_run: int = 4) -> World:
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
    world.faults.plan("executions.running", *[Fault.FAIL_BEFORE] * 3)

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
    assert calls.index("config_api.report") < calls.index("executions.running")


def test_the_slot_of_a_refused_start_goes_to_the_next_provider() -> None:
    world = world_of(3, max_concurrent_runs=1)
    world.config_api.providers["p00000"] = {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17 GMT"}
    for name in ("p00001", "p00002"):
        world.config_api.providers[name] = {"frequency": 15, "last_success": "Sun, 22 Nov 2026 07:00:00 GMT"}
    start = world.executions.start

    def refusing(name: str, execution_input: str) -> bool:
        if name.startswith("p00000"):
            raise StartRefusedError("not this one")
        return start(name, execution_input)

    world.executions.start = refusing  # type: ignore[method-assign]
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
    world = world_of(5)

    def refusing(name: str, execution_input: str) -> bool:
        raise StartRefusedError("AccessDeniedException; check the dispatcher's role")

    world.executions.start = refusing  # type: ignore[method-assign]
    with pytest.raises(StartRefusedError, match="AccessDenied"):
        world.tick(NOW)


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


# ---------------------------------------------------------------------------------------------------------------- fuzz

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
dates = (
    st.sampled_from(["Tue, 08 Nov 2022 15:47:17 GMT", "Sun, 22 Nov 2026 07:29:00 GMT", "Mon, 01 Jan 2035 00:00:00 GMT"])
    | st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    | scalars
)
nearly = st.fixed_dictionaries(
    {},
    optional={
        "frequency": st.integers(-5, 2000) | st.sampled_from(["1", "15", "1e3", "abc"]) | values,
        "last_success": dates,
        "status": st.sampled_from(["running", "succeeded", "failed", "x", None]) | values,
        "paused": st.booleans() | values,
        "group": st.text(max_size=3) | values,
        "note": values,
    },
)
provider_names = st.from_regex(r"[a-z][a-z0-9.-]{0,3}", fullmatch=True) | st.text(max_size=6)
answers = st.dictionaries(provider_names, nearly | values, max_size=6)
GOOD = {"good-1": {"frequency": "15"}, "good-2": {"frequency": 15, "last_success": "Tue, 08 Nov 2022 15:47:17 GMT"}}
SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def plainly_good(name: str, raw: object) -> bool:
    """Whether an entry is valid by the contract, decided without the product's code."""
    if not isinstance(raw, dict) or not name or len(name) > 64 or not set(name) <= SAFE or ".." in name:
        return False
    if not (name[0].isalnum() and name[-1].isalnum()):
        return False
    try:
        frequency = raw["frequency"]
        minutes = float(frequency)
        if isinstance(frequency, bool) or not 1 <= minutes <= 366 * 24 * 60:
            return False
        last = raw.get("last_success")
        if last is not None:
            moment = parsedate_to_datetime(last)
            if format_http_date(moment) != last or moment > NOW + timedelta(minutes=5):
                return False
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    group = raw.get("group")
    return raw.get("status") in (None, "running", "succeeded", "failed") and (
        group is None or (isinstance(group, str) and 1 <= len(group) <= 64)
    )


def fuzzed(body: bytes) -> tuple[World, TickReport | None]:
    world = with_api(World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": 1000}), Reply(body=body))
    try:
        return world, world.tick(NOW)
    except (ConfigApiAnswerError, ConfigApiUnavailableError):
        assert not world.executions.started
        return world, None


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(answers)
def test_for_any_json_of_the_config_api_good_entries_start_and_bad_ones_do_not(
    answer: dict[str, Any],
) -> None:
    world, report = fuzzed(json.dumps({**answer, **GOOD}).encode())
    next_page = isinstance(answer.get("next", ""), str) and answer.get("next")
    if report is None:
        assert next_page, "only a page with a link to another host makes valid JSON an invalid answer"
        return

    assert started(world) >= GOOD.keys()
    assert all(plainly_good(name, answer[name]) for name in started(world) - GOOD.keys())
    check_sums(report)


@settings(max_examples=150)
@given(st.binary(max_size=200) | answers.map(lambda answer: json.dumps(answer).encode()), st.data())
def test_for_any_bytes_of_the_config_api_only_documented_errors_are_raised(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    world, report = fuzzed(body[:cut] + data.draw(st.binary(max_size=3)) + body[cut:])

    assert (report is None) or report.started == len(world.executions.started)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"frequency": NaN}',
        b'{"frequency": -Infinity}',
        b'{"frequency": ' + b"9" * 5000 + b"}",
        b'{"frequency": 15, "frequency": 30}',
        b'{"frequency": 1e999}',
        b'{"frequency": "\\ud800"}',
        b'{"frequency": 15, "status": "\\ud800"}',
    ],
)
def test_unusual_json_values_invalidate_only_their_entry(bad: bytes) -> None:
    world, report = fuzzed(b'{"good-1": {"frequency": 15}, "bad": ' + bad + b', "good-2": {"frequency": 15}}')

    assert report is not None
    assert started(world) == {"good-1", "good-2"}
    assert report.invalid == 1


def test_a_provider_that_appears_twice_is_rejected() -> None:
    world, report = fuzzed(
        b'{"a": {"frequency": 15}, "good": {"frequency": 15}, "a": {"frequency": 60, "paused": true}}'
    )

    assert report is not None
    assert started(world) == {"good"}
    assert report.invalid_providers == ["a: the provider appears more than once in one answer"]
