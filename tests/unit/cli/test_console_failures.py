"""The console's Failures page: providers by cause, and the order that retries all of one cause."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from cli import starting
from cli.command import Operator
from cli.commands.status import UNKNOWN
from cli.console.actions import Order, carry_out, question
from cli.deployment import Where
from cli.errors import UsageError
from cli.overview import Overview
from contract.failure import Failure
from fanout.health import Condition, Decision, Health
from fanout.providers import Window
from tests.harness.world import World
from tests.unit.cli.test_console import HOSTILE, Stack, Visitor

BROKEN = Failure(type="CorruptObjectError", message="is not gzip", advice="Replace the object.")
DENIED = Failure(type="AccessDeniedError", message=HOSTILE)
FAILING = {"a": BROKEN, "b": BROKEN, "c": DENIED, "d": BROKEN}


def overview(world: World, *conditions: Condition) -> Overview:
    """The providers of `FAILING`, in these conditions or failing."""
    health = tuple(
        Health(name, condition, Decision.DUE, failure=failure, run_id=f"{name}-run")
        for (name, failure), condition in zip(
            FAILING.items(), (*conditions, *[Condition.FAILING] * (4 - len(conditions))), strict=True
        )
    )
    return Overview(world.clock(), 4, {"failing": 4}, 0, health)


@pytest.fixture
def world() -> World:
    made = World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": 2})
    for name in FAILING:
        made.provider(name)
        made.change(name, "one", "row")
    return made


@pytest.fixture
def stack(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("cli.console.actions.look", lambda stack: overview(world))
    monkeypatch.setattr(starting, "utc_now", world.clock)
    return SimpleNamespace(
        dispatching=world.dispatcher.settings,
        ledger=world.ledger,
        pending=world.pending,
        executions=world.executions,
        is_local=True,
        output=lambda name: "https://sqs/changes",
        config_api=SimpleNamespace(entries=lambda: {name: {"frequency": 15} for name in FAILING}),
        maintenance=SimpleNamespace(windows=list),
    )


def operator(stack: Any) -> Operator:
    return Operator(Where(None), connect=lambda where: stack)


def shown(world: World, *conditions: Condition, read_only: bool = False) -> str:
    failures, module = (importlib.import_module(f"cli.console.{name}") for name in ("failures", "watch"))
    watch = module.Watch(Operator(Where(None)))
    watch.overview = overview(world, *conditions)
    return str(failures.live(watch, read_only))


def test_the_page_groups_providers_by_cause_and_offers_to_retry_those_that_are_failing(world: World) -> None:
    page = shown(world, Condition.STUCK)

    assert page.index("CorruptObjectError: is not gzip") < page.index("AccessDeniedError: ")
    assert page.count("Replace the object.") == 1
    assert "'3: '" in page
    assert "'Retry all (2)'" in page, "not the one that is stuck"
    assert "/run/a-run?provider=a" in page
    assert "\x1b" not in page


def test_a_read_only_page_has_no_button(world: World) -> None:
    assert "Retry all" not in shown(world, read_only=True)


def test_a_page_without_failures_says_so(world: World) -> None:
    assert "No provider is failing." in shown(world, *[Condition.IDLE] * 4)


def test_the_question_names_the_providers_of_exactly_this_cause(stack: Any) -> None:
    asked = question(stack, Order("retry", BROKEN.kind))

    assert asked.startswith("3 providers would be started: a, b, d. They have ")
    with pytest.raises(UsageError, match="no provider is failing with CorruptObjectError"):
        question(stack, Order("retry", "CorruptObjectError"))


def test_a_retry_starts_the_providers_of_a_cause_within_the_glue_slots(stack: Any, world: World) -> None:
    done = carry_out(operator(stack), Order("retry", BROKEN.kind))

    assert done.said == "2 of 3 providers started\n1 provider not tried: d"
    assert sorted(run_id[0] for run_id in world.executions.running()) == ["a", "b"]


def test_no_provider_is_retried_during_a_maintenance_window(stack: Any, world: World) -> None:
    stack.maintenance = SimpleNamespace(windows=lambda: [Window(None, world.clock())])

    with pytest.raises(UsageError, match="end the window"):
        carry_out(operator(stack), Order("retry", BROKEN.kind))

    assert not world.executions.running()


def test_providers_can_be_paused_during_a_maintenance_window(stack: Any, world: World) -> None:
    stack.maintenance = SimpleNamespace(windows=lambda: [Window(None, world.clock())])

    assert question(stack, Order("pause", names=["a", "b"])).startswith("2 providers would be paused: a, b.")


def test_a_retry_leaves_out_a_provider_that_is_stuck_for_the_same_cause(
    stack: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.console.actions.look", lambda stack: overview(world, Condition.STUCK))

    assert question(stack, Order("retry", BROKEN.kind)).startswith("2 providers would be started: b, d. ")


def test_a_provider_that_failed_without_a_recorded_cause_can_be_retried(
    stack: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Health("c", Condition.FAILING, Decision.DUE, run_id="c-run")
    monkeypatch.setattr("cli.console.actions.look", lambda stack: Overview(world.clock(), 1, {}, 0, (unknown,)))

    assert question(stack, Order("retry", UNKNOWN.kind)).startswith("1 provider would be started: c. ")


def test_a_cause_that_is_not_there_any_more_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.console.actions.look", lambda stack: overview(world))

    answer = Visitor(Stack()).confirm({"do": "retry", "of": HOSTILE, "start": "", "end": ""})

    assert "Nothing was changed" in answer.text
    assert "no provider is failing with" in answer.text
