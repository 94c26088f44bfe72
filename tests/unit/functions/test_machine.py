"""The state machine path by path: ledger, config API and execution after each path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fanout import errors
from fanout.ledger import ProviderState
from tests.faults.cloud import MACHINE, Cloud
from tests.harness.faults import Fault
from tests.harness.world import World

FAULTS = {
    "ledger": errors.LedgerUnavailableError,
    "objects": errors.StorageUnavailableError,
    "config_api": errors.ConfigApiUnavailableError,
}


@pytest.fixture
def world() -> World:
    world = World()
    world.provider("a")
    return world


def run(world: World, name: str = "run1", **given: Any) -> str:
    """Run one execution and return its status."""
    cloud = Cloud(world)
    cloud.start(name, provider="a", **given)
    cloud.finish_all()
    return world.executions.statuses[name]


def last(world: World) -> tuple[str, str]:
    state = world.state("a")
    assert state.lease is None
    assert state.last_run is not None
    return state.last_run.status, state.last_run.engine


def entry_status(world: World) -> object:
    entry = world.config_api.providers["a"]
    return entry["status"] if isinstance(entry, dict) else None


@pytest.mark.parametrize(("size", "engine"), [(0, "none"), (9, "lambda"), (2_000_000, "glue")])
def test_a_run_succeeds_on_every_path_and_releases_its_lease(world: World, size: int, engine: str) -> None:
    if size:
        world.change("a", "1", "x" * size)

    assert run(world) == "SUCCEEDED"

    assert last(world) == ("succeeded", engine)
    assert world.state("a").last_success == world.clock()
    assert entry_status(world) == "succeeded"
    assert len(world.sent) == bool(size)


def test_an_execution_of_a_busy_provider_succeeds_and_changes_nothing(world: World) -> None:
    world.claim("a", "other")
    before = world.state("a")

    assert run(world) == "SUCCEEDED"

    assert world.state("a") == before


@pytest.mark.parametrize("size", [9, 2_000_000])
def test_a_failing_job_is_run_once_and_its_own_error_is_the_reason(world: World, size: int) -> None:
    world.change("a", "1", "ok", "bad" + "x" * size)

    assert run(world) == "FAILED"

    assert last(world) == ("failed", "lambda" if size == 9 else "glue")
    assert world.state("a").last_run.failure.type == "RecordError"  # type: ignore[union-attr]
    assert entry_status(world) == "failed"
    assert world.sent == ["ok"], "a job that failed has sent messages; it is not run again"


@pytest.mark.parametrize("size", [9, 2_000_000])
def test_a_job_that_crashes_is_not_run_again_and_the_next_run_sends_all_rows(world: World, size: int) -> None:
    world.change("a", "1", "first", "x" * size)
    world.faults.plan("queue.send", None, Fault.CRASH_BEFORE)

    assert run(world) == "FAILED"
    assert world.sent == ["first"]
    assert world.state("a").failures == 1

    assert run(world, "run2") == "SUCCEEDED"
    assert len(world.sent) == 3


def test_a_job_that_succeeds_without_a_result_fails_the_run_and_releases_the_lease(world: World) -> None:
    world.change("a", "1", "first", "second")
    world.faults.plan("queue.send", Fault.QUIT)

    assert run(world) == "FAILED"

    assert last(world) == ("failed", "lambda")
    assert world.state("a").last_run.failure.type == "ResultMissingError"  # type: ignore[union-attr]
    assert world.state("a").bookmark.generation == 0


def test_a_claim_that_fails_with_a_lease_releases_it_and_keeps_the_cause(world: World) -> None:
    world.change("a", "1", "r1")
    world.faults.plan("objects.list", *[Fault.FAIL_BEFORE] * 9)

    assert run(world) == "FAILED"

    state = world.state("a")
    assert (state.lease, state.failures) == (None, 1)
    assert state.last_run.failure.type == "StorageUnavailableError"  # type: ignore[union-attr]


def test_a_run_whose_lease_was_taken_over_fails_without_effect_on_the_new_lease(world: World) -> None:
    world.change("a", "1", "r1")
    cloud = Cloud(world)
    cloud.start("run1", provider="a")
    cloud.finish_all(until="Update Status Success")
    world.clock.advance(minutes=121)
    world.claim("a", "run2")
    held = world.state("a")

    cloud.finish_all()

    assert world.executions.statuses["run1"] == "FAILED"
    assert world.state("a") == held


def test_an_invalid_input_fails_with_the_claims_error_and_changes_no_provider(
    world: World,
) -> None:
    assert run(world, replay={"from": "2026-11-22T09:00:00Z", "to": "2026-11-22T08:00:00Z"}) == "FAILED"

    state, data = MACHINE.fail(
        "Claim Partition", {}, "InvalidRequestError", '{"errorType": "InvalidRequestError", "errorMessage": "why"}'
    )
    assert (state, data["claim"]["errorMessage"]) == ("Input Refused", "why")
    assert world.ledger.items == {}


def test_an_error_while_recording_a_failure_is_the_cause_of_the_failed_execution() -> None:
    state, data = MACHINE.fail("Update Status Failed", {"provider": "a"}, "LedgerUnavailableError", "no ledger")

    assert (state, data["status"]) == ("Run Failed", {"Error": "LedgerUnavailableError", "Cause": "no ledger"})


def test_a_stopped_job_run_leads_to_the_failed_state_without_an_error() -> None:
    stopped = {"Id": "jr_1", "JobRunState": "STOPPED"}

    state, data = MACHINE.succeed("Start change_log Glue Job", {"provider": "a"}, stopped)

    assert state == "Update Status Failed"
    assert MACHINE.parameters(state, data, "run1")["Payload"]["result"] == stopped


def handlers(world: World) -> dict[str, Callable[[], Any]]:
    """State -> the call that it makes."""
    claim = world.claim("a", "run1")
    world.job(claim)

    def again() -> None:
        world.ledger.items["a"] = ProviderState(provider="a")
        world.claim("a", "run1")

    return {
        "Claim Partition": again,
        "Update Status Success": lambda: world.succeed(claim),
        "Update Status Failed": lambda: world.fail(claim),
    }


@pytest.mark.parametrize("state", ["Claim Partition", "Update Status Success", "Update Status Failed"])
@pytest.mark.parametrize("port", FAULTS)
def test_a_state_retries_exactly_the_errors_that_its_handler_can_raise(world: World, state: str, port: str) -> None:
    world.change("a", "1", "r1")
    call = handlers(world)[state]
    world.faults.down.add(port)
    ended = None

    try:
        call()
    except errors.FanoutError as error:
        ended = type(error)

    assert ended in (None, FAULTS[port])
    assert bool(MACHINE.retries(state, FAULTS[port].__name__)) is (ended is not None)


def test_a_write_that_always_conflicts_is_retried_in_every_state_that_writes() -> None:
    for state in ("Claim Partition", "Update Status Success", "Update Status Failed"):
        assert MACHINE.retries(state, "LedgerConflictError")
        assert not MACHINE.retries(state, "StartThrottledError")
