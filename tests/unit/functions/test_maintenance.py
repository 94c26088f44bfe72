"""Maintenance windows: nothing starts, and everything that became due starts afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fanout.errors import LedgerItemError, LedgerUnavailableError
from fanout.health import Condition, Decision, Facts, evaluate
from fanout.maintenance import Maintenance, Window
from fanout.maintenance_table import KEY, DynamoMaintenance
from fanout.providers import parse_entry
from tests.harness.fakes import MemoryMaintenance
from tests.harness.faults import Clock, Fault, Faults
from tests.harness.world import World
from tests.integration.functions.test_ledger_store import table

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryMaintenance(Faults(Clock()))
        return
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        table(client)
        yield DynamoMaintenance(client, "ledger")


def test_windows_are_opened_replaced_and_closed_one_by_one(store: Any) -> None:
    now = Clock()()
    everything, group = Window(None, now), Window("a group: ü.#x", now, now + HOUR)
    assert store.windows() == []

    store.open(everything)
    store.open(Window(group.group, now))
    store.open(group)
    assert sorted(store.windows(), key=str) == sorted([everything, group], key=str)

    store.close(None)
    store.close("unknown")
    assert store.windows() == [group]


def test_an_invalid_item_is_an_error_that_says_what_to_do() -> None:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        table(client)
        store = DynamoMaintenance(client, "ledger")
        client.put_item(TableName="ledger", Item={**KEY, "all": {"S": "soon"}})
        with pytest.raises(LedgerItemError, match="delete the item #maintenance"):
            store.windows()
        client.delete_table(TableName="ledger")
        with pytest.raises(LedgerUnavailableError):
            store.windows()


def test_a_window_is_open_until_its_end_and_for_its_group() -> None:
    now = Clock()()
    short, long = Window(None, now, now + HOUR), Window("g", now)

    assert Maintenance.at([short, long], now).of("g") == long
    assert Maintenance.at([short, long], now).of(None) == short
    assert Maintenance.at([short, long], now + HOUR).windows == (long,)
    assert Maintenance.at([short, long], now + HOUR).of("other") is None


def test_in_a_window_nothing_starts_and_afterwards_what_is_due_does() -> None:
    world = World()
    world.provider("a", group="g")
    world.provider("b")
    world.provider("p", paused=True)
    world.maintenance.open(Window("g", world.clock(), world.clock() + HOUR))

    report = world.tick()
    assert (report.maintenance, report.paused, report.started_providers) == (1, 1, ["b"])
    world.maintenance.open(Window(None, world.clock()))
    world.clock.advance(minutes=30)
    report = world.tick()
    assert (report.providers, report.maintenance, report.due) == (3, 2, 0)

    world.maintenance.close(None)
    world.clock.advance(hours=1)
    assert "a" in world.tick().started_providers


def test_a_window_that_opens_during_a_tick_holds_the_providers_that_wait_for_a_slot() -> None:
    world = World(settings={"max_concurrent_runs": 1, "lambda_max_bytes": 0})
    world.provider("a")
    world.provider("b")

    def after_the_first_start(seconds: float) -> None:
        world.maintenance.open(Window(None, world.clock()))
        world.run_all()

    world.on_sleep = after_the_first_start
    report = world.tick()

    assert (report.started, report.deferred) == (1, 1)


def test_without_the_windows_nothing_is_started() -> None:
    world = World()
    world.provider("a")
    world.faults.plan("maintenance.windows", Fault.FAIL_BEFORE)

    with pytest.raises(LedgerUnavailableError):
        world.tick()
    assert world.tick().started == 1


@pytest.mark.parametrize("end", [HOUR, None])
def test_the_status_of_a_provider_names_the_window_and_its_end(end: timedelta | None) -> None:
    now = Clock()()
    window = Window("g", now - HOUR, now + end if end else None)
    facts = Facts(now, now, maintenance=Maintenance((window,)))

    health = evaluate("a", parse_entry("a", {"frequency": 15, "group": "g"}, now), None, facts)

    assert (health.condition, health.decision) == (Condition.MAINTENANCE, Decision.MAINTENANCE)
    assert (health.since, health.next_due) == (now - HOUR, now + end if end else None)
    assert health.why is not None
    assert health.why.startswith("maintenance of group g " + ("until 20" if end else "without an end"))
