"""`record.json`: the audit must find the record of each committed run, even if S3 failed when the run ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contract.uris import record_uri
from fanout import ledger
from fanout.claims import Claim
from fanout.runs import RunRecord
from tests.harness.faults import Fault
from tests.harness.world import World, one_provider


@pytest.fixture
def world() -> World:
    return one_provider()


def unrecorded(world: World, run_id: str, **given: object) -> Claim:
    """A run that is committed, but whose record S3 does not take."""
    claim = world.claim("a", run_id, **given)
    world.job(claim)
    world.faults.plan("objects.create", Fault.FAIL_BEFORE)
    world.succeed(claim)
    assert record_uri(claim.run_dir) not in world.objects.stored
    return claim


@pytest.mark.parametrize("next_step", ["tick", "succeeded run", "failed run", "run that takes over"])
def test_a_record_that_could_not_be_stored_is_stored_by_the_next_step(world: World, next_step: str) -> None:
    first = unrecorded(world, "run1")
    world.change("a", "2", "r3")

    if next_step == "tick":
        world.clock.advance(minutes=1)
        assert world.tick().pushed_reports == 1
        assert not world.state("a").unrecorded
    elif next_step == "succeeded run":
        world.run("a", "run2")
    elif next_step == "failed run":
        world.fail(world.claim("a", "run2"))
    else:
        world.claim("a", "run2")
        world.clock.advance(hours=3)
        world.run("a", "run3")

    stored = RunRecord.model_validate_json(world.objects.stored[record_uri(first.run_dir)][0])
    assert (stored.run_id, stored.status) == ("run1", "succeeded")


def test_the_report_of_a_run_waits_for_its_record(world: World) -> None:
    claim = unrecorded(world, "run1")
    reports = len(world.config_api.reports)
    world.clock.advance(minutes=1)
    world.faults.plan("objects.create", Fault.FAIL_BEFORE)

    assert world.tick().pushed_reports == 0
    assert (len(world.config_api.reports), world.state("a").unrecorded) == (reports, True)

    world.clock.advance(minutes=1)
    assert world.tick().pushed_reports == 1
    assert record_uri(claim.run_dir) in world.objects.stored
    created = world.faults.calls.count("objects.create")
    world.endings.push_report(world.state("a"))
    assert world.faults.calls.count("objects.create") == created, "it is stored once"


def test_objects_that_a_replay_sent_are_not_missed_without_its_record(world: World) -> None:
    world.run("a", "run1")
    world.change("a", "late", "r3", last_modified=world.clock() - timedelta(days=2))
    world.clock.advance(minutes=15)
    (missed,) = world.audit("a").missed
    range_of = {"from": missed.last_modified.isoformat(), "to": missed.last_modified.isoformat()}

    replay = unrecorded(world, "replay", replay=range_of)
    assert world.audit("a").missed == ()
    world.change("a", "2", "r4")
    world.run("a", "run2")

    assert record_uri(replay.run_dir) in world.objects.stored
    assert world.audit("a").missed == ()


@pytest.mark.parametrize("ends", ["succeed", "fail"])
def test_a_replay_whose_record_is_missing_is_unrecorded(world: World, ends: str) -> None:
    now = world.clock().isoformat()
    claim = world.claim("a", "replay", replay={"from": now, "to": now})
    world.job(claim)
    world.faults.plan("objects.create", Fault.FAIL_BEFORE)

    getattr(world, ends)(claim)

    assert world.state("a").unrecorded
    assert len(world.log) == 1


def test_the_report_of_an_earlier_run_says_nothing_of_the_record_of_the_last_one(world: World) -> None:
    world.faults.down.add("config_api")
    world.run("a", "run1")
    state = world.state("a")
    assert state.pending_report is not None
    last = state.last_run.model_copy(update={"run_id": "replay"})  # type: ignore[union-attr]
    replayed = state.model_copy(update={"last_run": last})

    assert ledger.reported(replayed.model_copy(update={"unrecorded": True}), state.pending_report).unrecorded
    assert not ledger.reported(replayed.model_copy(update={"unrecorded": False}), state.pending_report).unrecorded
    assert not ledger.reported(state, state.pending_report).unrecorded


def test_a_run_without_objects_has_no_manifest_and_no_hash(world: World) -> None:
    world.run("a", "run1")
    world.clock.advance(minutes=15)

    claim = world.run("a", "run2")

    assert claim.decision == "nothing"
    assert f"{claim.run_dir}manifest.json" not in world.objects.stored
    assert world.state("a").last_run.manifest_hash == ""  # type: ignore[union-attr]


def test_without_a_pending_report_there_is_nothing_to_send(world: World) -> None:
    calls = len(world.faults.calls)

    assert world.endings.push_report(world.state("a")) is True
    assert len(world.faults.calls) == calls


def test_a_pending_count_that_cannot_be_cleared_is_logged(world: World) -> None:
    world.configure(discovery="events", sweep_minutes=1440)
    world.tell("a", keys=("1",))
    world.faults.plan("pending.clear", Fault.FAIL_BEFORE)

    world.run("a", "run1")

    assert [line for line in world.log if "its record or report may be missing" in line] == world.log != []
