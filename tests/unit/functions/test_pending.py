"""Pending objects: S3's messages, and the pending count between a claim and its commit."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout import ledger
from fanout.errors import FanoutError
from fanout.pending import ObjectEvents, announced
from fanout.s3_events import NewObject
from fanout.schedule import sweep_time
from fanout.settings import ObjectEventsSettings
from tests.harness.faults import Crash, Fault
from tests.harness.processes import Process
from tests.harness.world import CHANGE_LOG, World

EVENTS = {"discovery": "events", "sweep_minutes": 1440}
SETTINGS = ObjectEventsSettings(env="test", run_ledger_table="ledger", change_log_dir=CHANGE_LOG)


@pytest.fixture
def world() -> World:
    """A provider that has succeeded once and has no new objects."""
    world = World(settings=EVENTS)
    world.provider("a")
    world.run("a", "first")
    world.clock.advance(minutes=15)
    return world


def message(*keys: str, bucket: str = "changes", size: Any = 7) -> str:
    """S3's notification in the queue."""
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": size}}}
        for key in keys
    ]
    return json.dumps({"Records": records})


def brief(found: tuple[str, NewObject] | str) -> tuple[str, int] | str:
    return found if isinstance(found, str) else (found[0], found[1].size)


class TestMessages:
    @pytest.mark.fault(29)
    @pytest.mark.parametrize(
        ("key", "told"),
        [
            ("log/provider=a/1", ("a", 7)),
            ("log/provider%3Da/2026/11/22/part+1%2B%C3%A4.gz", ("a", 7)),
            ("log%2Fprovider%3Da.b-c_d%2F1", ("a.b-c_d", 7)),
            ("log/provider=a/", "not in the change log"),
            ("log/provider=a/day/", "ignored: folder marker"),
            ("log/provider=a/1.gz.md5", "ignored: checksum"),
            ("log/provider=a", "not in the change log"),
            ("other/provider=a/1", "not in the change log"),
            ("log/x", "not in the change log"),
            ("log/provider=a/_SUCCESS", "ignored: hidden name"),
            ("log/provider=a/_temporary/0/part", "ignored: hidden name"),
            ("log/provider=..%2Fetc/1", ("..", 7)),
            ("log/provider=%D0%B0/1", ("\u0430", 7)),
            ("log/provider=/1", ("", 7)),
            ("log/provider=a%0A/1", ("a\n", 7)),
            ("log/provider=%FF/1", "not an event of S3"),
        ],
    )
    def test_an_event_counts_for_the_provider_in_its_key_or_for_none(self, key: str, told: Any) -> None:
        assert [brief(found) for found in announced(message(key), SETTINGS)] == [told]

    def test_an_event_of_another_bucket_counts_for_no_provider(self) -> None:
        assert list(announced(message("log/provider=a/1", bucket="other"), SETTINGS)) == ["not in the change log"]

    @given(st.text(min_size=1, max_size=20))
    def test_any_key_is_decoded_from_the_encoding_of_s3(self, path: str) -> None:
        (found,) = announced(message("log/provider=a/day=1/x" + quote_plus(path)), SETTINGS)

        if isinstance(found, str):
            assert found.startswith("ignored: ") or found == "not in the change log"
        else:
            assert found == ("a", NewObject("changes", f"log/provider=a/day=1/x{path}", 7))


