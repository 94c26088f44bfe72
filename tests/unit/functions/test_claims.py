"""*Claim Partition*: the lease and the plan, also when a claim is repeated after a fault."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fanout import ledger
from fanout.claims import Claim, ClaimRequest
from fanout.errors import (
    InvalidProviderError,
    InvalidRequestError,
    LeaseLostError,
    LedgerUnavailableError,
    StorageUnavailableError,
)
from tests.harness.faults import Crash, Fault
from tests.harness.processes import Process
from tests.harness.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.provider("a")
    return world


def test_a_first_claim_plans_all_objects(world: World) -> None:
    world.change("a", "1", "r1")
    world.change("b", "1", "other provider's")

    claim = world.claim("a", "run1")

    assert (claim.decision, claim.objects, world.planned(claim)) == ("lambda", 1, ["1"])
    assert claim.run_dir == "s3://data/runs/provider=a/20261122T073000Z_run1/"
    assert claim.manifest == claim.run_dir + "manifest.json"


@pytest.mark.guarantee("G2")
@pytest.mark.fault(14)
def test_the_second_execution_of_a_provider_gets_busy_and_sends_nothing(world: World) -> None:
    world.change("a", "1", "r1")
    world.claim("a", "run1")

    claim = world.run("a", "run2")

    assert (claim.decision, claim.manifest, world.sent) == ("busy", "none", [])
    assert claim.reason == f"run run1 has held this provider since {world.clock.now}"


def test_a_call_whose_plan_comes_second_returns_the_plan_that_was_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change("a", "1", "r1")
    put = world.objects.create
    other: list[Claim] = []

    def slowly(uri: str, body: bytes) -> bool:
        monkeypatch.undo()
        first = put(uri, body)
        world.configure(lambda_max_bytes=0)
        other.append(world.claim("a", "run1"))
        return first

    monkeypatch.setattr(world.objects, "create", slowly)

    assert world.claim("a", "run1") == other[0]
    assert other[0].decision == "glue"


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("where", "nth"),
    [
        ("ledger.get", 1),
        ("ledger.put", 1),
        ("objects.read", 1),
        ("objects.list", 1),
        ("objects.create", 1),
        ("ledger.put", 2),
    ],
)
@pytest.mark.parametrize("fault", [f for f in Fault if f not in (Fault.SLOW, Fault.QUIT)])
def test_a_claim_repeated_after_a_fault_at_any_call_gives_one_lease_and_one_manifest(
    world: World, where: str, nth: int, fault: Fault
) -> None:
    world.change("a", "0", "r0")
    world.run("a", "run0")
    world.change("a", "1", "r1")
    world.faults.plan(where, *[None] * (nth - 1), fault)

    with pytest.raises((LedgerUnavailableError, StorageUnavailableError, Crash)):
        world.claim("a", "run1")
    world.clock.advance(minutes=1)
    world.change("a", "2", "r2")
    first = world.claim("a", "run1")
    world.change("a", "3", "r3")
    world.clock.advance(minutes=1)

    assert world.claim("a", "run1") == first
    assert len([uri for uri in world.objects.stored if uri.endswith("run1/manifest.json")]) == 1


@pytest.mark.fault(13)
def test_a_repeated_claim_keeps_its_manifest_although_objects_arrived_meanwhile(world: World) -> None:
    world.change("a", "1", "r1")
    first = world.claim("a", "run1")
    world.change("a", "2", "r2")

    again = world.claim("a", "run1")

    assert again == first
    assert world.planned(again) == ["1"]


@pytest.mark.fault(13)
def test_two_racing_plans_of_one_run_agree_on_the_first_manifest(world: World) -> None:
    world.change("a", "1", "r1")
    zombie = Process(lambda: world.claim("a", "run1"))
    zombie.finish(until="objects.create")
    world.change("a", "2", "r2")

    retry = world.claim("a", "run1")

    assert world.planned(retry) == ["1", "2"]
    assert zombie.finish().value == retry


def test_a_claim_continues_when_the_config_api_is_down_and_logs_it(world: World) -> None:
    world.faults.down.add("config_api")
    world.change("a", "1", "r1")

    assert world.claim("a", "run1").decision == "lambda"
    assert "does not show the run as running" in world.log[0]


def test_a_claim_reports_running_unless_reports_are_off(world: World) -> None:
    world.claim("a", "run1")
    assert [(p, r.status) for p, r in world.config_api.reports] == [("a", "running")]

    silent = World(settings={"report_status": "no"})
    silent.claim("a", "run1")
    assert silent.config_api.reports == []


def test_a_claim_whose_planning_fails_leaves_the_lease_for_the_failed_state_to_release(world: World) -> None:
    world.faults.plan("objects.list", *[Fault.FAIL_BEFORE] * 6)
    for _ in range(6):
        with pytest.raises(StorageUnavailableError):
            world.claim("a", "run1")

    world.fail_without_claim("a", "run1", "StorageUnavailableError")

    assert world.state("a").lease is None
    assert world.state("a").failures == 1


def test_a_bookmark_set_during_planning_invalidates_the_plan_even_of_a_repeated_claim(world: World) -> None:
    world.change("a", "1", "r1")
    world.run("a", "run1")
    world.clock.advance(minutes=180)
    world.change("a", "2", "r2")
    world.claim("a", "run2")
    ledger.update(world.ledger, "a", lambda s: ledger.set_bookmark(s, None))

    again = world.claim("a", "run2")
    world.job(again)
    with pytest.raises(LeaseLostError):
        world.succeed(again)
    world.fail(again)

    assert world.planned(world.run("a", "run3")) == ["1", "2"]


class TestCost:
    def test_an_object_at_the_edge_of_the_window_is_not_sent_again(self) -> None:
        world = World(settings={"max_recent": 1, "lookback_minutes": 60})
        for n in range(3):
            world.change("a", f"{n}", f"r{n}")
            world.run("a", f"run{n}")
            world.clock.advance(minutes=30)
        edge = world.state("a").bookmark.since

        world.change("a", "3", "r3", last_modified=world.clock() - timedelta(minutes=30))
        world.run("a", "run3")
        world.run("a", "run4")

        assert edge == world.objects.seen(world.uri("a", "0")).last_modified
        assert world.sent == ["r0", "r1", "r2", "r3"]

    def test_the_ledger_item_stays_small_however_many_runs_the_window_holds(self) -> None:
        world = World(settings={"lookback_minutes": 10_000})
        sizes = []
        for n in range(200):
            world.change("a", f"{n:03}", f"r{n}")
            assert world.planned(world.run("a", f"run{n}")) == [f"{n:03}"]
            sizes.append(len(world.state("a").model_dump_json()))
            world.clock.advance(minutes=15)

        assert max(sizes) < 8_000
        assert world.faults.count("objects.read") < 200 * (24 + 4)
        assert len(world.sent) == len(set(world.sent)) == 200

    @pytest.mark.parametrize("old", [100, 10_000])  # ten pages of a listing
    def test_planning_lists_no_more_when_the_history_is_long_and_keys_are_time_ordered(self, old: int) -> None:
        # Given a history of 200 objects a day, all of it processed
        world = World(settings={"key_time_format": "%Y/%m/%d/%H/", "max_objects": 1_000_000})
        begin = world.clock()
        for n in range(old):
            moment = begin - timedelta(minutes=7.2 * n)
            world.change("a", f"{moment:%Y/%m/%d/%H}/{n:06}", "old", last_modified=moment)
        world.run("a", "first")
        world.clock.advance(hours=24)
        for n in range(10):
            world.change("a", f"{world.clock():%Y/%m/%d/%H}/new{n}", f"r{n}")
        before = world.faults.count("objects.list")

        # When 10 new ones are planned
        claim = world.claim("a", "second")

        # Then one request lists them
        assert claim.objects == 10
        assert world.faults.count("objects.list") - before == 1

    @pytest.mark.parametrize(
        ("objects", "settings", "expected"),
        [
            ([100], {"lambda_max_bytes": 100}, ("lambda", 1)),
            ([101], {"lambda_max_bytes": 100}, ("glue", 2)),
            ([1], {"lambda_max_bytes": 0}, ("glue", 2)),
            ([0], {"lambda_max_bytes": 0}, ("glue", 2)),
            ([], {}, ("nothing", 0)),
        ],
    )
    def test_the_engine_depends_on_the_bytes(
        self, objects: list[int], settings: dict[str, Any], expected: tuple[str, int]
    ) -> None:
        world = World(settings=settings)
        for n, size in enumerate(objects):
            world.change("a", f"{n}", "x" * size)

        claim = world.claim("a", "run1")

        assert (claim.decision, claim.workers) == expected

    @pytest.mark.fault(51)
    @pytest.mark.parametrize(
        ("job", "count", "size", "suffix", "expected"),
        [
            ("change_log", 10_000, 1_000, ".json.gz", ("lambda", 1)),  # 261 s
            ("change_log", 1, 200_000_000, ".json.gz", ("lambda", 1)),  # 222 s
            ("standardize", 1, 200_000_000, ".csv", ("lambda", 1)),  # 8 s
            ("standardize", 1, 200_000_000, ".xml", ("lambda", 1)),  # 60 s
            ("standardize", 1, 200_000_000, ".xml.gz", ("glue", 2)),  # 593 s
            ("standardize", 700, 1_000, ".csv", ("lambda", 1)),  # 438 s
            ("standardize", 800, 1_000, ".csv", ("glue", 2)),  # 500 s
            ("standardize", 10_000, 1_000, ".csv", ("glue", 10)),  # 6,250 s
            ("rows_per_day", 800, 1_000, ".json", ("glue", 2)),  # 501 s
        ],
    )
    def test_what_would_not_finish_in_half_of_lambdas_time_goes_to_glue(
        self, job: str, count: int, size: int, suffix: str, expected: tuple[str, int]
    ) -> None:
        world = World(settings={"lambda_max_bytes": 200_000_000, "job": job, "max_objects": 10_000})
        for n in range(count):
            uri = world.uri("a", f"{n:05}{suffix}")
            world.objects.add(uri, b"", world.clock())
            world.objects.sizes[uri] = size

        claim = world.claim("a", "run1")

        assert (claim.decision, claim.workers, claim.objects) == (*expected, count)
        assert "more than half of its 900 s" in claim.reason or claim.decision == "lambda"

    @pytest.mark.fault(51)
    @pytest.mark.parametrize(
        ("error", "engine"),
        [
            ("Sandbox.Timedout", "glue"),
            ("Runtime.ExitError", "glue"),
            ("States.Timeout", "glue"),
            ("KeyError", "lambda"),
        ],
    )
    def test_after_a_run_that_lambda_did_not_finish_the_next_one_is_on_glue(self, error: str, engine: str) -> None:
        world = World()
        world.change("a", "1", "r1")
        assert world.claim("a", "run1").decision == "lambda"
        world.fail_without_claim("a", "run1", error)

        again = world.run("a", "run2")

        assert again.decision == engine
        assert engine == "lambda" or again.reason == f"the last run did not finish in Lambda: {error}"
        world.change("a", "2", "r2")
        assert world.run("a", "run3").decision == "lambda"

    def test_the_number_of_workers_grows_with_the_bytes_up_to_max_workers(self) -> None:
        world = World(settings={"lambda_max_bytes": 0, "max_workers": 3, "max_bytes_per_run": 10**12})
        for n in range(5):
            uri = world.uri("a", f"{n}")
            world.change("a", f"{n}", "row")
            world.objects.sizes[uri] = 256 * 2**20

        assert world.claim("a", "run1").workers == 3

    def test_with_glues_own_bookmark_a_run_has_no_manifest_but_a_replay_has(self) -> None:
        world = World(settings={"bookmark_mode": "glue"})
        world.change("a", "1", "r1")

        assert world.claim("a", "run1").manifest == "none"
        replay = {"from": "2026-11-22T07:00:00Z", "to": "2026-11-22T08:00:00Z"}
        assert world.claim("b", "run2", replay=replay).decision == "nothing"


class TestRequests:
    @pytest.mark.parametrize(
        "given",
        [
            None,
            {},
            {"provider": "a", "unknown": 1},
            {"provider": "a", "scheduled_at": "2026-11-22T07:30:00"},
            {"provider": "a", "scheduled_at": "yesterday"},
            {"provider": "a", "replay": {"from": "2026-11-22T07:30:00Z"}},
            {"provider": "a", "replay": {"from": "2026-11-22T07:30:00", "to": "2026-11-22T07:30:00"}},
            {"provider": "a", "replay": {"from": "2026-11-22T07:30:01Z", "to": "2026-11-22T07:30:00Z"}},
        ],
    )
    def test_an_execution_with_a_wrong_input_is_refused(self, given: Any) -> None:
        with pytest.raises(InvalidRequestError):
            ClaimRequest.from_event({"run_id": "r", "input": given})

    @pytest.mark.fault(7)
    @pytest.mark.parametrize("name", ["../a", "a/b", "", "ä"])
    def test_a_provider_name_outside_the_allow_list_is_never_used_in_a_path(self, name: str) -> None:
        with pytest.raises(InvalidProviderError):
            ClaimRequest.from_event({"run_id": "r", "input": {"provider": name}})

    def test_a_run_id_that_is_not_an_execution_name_is_rejected(self) -> None:
        with pytest.raises(InvalidRequestError):
            ClaimRequest.from_event({"run_id": "../r", "input": {"provider": "a"}})
