"""Recovery from executions that ended unreported, lost events and late runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fanout.errors import LeaseLostError
from fanout.failures import orphaned
from fanout.ledger import ProviderState
from fanout.recovery import CHECKED_AT_ONCE, orphaned_runs
from fanout.runs import Lease
from tests.harness.faults import Fault
from tests.harness.processes import Process
from tests.harness.world import JobFailedError, World, one_provider, started


@pytest.fixture
def world() -> World:
    return one_provider()


@pytest.mark.fault(11)
def test_the_event_of_an_aborted_or_timed_out_execution_releases_the_lease(world: World) -> None:
    name = started(world)

    assert world.endings.end("a", name, orphaned("its execution is ABORTED"))

    assert world.state("a").lease is None
    assert world.config_api.reports[-1][1].error == (
        "OrphanedRun: the run timed out or was aborted: its execution is ABORTED"
    )


@pytest.mark.fault(11)
def test_an_event_delivered_twice_or_late_changes_nothing(world: World) -> None:
    name = started(world)
    world.endings.end("a", name, orphaned("its execution is ABORTED"))
    world.clock.advance(minutes=30)
    world.claim("a", "run2")
    before = world.state("a")

    assert not world.endings.end("a", name, orphaned("its execution is ABORTED"))
    assert world.state("a") == before


@pytest.mark.fault(11)
@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT", "FAILED", "SUCCEEDED"])
def test_when_the_event_is_lost_the_next_tick_finds_that_the_execution_ended(world: World, status: str) -> None:
    name = started(world)
    world.executions.statuses[name] = status
    world.clock.advance(minutes=15)

    report = world.tick()

    assert report.released_leases == 1
    assert world.state("a").last_run is not None
    assert world.state("a").last_run.failure == orphaned(f"its execution is {status}")  # type: ignore[union-attr]


@pytest.mark.guarantee("G4")
@pytest.mark.fault(11)
def test_the_lease_of_an_unknown_execution_expires_and_a_tick_releases_it(world: World) -> None:
    started(world)
    world.faults.plan("executions.running", *[Fault.FAIL_BEFORE] * 20)
    for minutes in (60, 59):
        world.clock.advance(minutes=minutes)
        assert world.tick().released_leases == 0
    world.clock.advance(minutes=1)

    assert world.tick().released_leases == 1
    assert world.state("a").lease is None


def test_a_lease_just_taken_is_not_checked_against_its_execution(world: World) -> None:
    world.claim("a", "by-hand")
    world.clock.advance(minutes=2)

    assert world.tick().released_leases == 0
    assert world.faults.count("executions.running") == world.faults.count("executions.status") == 0


@pytest.mark.fault(16)
def test_a_run_that_finishes_after_its_lease_was_taken_over_commits_nothing_and_its_rows_are_sent_again(
    world: World,
) -> None:
    old = world.claim("a", "old")
    world.clock.advance(minutes=121)
    new = world.claim("a", "new")
    world.job(old)

    with pytest.raises(LeaseLostError, match="held by new"):
        world.succeed(old)
    world.fail(old, "LeaseLostError")
    world.job(new)
    world.succeed(new)

    assert world.state("a").bookmark.generation == 1
    assert world.sent == ["r1", "r2", "r1", "r2"]


@pytest.mark.fault(16)
def test_a_run_that_finishes_after_the_next_one_committed_commits_nothing(world: World) -> None:
    old = world.claim("a", "old")
    world.clock.advance(minutes=121)
    world.run("a", "new")
    before = world.state("a")
    world.job(old)

    with pytest.raises(LeaseLostError, match="held by no run"):
        world.succeed(old)

    assert world.state("a") == before


@pytest.mark.fault(19)
def test_a_job_killed_after_half_of_its_messages_repeats_only_those_with_the_same_ids(world: World) -> None:
    world.change("a", "0", "first")
    world.run("a", "run0")
    world.clock.advance(minutes=15)
    world.change("a", "2", "r3", "r4")
    claim = world.claim("a", "run1")
    with pytest.raises(JobFailedError):
        world.job(claim, stop_after=1)
    world.fail(claim)

    world.clock.advance(minutes=15)
    world.run("a", "run2")

    assert sorted(world.sent) == ["first", "r1", "r2", "r3", "r3", "r4"]


@pytest.mark.fault(19)
def test_a_run_killed_before_its_commit_is_repeated_with_the_same_ids(world: World) -> None:
    name = started(world)
    world.job(world.claim("a", name))
    world.executions.statuses[name] = "ABORTED"
    world.clock.advance(minutes=15)
    world.tick()
    world.run_all()

    assert world.sent == ["r1", "r2"] * 2
    assert world.state("a").bookmark.generation == 1


def test_a_lease_that_a_late_claim_took_for_an_ended_execution_is_released_by_a_tick(world: World) -> None:
    # Given a claim that is paused just before it takes the lease, while its execution is aborted
    world.tick()
    name = next(iter(world.executions.started))
    zombie = Process(lambda: world.claim("a", name))
    zombie.resume()
    assert zombie.at == "ledger.put"
    world.executions.statuses[name] = "ABORTED"
    world.endings.end("a", name, orphaned("its execution is ABORTED"))

    # When it continues
    zombie.finish()

    # Then a run that has ended holds the lease, until the next tick
    assert world.state("a").lease is not None
    world.clock.advance(minutes=15)
    assert world.tick().released_leases == 1


def holding(world: World, provider: str, run_id: str) -> None:
    """A provider whose lease was taken just now."""
    now = world.clock()
    lease = Lease(
        run_id=run_id,
        claimed_at=now,
        expires_at=now + timedelta(days=1),
        run_dir=f"s3://data/{run_id}/",
        execution_arn=f"arn:{run_id}",
    )
    world.ledger.items[provider] = ProviderState(provider=provider, version=1, lease=lease)


@pytest.mark.fault(32)
def test_an_orphaned_run_among_5000_live_runs_is_found_by_one_list_and_one_status_request() -> None:
    world = World(settings={"max_concurrent_runs": 10_000})
    for n in range(5_000):
        holding(world, f"p{n:04}", f"run{n}")
        world.executions.statuses[f"run{n}"] = "ABORTED" if n == 4_999 else "RUNNING"
    world.clock.advance(minutes=15)

    report = world.tick()

    assert (report.released_leases, report.live) == (1, 4_999)
    assert world.state("p4999").lease is None
    assert world.faults.count("executions.running") == world.faults.count("executions.status") == 1


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE"])
def test_a_live_run_that_is_missing_in_the_list_keeps_its_lease(world: World, status: str) -> None:
    name = started(world)
    world.executions.statuses[name] = status
    world.executions.running = set  # type: ignore[method-assign]
    world.clock.advance(minutes=15)

    assert world.tick().released_leases == 0
    assert world.state("a").lease is not None


def test_no_lease_is_released_while_step_functions_is_down_and_a_tick_makes_one_call() -> None:
    world = World()
    for n in range(10):
        world.claim(f"p{n}", f"run{n}")
    world.clock.advance(minutes=15)
    world.faults.down.add("executions")

    report = world.tick()

    assert (report.released_leases, report.live) == (0, 10)
    assert world.faults.count("executions.running") == 1
    assert any("next tick" in fault for fault in report.faults)


def test_a_released_lease_is_reported_only_after_runs_were_started(world: World) -> None:
    world.provider("b")
    world.claim("a", "gone")
    world.clock.advance(minutes=121)
    before = len(world.faults.calls)

    report = world.tick()

    assert (report.released_leases, report.started, report.pushed_reports) == (1, 2, 1)
    calls = world.faults.calls[before:]
    assert calls.index("config_api.report") > max(i for i, call in enumerate(calls) if call == "executions.start")


class EmptyList:
    """A list of running executions that lacks all of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def running(self) -> set[str]:
        return set()

    def status(self, execution_arn: str) -> str | None:
        self.asked.append(execution_arn)
        return "RUNNING"


def test_at_most_100_executions_missing_in_the_list_are_checked_per_tick() -> None:
    now = World().clock()
    long_ago, executions = now - timedelta(minutes=60), EmptyList()
    leases = {
        f"p{number}": Lease(
            run_id=f"run{number}",
            claimed_at=long_ago,
            expires_at=now + timedelta(minutes=60),
            run_dir=f"s3://data/runs/provider=p{number}/run{number}/",
            execution_arn=f"arn:{number}",
        )
        for number in range(CHECKED_AT_ONCE + 50)
    }

    assert orphaned_runs(leases, executions, now, print) == {}
    assert len(executions.asked) == CHECKED_AT_ONCE == 100


def test_an_expired_lease_is_the_reason_and_needs_no_look_at_its_execution(world: World) -> None:
    name = started(world)
    world.executions.statuses[name] = "ABORTED"
    lease = world.state("a").lease
    assert lease is not None

    orphans = orphaned_runs({"a": lease}, world.executions, lease.expires_at, world.log.append)

    assert orphans == {"a": "its lease expired"}
    assert world.faults.count("executions.running") == 0
