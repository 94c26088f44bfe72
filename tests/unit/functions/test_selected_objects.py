"""The objects that *Claim Partition* selects for a run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contract.times import format_iso
from tests.harness.processes import Process
from tests.harness.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.provider("a")
    return world


class TestSelectedObjects:
    def test_the_next_run_takes_only_newer_objects(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.run("a", "run1")
        world.clock.advance(minutes=15)
        world.change("a", "2", "r2")

        assert world.planned(world.run("a", "run2")) == ["2"]

    @pytest.mark.fault(20)
    def test_an_object_that_appears_late_within_the_lookback_is_taken_once(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.run("a", "run1")
        world.clock.advance(minutes=15)
        world.change("a", "0", "late", last_modified=world.clock() - timedelta(minutes=70))

        assert world.planned(world.run("a", "run2")) == ["0"]
        assert world.run("a", "run3").decision == "nothing"

    @pytest.mark.fault(20)
    def test_an_object_with_the_same_second_as_the_newest_is_taken(self, world: World) -> None:
        world.change("a", "2", "r2")
        world.run("a", "run1")
        world.change("a", "1", "r1")

        assert world.planned(world.run("a", "run2")) == ["1"]

    @pytest.mark.fault(20)
    def test_an_object_overwritten_with_other_bytes_is_taken_again(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.run("a", "run1")
        world.clock.advance(minutes=1)
        world.change("a", "1", "r1", "r2")

        assert world.planned(world.run("a", "run2")) == ["1"]

    @pytest.mark.fault(20)
    def test_an_object_uploaded_again_with_the_same_bytes_in_the_window_is_not_taken(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.run("a", "run1")
        world.clock.advance(minutes=30)
        world.change("a", "1", "r1")

        assert world.run("a", "run2").decision == "nothing"

    def test_an_object_whose_earlier_bytes_are_restored_is_taken_again(self, world: World) -> None:
        for run, row in enumerate(("first", "second", "first")):
            world.change("a", "1", row)
            assert world.planned(world.run("a", f"run{run}")) == ["1"]
            world.clock.advance(minutes=1)

        assert world.run("a", "later").decision == "nothing"
        assert world.sent == ["first", "second", "first"]

    @pytest.mark.parametrize("end", ["fails", "is a replay", "dies"])
    def test_an_object_restored_after_a_run_without_a_commit_is_taken_again(self, world: World, end: str) -> None:
        world.change("a", "1", "first")
        world.run("a", "run1")
        world.clock.advance(minutes=1)
        world.change("a", "1", "second")
        if end == "is a replay":
            start, stop = (format_iso(world.clock() + timedelta(minutes=m)) for m in (-10, 10))
            world.run("a", "run2", replay={"from": start, "to": stop})
        else:
            claim = world.claim("a", "run2")
            world.job(claim)  # its messages are sent, but it does not commit
            if end == "fails":
                world.fail(claim)
            else:
                world.clock.advance(minutes=150)
        world.clock.advance(minutes=1)
        world.objects.stored.pop(world.uri("a", "1"))
        world.run("a", "run3")
        world.clock.advance(minutes=1)
        world.change("a", "1", "first")

        assert world.planned(world.run("a", "run4")) == ["1"]
        assert world.run("a", "run5").decision == "nothing"

    @pytest.mark.fault(20)
    def test_a_renamed_object_is_a_new_object(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.run("a", "run1")
        world.clock.advance(minutes=1)
        del world.objects.stored[world.uri("a", "1")]
        world.change("a", "2", "r1")

        assert world.planned(world.run("a", "run2")) == ["2"]

    @pytest.mark.fault(20)
    @pytest.mark.parametrize("how", ["deleted", "overwritten"])
    def test_an_object_changed_after_planning_fails_the_run_and_the_next_run_takes_its_new_version(
        self, world: World, how: str
    ) -> None:
        world.change("a", "1", "r1")
        world.change("a", "2", "r2")
        claim = world.claim("a", "run1")
        del world.objects.stored[world.uri("a", "1")]
        if how == "overwritten":
            world.change("a", "1", "r1 corrected")

        with pytest.raises(Exception, match="changed after the run was planned"):
            world.job(claim)
        world.fail(claim)
        world.run("a", "run2")

        assert set(world.sent) == ({"r2"} if how == "deleted" else {"r1 corrected", "r2"})

    @pytest.mark.fault(20)
    def test_hidden_files_are_ignored_at_any_location_of_the_change_log(self) -> None:
        world = World(settings={"change_log_dir": "s3://changes/_raw/log"})
        root = "s3://changes/_raw/log/provider=a/"
        for key in ("_SUCCESS", "_temporary/0/part", ".x", "day/", "day/part"):
            world.objects.add(root + key, b"r", world.clock())

        assert [o.key for o in world.manifest(world.claim("a", "run1")).objects] == ["_raw/log/provider=a/day/part"]

    @pytest.mark.fault(20)
    def test_a_backlog_is_worked_off_in_bounded_runs_oldest_first_and_the_provider_stays_due(self) -> None:
        world = World(settings={"max_objects": 4})
        world.provider("a")
        for n in range(10):
            world.change("a", f"{9 - n}", f"r{n}", last_modified=world.clock() + timedelta(minutes=n))

        runs = []
        for _ in range(3):
            assert world.tick().due == 1
            runs.append(len(world.planned(world.run_all()[0])))
            world.clock.advance(minutes=1)

        assert runs == [4, 4, 2]
        assert world.sent == [f"r{n}" for n in range(10)]
        assert world.tick().due == 0

    @pytest.mark.fault(20)
    def test_objects_whose_manifests_were_removed_are_taken_again(self, world: World) -> None:
        world.change("a", "1", "r1")
        claim = world.run("a", "run1")
        del world.objects.stored[claim.manifest]

        assert world.planned(world.run("a", "run2")) == ["1"]

    def test_increasing_the_lookback_sends_no_object_again(self, world: World) -> None:
        for minute in range(0, 600, 60):
            world.change("a", f"{minute}", f"r{minute}")
            world.run("a", f"run{minute}")
            world.clock.advance(minutes=60)
        world.configure(lookback_minutes=600)

        assert world.run("a", "later").decision == "nothing"

    @pytest.mark.fault(20)
    def test_an_object_that_the_listing_missed_is_taken_even_without_a_lookback(self) -> None:
        world = World(settings={"lookback_minutes": 0})
        for n in range(1500):
            world.change("a", f"{n:04}", f"r{n}")
        world.configure(max_objects=2000)
        planning = Process(lambda: world.claim("a", "run1"))
        while world.faults.count("objects.list") < 2:
            planning.resume()
        world.clock.advance(seconds=1)
        world.change("a", "0000-behind", "missed by the first page")
        world.clock.advance(seconds=1)
        world.change("a", "9999", "seen on the second page")

        claim = planning.finish().value
        world.job(claim)
        world.succeed(claim)

        assert len(world.planned(claim)) == 1501
        assert world.planned(world.run("a", "run2")) == ["0000-behind"]
