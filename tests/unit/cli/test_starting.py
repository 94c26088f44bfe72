"""Runs of many providers that an operator starts: within the slots, followed to their end, each with its outcome."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cli import starting
from cli.bulk import Outcome
from cli.command import Operator
from cli.deployment import Where
from cli.starting import Starting
from fanout.errors import StartRefusedError
from fanout.runs import RunRecord
from tests.harness.faults import Fault
from tests.harness.world import World


def world_of(count: int, **settings: Any) -> World:
    world = World(settings=settings)
    for number in range(count):
        world.provider(f"p{number:03}")
        world.change(f"p{number:03}", "one", "row")
    return world


def end_all(world: World) -> None:
    world.run_all()


def run(world: World, monkeypatch: pytest.MonkeyPatch, *, no_wait: bool = False) -> Outcome:
    """Start a run of every provider; the executions end while the command waits."""
    stack = SimpleNamespace(
        dispatching=world.dispatcher.settings,
        ledger=world.ledger,
        pending=world.pending,
        executions=world.executions,
        poll_seconds=2.0,
        is_local=True,
        failed_executions=tuple,
    )

    def pause(seconds: float) -> None:
        world.clock.advance(seconds=seconds)
        world.on_sleep(seconds)

    monkeypatch.setattr(starting, "time", SimpleNamespace(sleep=pause))  # other tests' threads sleep, too
    monkeypatch.setattr(starting, "utc_now", world.clock)
    op = Operator(Where(None), connect=lambda where: stack)  # type: ignore[arg-type,return-value]
    inputs = {name: json.dumps({"provider": name}) for name in world.config_api.providers}
    return Starting(op, inputs, "-m").run(no_wait=no_wait)


def test_500_light_runs_start_at_once_and_are_followed_with_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(500)
    world.on_sleep = lambda seconds: end_all(world)

    outcome = run(world, monkeypatch)

    assert (len(outcome.done), outcome.failed, outcome.not_tried) == (500, {}, ())
    assert all(isinstance(record, RunRecord) and record.messages == 1 for record in outcome.done.values())
    assert world.faults.count("executions.running") == 1


def test_heavy_runs_never_exceed_the_glue_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(7, lambda_max_bytes=0, max_concurrent_runs=3)
    live: list[int] = []

    def end(seconds: float) -> None:
        live.append(len(world.executions.running()))
        world.run_all()

    world.on_sleep = end
    outcome = run(world, monkeypatch)

    assert len(outcome.done) == 7
    assert live == [3, 3, 1]


def test_without_waiting_what_has_no_slot_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(world_of(5, lambda_max_bytes=0, max_concurrent_runs=3), monkeypatch, no_wait=True)

    assert (list(outcome.done), outcome.not_tried) == (["p000", "p001", "p002"], ("p003", "p004"))


def test_throttled_starts_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(5)
    world.faults.plan("executions.start", *[Fault.FAIL_BEFORE] * 4)
    world.on_sleep = lambda seconds: end_all(world)

    assert len(run(world, monkeypatch).done) == 5


def test_a_run_that_another_run_kept_from_its_work_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(2)
    world.claim("p001", "other")
    world.on_sleep = lambda seconds: end_all(world)

    outcome = run(world, monkeypatch)

    assert list(outcome.done) == ["p000"]
    assert "another run of the provider did the work" in outcome.failed["p001"]


def test_when_every_start_is_refused_the_rest_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(100)

    def refuse(name: str, execution_input: str) -> None:
        raise StartRefusedError("no")

    world.executions.on_start = refuse
    outcome = run(world, monkeypatch)

    assert outcome.done == {}
    assert len(outcome.failed) >= 20
    assert len(outcome.failed) + len(outcome.not_tried) == 100


@pytest.mark.parametrize(("failures", "finished"), [(3, True), (10, False)])
def test_reads_that_fail_are_repeated_until_the_command_gives_up_and_names_the_started_runs(
    monkeypatch: pytest.MonkeyPatch, failures: int, finished: bool
) -> None:
    world = world_of(2)
    world.faults.plan("executions.running", *[Fault.FAIL_BEFORE] * failures)
    world.on_sleep = lambda seconds: end_all(world)

    outcome = run(world, monkeypatch)

    assert sorted(outcome.done) == ["p000", "p001"]
    assert all(isinstance(done, RunRecord) for done in outcome.done.values()) is finished


def test_an_interruption_names_what_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(2)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    world.on_sleep = interrupt
    outcome = run(world, monkeypatch)

    assert outcome.interrupted
    assert sorted(outcome.done) == ["p000", "p001"]
