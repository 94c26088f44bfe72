"""How long a tick waits for slots, and when it no longer does."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fanout import dispatcher
from fanout.dispatcher import LAST_REUSE_GLUE_SECONDS, REUSE_FUNCTION_SECONDS, REUSE_GLUE_SECONDS, TickReport
from fanout.errors import StartRefusedError
from fanout.starts import Started, Starter
from tests.harness.dispatch import NOW
from tests.harness.world import World

MANY = 10**9
"""Bytes for which a run uses Glue."""


def world_of(*, light: int, heavy: int, functions: int, slots: int, group_slots: int = 0) -> World:
    """Due providers of both kinds; with `group_slots`, the light ones are a group."""
    world = World(
        settings={
            "discovery": "events",
            "sweep_minutes": 1440,
            "max_concurrent_runs": slots,
            "max_runs_per_group": group_slots,
            "concurrent_functions": lambda: functions + 1,  # one is the dispatcher's
        }
    )
    for number in range(light):
        world.provider(f"light{number}", **({"group": "g"} if group_slots else {}))
        world.tell(f"light{number}")
    for number in range(heavy):
        world.provider(f"heavy{number}")
        world.tell(f"heavy{number}", size=MANY)
    return world


def pauses(world: World, minutes: float) -> list[float]:
    """The pauses of one tick, each of which takes some minutes."""
    found: list[float] = []

    def sleep(seconds: float) -> None:
        found.append(seconds)
        world.clock.advance(minutes=minutes)

    world.on_sleep = sleep
    world.tick(NOW)
    return found


@pytest.mark.parametrize(
    ("given", "pause"),
    [
        ({"light": 0, "heavy": 2, "functions": 9, "slots": 1}, REUSE_GLUE_SECONDS),
        ({"light": 2, "heavy": 0, "functions": 1, "slots": 9}, REUSE_FUNCTION_SECONDS),
        ({"light": 2, "heavy": 2, "functions": 1, "slots": 1}, REUSE_FUNCTION_SECONDS),
        ({"light": 1, "heavy": 2, "functions": 1, "slots": 1}, REUSE_GLUE_SECONDS),
        ({"light": 2, "heavy": 0, "functions": 2, "slots": 9, "group_slots": 1}, REUSE_GLUE_SECONDS),
    ],
    ids=["Glue slots", "functions", "both", "Glue slots while no function is free", "a place in the group"],
)
def test_a_tick_looks_often_for_free_functions_and_less_often_for_other_slots(
    given: dict[str, int], pause: float
) -> None:
    assert pauses(world_of(**given), minutes=60) == [pause]


@pytest.mark.parametrize(("minutes", "count"), [(15, 1), (14, 2), (8, 2), (7, 3)])
def test_a_tick_waits_until_the_next_one_is_due(minutes: float, count: int) -> None:
    assert len(pauses(world_of(light=0, heavy=2, functions=9, slots=1), minutes)) == count


@pytest.mark.parametrize(("more", "count"), [(0.0, 0), (0.1, 1)])
def test_a_tick_does_not_wait_in_its_last_seconds(more: float, count: int) -> None:
    world = world_of(light=0, heavy=2, functions=9, slots=1)
    world.seconds = LAST_REUSE_GLUE_SECONDS + more

    assert len(pauses(world, minutes=1)) == count


def test_a_tick_of_which_some_runs_had_started_before_does_not_fail() -> None:
    world = world_of(light=3, heavy=0, functions=9, slots=9)

    def start(name: str, execution_input: str) -> bool:
        if name.startswith("light2"):
            raise StartRefusedError("no")
        return name.startswith("light0")

    world.executions.start = start  # type: ignore[method-assign]

    report = world.tick(NOW)

    assert (report.started, report.already_started, report.failed_starts) == (1, 1, 1)


def test_only_items_with_a_live_lease_are_held() -> None:
    world = world_of(light=3, heavy=0, functions=9, slots=9)
    for name, hours in (("light0", 3), ("light1", 0)):
        world.change(name, "1", "row")
        world.claim(name, f"run-{name}")
        world.clock.advance(hours=hours)
    world.change("light2", "1", "row")
    world.faults.down.add("config_api")
    world.run("light2", "ended")  # its report is pending
    world.faults.down.clear()
    world.executions.statuses["run-light1"] = "RUNNING"

    report = world.tick()

    assert (report.live, report.released_leases, report.running) == (1, 1, 1)


def test_a_provider_whose_last_run_used_glue_needs_a_glue_slot() -> None:
    world = World(settings={"max_concurrent_runs": 1, "lambda_max_bytes": 10})
    for name in ("a", "b"):
        world.provider(name)
        world.change(name, "1", "x" * 900)
        assert world.run(name, f"before-{name}").decision == "glue"
    world.clock.advance(minutes=15)

    report = world.tick()

    assert (report.due, report.started, report.deferred) == (2, 1, 1)


def test_only_providers_with_late_data_are_reported_as_such() -> None:
    world = World()
    world.provider("a")
    world.faults.down.add("config_api")
    world.run("a", "run1")  # its report is pending, so the item needs attention
    world.faults.down.clear()
    world.clock.advance(minutes=5)

    report = world.tick()

    assert (report.pushed_reports, report.late_data, report.late_data_providers) == (1, 0, [])


def test_the_size_of_the_list_is_stored_only_when_it_has_changed() -> None:
    world = World()
    world.provider("a")
    for minutes, stored in ((0, 1), (15, 1), (15, 1)):
        world.clock.advance(minutes=minutes)
        world.tick()
        assert world.faults.calls.count("ledger.put_list_size") == stored


def test_starts_without_an_answer_are_deferred_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unanswered(Starter):
        def run(self, names: Iterable[str]) -> Started:
            self._stop.set()
            return Started(unanswered=list(names))

    monkeypatch.setattr(dispatcher, "Starter", Unanswered)

    report = world_of(light=2, heavy=0, functions=9, slots=9).tick(NOW)

    assert (report.started, report.deferred, sorted(report.deferred_providers)) == (0, 2, ["light0", "light1"])
    assert report.faults == ["2 starts had no answer when the tick's time was up"]


def test_a_report_lists_a_limited_number_of_names() -> None:
    report = TickReport("")
    for number in range(dispatcher.SHOWN + 2):
        report.fault(f"{number}")

    assert report.faults[:2] == ["0", "1"]
    assert len(report.faults) == dispatcher.SHOWN
