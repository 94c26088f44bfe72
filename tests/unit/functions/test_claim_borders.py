"""Claims at the borders of their rules: late objects, repeated claims, and content that was written again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from contract.manifest import StoredObject
from contract.uris import manifest_uri
from fanout.claims import ClaimRequest, first_listed, is_known
from fanout.errors import ManifestChangedError
from fanout.ledger import ProviderState, drop_backlog, repeat_report, sent_late
from fanout.runs import Report
from tests.harness.faults import Fault
from tests.harness.world import World, one_run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = {"discovery": "events", "sweep_minutes": 1440, "lookback_minutes": 60}


def announce(world: World, key: str, last_modified: datetime) -> None:
    world.change("a", key, f"row-{key}", last_modified=last_modified)
    world.tell("a", keys=(key,))


class TestLateObjects:
    def test_an_object_as_old_as_the_bookmark_is_taken_and_not_late(self) -> None:
        world = one_run(**EVENTS)
        since = world.state("a").bookmark.since
        assert since is not None
        announce(world, "2", since)

        assert world.planned(world.run("a", "second")) == ["2"]
        assert world.state("a").late is None

    def test_an_old_object_that_a_run_has_processed_is_not_late(self) -> None:
        world = one_run(**EVENTS)
        announce(world, "2", world.clock() - timedelta(minutes=50))
        announce(world, "new", world.clock())
        world.run("a", "second")
        world.clock.advance(minutes=15)
        announce(world, "3", world.clock())
        world.run("a", "third")
        since = world.state("a").bookmark.since
        assert since is not None
        assert world.objects.seen(world.uri("a", "2")).last_modified < since

        world.tell("a", keys=("2",))
        world.run("a", "fourth")

        assert world.state("a").late is None
        assert world.sent == ["r1", "row-2", "row-new", "row-3"]

    def test_an_old_object_that_is_no_data_is_not_late(self) -> None:
        world = one_run(**EVENTS)
        announce(world, "_SUCCESS", world.clock() - timedelta(hours=3))

        world.run("a", "second")

        assert world.state("a").late is None

    def test_several_late_objects_are_counted_in_the_reason(self) -> None:
        world = one_run(**EVENTS)
        for key in ("2", "3"):
            announce(world, key, world.clock() - timedelta(hours=3))

        assert "; 2 objects arrived too late for any run" in world.run("a", "second").reason

    @pytest.mark.parametrize("is_there", [True, False])
    def test_an_object_whose_key_is_where_the_listing_begins_is_late_if_it_exists(self, is_there: bool) -> None:
        world = World(settings=EVENTS | {"key_time_format": "%Y%m%d%H"})
        world.provider("a")
        world.change("a", f"{world.clock():%Y%m%d%H}-1", "r1")
        world.run("a", "first")
        world.clock.advance(minutes=15)
        begin = first_listed(world.claims.settings, "a", world.state("a").bookmark.since)
        key = begin.removeprefix("log/provider=a/")
        announce(world, key, world.clock() - timedelta(hours=30))
        if not is_there:
            world.objects.stored.pop(world.uri("a", key))

        world.run("a", "second")

        late = world.state("a").late
        assert (late.first if late else ()) == ((begin,) if is_there else ())


class TestRepeatedClaims:
    def test_the_claim_of_a_planned_run_lists_nothing(self) -> None:
        world = one_run()
        world.change("a", "2", "r2")
        first = world.claim("a", "second")
        world.faults.plan("objects.list", Fault.FAIL_BEFORE)

        assert world.claim("a", "second") == first

    def test_a_claim_that_finds_nothing_writes_no_manifest(self) -> None:
        world = one_run()

        claim = world.claim("a", "second")

        assert claim.decision == "nothing"
        assert manifest_uri(claim.run_dir) not in world.objects.stored

    def test_a_manifest_that_another_call_wrote_and_that_is_gone_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = one_run()
        world.change("a", "2", "r2")
        monkeypatch.setattr(world.objects, "create", lambda uri, body: False)

        with pytest.raises(ManifestChangedError):
            world.claim("a", "second")

    def test_the_claim_of_a_run_whose_objects_glue_chooses_has_no_number_of_objects(self) -> None:
        world = World(settings={"bookmark_mode": "glue", "max_concurrent_runs": 1})
        world.provider("a")

        claim = world.claim("a", "first")

        assert (claim.decision, claim.objects) == ("glue", 0)

    def test_a_replay_of_null_is_none(self) -> None:
        event = {"run_id": "r", "input": {"provider": "a", "replay": None}}

        assert ClaimRequest.from_event(event).replay is None

    def test_the_bookmark_names_at_most_the_maximum_of_recent_runs(self) -> None:
        world = World(settings={"max_recent": 2, "lookback_minutes": 600})
        world.provider("a")
        lengths = []
        for number in range(4):
            world.change("a", str(number), f"r{number}")
            world.run("a", f"run{number}")
            lengths.append(len(world.state("a").bookmark.recent))
            world.clock.advance(minutes=1)

        assert lengths == [1, 2, 1, 2]


@pytest.mark.parametrize(("minutes", "expected"), [(None, True), (-1, True), (0, False), (1, False)])
def test_content_written_again_is_known_if_no_untracked_run_ended_since(minutes: int | None, expected: bool) -> None:
    taken = StoredObject("k", 1, "e", NOW)
    stored = StoredObject("k", 1, "e", NOW + timedelta(hours=1))
    untracked_at = None if minutes is None else NOW + timedelta(minutes=minutes)

    assert is_known(stored, {"k": taken}, untracked_at) is expected
    assert is_known(taken, {"k": taken}, untracked_at)


def test_a_pending_report_is_not_replaced_by_an_older_one() -> None:
    newer, older = Report(run_id="new", status="failed"), Report(run_id="old", status="succeeded")
    state = ProviderState(provider="a", pending_report=newer, last_report=older)

    assert repeat_report(state) is state


def test_a_dropped_backlog_is_gone_and_nothing_else_changes() -> None:
    state = ProviderState(provider="a", has_backlog=True, untracked_at=NOW)

    dropped = drop_backlog(state)

    assert dropped == ProviderState(provider="a", untracked_at=NOW)
    assert drop_backlog(dropped) is dropped  # so that nothing is written


def test_no_late_objects_are_sent_without_a_write() -> None:
    state = ProviderState(provider="a")

    assert sent_late(state, None) is state


def test_a_report_is_pending_until_it_was_sent() -> None:
    world = one_run()
    state = world.state("a").model_copy(update={"pending_report": Report(run_id="first", status="succeeded")})
    world.ledger.items["a"] = state
    world.faults.plan("config_api.report", Fault.FAIL_BEFORE)

    assert world.endings.push_report(state) is False
    assert world.endings.push_report(state) is True
    assert world.state("a").pending_report is None
