"""Objects that S3 announces and that no run takes: found by the claim, shown, and sent by one command."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli.audit import ranges_of
from contract.manifest import Replay, StoredObject
from contract.times import format_iso
from fanout import ledger
from fanout.health import Condition
from fanout.pending import MAX_KEYS
from tests.harness.faults import Crash, Fault
from tests.harness.world import World, one_run

EVENTS = {"discovery": "events", "sweep_minutes": 1440, "lookback_minutes": 60}
HOUR = "%Y/%m/%d/%H/"


@pytest.fixture
def world() -> World:
    """A provider that has processed one object."""
    return one_run(**EVENTS)


def replica(world: World, name: str, minutes: float = 105) -> None:
    """S3 announces a replica, which has the LastModified of its source."""
    world.change("a", name, f"row-{name}", last_modified=world.clock() - timedelta(minutes=minutes))
    world.tell("a", keys=(name,))


def condition(world: World) -> tuple[Condition, str | None]:
    overview = world.overview()
    return overview.health[0].condition, overview.health[0].details


@pytest.mark.guarantee("G6")
@pytest.mark.fault(44)
def test_a_claim_that_finds_nothing_for_an_announced_object_names_it(world: World) -> None:
    replica(world, "replica")

    claim = world.run("a", "second")
    report = world.tick()

    late = world.state("a").late
    assert claim.decision == "nothing"
    assert claim.reason == (
        "no new objects; 1 object arrived too late for any run, such as log/provider=a/replica; "
        "send with `fanout replay a --late`"
    )
    assert late is not None
    assert (late.objects, late.first, late.found_at) == (1, ("log/provider=a/replica",), world.clock())
    assert (report.late_data, report.late_data_providers) == (1, ["a"])
    assert condition(world)[0] is Condition.LATE_DATA
    assert "log/provider=a/replica" in str(condition(world)[1])
    assert [o.key for o in world.audit("a").missed] == ["log/provider=a/replica"]


@pytest.mark.fault(44)
def test_late_objects_are_found_beside_new_ones_and_by_several_claims(world: World) -> None:
    for number in range(3):
        world.change("a", f"new-{number}", f"new-{number}")
        world.tell("a", keys=(f"new-{number}",))
        replica(world, f"replica-{number}", 105 + number)
        world.run("a", f"run-{number}")
        world.clock.advance(minutes=15)

    late = world.state("a").late
    assert late is not None
    assert (late.objects, late.newest - late.oldest) == (3, timedelta(minutes=28))
    assert late.first == tuple(f"log/provider=a/replica-{number}" for number in range(3))
    assert world.sent == ["r1", "new-0", "new-1", "new-2"]


@pytest.mark.fault(44)
def test_the_oldest_and_the_newest_time_of_several_late_objects_are_kept(world: World) -> None:
    replica(world, "x", 105)
    replica(world, "y", 130)

    world.run("a", "second")

    late = world.state("a").late
    assert late is not None
    assert (world.clock() - late.oldest, world.clock() - late.newest) == (
        timedelta(minutes=130),
        timedelta(minutes=105),
    )


@pytest.mark.fault(44)
def test_a_deleted_object_is_not_taken_for_another_whose_key_begins_with_its_key() -> None:
    world = World(settings=EVENTS | {"key_time_format": HOUR})
    world.provider("a")
    world.change("a", f"{world.clock():{HOUR}}1", "r1")
    world.run("a", "first")
    world.clock.advance(minutes=15)
    key = f"{world.clock() - timedelta(hours=30):{HOUR}}2"
    world.change("a", f"{key}-other", "r2")
    world.tell("a", keys=(key,))

    world.run("a", "second")

    assert world.state("a").late is None


@pytest.mark.fault(44)
@pytest.mark.parametrize("what", ["processed before", "deleted", "announced again after a day", "within the lookback"])
def test_other_announced_objects_are_not_late(world: World, what: str) -> None:
    if what == "processed before":
        world.tell("a", keys=("1",))
    elif what == "deleted":
        world.tell("a", keys=("gone",))
    elif what == "within the lookback":
        replica(world, "replica", 45)
    else:
        world.clock.advance(minutes=24 * 60)
        world.tell("a", keys=("1",))

    world.run("a", "second")

    assert world.state("a").late is None
    assert world.pending.items["a"].keys == frozenset()


@pytest.mark.fault(44)
@pytest.mark.parametrize("hours", [20, 30])
def test_an_object_before_the_first_key_of_the_listing_is_late(hours: int) -> None:
    """Firehose retries for a day, or the keys are in a zone behind UTC."""
    world = World(settings=EVENTS | {"key_time_format": HOUR})
    world.provider("a")
    world.change("a", f"{world.clock():{HOUR}}1", "r1")
    world.run("a", "first")
    world.clock.advance(minutes=15)
    key = f"{world.clock() - timedelta(hours=hours):{HOUR}}2"
    world.change("a", key, "r2")
    world.tell("a", keys=(key,))

    claim = world.run("a", "second")

    late = world.state("a").late
    assert (claim.decision, late is None) == (("lambda", True) if hours == 20 else ("nothing", False))
    if late:
        assert late.first == (f"log/provider=a/{key}",)
        now = format_iso(world.clock())
        world.run("a", "replay", replay={"from": now, "to": now})
    assert world.sent == ["r1", "r2"]


@pytest.mark.fault(44)
def test_ranges_of_replays_send_the_missed_objects_and_no_others(world: World) -> None:
    for number, minutes in enumerate((300, 299, 200, 150)):
        replica(world, f"late-{number}", minutes)
    world.run("a", "second")
    known = world.state("a").late
    missed = world.audit("a").missed
    everything = [world.objects.seen(uri) for uri in world.objects.stored.in_order() if "/provider=a/" in uri]

    for number, wanted in enumerate(ranges_of([o for o in everything if o.key.startswith("log/")], missed, 100, 100)):
        given = {"from": format_iso(wanted.start), "to": format_iso(wanted.end)}
        world.run("a", f"replay-{number}", replay=given)
    state = ledger.update(world.ledger, "a", lambda s: ledger.sent_late(s, known))

    assert world.sent == ["r1", "row-late-0", "row-late-1", "row-late-2", "row-late-3"]
    assert world.audit("a").missed == ()
    assert state.late is None
    assert condition(world)[0] is not Condition.LATE_DATA


def test_ranges_leave_out_other_objects_and_keep_the_limits_of_a_run(world: World) -> None:
    now = world.clock()

    def stored(minute: int, size: int = 1) -> StoredObject:
        return StoredObject(f"{minute}", size, "e", now + timedelta(minutes=minute))

    listed = [stored(minute) for minute in range(8)]
    missed = [o for o in listed if o.key in "12467"]

    def minutes(max_objects: int, max_bytes: int) -> list[tuple[float, float]]:
        ranges: list[Replay] = ranges_of(listed, missed, max_objects, max_bytes)
        return [((r.start - now) / timedelta(minutes=1), (r.end - now) / timedelta(minutes=1)) for r in ranges]

    assert minutes(10, 10) == [(1, 2), (4, 4), (6, 7)]
    assert minutes(1, 10) == minutes(10, 1) == [(1, 1), (2, 2), (4, 4), (6, 6), (7, 7)]
    assert ranges_of(listed, [], 10, 10) == []


def test_late_objects_found_meanwhile_stay_after_others_were_sent(world: World) -> None:
    replica(world, "one")
    world.run("a", "second")
    known = world.state("a").late
    replica(world, "two")
    world.run("a", "third")

    state = ledger.update(world.ledger, "a", lambda s: ledger.sent_late(s, known))

    assert state.late is not None
    assert state.late.objects == 2


def test_setting_the_bookmark_settles_late_objects(world: World) -> None:
    replica(world, "one")
    world.run("a", "second")

    assert ledger.set_bookmark(world.state("a"), None).late is None


def test_a_claim_that_is_repeated_after_a_crash_reports_late_objects_once(world: World) -> None:
    replica(world, "one")
    world.faults.plan("pending.forget", Fault.CRASH_BEFORE)
    with pytest.raises(Crash):
        world.claim("a", "second")

    world.succeed(world.claim("a", "second"))
    world.clock.advance(minutes=15)
    world.run("a", "third")

    late = world.state("a").late
    assert late is not None
    assert (late.first, late.objects) == (("log/provider=a/one",), 1)


def test_keys_that_cannot_be_removed_do_not_fail_the_claim(world: World) -> None:
    world.change("a", "2", "r2")
    world.tell("a", keys=("2",))
    world.faults.plan("pending.forget", Fault.FAIL_BEFORE)

    assert world.run("a", "second").objects == 1
    assert "compared again at the next claim" in world.log[-1]


def test_a_bounded_number_of_keys_is_stored(world: World) -> None:
    for number in range(3 * MAX_KEYS):
        world.tell("a", keys=(f"{number:04d}",))

    assert len(world.pending.items["a"].keys) == MAX_KEYS
