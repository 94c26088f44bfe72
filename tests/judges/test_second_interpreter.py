"""An independent interpreter of the Amazon States Language judges the state machine. `make judges` runs this."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.statemachine.acts import ACTS
from tests.judges.second_interpreter import Performance, play
from tests.mutants.machine import mutants
from tests.template.reading import MACHINE, template_with
from tools.definition import definitions

pytestmark = pytest.mark.judge

JUDGED = {name: act for name, act in ACTS.items() if name != "null_input"}
"""All acts but one: the interpreter's `$` finds no value in an input that is null."""


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    return definitions(template_with())[MACHINE]


@pytest.fixture(scope="module")
def performances(definition: dict[str, Any]) -> dict[str, Performance]:
    found = {name: Performance(name, act) for name, act in JUDGED.items()}
    play({name: (performance, definition) for name, performance in found.items()})
    return found


@pytest.mark.parametrize("name", JUDGED)
def test_an_execution_ends_as_on_the_laptop_cloud(name: str, performances: dict[str, Performance]) -> None:
    assert performances[name].differences() == []


def test_a_definition_without_a_catch_a_retry_or_a_branch_ends_otherwise(definition: dict[str, Any]) -> None:
    tried = {
        mutant.name: (Performance(mutant.act, ACTS[mutant.act]), mutant.definition) for mutant in mutants(definition)
    }
    play(tried, validate=False)

    assert [name for name, (performance, _) in tried.items() if not performance.differences()] == []
