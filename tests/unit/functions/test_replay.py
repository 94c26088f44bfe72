"""Replay, backfill and audit: sending a range again, and finding objects that no run will take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contract.times import format_iso
from fanout import ledger
from fanout.errors import ReplayTooLargeError
from tests.harness.faults import Fault
from tests.harness.world import World


@pytest.fixture
def world() -> World:
    """Five objects, an hour apart, all processed."""
    world = World()
    world.provider("a")
    for n in range(5):
        world.change("a", f"{n}", f"r{n}")
        world.run("a", f"run{n}")
        world.clock.advance(hours=1)
    return world


def hours(world: World, start: float, end: float) -> dict[str, str]:
    """A range by hours before now."""
    now = world.clock()
    return {"from": format_iso(now - timedelta(hours=start)), "to": format_iso(now - timedelta(hours=end))}


def test_a_replay_sends_its_range_again_with_the_same_ids_and_keeps_the_bookmark(world: World) -> None:
    before = world.state("a")

    world.run("a", "replay", replay=hours(world, 4, 2))

    after = world.state("a")
    assert world.sent == ["r0", "r1", "r2", "r3", "r4", "r1", "r2", "r3"]
    assert (after.bookmark, after.last_success, after.pending_report) == (before.bookmark, before.last_success, None)


def test_a_replay_repeated_after_a_lost_answer_has_the_same_manifest(world: World) -> None:
    first = world.claim("a", "replay", replay=hours(world, 4, 0))
    world.change("a", "new", "new")

    assert world.claim("a", "replay", replay=hours(world, 4, 0)) == first


def test_a_replay_that_is_too_large_for_one_run_fails_and_says_how_to_split_it(world: World) -> None:
    world.configure(max_objects=2)

    with pytest.raises(ReplayTooLargeError, match="the first up to 2026-11-22T08:30:00Z"):
        world.claim("a", "replay", replay=hours(world, 9, 0))
    world.fail_without_claim("a", "replay", "ReplayTooLargeError")

    state = world.state("a")
    assert (state.lease, state.failures, state.retry_at) == (None, 0, None)


def test_a_replay_and_a_run_exclude_each_other(world: World) -> None:
    world.claim("a", "replay", replay=hours(world, 9, 0))

    assert world.claim("a", "run").decision == "busy"


def test_a_replay_is_not_reported_and_keeps_the_pending_report(world: World) -> None:
    world.faults.down.add("config_api")
    world.run("a", "run5")
    world.faults.down.clear()
    told = len(world.config_api.reports)

    world.run("a", "replay", replay=hours(world, 9, 0))

    assert len(world.config_api.reports) - told == 1
    assert world.config_api.reports[-1][1].run_id == "run5"


def test_a_replay_without_objects_in_its_range_succeeds(world: World) -> None:
    assert world.run("a", "replay", replay=hours(world, 90, 80)).decision == "nothing"
    assert world.state("a").lease is None


def test_the_answer_to_a_replays_commit_may_be_lost(world: World) -> None:
    claim = world.claim("a", "replay", replay=hours(world, 9, 0))
    world.job(claim)
    world.faults.plan("ledger.put", Fault.EXECUTE_THEN_FAIL)
    with pytest.raises(Exception, match="injected"):
        world.succeed(claim)

    world.succeed(claim)

    assert world.state("a").bookmark.generation == 5


def test_setting_the_bookmark_back_makes_only_later_objects_new(world: World) -> None:
    since = world.clock() - timedelta(hours=2)

    ledger.update(world.ledger, "a", lambda s: ledger.set_bookmark(s, since))

    assert world.planned(world.run("a", "again")) == ["3", "4"]
    assert world.run("a", "then").decision == "nothing"


def test_resetting_the_bookmark_makes_all_objects_new(world: World) -> None:
    ledger.update(world.ledger, "a", lambda s: ledger.set_bookmark(s, None))

    assert world.planned(world.run("a", "again")) == ["0", "1", "2", "3", "4"]


class TestAudit:
    def test_it_finds_nothing_after_all_objects_were_sent(self, world: World) -> None:
        assert world.audit("a").missed == world.audit("a").waiting == ()

    @pytest.mark.fault(20)
    def test_an_object_later_than_the_lookback_is_missed_until_it_is_replayed(self, world: World) -> None:
        late = world.clock() - timedelta(hours=4)
        world.change("a", "late", "too late", last_modified=late)
        assert world.run("a", "run5").decision == "nothing"

        missed = world.audit("a").missed
        assert [o.key for o in missed] == ["log/provider=a/late"]

        world.run("a", "replay", replay={"from": format_iso(late), "to": format_iso(late)})
        assert "too late" in world.sent
        assert world.audit("a").missed == ()

    def test_objects_that_the_next_run_will_take_are_waiting_and_not_missed(self, world: World) -> None:
        world.change("a", "new", "new")

        found = world.audit("a")

        assert (found.missed, [o.key for o in found.waiting]) == ((), ["log/provider=a/new"])

    def test_objects_of_a_failed_run_do_not_count_as_sent(self, world: World) -> None:
        world.change("a", "new", "bad")
        claim = world.claim("a", "run5")
        with pytest.raises(Exception, match="no change record"):
            world.job(claim)
        world.fail(claim)

        assert len(world.audit("a").waiting) == 1

    def test_a_deleted_object_is_listed_once_in_its_last_version(self, world: World) -> None:
        world.change("a", "0", "r0", "corrected")
        world.run("a", "run5")
        del world.objects.stored[world.uri("a", "0")]

        found = world.audit("a")

        assert (found.missed, found.waiting) == ((), ())
        assert [(o.key, o.size) for o in found.gone] == [("log/provider=a/0", len(b"r0\ncorrected"))]

    @pytest.mark.fault(20)
    def test_a_key_out_of_time_order_is_found(self) -> None:
        world = World(settings={"key_time_format": "%Y/%m/%d/"})
        world.change("a", "2026/11/22/1", "r1")
        world.run("a", "run1")
        world.clock.advance(hours=48)
        world.change("a", "2026/11/24/1", "r2")
        world.run("a", "run2")
        world.change("a", "2020/01/01/1", "misplaced")
        world.run("a", "run3")

        found = world.audit("a")

        assert [o.key for o in (*found.missed, *found.waiting)] == ["log/provider=a/2020/01/01/1"]
