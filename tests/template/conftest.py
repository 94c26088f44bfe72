"""The template and the state machine, read once."""

from __future__ import annotations

from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.stack.template import Template
from tests.template.reading import MACHINE, TEMPLATE, states_of
from tools.definition import definitions


@pytest.fixture(scope="session")
def source() -> dict[str, Any]:
    """template.yaml as it is written."""
    document: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="session")
def template() -> Template:
    """template.yaml expanded, with the parameters' defaults."""
    return Template.load(TEMPLATE)


@pytest.fixture(scope="session")
def machine(template: Template) -> dict[str, Any]:
    """The state machine's definition after substitution."""
    return definitions(template)[MACHINE]


@pytest.fixture(scope="session")
def states(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """State name -> state."""
    return dict(states_of(machine))
