"""The rules of the run ledger, as functions of its state: lease, plan, commit, bookmark and update."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contract.manifest import Manifest
from fanout import ledger
from fanout.errors import LeaseLostError, LedgerConflictError, LedgerUnavailableError
from fanout.ledger import Bookmark, PartitionBusyError, ProviderState
from fanout.runs import Plan, Report
from tests.harness.faults import Fault
from tests.harness.ledger_states import BACKOFF, BOOM, HOUR, NOW, claimed, commit, lease, manifest, plan
from tests.harness.world import World


class TestLease:
    def test_a_free_provider_is_claimed(self) -> None:
        assert claimed().lease == lease()

    def test_a_provider_with_a_live_lease_is_busy_for_another_run(self) -> None:
        with pytest.raises(PartitionBusyError, match="r1"):
            claimed("r2", claimed())

    def test_a_repeated_claim_gets_its_lease_unchanged(self) -> None:
        held = claimed()

        again = ledger.claim(held, lease(at=NOW + HOUR), NOW + HOUR, BACKOFF)

        assert again is held

    def test_a_run_renews_its_own_lease_after_it_expired_untouched_and_keeps_its_run_dir(self) -> None:
        late = NOW + 3 * HOUR

        again = ledger.claim(claimed(), lease(at=late), late, BACKOFF)

        assert again.lease == lease().model_copy(update={"expires_at": late + 2 * HOUR})
        assert again.failures == 0

    def test_an_expired_lease_is_taken_over_and_counts_as_a_failure_of_the_run_that_held_it(self) -> None:
        late = NOW + 2 * HOUR

        taken = ledger.claim(claimed(), lease("r2", late), late, BACKOFF)

        assert taken.lease is not None
        assert taken.lease.run_id == "r2"
        assert taken.failures == 1
        assert taken.last_run is not None
        assert (taken.last_run.run_id, taken.last_run.status) == ("r1", "failed")

    def test_a_lease_is_live_until_exactly_its_expiry(self) -> None:
        held = lease()

        assert ledger.is_live(held, held.expires_at - timedelta(microseconds=1))
        assert not ledger.is_live(held, held.expires_at)

    def test_a_claim_discards_the_pending_report_but_a_replay_keeps_it(self) -> None:
        owing = ProviderState(provider="a", pending_report=Report(run_id="r0", status="succeeded"))

        assert claimed(state=owing).pending_report is None
        assert claimed(state=owing, replay=True).pending_report == owing.pending_report

    def test_a_turn_is_never_later_than_its_claim(self) -> None:
        assert lease(scheduled_at=NOW - HOUR).turn == NOW - HOUR
        assert lease(scheduled_at=NOW + 1000 * HOUR).turn == NOW
        assert lease().turn == NOW


class TestPlan:
    def test_a_plan_is_written_into_its_lease_once(self) -> None:
        held = claimed(plan=None)
        assert held.lease is not None

        first = ledger.plan(held, held.lease, plan())

        assert first.lease is not None
        assert first.lease.plan == plan()
        assert ledger.plan(first, first.lease, Plan(generation=0, engine="glue", reason="many bytes")) is first

    def test_a_run_that_lost_its_lease_during_planning_is_rejected(self) -> None:
        held = lease(plan=None)

        for state in (claimed("r2"), ProviderState(provider="a")):
            with pytest.raises(LeaseLostError, match="while it was planned"):
                ledger.plan(state, held, plan())

    def test_a_claim_sets_the_last_turn_even_if_the_run_fails(self) -> None:
        tick = NOW - timedelta(minutes=3)

        failed = ledger.fail(claimed(scheduled_at=tick), "r1", BOOM, NOW, BACKOFF)

        assert failed.last_claim == tick


class TestCommit:
    def test_a_commit_changes_bookmark_status_and_lease_together(self) -> None:
        after = commit(claimed(), manifest(NOW - HOUR))

        assert after.lease is None
        assert after.bookmark.generation == 1
        assert after.bookmark.watermark == NOW - HOUR
        assert after.bookmark.since == NOW - 2 * HOUR
        assert after.last_success == NOW
        assert after.pending_report == Report(run_id="r1", status="succeeded", last_success=NOW)

    def test_a_repeated_commit_changes_nothing(self) -> None:
        held = claimed()
        after = commit(held, manifest(NOW))

        assert commit(after, manifest(NOW), held.lease) is after

    @pytest.mark.fault(15)
    def test_a_repeated_commit_is_recognized_even_after_another_run_ended(self) -> None:
        held = claimed()
        second = commit(claimed("r2", commit(held, manifest(NOW))))

        assert commit(second, manifest(NOW), held.lease) is second

    def test_the_commit_of_a_run_whose_lease_was_taken_over_is_refused(self) -> None:
        held = claimed()
        taken = ledger.claim(held, lease("r2", NOW + 3 * HOUR), NOW + 3 * HOUR, BACKOFF)

        with pytest.raises(LeaseLostError, match="held by r2"):
            commit(taken, manifest(NOW), held.lease)

    def test_the_commit_of_a_run_that_already_failed_is_rejected(self) -> None:
        held = claimed()
        ended = ledger.fail(held, "r1", BOOM, NOW, BACKOFF)

        with pytest.raises(LeaseLostError, match="held by no run"):
            commit(ended, manifest(NOW), held.lease)

    def test_the_commit_of_a_run_planned_before_the_bookmark_was_set_is_refused(self) -> None:
        with pytest.raises(LeaseLostError):
            commit(ledger.set_bookmark(claimed(), None), manifest(NOW))

    def test_a_commit_checked_under_an_earlier_lease_of_the_same_run_is_rejected(self) -> None:
        old = claimed()
        again = claimed("r1", ledger.fail(old, "r1", BOOM, NOW, BACKOFF), run_dir="s3://data/r1-again/")

        with pytest.raises(LeaseLostError):
            commit(again, manifest(NOW), old.lease)

    def test_the_commit_of_a_run_that_was_never_planned_is_refused(self) -> None:
        with pytest.raises(LeaseLostError):
            commit(claimed(plan=None))

    def test_a_run_whose_lease_expired_untouched_may_still_commit(self) -> None:
        assert commit(claimed(), manifest(NOW), ended_at=NOW + 9 * HOUR).lease is None

    def test_last_success_is_the_tick_and_stays_while_a_backlog_remains(self) -> None:
        tick = NOW - timedelta(minutes=2)

        assert commit(claimed(scheduled_at=tick)).last_success == tick
        assert commit(claimed(scheduled_at=tick), backlog=1).last_success is None

    def test_last_success_never_moves_back_even_for_a_run_with_an_old_tick(self) -> None:
        before = ProviderState(provider="a", last_success=NOW - HOUR)

        after = commit(claimed(state=before, scheduled_at=NOW - 9 * HOUR))

        assert after.last_success == NOW - HOUR
        assert after.pending_report == Report(run_id="r1", status="succeeded", last_success=NOW - HOUR)

    def test_a_success_ends_backoff(self) -> None:
        failed = ledger.fail(claimed(), "r1", BOOM, NOW, BACKOFF)

        after = commit(claimed("r2", failed))

        assert (after.failures, after.retry_at) == (0, None)

    def test_the_commit_of_a_replay_only_releases_the_lease(self) -> None:
        before = ProviderState(provider="a", failures=2, retry_at=NOW, bookmark=Bookmark(generation=4, since=NOW))

        after = commit(claimed(state=before, replay=True), manifest(NOW))

        assert after.untracked_at == after.last_run.ended_at  # type: ignore[union-attr]
        assert after.unrecorded
        unchanged = {"last_run": None, "unrecorded": False, "last_claim": None, "untracked_at": None}
        assert after.model_copy(update=unchanged) == before


class TestBookmark:
    def test_since_never_moves_back(self) -> None:
        bookmark = Bookmark(since=NOW, watermark=NOW + HOUR)

        after = bookmark.after(manifest(NOW), lease(run_dir="s3://d/"), 5 * HOUR)

        assert (after.since, after.watermark) == (NOW, NOW + HOUR)

    def test_since_stays_before_the_time_of_planning_because_a_listing_may_miss_new_objects(
        self,
    ) -> None:
        after = Bookmark().after(manifest(NOW + HOUR, planned=NOW), lease(run_dir="s3://d/"), timedelta(0))

        assert after.since == NOW

    def test_only_runs_within_the_window_stay_in_the_bookmark(self) -> None:
        old = Bookmark().after(manifest(NOW), lease(run_dir="s3://old/"), HOUR)
        new = old.after(manifest(NOW + 3 * HOUR), lease(run_dir="s3://new/"), HOUR)

        assert [run.run_dir for run in old.recent] == ["s3://old/"]
        assert [run.run_dir for run in new.recent] == ["s3://new/"]

    def test_a_manifest_that_includes_earlier_manifests_replaces_them(self) -> None:
        carried = manifest(NOW).objects
        bookmark = (
            Bookmark()
            .after(manifest(NOW), lease(run_dir="s3://1/"), HOUR)
            .after(manifest(NOW), lease(run_dir="s3://2/"), HOUR)
        )

        after = bookmark.after(manifest(NOW - HOUR / 2, carried=carried), lease(run_dir="s3://3/"), HOUR)

        assert [(run.run_dir, run.newest) for run in after.recent] == [("s3://3/", NOW)]

    @pytest.mark.parametrize("planned", [None, manifest()], ids=["no manifest", "an empty one"])
    def test_a_run_without_objects_increments_only_the_generation(self, planned: Manifest | None) -> None:
        bookmark = Bookmark(since=NOW, watermark=NOW)

        assert bookmark.after(planned, lease(run_dir="s3://d/"), HOUR) == Bookmark(
            generation=1, since=NOW, watermark=NOW
        )

    def test_before_the_first_report_no_success_was_reported(self) -> None:
        assert ProviderState(provider="a").last_reported_success is False

    def test_setting_it_gives_an_exact_start_and_resetting_it_makes_all_objects_new(self) -> None:
        state = ProviderState(provider="a", bookmark=Bookmark(generation=3, since=NOW, watermark=NOW))

        assert ledger.set_bookmark(state, NOW - HOUR).bookmark == Bookmark(generation=4, since=NOW - HOUR)
        assert ledger.set_bookmark(state, None).bookmark == Bookmark(generation=4)


class TestUpdate:
    def test_a_rule_decides_again_after_a_concurrent_write(self) -> None:
        world = World()
        seen: list[int] = []

        def rule(state: ProviderState) -> ProviderState:
            if not seen:
                world.ledger.put(state.model_copy(update={"failures": 7}))
            seen.append(state.failures)
            return state.model_copy(update={"failures": state.failures + 1})

        assert ledger.update(world.ledger, "a", rule).failures == 8
        assert seen == [0, 7]

    def test_a_write_that_always_conflicts_raises_a_transient_error(self) -> None:
        world = World()

        def always_late(state: ProviderState) -> ProviderState:
            world.ledger.put(state.model_copy(update={"failures": state.failures + 1}))
            return state.model_copy(update={"failures": 0})

        with pytest.raises(LedgerConflictError):
            ledger.update(world.ledger, "a", always_late)
        assert world.faults.count("ledger.get") == ledger.TRIES

    def test_a_state_that_was_just_read_is_read_again_only_after_a_conflict(self) -> None:
        world = World()
        read = world.ledger.get("a")
        world.faults.calls.clear()

        assert ledger.update(world.ledger, "a", lambda s: s.model_copy(update={"failures": 1}), read=read).version == 1
        assert world.faults.count("ledger.get") == 0
        # By now, the state that was read is old.
        assert ledger.update(world.ledger, "a", lambda s: s.model_copy(update={"failures": 2}), read=read).version == 2
        assert world.faults.count("ledger.get") == 1

    def test_a_rule_that_changes_nothing_writes_nothing(self) -> None:
        world = World()

        ledger.update(world.ledger, "a", lambda state: state)

        assert world.faults.count("ledger.put") == 0

    def test_a_write_whose_answer_was_lost_is_not_repeated(self) -> None:
        world = World()
        world.faults.plan("ledger.put", Fault.EXECUTE_THEN_FAIL)

        def rule(state: ProviderState) -> ProviderState:
            return ledger.claim(state, lease(), NOW, BACKOFF)

        with pytest.raises(LedgerUnavailableError):
            ledger.update(world.ledger, "a", rule)
        ledger.update(world.ledger, "a", rule)

        assert world.state("a").version == 1
