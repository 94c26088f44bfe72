"""Each safeguard is needed: without it, random histories find a loss, a second run or a false report."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from contract.result import JobResult
from fanout import endings, health, ledger, recovery, schedule
from fanout.claims import Claim, Claims
from fanout.endings import Ending, Endings
from fanout.ledger import Bookmark
from fanout.runs import Lease, Report
from tests.faults.cloud import SUCCESS
from tests.faults.histories import GOOD, Histories
from tests.faults.running import run
from tests.harness.faults import Fault
from tests.harness.world import World, result_of

BOUND = 1500
"""Number of histories that must find a broken safeguard. The seeds are fixed, so each test is reproducible."""


class BeforeCommits(Histories):
    """Begins with a run that has sent all and has not committed yet, so that any seed finds a fault soon."""

    def sabotage(self) -> None:
        self.write(GOOD[0], "first", 2)
        self.event(0, 1, None)
        self.tick(0, 0)
        self.cloud.finish_all(until=SUCCESS)


def assert_found(histories: type[Histories], what: str) -> None:
    """Assert that some history fails with this message. A search ends with the first failure, which may be another."""
    found = []
    for seed in range(1, 6):
        with pytest.raises(AssertionError) as told:
            run(histories, BOUND, seed=seed, shrink=False)
        found.append(str(told.value))
        if re.search(what, found[-1]):
            return
    pytest.fail(f"not {what}, but {found}")


@pytest.fixture
def break_down(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, Any], None]:
    """Break a safeguard. Only here a patch is right, because the code itself must be wrong."""
    return monkeypatch.setattr


@pytest.mark.guarantee("G2")
def test_without_the_fence_a_run_commits_under_the_lease_of_another(break_down: Any) -> None:
    def same_generation(state: Any, lease: Lease) -> bool:
        return state.lease is not None and lease.plan is not None and state.bookmark.generation == lease.plan.generation

    class FromZombies(BeforeCommits):
        """Begins with runs that have sent all, while their leases expire."""

        def sabotage(self) -> None:
            super().sabotage()
            self.wait(125)

    run(FromZombies, 50, seed=1, shrink=False)
    break_down(ledger, "holds", same_generation)
    assert_found(FromZombies, "I2: .* committed under the lease of")


def test_without_the_generation_a_plan_made_before_a_bookmark_was_set_moves_it(break_down: Any) -> None:
    def same_run(state: Any, lease: Lease) -> bool:
        return state.lease is not None and state.lease.run_dir == lease.run_dir

    class SetBack(BeforeCommits):
        """The operator has also set the bookmark in the meantime."""

        def sabotage(self) -> None:
            super().sabotage()
            self.set_bookmark(GOOD[0], None)

    run(SetBack, 50, seed=1, shrink=False)
    break_down(ledger, "holds", same_run)
    assert_found(SetBack, "I1: .* again, as its bookmark was set to")


@pytest.mark.guarantee("G2")
def test_without_the_condition_of_the_lease_a_second_run_takes_a_live_one(break_down: Any) -> None:
    break_down(ledger, "is_live", lambda lease, now: False)
    assert_found(Histories, "I2: .* took the live lease of")


@pytest.mark.guarantee("G2")
def test_without_the_condition_of_the_write_a_second_run_takes_a_live_lease(break_down: Any) -> None:
    class Unconditional(Histories):
        def sabotage(self) -> None:
            self.world.ledger.check = lambda stored, state: None  # type: ignore[method-assign]

    assert_found(Unconditional, "I2")


def test_a_status_that_is_reported_before_the_commit_is_detected(break_down: Any) -> None:
    succeed = Endings.succeed

    def report_first(self: Endings, ending: Ending) -> Any:
        self.reporter.report(ending.provider, Report(run_id=ending.run_id, status="succeeded"))
        return succeed(self, ending)

    break_down(Endings, "succeed", report_first)
    assert_found(Histories, "I3: .* was reported before its commit")


@pytest.mark.guarantee("G1")
def test_without_proof_the_bookmark_passes_rows_that_were_never_acknowledged(break_down: Any) -> None:
    def believe(result: JobResult | None, run_id: str, manifest: Any) -> JobResult:
        return result or result_of(Claim("lambda", "", provider="", run_id=run_id))

    break_down(endings, "proven", believe)
    assert_found(Histories, "I3: committed .* before")


@pytest.mark.guarantee("G1")
def test_without_the_lookback_late_objects_are_lost(break_down: Any) -> None:
    class NoLookback(Histories):
        def sabotage(self) -> None:
            self.world.configure(lookback_minutes=0)

    assert_found(NoLookback, "I1|I3: the bookmark passed")


@pytest.mark.guarantee("G3")
def test_without_the_recent_manifests_objects_take_effect_twice(break_down: Any) -> None:
    after = Bookmark.after

    def forget(self: Bookmark, *args: Any) -> Bookmark:
        return after(self, *args).model_copy(update={"recent": ()})

    break_down(Bookmark, "after", forget)
    assert_found(Histories, "I2: .* took effect twice")


def test_without_the_count_that_the_claim_remembered_unseen_objects_stop_being_pending(
    break_down: Any,
) -> None:
    class PendingMeanwhile(BeforeCommits):
        def sabotage(self) -> None:
            super().sabotage()
            self.write(GOOD[0], "second", 1)
            self.event(0, 1, None)

    class ClearsAll(PendingMeanwhile):
        def sabotage(self) -> None:
            self.world.pending.same = lambda stored, pending_count: True  # type: ignore[method-assign]
            super().sabotage()

    run(PendingMeanwhile, 50, seed=1, shrink=False)
    assert_found(ClearsAll, "I1: the pending objects of .* were cleared before their commit")


def test_without_the_count_in_the_manifest_a_repeated_claim_clears_pending_objects_outside_its_manifest(
    break_down: Any,
) -> None:
    plan = Claims._plan

    def forgetful(self: Claims, state: Any, lease: Lease, request: Any, pending: Any) -> Any:
        """Remembers the count of the repeated claim instead of that of the manifest."""
        update = {"pending_count": self.pending.of(state.provider).pending_count}
        return plan(self, state, lease, request, pending).model_copy(update=update)

    class Repeated(Histories):
        """Begins with a claim that is repeated after it wrote its manifest, and an object that was added in between."""

        def sabotage(self) -> None:
            self.write(GOOD[0], "first", 2)
            self.event(0, 1, None)
            self.tick(0, 0)
            self.cloud.loose[-1].finish()
            self.cloud.begin()
            claim = next(e.process for e in self.cloud.running if e.provider == GOOD[0] and e.process)
            self.cloud.go_on(claim.finish(until="objects.create"), 2, Fault.CRASH_BEFORE)
            self.write(GOOD[0], "second", 1)
            self.event(0, 1, None)
            self.calm = False

    run(Repeated, 50, seed=1, shrink=False)
    break_down(Claims, "_plan", forgetful)
    assert_found(Repeated, "I1: the pending objects of .* were cleared before their commit")


def test_without_the_sweep_objects_whose_event_was_lost_are_never_sent(break_down: Any) -> None:
    break_down(health, "sweep_time", lambda provider, tick, sweep: tick - timedelta(days=9999))
    assert_found(Histories, "I1, I5: .* has not got")


def test_without_the_check_of_failed_entries_a_late_report_is_never_corrected(break_down: Any) -> None:
    class LateReports(BeforeCommits):
        """Begins with a tick that is about to report a failed run, while the next run is about to commit."""

        def sabotage(self) -> None:
            super().sabotage()
            self.calm = False
            self.world.faults.down = {"config_api"}
            for execution in list(self.cloud.running):
                self.cloud.give_up(execution, retry=False)
            self.cloud.finish_all()
            self.world.faults.down = set()
            self.tick(15, 0)
            tick = self.cloud.loose.pop()
            tick.finish(until="config_api.report")
            self.cloud.finish_all(until=SUCCESS)
            self.cloud.loose.append(tick)

    run(LateReports, 50, seed=1, shrink=False)
    break_down(ledger, "repeat_report", lambda state: state)
    assert_found(LateReports, "I4: .* succeeded and is called failed")


def test_without_slots_more_heavy_runs_start_than_there_are_slots(break_down: Any) -> None:
    def most_at_once() -> int:
        world = World(settings={"max_concurrent_runs": 2, "lambda_max_bytes": 0})
        for name in "abcdef":
            world.provider(name)
        world.tick()
        return len(world.executions.started)

    assert most_at_once() == 2
    break_down(schedule.Slots, "free", property(lambda self: 99))
    assert most_at_once() == 6


@pytest.mark.guarantee("G4")
def test_without_expiry_a_provider_keeps_its_lease_forever(break_down: Any) -> None:
    def immortal(lease: Lease, now: Any) -> bool:
        return True

    class LostExecutions(Histories):
        """Step Functions reports every execution as running, so that only expiry can release a lease."""

        def sabotage(self) -> None:
            self.world.executions.status = lambda execution_arn: "RUNNING"  # type: ignore[method-assign]
            self.world.executions.running = set  # type: ignore[method-assign]

    run(LostExecutions, 50, seed=1, shrink=False)
    break_down(ledger, "is_live", immortal)
    break_down(recovery, "is_live", immortal)
    assert_found(LostExecutions, "I4")
