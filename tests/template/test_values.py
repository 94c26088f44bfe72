"""Every value of the template is in the tables of table/, with the reason for it, and every row is in the template.

A row is ``"Resource.property" = value``; `*` in a resource's name matches any text, and a row with the whole name
takes precedence. ``{ prod = 1, else = 2 }`` has a value for each way to deploy the template (`values.DEPLOYMENTS`); a
way that it omits must not have the property. References are shown by name: ``<Env>`` is a parameter.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.template.reading import ROOT
from tests.template.values import DEPLOYMENTS, Values, parameter_values, values

TABLES = sorted((ROOT / "tests/template/table").glob("*.toml"))
PARAMETERS = "parameters"
LEFT_OUT = object()

Rows = dict[str, Any]


def sections(*names: str) -> Iterator[tuple[str, Rows]]:
    """The reason of each section, and its rows."""
    for path in TABLES:
        if (path.stem == PARAMETERS) == (PARAMETERS in names):
            yield from tomllib.loads(path.read_text(encoding="utf-8")).items()


def table() -> Rows:
    """All rows, those with `*` first."""
    rows = [(key, value) for _, section in sections() for key, value in section.items()]
    assert len({key for key, _ in rows}) == len(rows), "a value is in one place"
    return dict(sorted(rows, key=lambda row: "*" not in row[0]))


def of_deployment(value: Any, deployment: str) -> Any:
    return value.get(deployment, value.get("else", LEFT_OUT)) if isinstance(value, dict) else value


def expected(deployment: str, found: Values) -> Rows:
    """The values that the tables demand of the resources that a deployment has."""
    wanted = {}
    for key, value in table().items():
        pattern, _, path = key.partition(".")
        one = of_deployment(value, deployment)
        for resource in found:
            if fnmatchcase(resource, pattern):
                wanted[f"{resource}.{path}"] = one
    return {key: value for key, value in wanted.items() if value is not LEFT_OUT}


def differences(wanted: Rows, found: Rows) -> list[str]:
    """Lines that say what to change: in the template, or in a table."""
    return [
        *(f"not in a table: {json.dumps(key)} = {json.dumps(found[key])}" for key in sorted(found.keys() - wanted)),
        *(f"not in the template: {key} = {wanted[key]}" for key in sorted(wanted.keys() - found)),
        *(
            f"{key} is {found[key]!r}, and should be {wanted[key]!r}"
            for key in sorted(found.keys() & wanted)
            if (type(found[key]), found[key]) != (type(wanted[key]), wanted[key])
        ),
    ]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_every_value_of_the_template_is_in_a_table_and_every_row_is_in_the_template(deployment: str) -> None:
    found = values(deployment)
    flat = {f"{resource}.{path}": value for resource, rows in found.items() for path, value in rows.items()}

    assert len(flat) > 300
    assert differences(expected(deployment, found), flat) == []


def test_every_row_is_about_a_resource_that_exists() -> None:
    resources = {resource for deployment in DEPLOYMENTS for resource in values(deployment)}
    unused = [key for key in table() if not any(fnmatchcase(one, key.partition(".")[0]) for one in resources)]

    assert unused == []


def test_the_defaults_and_limits_of_the_parameters_are_in_their_table() -> None:
    ((_, rows),) = sections(PARAMETERS)

    assert differences(rows, parameter_values()) == []


def test_every_section_states_a_reason() -> None:
    reasons = [reason for reason, _ in (*sections(), *sections(PARAMETERS))]

    assert len(set(reasons)) == len(reasons) > 30
    assert all(len(reason.split()) > 5 for reason in reasons), reasons


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        ({"Q.Delay": 1}, {"Q.Delay": 2}, "Q.Delay is 2, and should be 1"),
        ({"Q.Fifo": True}, {"Q.Fifo": 1}, "Q.Fifo is 1, and should be True"),
        ({}, {"Q.Fifo": True}, 'not in a table: "Q.Fifo" = true'),
        ({"Q.Fifo": True}, {}, "not in the template: Q.Fifo = True"),
    ],
)
def test_a_changed_an_added_and_a_removed_value_are_found(wanted: Rows, found: Rows, said: str) -> None:
    assert differences(wanted, found) == [said]
    assert differences(wanted, wanted) == []
