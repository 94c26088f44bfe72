"""The path of the template, and the parts that tests read from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from laptop_cloud.stack.template import Template
from tools.expand import expanded

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
MACHINE = "ChangeLogStateMachine"


@cache
def written() -> dict[str, Any]:
    """template.yaml, not expanded."""
    document: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return document


@cache
def template_with(**parameters: str) -> Template:
    """template.yaml expanded, with the parameters' defaults where no other values are given."""
    return Template.load(TEMPLATE, parameters)


@cache
def resources_with(**parameters: str) -> dict[str, dict[str, Any]]:
    """The resources of template.yaml with these parameters, as they are deployed."""
    resources: dict[str, dict[str, Any]] = expanded(TEMPLATE, parameters)["Resources"]
    return resources


def states_of(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state of a definition with its name, including those inside Map and Parallel states."""
    for name, state in definition["States"].items():
        yield name, state
        inner = [state[key] for key in ("ItemProcessor", "Iterator") if key in state] + state.get("Branches", [])
        for part in inner:
            yield from states_of(part)