class TestCounting:
    def test_a_batch_updates_each_provider_once_with_all_its_objects(self, world: World) -> None:
        notices = ObjectEvents(world.pending, SETTINGS, world.clock, world.log.append)

        again, counts = notices.count(
            {
                "1": message("log/provider=a/1", "log/provider=b/1"),
                "2": message("log/provider=a/2"),
                "3": message("elsewhere"),
                "4": "not JSON",
            }
        )

        assert again == set()
        assert counts == {"counted": 3, "not in the change log": 1, "not a message of S3": 1}
        assert world.faults.count("pending.add") == 2
        assert (world.pending.items["a"].objects, world.pending.items["a"].bytes) == (2, 14)

    def test_only_the_messages_of_a_provider_that_could_not_be_counted_are_redelivered(self, world: World) -> None:
        notices = ObjectEvents(world.pending, SETTINGS, world.clock, world.log.append)
        world.faults.plan("pending.add", Fault.FAIL_BEFORE)

        again, counts = notices.count(
            {"1": message("log/provider=a/1"), "2": message("log/provider=b/1"), "3": message("log/provider=a/2")}
        )

        assert again == {"1", "3"}
        assert counts["counted"] == 1
        assert world.pending.items.keys() == {"b"}

    @pytest.mark.fault(48)
    def test_a_message_that_cannot_be_read_never_fails_its_batch(self, world: World) -> None:
        notices = ObjectEvents(world.pending, SETTINGS, world.clock, world.log.append)
        sns = json.dumps({"Type": "Notification", "Message": message("log/provider=b/1")})

        again, counts = notices.count({"1": '{"Records": null}', "2": message("log/provider=a/1"), "3": sns, "4": None})

        assert again == set()
        assert counts == {"not a message of S3": 2, "counted": 2}
        assert world.pending.items.keys() == {"a", "b"}

    def test_objects_that_the_operator_ignores_are_neither_counted_nor_planned(self) -> None:
        world = World(settings=EVENTS | {"ignore_pattern": "*.bak draft-?.gz"})
        world.provider("a")
        names = ["1.bak", "day=1/draft-2.gz", "draft-10.gz", "draft-1.gz/3", "4.BAK"]
        for name in names:
            world.change("a", name, name)
        settings = SETTINGS.model_copy(update={"ignore_pattern": "*.bak draft-?.gz"})

        told = [found for name in names for found in announced(message(f"log/provider=a/{name}"), settings)]
        claim = world.claim("a", "first")

        ignored = "ignored: IgnorePattern"
        assert [brief(found) for found in told] == [ignored, ignored, ("a", 7), ("a", 7), ("a", 7)]
        assert world.planned(claim) == ["4.BAK", "draft-1.gz/3", "draft-10.gz"]

    @pytest.mark.fault(28)
    def test_a_partly_counted_batch_that_is_redelivered_counts_twice_without_effect_on_messages(
        self, world: World
    ) -> None:
        notices = ObjectEvents(world.pending, SETTINGS, world.clock, world.log.append)
        world.change("a", "1", "r1")
        batch = {"1": message("log/provider=a/1"), "2": message("log/provider=b/1")}
        world.faults.plan("pending.add", Fault.CRASH_AFTER)
        with pytest.raises(Crash):
            notices.count(batch)

        notices.count(batch)
        world.tick()
        world.run_all()
        world.clock.advance(minutes=15)

        assert world.pending.items["a"].pending_count == 2
        assert world.sent == ["r1"]
        assert world.tick().idle == 1


