"""Figures and times of a run and a tick, asserted as numbers, and the paths on which they could be counted twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fanout.endings import Ending
from fanout.errors import StartRefusedError
from fanout.pending import ObjectEvents, Pending
from fanout.recovery import GIVE_UP_AFTER, REPEATED_AT_ONCE, orphaned_runs
from fanout.runs import Lease
from fanout.settings import ChangeLogSettings
from fanout.starts import HOPELESS
from tests.harness.dispatch import NOW, check_sums, refuse_starts, world_of
from tests.harness.faults import Fault
from tests.harness.world import CHANGE_LOG, World, result_of
from tests.unit.functions.test_pending import message


@pytest.mark.parametrize(
    ("worker", "dollars"), [("G.1X", 0.102666667), ("G.2X", 0.205333333), ("G.4X", 0.410666667), ("G.8X", 0.821333333)]
)
def test_a_glue_run_costs_its_seconds_times_workers_times_the_dpus_of_their_type(worker: str, dollars: float) -> None:
    world = World(settings={"glue_worker_type": worker, "lambda_max_bytes": 0})
    world.change("a", "1", "r1")
    claim = world.claim("a", "run1")
    world.leave(claim, result_of(claim, objects=1, rows=1, messages=1, seconds=600.0, workers=2))

    world.succeed(claim)

    record = world.state("a").last_run
    assert record is not None
    assert (record.engine, record.dollars) == ("glue", dollars), "10 minutes of 2 workers at $0.308 a DPU-hour"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_every_figure_of_a_result_is_in_the_record(outcome: str) -> None:
    world = World(settings={"lambda_max_bytes": 0})
    world.change("a", "1", "r1")
    claim = world.claim("a", "run1")
    figures: dict[str, Any] = {
        "objects": 1,
        "bytes": 2,
        "rows": 3,
        "messages": 4,
        "quarantined": 5,
        "seconds": 6.5,
        "workers": 7,
        "engine": "glue",
    }
    world.leave(claim, result_of(claim, **figures))

    world.succeed(claim) if outcome == "succeeded" else world.fail(claim)

    record = world.state("a").last_run
    assert record is not None
    assert {name: getattr(record, name) for name in figures} == figures


def test_a_success_that_is_repeated_after_another_run_returns_no_record_to_count_again() -> None:
    world = World()
    world.change("a", "1", "r1")
    first = world.run("a", "run1")

    def repeated() -> Any:
        return world.endings.succeed(Ending(outcome="succeeded", provider="a", run_id=first.run_id))

    assert repeated().run_id == "run1"
    world.change("a", "2", "r2")
    world.run("a", "run2")
    assert repeated() is None


def test_objects_that_arrive_during_a_run_are_pending_since_its_claim() -> None:
    world = World(settings={"discovery": "events"})
    world.change("a", "1", "r1")
    world.tell("a")
    world.clock.advance(minutes=5)
    claimed_at = world.clock()
    claim = world.claim("a", "run1")
    world.clock.advance(minutes=1)
    world.tell("a")
    world.job(claim)
    world.clock.advance(minutes=1)

    world.succeed(claim)

    assert world.pending.items["a"] == Pending(pending_count=2, since=claimed_at)


def test_a_repeated_tick_that_finds_its_executions_does_not_fail_because_one_start_is_refused() -> None:
    world = world_of(2)
    world.tick(NOW)
    for name in world.executions.statuses:
        world.executions.statuses[name] = "SUCCEEDED"
    world.provider("z")
    refuse_starts(world, "z-", "refused")
    report = world.tick(NOW)

    assert (report.already_started, report.started, report.failed_starts) == (2, 0, 1)
    check_sums(report)


def test_a_tick_whose_starts_are_all_refused_ends_without_waiting_for_slots() -> None:
    world = world_of(HOPELESS + 10, max_concurrent_runs=HOPELESS)

    def refusing(name: str, execution_input: str) -> bool:
        raise StartRefusedError("AccessDeniedException")

    world.executions.start = refusing  # type: ignore[method-assign]
    with pytest.raises(StartRefusedError):
        world.tick(NOW)

    assert world.slept == 0


def lease(run_id: str, age: timedelta, execution_arn: str | None) -> Lease:
    return Lease(
        run_id=run_id,
        claimed_at=NOW - age,
        expires_at=NOW + timedelta(hours=1),
        run_dir="s3://data/runs/r/",
        execution_arn=execution_arn,
    )


def test_a_lease_without_an_execution_is_never_looked_up() -> None:
    world = World()

    assert orphaned_runs({"a": lease("r", timedelta(hours=1), None)}, world.executions, NOW, world.log.append) == {}
    assert world.faults.calls == []


def test_a_run_that_another_function_ended_is_not_counted_as_released() -> None:
    world = World()
    world.provider("a")
    world.change("a", "1", "r1")
    claim = world.claim("a", "run1")
    leases = {"a": world.state("a").lease}
    world.executions.statuses["run1"] = "ABORTED"
    world.fail(claim)
    world.clock.advance(minutes=10)

    assert world.dispatcher.recovery.end_orphaned(leases, world.clock(), world.log.append) == set()  # type: ignore[arg-type]


def test_a_lease_that_could_not_be_released_is_a_fault_of_the_tick() -> None:
    world = World()
    for name in ("a", "b"):
        world.provider(name)
        world.change(name, "1", "r1")
        world.claim(name, f"{name}-run")
        world.executions.statuses[f"{name}-run"] = "ABORTED"
    world.clock.advance(minutes=10)
    world.faults.plan("ledger.get", Fault.FAIL_BEFORE)

    report = world.tick()

    assert (report.released_leases, report.live) == (1, 1)
    (fault,) = report.faults
    assert fault.startswith("a: ledger.get")


def stale(world: World, count: int) -> list[str]:
    """Providers whose last run succeeded, and that the config API shows as failed."""
    names = [f"p{number:03d}" for number in range(count)]
    for name in names:
        world.change(name, "1", "r1")
        world.run(name, f"{name}-run")
        world.provider(name, status="failed")
    return names


def test_at_most_a_hundred_wrong_entries_are_corrected_in_one_tick() -> None:
    world = World()
    names = stale(world, REPEATED_AT_ONCE + 5)
    before = len(world.config_api.reports)

    pushed = world.dispatcher.recovery.push_pending(names, NOW, lambda: 300.0, world.log.append)

    assert pushed == REPEATED_AT_ONCE == len(world.config_api.reports) - before == 100


def test_after_three_failed_reports_in_several_batches_no_further_batch_is_sent() -> None:
    world = World()
    names = stale(world, 60)
    world.faults.calls.clear()
    fails = Fault.FAIL_BEFORE
    world.faults.plan("config_api.report", *[None] * 3, fails, fails, *[None] * 14, fails, *[None] * 40)

    pushed = world.dispatcher.recovery.push_pending(names, NOW, lambda: 300.0, world.log.append)

    assert GIVE_UP_AFTER == 3
    assert (pushed, world.faults.count("config_api.report")) == (3 + 14 + 15, 3 + 16 + 16)


def test_events_that_could_not_be_counted_are_logged_with_their_provider() -> None:
    world = World()
    said: list[str] = []
    settings = ChangeLogSettings.model_construct(change_log_dir=CHANGE_LOG, ignore_pattern="")
    world.faults.plan("pending.add", Fault.FAIL_BEFORE)

    again, counts = ObjectEvents(world.pending, settings, world.clock, said.append).count(
        {"1": message("log/provider=a/1"), "2": message("log/provider=b/1")}
    )

    assert (again, counts) == ({"1"}, {"counted": 1})
    assert len(said) == 1
    assert said[0].startswith("a: its object events will be redelivered: pending.add")
