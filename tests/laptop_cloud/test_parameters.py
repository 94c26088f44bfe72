from __future__ import annotations

import pytest

from laptop_cloud.errors import ParameterError
from laptop_cloud.stack.template import parameter_values

DECLARED = {
    "Env": {"Type": "String", "Default": "dev", "AllowedPattern": "^[a-z]+$"},
    "Size": {"Type": "Number", "Default": 3, "MinValue": 1, "MaxValue": 10},
    "Mode": {"Type": "String", "Default": "a", "AllowedValues": ["a", "b"]},
    "Zones": {"Type": "CommaDelimitedList", "Default": "x, y"},
}


def test_a_parameter_without_an_override_has_its_default_as_a_string() -> None:
    assert parameter_values(DECLARED, {}) == {"Env": "dev", "Size": "3", "Mode": "a", "Zones": ["x", "y"]}


def test_an_override_replaces_the_default() -> None:
    assert parameter_values(DECLARED, {"Size": 7})["Size"] == "7"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"Env": "DEV"}, "does not match"),
        ({"Size": 0}, "below 1"),
        ({"Size": 11}, "above 10"),
        ({"Size": "many"}, "not a number"),
        ({"Mode": "c"}, "not one of a, b"),
        ({"Nope": "1"}, "Unknown parameter: Nope"),
    ],
)
def test_a_value_that_violates_a_constraint_is_rejected(override: dict[str, object], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as rejected:
        parameter_values(DECLARED, override)
    assert next(iter(override)) in str(rejected.value)


def test_a_parameter_without_a_value_is_rejected() -> None:
    with pytest.raises(ParameterError, match="Url has no default"):
        parameter_values({"Url": {"Type": "String"}}, {})