class TestTicks:
    def test_only_providers_with_pending_objects_run_and_idle_providers_are_not_read(self, world: World) -> None:
        world.provider("b")
        world.run("b", "first-b")
        world.clock.advance(minutes=15)
        world.change("a", "1", "r1")
        world.tell("a")
        reads: list[str] = []
        get_many = world.ledger.get_many

        def reading(providers: Any) -> Any:
            reads.extend(names := list(providers))
            return get_many(names)

        world.ledger.get_many = reading  # type: ignore[method-assign]
        report = world.tick()

        assert (report.started_providers, report.idle, report.due) == (["a"], 1, 1)
        assert reads == ["a"]

    def test_a_provider_that_never_succeeded_is_started_without_pending_objects(self) -> None:
        world = World(settings=EVENTS)
        world.provider("new")

        assert world.tick().started_providers == ["new"]

    @pytest.mark.fault(27)
    def test_the_object_of_a_lost_event_is_found_by_the_next_sweep(self, world: World) -> None:
        world.change("a", "1", "lost")
        waited = timedelta()
        while not world.sent:
            world.clock.advance(minutes=15)
            waited += timedelta(minutes=15)
            world.tick()
            world.run_all()
            assert waited <= timedelta(minutes=1440 + 15)

        world.clock.advance(minutes=15)
        assert world.tick().idle == 1

    def test_an_idle_provider_gets_one_full_check_in_each_sweep_period(self, world: World) -> None:
        runs = 0
        for _ in range(3 * 96):
            world.clock.advance(minutes=15)
            runs += world.tick().started
            world.run_all()

        assert runs == 3

    def test_lateness_counts_from_the_due_sweep_and_not_from_the_last_run(self, world: World) -> None:
        moment = sweep_time("a", world.clock() + timedelta(days=1), timedelta(days=1))
        world.clock.now = moment + timedelta(minutes=20, seconds=20)
        world.configure(max_concurrent_runs=1, lambda_max_bytes=0)
        world.seconds = 5

        report = world.tick()

        assert (report.due, report.oldest_overdue_minutes, report.oldest_pending_minutes) == (1, 20.3, 0)

    def test_the_age_of_the_oldest_pending_object_is_reported(self, world: World) -> None:
        world.change("a", "1", "bad")
        world.tell("a")
        world.clock.advance(minutes=40 + 1 / 3)

        assert world.tick().oldest_pending_minutes == 40.3

    @pytest.mark.fault(29)
    def test_pending_objects_of_an_unlisted_provider_start_nothing(self, world: World) -> None:
        world.tell("unlisted")

        report = world.tick()

        assert (report.providers, report.started) == (1, 0)

    def test_without_events_every_due_provider_is_started(self) -> None:
        world = World(settings={"discovery": "poll"})
        world.provider("a")
        world.run("a", "first")
        world.clock.advance(minutes=15)

        assert world.tick().started == 1
        assert world.faults.count("pending.waiting") == world.faults.count("pending.of") == 0

    def test_a_provider_with_a_backlog_runs_without_pending_objects(self) -> None:
        world = World(settings={**EVENTS, "max_objects": 1})
        world.provider("a")
        for n in range(3):
            world.change("a", f"{n}", f"r{n}")
        for _ in range(3):
            world.tick()
            world.run_all()
            world.clock.advance(minutes=15)

        assert world.sent == ["r0", "r1", "r2"]
        assert world.tick().idle == 1

    def test_a_provider_whose_bookmark_was_set_by_hand_runs_without_pending_objects(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.tell("a")
        world.run("a", "second")
        world.clock.advance(minutes=15)
        ledger.update(world.ledger, "a", lambda s: ledger.set_bookmark(s, None))

        assert world.tick().started == 1

    def test_nothing_is_started_while_pending_objects_cannot_be_read(self, world: World) -> None:
        world.faults.plan("pending.waiting", Fault.FAIL_BEFORE)

        with pytest.raises(FanoutError):
            world.tick()
        assert not world.executions.started


class TestCommits:
    def test_a_commit_clears_the_pending_objects_that_its_claim_saw(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.tell("a", size=100)

        world.run("a", "second")

        pending = world.pending.items["a"]
        assert (pending.pending_count, pending.objects, pending.bytes, pending.since) == (1, 0, 0, None)

    @pytest.mark.fault(28)
    def test_objects_that_arrive_during_a_run_stay_pending_and_run_at_the_next_tick(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.tell("a")
        claim = world.claim("a", "second")
        world.clock.advance(minutes=1)
        world.change("a", "2", "r2")
        world.tell("a")
        world.job(claim)
        world.succeed(claim)
        world.clock.advance(minutes=15)

        assert world.tick().started == 1
        world.run_all()
        assert world.sent == ["r1", "r2"]

    def test_objects_that_arrive_during_the_listing_stay_pending_after_the_commit(self, world: World) -> None:
        for n in range(1500):
            world.change("a", f"{n:04}", f"r{n}")
        world.configure(max_objects=2000)
        world.tell("a")
        listed = world.faults.count("objects.list")
        planning = Process(lambda: world.claim("a", "second"))
        while world.faults.count("objects.list") < listed + 2:
            planning.resume()
        world.change("a", "0000-behind", "missed by the first page")
        world.tell("a")

        claim = planning.finish().value
        world.job(claim)
        world.succeed(claim)

        assert "0000-behind" not in world.planned(claim)
        assert world.pending.items["a"].since is not None, "the object behind the listing's back is still pending"

    @pytest.mark.fault(28)
    def test_a_repeated_claim_keeps_the_pending_count_of_its_manifest(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.tell("a")
        world.faults.plan("ledger.put", None, Fault.FAIL_BEFORE)
        with pytest.raises(FanoutError):
            world.claim("a", "second")
        world.change("a", "2", "r2")
        world.tell("a")

        claim = world.claim("a", "second")
        world.job(claim)
        world.succeed(claim)

        assert world.sent == ["r1"]
        assert world.pending.items["a"].since is not None, "the second object is still pending"

    @pytest.mark.fault(27)
    def test_a_repeated_commit_after_more_pending_objects_clears_nothing(self, world: World) -> None:
        world.change("a", "1", "r1")
        world.tell("a")
        claim = world.run("a", "second")
        world.tell("a")

        world.succeed(claim)

        assert world.pending.items["a"].since is not None

    @pytest.mark.parametrize("fault", [Fault.FAIL_BEFORE, Fault.EXECUTE_THEN_FAIL])
    def test_a_fault_while_pending_objects_are_cleared_costs_one_more_run(self, world: World, fault: Fault) -> None:
        world.change("a", "1", "r1")
        world.tell("a")
        world.faults.plan("pending.clear", fault)
        world.run("a", "second")
        assert world.state("a").bookmark.generation == 2

        for _ in range(2):
            world.clock.advance(minutes=15)
            world.tick()
            world.run_all()

        assert world.sent == ["r1"]
        assert world.pending.items["a"].since is None

    def test_a_failed_run_a_replay_and_a_backlog_keep_the_pending_objects(self, world: World) -> None:
        world.configure(max_objects=1)
        world.change("a", "1", "r1")
        world.change("a", "2", "r2")
        world.tell("a", objects=2)

        world.fail(world.claim("a", "failed"))
        assert world.pending.items["a"].since is not None
        world.clock.advance(minutes=15)
        world.run("a", "backlog")
        assert world.pending.items["a"].since is not None
        world.run("a", "replay", replay={"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T00:00:00Z"})
        assert world.pending.items["a"].since is not None
        world.run("a", "rest")
        assert world.pending.items["a"].since is None
        assert world.sent == ["r1", "r2"]

    @pytest.mark.fault(27)
    def test_events_repeated_in_any_order_send_no_message_twice_and_start_one_run_per_tick(self, world: World) -> None:
        for n in range(20):
            world.change("a", f"{n}", f"r{n}")
            for _ in range(3):
                world.tell("a")
            report = world.tick()
            assert report.started <= 1
            world.run_all()
            world.tell("a")
            world.clock.advance(minutes=15)

        assert world.sent == [f"r{n}" for n in range(20)]
