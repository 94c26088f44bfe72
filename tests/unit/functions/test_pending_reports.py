"""Reports that the config API did not get, or that it got in the wrong order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from fanout.ledger import ProviderState
from fanout.recovery import LAST_REPORT_SECONDS
from fanout.runs import Report
from tests.harness.faults import Fault
from tests.harness.processes import Process
from tests.harness.world import World, one_provider, started


@pytest.fixture
def world() -> World:
    return one_provider()


class TestPendingReports:
    @pytest.mark.guarantee("G4")
    @pytest.mark.fault(17)
    def test_an_entry_that_stays_running_after_its_run_ended_is_corrected(self, world: World) -> None:
        # Given the report of running arrives after that of the end
        world.run("a", "run1")
        entry = world.config_api.providers["a"]
        assert isinstance(entry, dict)
        world.config_api.providers["a"] = {**entry, "status": "running"}
        world.clock.advance(minutes=5)

        report = world.tick()

        assert report.pushed_reports == 1
        assert world.config_api.reports[-1][1].status == "succeeded"
        assert world.config_api.reports[-1][1].last_success is not None

    @pytest.mark.parametrize(
        ("minutes", "objects", "decisions"), [(5, 1, {"waiting": 1}), (15, 1, {"due": 1}), (15, 0, {"idle": 1})]
    )
    def test_until_a_success_is_reported_the_ledger_decides_whether_a_run_is_due(
        self, world: World, minutes: int, objects: int, decisions: dict[str, int]
    ) -> None:
        world.configure(discovery="events")
        world.faults.down = {"config_api"}
        world.run("a", "r1")
        world.faults.down.clear()
        if objects:
            world.tell("a")
        world.clock.advance(minutes=minutes)

        report = world.tick()

        names = ("waiting", "due", "idle")
        assert {name: found for name in names if (found := getattr(report, name))} == decisions
        assert report.oldest_pending_minutes == (minutes if "due" in decisions else 0)
        assert report.pushed_reports == 1

    @pytest.mark.fault(17)
    def test_an_entry_that_a_late_report_set_to_failed_is_corrected(self, world: World) -> None:
        world.configure(discovery="events")
        world.tell("a")
        failed = world.claim("a", "r1")
        world.faults.down = {"config_api"}
        world.fail(failed)
        world.faults.down.clear()
        world.clock.advance(minutes=15)
        tick = Process(world.tick).finish(until="config_api.report")
        world.run_all()  # before the report of the previous run has arrived
        tick.finish()
        late = world.config_api.providers["a"]["status"], world.state("a").pending_report

        world.clock.advance(minutes=15)
        report = world.tick()

        assert late == ("failed", None)
        assert (report.idle, report.due, report.pushed_reports) == (1, 0, 1)
        assert world.config_api.providers["a"]["status"] == "succeeded"

    def test_after_a_replay_the_entry_gets_the_last_run_that_was_no_replay(self, world: World) -> None:
        world.run("a", "r1")
        replayed = {"replay": {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"}}
        world.fail(world.claim("a", "by-hand", **replayed))
        entry = world.config_api.providers["a"]
        right = dict(entry)
        entry["status"] = "running"
        world.clock.advance(minutes=5)

        assert world.tick().pushed_reports == 1
        assert world.config_api.providers["a"] == right

    def test_a_failure_that_the_entry_already_has_is_not_reported_again(self, world: World) -> None:
        world.fail(world.claim("a", "r1"))

        report = world.tick()

        assert (report.backing_off, report.pushed_reports) == (1, 0)
        assert world.config_api.providers["a"]["status"] == "failed"

    @pytest.mark.parametrize("status", ["running", "failed"])
    def test_an_entry_that_another_system_maintains_is_left_alone(self, status: str) -> None:
        world = World(settings={"report_status": "no"})
        world.provider("a", "60")
        world.run("a", "r1")
        world.config_api.providers["a"]["status"] = status
        before = world.state("a")

        assert world.tick().pushed_reports == 0
        assert world.state("a") == before
        assert world.config_api.providers["a"]["status"] == status

    def test_an_entry_that_says_running_during_a_live_run_is_left_alone(self, world: World) -> None:
        started(world)
        world.clock.advance(minutes=5)
        before = world.faults.count("ledger.get")

        assert world.tick().pushed_reports == 0
        assert world.faults.count("ledger.get") == before, "no item is read for providers with a live run"

    def test_a_provider_whose_entry_another_system_left_running_is_started(self) -> None:
        world = World()
        world.provider("a", status="running", last_success="Sun, 22 Nov 2026 05:00:00 GMT")

        assert world.tick().started == 1

    @pytest.mark.guarantee("G5")
    def test_a_config_api_that_accepts_no_reports_delays_no_run_and_gets_only_three(self) -> None:
        world = World()
        for n in range(8):
            world.provider(f"p{n}")
        world.faults.down.add("config_api")
        for n in range(8):
            world.run(f"p{n}", f"run{n}")
        world.faults.down.clear()
        world.clock.advance(minutes=15)
        world.faults.plan("config_api.report", *[Fault.FAIL_BEFORE] * 100)
        before = world.faults.count("config_api.report")

        report = world.tick()

        assert (report.started, report.pushed_reports) == (8, 0)
        assert world.faults.count("config_api.report") - before == 3
        starts = max(i for i, call in enumerate(world.faults.calls) if call == "executions.start")
        assert world.faults.calls[starts:].count("config_api.report") == 3

    def test_five_thousand_runs_that_end_while_the_config_api_is_down_are_all_reported_by_the_next_tick(self) -> None:
        world = World(settings={"report_status": "yes"})
        ended = world.clock()
        for n in range(5_000):
            name = f"p{n:04}"
            world.provider(name, last_success="Sun, 22 Nov 2026 07:30:00 GMT")
            report = Report(run_id=f"run{n}", status="succeeded", last_success=ended)
            world.ledger.items[name] = ProviderState(
                provider=name, version=1, last_success=ended, pending_report=report
            )

        report = world.tick()

        assert report.pushed_reports == 5_000
        assert len({run.run_id for _, run in world.config_api.reports}) == 5_000
        assert not any(state.pending_report for state in world.ledger.items.values())

    def test_reports_wait_for_the_next_tick_when_the_function_has_no_time_left(self, world: World) -> None:
        world.faults.down.add("config_api")
        world.run("a", "run1")
        world.faults.down.clear()
        world.clock.advance(minutes=5)

        assert world.dispatcher.tick(world.clock(), lambda: 9.0).pushed_reports == 0
        assert world.tick().pushed_reports == 1

    def test_a_ledger_that_fails_while_reports_are_pushed_does_not_fail_a_tick_that_has_started_runs(
        self, world: World
    ) -> None:
        process = Process(world.tick)
        while not (process.at == "ledger.attention" and world.faults.count("executions.start")):
            process.resume()
        process.resume(Fault.FAIL_BEFORE)

        report = process.finish().value
        assert report.started == 1
        assert any("next tick" in fault for fault in report.faults)


def test_pending_reports_are_pushed_in_another_order_at_each_tick() -> None:
    """So that no report always waits for those that the config API accepts slowly."""
    world = World()
    for number in range(12):
        name = f"p{number:02d}"
        world.provider(name)
        world.faults.down.add("config_api")
        world.run(name, "run")
    orders = []
    for minutes in (15, 30, 15):
        told: list[str] = []
        tick = world.clock() + timedelta(minutes=minutes)
        recovery = replace(world.dispatcher.recovery, endings=RecordedPushes(told))
        recovery.push_pending([], tick, lambda: 300.0, print)
        orders.append(told)

    assert orders[0] == orders[2], "a tick that is delivered twice pushes alike"
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(orders[0]) == 12


class RecordedPushes:
    """Records the providers whose reports are pushed."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def push_report(self, state: ProviderState) -> bool:
        self._told.append(state.provider)
        return True


@pytest.mark.parametrize(("seconds", "pushed"), [(LAST_REPORT_SECONDS, 1), (LAST_REPORT_SECONDS - 1, 0)])
def test_a_report_is_pushed_while_there_is_time_for_one(seconds: float, pushed: int) -> None:
    world = World()
    world.provider("a")
    world.faults.down.add("config_api")
    world.run("a", "run")
    world.faults.down.clear()

    assert world.dispatcher.recovery.push_pending([], world.clock(), lambda: seconds, print) == pushed
