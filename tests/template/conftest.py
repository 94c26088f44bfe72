"""The template and the state machine, read once."""

from __future__ import annotations

from typing import Any

import pytest

from laptop_cloud.stack.template import Template
from tests.template.reading import MACHINE, states_of, template_with, written
from tools.definition import definitions


@pytest.fixture(scope="session")
def source() -> dict[str, Any]:
    """template.yaml, not expanded."""
    return written()


@pytest.fixture(scope="session")
def template() -> Template:
    """template.yaml expanded, with the parameters' defaults."""
    return template_with()


@pytest.fixture(scope="session")
def machine(template: Template) -> dict[str, Any]:
    """The state machine's definition after substitution."""
    return definitions(template)[MACHINE]


@pytest.fixture(scope="session")
def states(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """State name -> state."""
    return dict(states_of(machine))
