"""Providers that the config API does not list, folders that no run can process, and a list that shrinks."""

from __future__ import annotations

import json

import pytest

from fanout.errors import LedgerUnavailableError
from fanout.health import Condition
from fanout.pending import REFUSED_AT_ONCE, ObjectEvents
from fanout.providers import missing_providers
from fanout.settings import ObjectEventsSettings
from tests.harness.faults import Fault
from tests.harness.world import CHANGE_LOG, World

SETTINGS = ObjectEventsSettings(env="test", run_ledger_table="ledger", change_log_dir=CHANGE_LOG)


@pytest.fixture
def world() -> World:
    return World(settings={"discovery": "events", "sweep_minutes": 1440})


def tell(world: World, *keys: str) -> dict[str, int]:
    """Deliver one message with events of these keys, which are encoded."""
    records = [{"s3": {"bucket": {"name": "changes"}, "object": {"key": key, "size": 7}}} for key in keys]
    events = ObjectEvents(world.pending, SETTINGS, world.clock, world.log.append)
    return dict(events.count({"1": json.dumps({"Records": records})})[1])


@pytest.mark.guarantee("G6")
@pytest.mark.fault(39)
@pytest.mark.parametrize(
    "listed", [{}, {"acmee": {"frequency": 15}}, {"Acme": {"frequency": 15}}], ids=["nothing", "misspelled", "case"]
)
def test_a_provider_with_pending_objects_that_is_not_listed_is_reported(
    world: World, listed: dict[str, object]
) -> None:
    world.config_api.providers = listed
    tell(world, "log/provider%3Dacme/1")

    report = world.tick()
    overview = world.overview()

    assert (report.unlisted, report.unlisted_providers) == (1, ["acme"])
    assert report.providers == len(listed)
    assert overview.counts["unlisted"] == 1
    assert not overview.healthy
    health = next(one for one in overview.health if one.provider == "acme")
    assert (health.condition, health.since) == (Condition.UNLISTED, world.clock())
    assert health.failure is not None
    assert health.failure.message == "acme is not in the config API's list"
    assert "fanout providers add" in health.failure.advice
    assert health.pending is not None
    assert health.pending.objects == 1


@pytest.mark.fault(39)
def test_an_unlisted_provider_with_a_backlog_is_reported_and_one_with_an_invalid_entry_is_not(world: World) -> None:
    world.provider("a")
    for number in range(101):
        world.change("a", f"{number}", f"r{number}")
    world.run("a", "first")
    world.provider("b", "abc")
    tell(world, "log/provider%3Db/1")
    del world.config_api.providers["a"]

    report = world.tick()

    assert (report.unlisted_providers, report.invalid) == (["a"], 1)


@pytest.mark.fault(40)
def test_folders_whose_name_is_refused_are_named_with_the_rule(world: World) -> None:
    counts = tell(world, "log/provider%3D/1", "log/provider%3DTenant+%C3%96lhafen/1", "log/provider%3Dok/1")
    world.provider("ok")

    report = world.tick()
    found = {one.provider: one for one in world.overview().health if one.condition is Condition.UNLISTED}

    assert counts == {"not a provider's name": 2, "counted": 1}
    assert (report.unlisted, report.unlisted_providers) == (2, ["provider=", "provider=Tenant Ölhafen"])
    assert report.due == 1, "other providers are not affected"
    assert found.keys() == {"provider=", "provider=Tenant Ölhafen"}
    assert found["provider="].failure is not None
    assert found["provider="].failure.message == (
        "no run can process this folder: provider name '' is not allowed: use 1 to 64 ASCII letters, digits, '.', '_' "
        "or '-', a letter or digit first and last, and no '..'"
    )


@pytest.mark.fault(40)
def test_one_batch_stores_a_bounded_number_of_refused_names(world: World) -> None:
    counts = tell(world, *(f"log/provider%3D-{number}/1" for number in range(500)))

    assert counts == {"not a provider's name": 500}
    assert len(world.pending.items) == REFUSED_AT_ONCE


@pytest.mark.parametrize(
    ("before", "listed", "missing"),
    [(50, 0, 50), (50, 25, 25), (50, 26, 0), (1, 0, 1), (2, 1, 1), (0, 0, 0), (0, 9, 0), (3, 2, 0), (5, 9, 0)],
)
def test_a_list_that_lost_half_of_its_providers_shrank(before: int, listed: int, missing: int) -> None:
    assert missing_providers(before, listed) == missing


@pytest.mark.fault(39)
def test_a_list_that_shrinks_is_reported_until_it_is_restored_or_accepted(world: World) -> None:
    for number in range(50):
        world.provider(f"p{number}")
    full = dict(world.config_api.providers)
    assert world.tick().missing_providers == 0

    world.config_api.providers = {}
    reports = [world.tick().missing_providers for _ in range(3)]
    overview = world.overview()
    world.config_api.providers = full
    restored = world.tick().missing_providers
    world.config_api.providers = {"p1": full["p1"]}
    again = world.tick().missing_providers
    world.ledger.put_list_size(1)

    assert reports == [50, 50, 50]
    assert (overview.missing_providers, overview.healthy) == (50, False)
    assert (restored, again, world.tick().missing_providers) == (0, 49, 0)


@pytest.mark.parametrize("call", ["ledger.list_size", "ledger.put_list_size"])
def test_a_size_that_cannot_be_read_or_written_does_not_stop_the_tick(world: World, call: str) -> None:
    world.provider("a")
    world.faults.plan(call, Fault.FAIL_BEFORE)

    report = world.tick()

    assert report.started_providers == ["a"]
    assert report.faults[0].startswith("whether the list of providers shrank is checked at the next tick")


def test_a_ledger_without_any_answer_still_stops_the_tick(world: World) -> None:
    world.faults.plan("ledger.attention", Fault.FAIL_BEFORE)

    with pytest.raises(LedgerUnavailableError):
        world.tick()
