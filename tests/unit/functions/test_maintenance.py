"""Maintenance windows: nothing starts, and everything that became due starts afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli.commands.status import group
from fanout.errors import LedgerUnavailableError
from fanout.health import Condition, Decision, Facts, evaluate
from fanout.providers import Maintenance, Window, parse_entry
from tests.harness.faults import Clock, Fault
from tests.harness.world import World, one_provider

HOUR = timedelta(hours=1)


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


@pytest.mark.parametrize("hold", ["paused", "maintenance"])
def test_a_provider_on_hold_still_shows_that_its_last_run_failed(hold: str) -> None:
    world = one_provider()
    world.fail(world.claim("a", "run1"))
    if hold == "paused":
        world.config_api.providers["a"]["paused"] = True  # type: ignore[index]
    else:
        world.maintenance.open(Window(None, world.clock()))

    (health,) = world.overview().health

    assert (health.condition.value, health.failures, health.run_id, health.has_failed) == (hold, 1, "run1", True)
    assert health.failure is not None
    assert health.failure.message == "boom"
    assert [cause.providers for cause in group([health])] == [("a",)]
